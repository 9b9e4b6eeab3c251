;; Writes a file until the host says no, and says what it said; then removes it and writes again.
(data (i32.const 128) "fill")
(func $fill (local $error i32)
  (call $say (call $open (i32.const 4) (i32.const 128) (i32.const 4) (i32.const 9)))
  (loop $more
    (br_if $more (i32.eqz (local.tee $error (call $write)))))
  (call $say (local.get $error))
  (drop (call $close (i32.load (i32.const 8)))))
(func (export "_start")
  (call $fill)
  (call $say (call $unlink (i32.const 4) (i32.const 128) (i32.const 4)))
  (call $fill))
