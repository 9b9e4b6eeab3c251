;; Removes each file while it is open, and goes on writing files: none is seen in the directory, all take their place.
(data (i32.const 128) "gone")
(func (export "_start") (local $error i32) (local $files i32) (local $pieces i32)
  (loop $file
    (br_if $file (i32.eqz (block $refused (result i32)
      (if (local.tee $error (call $open (i32.const 4) (i32.const 128) (i32.const 4) (i32.const 13)))
        (then (br $refused (local.get $error))))
      (drop (call $unlink (i32.const 4) (i32.const 128) (i32.const 4)))
      (local.set $files (i32.add (local.get $files) (i32.const 1)))
      (local.set $pieces (i32.const 16))
      (loop $piece
        (if (local.tee $error (call $write)) (then (br $refused (local.get $error))))
        (br_if $piece (local.tee $pieces (i32.sub (local.get $pieces) (i32.const 1)))))
      (i32.const 0)))))
  (call $say (local.get $error))
  (call $say (local.get $files)))
