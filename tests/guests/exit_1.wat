;; Ends its process with status 1 in the middle of a request.
(component
  (import "wasi:http/types@0.2.12" (instance $http
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))
  ))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))
  (import "wasi:cli/exit@0.2.12" (instance $exit
    (export "exit" (func (param "status" (result))))
  ))

  (core func $exit (canon lower (func $exit "exit")))
  (core module $Main
    (import "host" "exit" (func $exit (param i32)))
    (func (export "handle") (param $request i32) (param $outparam i32)
      (call $exit (i32.const 1)))
  )
  (core instance $main (instantiate $Main (with "host" (instance (export "exit" (func $exit))))))

  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler))
)
