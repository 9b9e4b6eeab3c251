;; Grows a table by a thousand elements at a time until it gets no more, and says 99.
(table $functions 1 funcref)
(func (export "_start")
  (loop $more
    (br_if $more (i32.ne (table.grow $functions (ref.null func) (i32.const 1000)) (i32.const -1))))
  (call $say (i32.const 99)))
