;; Returns from its handler having dropped both the request and the right to answer it.
(component
  (import "wasi:http/types@0.2.12" (instance $http
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))
  ))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))

  (core func $drop-request (canon resource.drop $incoming-request))
  (core func $drop-outparam (canon resource.drop $response-outparam))
  (core module $Main
    (import "host" "drop-request" (func $drop-request (param i32)))
    (import "host" "drop-outparam" (func $drop-outparam (param i32)))
    (func (export "handle") (param $request i32) (param $outparam i32)
      (call $drop-request (local.get $request))
      (call $drop-outparam (local.get $outparam)))
  )
  (core instance $main (instantiate $Main (with "host" (instance
    (export "drop-request" (func $drop-request))
    (export "drop-outparam" (func $drop-outparam))
  ))))

  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler))
)
