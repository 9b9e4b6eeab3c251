;; Makes files that are a terabyte long and hold nothing, by setting a size and by writing far out.
(data (i32.const 128) "sparse")
(func (export "_start")
  (call $say (call $open (i32.const 4) (i32.const 128) (i32.const 6) (i32.const 9)))
  (call $say (call $set_size (i32.load (i32.const 8)) (i64.const 0x10000000000)))
  (call $say (call $write_at (i32.load (i32.const 8)) (i32.const 24) (i32.const 1) (i64.const 0x10000000000) (i32.const 16)))
  (call $say (call $set_size (i32.load (i32.const 8)) (i64.const 0x7fffffffffffffff)))
  ;; What is small enough still works.
  (call $say (call $set_size (i32.load (i32.const 8)) (i64.const 1048576))))
