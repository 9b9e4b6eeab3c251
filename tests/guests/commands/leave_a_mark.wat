;; Makes a new file in each of its directories. Says 00 when none was there.
(data (i32.const 128) "mark")
(func (export "_start")
  (call $say (call $open (i32.const 3) (i32.const 128) (i32.const 4) (i32.const 13)))
  (call $say (call $open (i32.const 4) (i32.const 128) (i32.const 4) (i32.const 13))))
