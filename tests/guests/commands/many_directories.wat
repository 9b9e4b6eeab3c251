;; Makes directories until the host says no, and says what it said.
(data (i32.const 128) "00000000")
(func $count (local $at i32)
  ;; The next name: 00000001, 00000002, …
  (local.set $at (i32.const 135))
  (loop $digit
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x39))
      (then
        (i32.store8 (local.get $at) (i32.const 0x30))
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (br $digit)))
    (i32.store8 (local.get $at) (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))))
(func (export "_start") (local $error i32)
  (loop $more
    (call $count)
    (br_if $more (i32.eqz (local.tee $error (call $create_directory (i32.const 4) (i32.const 128) (i32.const 8))))))
  (call $say (local.get $error)))
