;; Allocates and touches memory a megabyte at a time until it gets no more, then traps.
(component
  (import "wasi:http/types@0.2.12" (instance $http
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))
  ))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))

  (core module $Main
    (memory 1)
    (func (export "handle") (param $request i32) (param $outparam i32)
      (local $page i32)
      (loop $more
        (local.set $page (memory.grow (i32.const 16)))
        (if (i32.eq (local.get $page) (i32.const -1)) (then unreachable))
        ;; Memory that is never touched costs a host nothing.
        (memory.fill (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1) (i32.const 1048576))
        (br $more)))
  )
  (core instance $main (instantiate $Main))

  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler))
)
