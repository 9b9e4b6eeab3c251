;; Wants an interface that no host provides.
(component
  (import "wasi:http/types@0.2.12" (instance $http
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))
  ))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))
  (import "example:database/store@1.2.3" (instance $store
    (export "count" (func (result u32)))
  ))

  (core func $count (canon lower (func $store "count")))
  (core module $Main
    (import "host" "count" (func $count (result i32)))
    (func (export "handle") (param $request i32) (param $outparam i32)
      (drop (call $count)))
  )
  (core instance $main (instantiate $Main (with "host" (instance (export "count" (func $count))))))

  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler))
)
