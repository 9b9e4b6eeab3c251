;; Makes host objects without end and drops none of them.
(component
  (import "wasi:http/types@0.2.12" (instance $http
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))
  ))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))
  (import "wasi:io/poll@0.2.12" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
  ))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.12" (instance $clock
    (alias outer 1 $pollable (type $pollable'))
    (export "pollable" (type $pollable (eq $pollable')))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))
  ))

  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $Main
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (func (export "handle") (param $request i32) (param $outparam i32)
      (loop $forever
        (drop (call $subscribe (i64.const 3_600_000_000_000)))
        (br $forever)))
  )
  (core instance $main (instantiate $Main (with "host" (instance (export "subscribe" (func $subscribe))))))

  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler))
)
