;; Makes a file whose name is no text.
(data (i32.const 128) "\ff\fe")
(func (export "_start")
  (call $say (call $open (i32.const 4) (i32.const 128) (i32.const 2) (i32.const 13))))
