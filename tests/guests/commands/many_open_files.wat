;; Opens one file again and again and closes none; says what the host says, in the words of WASI 0.2. (Preview 1 has a
;; table of its own, which is smaller.)
(import "wasi:filesystem/preopens@0.2.12" "get-directories" (func $directories (param i32)))
(import "wasi:filesystem/types@0.2.12" "[method]descriptor.open-at"
  (func $open_at (param i32 i32 i32 i32 i32 i32 i32)))
(data (i32.const 128) "hello.txt")
(global $free (mut i32) (i32.const 4096))
(func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
  (global.set $free (i32.add (local.get $at) (local.get $size)))
  (local.get $at))
(func (export "_start") (local $app i32)
  (call $directories (i32.const 160))
  (local.set $app (i32.load (i32.load (i32.const 160))))
  (loop $more
    (call $open_at (local.get $app) (i32.const 0) (i32.const 128) (i32.const 9) (i32.const 0) (i32.const 1) (i32.const 176))
    (br_if $more (i32.eqz (i32.load8_u (i32.const 176)))))
  (call $say (i32.load8_u (i32.const 180))))
