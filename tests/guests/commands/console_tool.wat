;; A preview-1 command for `run`: its first argument says what it does.
;;   say WORD     prints the word
;;   cat          prints what it reads, to its end
;;   exit N       ends with this status (one digit or more)
;;   kind         prints `terminal` or `pipe`, whichever its output is
;;   flood        prints 4 MiB
;;   trap         traps
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $arguments (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) "terminal\npipe\n")

  ;; Prints all of a text; ends with 32 when nobody reads any more.
  (func $print (param $from i32) (param $length i32)
    (loop $more
      (if (i32.eqz (local.get $length)) (then (return)))
      (i32.store (i32.const 0) (local.get $from))
      (i32.store (i32.const 4) (local.get $length))
      (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (call $exit (i32.const 32))))
      (local.set $from (i32.add (local.get $from) (i32.load (i32.const 8))))
      (local.set $length (i32.sub (local.get $length) (i32.load (i32.const 8))))
      (br $more)))

  (func $length_of (param $text i32) (result i32)
    (local $end i32)
    (local.set $end (local.get $text))
    (loop $more
      (if (i32.load8_u (local.get $end))
        (then
          (local.set $end (i32.add (local.get $end) (i32.const 1)))
          (br $more))))
    (i32.sub (local.get $end) (local.get $text)))

  (func $cat
    (loop $more
      (i32.store (i32.const 16) (i32.const 65536))
      (i32.store (i32.const 20) (i32.const 4096))
      (if (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24))
        (then (call $exit (i32.const 5))))
      (if (i32.load (i32.const 24))
        (then
          (call $print (i32.const 65536) (i32.load (i32.const 24)))
          (br $more)))))

  (func $number (param $text i32) (result i32)
    (local $value i32)
    (loop $more
      (if (i32.load8_u (local.get $text))
        (then
          (local.set $value (i32.add
            (i32.mul (local.get $value) (i32.const 10))
            (i32.sub (i32.load8_u (local.get $text)) (i32.const 48))))
          (local.set $text (i32.add (local.get $text) (i32.const 1)))
          (br $more))))
    (local.get $value))

  (func $kind
    (drop (call $stat (i32.const 1) (i32.const 32)))
    ;; A character device is 2.
    (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 2))
      (then (call $print (i32.const 64) (i32.const 9)))
      (else (call $print (i32.const 73) (i32.const 5)))))

  (func $flood
    (local $times i32)
    (memory.fill (i32.const 65536) (i32.const 120) (i32.const 1023))
    (i32.store8 (i32.const 66559) (i32.const 10))
    (loop $more
      (call $print (i32.const 65536) (i32.const 1024))
      (local.set $times (i32.add (local.get $times) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $times) (i32.const 4096)))))

  (func (export "_start")
    (local $verb i32)
    (local $word i32)
    (local $length i32)
    (drop (call $sizes (i32.const 40) (i32.const 44)))
    ;; Pointers from 256, texts from 4096.
    (drop (call $arguments (i32.const 256) (i32.const 4096)))
    (local.set $verb (i32.load8_u (i32.load (i32.const 260))))
    (local.set $word (i32.load (i32.const 264)))
    (if (i32.eq (local.get $verb) (i32.const 115)) ;; say
      (then
        (local.set $length (call $length_of (local.get $word)))
        (i32.store8 (i32.add (local.get $word) (local.get $length)) (i32.const 10))
        (call $print (local.get $word) (i32.add (local.get $length) (i32.const 1)))))
    (if (i32.eq (local.get $verb) (i32.const 99)) (then (call $cat)))
    (if (i32.eq (local.get $verb) (i32.const 101)) (then (call $exit (call $number (local.get $word)))))
    (if (i32.eq (local.get $verb) (i32.const 107)) (then (call $kind)))
    (if (i32.eq (local.get $verb) (i32.const 102)) (then (call $flood)))
    (if (i32.eq (local.get $verb) (i32.const 116)) (then (unreachable))))
)
