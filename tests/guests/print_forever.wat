;; Prints to its log without end and without a newline.
(component
  (import "wasi:http/types@0.2.12" (instance $http
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))
  ))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))
  (import "wasi:io/error@0.2.12" (instance $error
    (export "error" (type (sub resource)))
  ))
  (alias export $error "error" (type $io-error))
  (import "wasi:io/streams@0.2.12" (instance $streams
    (alias outer 1 $io-error (type $io-error'))
    (export "error" (type $error (eq $io-error')))
    (type $stream-error-shape (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error-shape)))
    (export "output-stream" (type $output-stream (sub resource)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))
  ))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.12" (instance $stdout
    (alias outer 1 $output-stream (type $output-stream'))
    (export "output-stream" (type $output-stream (eq $output-stream')))
    (export "get-stdout" (func (result (own $output-stream))))
  ))

  (core module $Memory
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  )
  (core instance $memory (instantiate $Memory))
  (alias core export $memory "memory" (core memory $mem))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
  (core module $Main
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "memory" (memory 1))
    (func (export "handle") (param $request i32) (param $outparam i32)
      (local $stdout i32)
      (local.set $stdout (call $get-stdout))
      (memory.fill (i32.const 0) (i32.const 0x2e) (i32.const 4096)) ;; dots
      (loop $forever
        (call $write (local.get $stdout) (i32.const 0) (i32.const 4096) (i32.const 8192))
        (br $forever)))
  )
  (core instance $main (instantiate $Main (with "host" (instance
    (export "get-stdout" (func $get-stdout))
    (export "write" (func $write))
    (export "memory" (memory $mem))
  ))))

  (func $handle (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler))
)
