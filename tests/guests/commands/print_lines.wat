;; Prints a hundred thousand lines, and ends.
(func (export "_start") (local $lines i32)
  (local.set $lines (i32.const 100000))
  (loop $more
    (call $say (i32.const 42))
    (br_if $more (local.tee $lines (i32.sub (local.get $lines) (i32.const 1))))))
