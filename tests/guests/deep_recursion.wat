;; Calls itself until the stack ends.
(component
  (import "wasi:http/types@0.2.12" (instance $http
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))
  ))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))

  (core module $Main
    (func $dive (param $depth i64) (result i64)
      ;; The sum keeps the call from being the last thing done, which a compiler might turn into a loop.
      (i64.add (local.get $depth) (call $dive (i64.add (local.get $depth) (i64.const 1)))))
    (func (export "handle") (param $request i32) (param $outparam i32)
      (drop (call $dive (i64.const 0))))
  )
  (core instance $main (instantiate $Main))

  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler))
)
