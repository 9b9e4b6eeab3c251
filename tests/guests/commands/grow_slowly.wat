;; Takes memory up to three quarters over a quota of 16 MiB, and then prints without end.
(func (export "_start")
  (drop (memory.grow (i32.const 320)))
  (loop $forever
    (call $say (i32.const 7))
    (br $forever)))
