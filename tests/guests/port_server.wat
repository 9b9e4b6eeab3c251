;; A web server that listens on port 5000: one connection after the other, each kept alive until its client ends it.
;; What it does is told by the first letter of the path:
;;   /keep     answers
;;   /close    answers and closes the connection without saying so
;;   /exit     ends the process with status 1
;;   /hang     never answers
;;   /large    answers with 5,000,000 bytes
;;   /post     answers with the 5,000,000 bytes of the request's body, as they come
;;   /upgrade  switches protocols, and then sends back what it gets
;;   /metrics  tries to listen on port 9090 too, and answers when that is refused
(component
  (import "wasi:io/error@0.2.12" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/poll@0.2.12" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
  ))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.12" (instance $streams
    (alias outer 1 $error (type $error'))
    (export "error" (type $error (eq $error')))
    (export "input-stream" (type $input (sub resource)))
    (export "output-stream" (type $output (sub resource)))
    (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $input)) (param "len" u64) (result (result (list u8) (error $stream-error)))))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $stream-error)))))
  ))
  (alias export $streams "input-stream" (type $input))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:sockets/network@0.2.12" (instance $network
    (export "network" (type (sub resource)))
    (type $error-code' (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
      "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable"
      "address-in-use" "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted"
      "datagram-too-large" "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type (eq $error-code')))
    (type $family' (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $family')))
    (type $ipv4-address' (tuple u8 u8 u8 u8))
    (export "ipv4-address" (type $ipv4-address (eq $ipv4-address')))
    (type $ipv6-address' (tuple u16 u16 u16 u16 u16 u16 u16 u16))
    (export "ipv6-address" (type $ipv6-address (eq $ipv6-address')))
    (type $ipv4-socket-address' (record (field "port" u16) (field "address" $ipv4-address)))
    (export "ipv4-socket-address" (type $ipv4-socket-address (eq $ipv4-socket-address')))
    (type $ipv6-socket-address' (record (field "port" u16) (field "flow-info" u32) (field "address" $ipv6-address)
      (field "scope-id" u32)))
    (export "ipv6-socket-address" (type $ipv6-socket-address (eq $ipv6-socket-address')))
    (type $address' (variant (case "ipv4" $ipv4-socket-address) (case "ipv6" $ipv6-socket-address)))
    (export "ip-socket-address" (type (eq $address')))
  ))
  (alias export $network "network" (type $net))
  (alias export $network "error-code" (type $error-code))
  (alias export $network "ip-address-family" (type $family))
  (alias export $network "ip-socket-address" (type $address))
  (import "wasi:sockets/instance-network@0.2.12" (instance $instance-network
    (alias outer 1 $net (type $net'))
    (export "network" (type $net (eq $net')))
    (export "instance-network" (func (result (own $net))))
  ))
  (import "wasi:sockets/tcp@0.2.12" (instance $tcp
    (alias outer 1 $net (type $net'))
    (export "network" (type $net (eq $net')))
    (alias outer 1 $error-code (type $error-code'))
    (export "error-code" (type $error-code (eq $error-code')))
    (alias outer 1 $address (type $address'))
    (export "ip-socket-address" (type $address (eq $address')))
    (alias outer 1 $pollable (type $pollable'))
    (export "pollable" (type $pollable (eq $pollable')))
    (alias outer 1 $input (type $input'))
    (export "input-stream" (type $input (eq $input')))
    (alias outer 1 $output (type $output'))
    (export "output-stream" (type $output (eq $output')))
    (export "tcp-socket" (type $socket (sub resource)))
    (export "[method]tcp-socket.start-bind" (func (param "self" (borrow $socket)) (param "network" (borrow $net))
      (param "local-address" $address) (result (result (error $error-code)))))
    (export "[method]tcp-socket.finish-bind" (func (param "self" (borrow $socket)) (result (result (error $error-code)))))
    (export "[method]tcp-socket.start-listen" (func (param "self" (borrow $socket)) (result (result (error $error-code)))))
    (export "[method]tcp-socket.finish-listen" (func (param "self" (borrow $socket)) (result (result (error $error-code)))))
    (export "[method]tcp-socket.accept" (func (param "self" (borrow $socket))
      (result (result (tuple (own $socket) (own $input) (own $output)) (error $error-code)))))
    (export "[method]tcp-socket.subscribe" (func (param "self" (borrow $socket)) (result (own $pollable))))
  ))
  (alias export $tcp "tcp-socket" (type $socket))
  (import "wasi:sockets/tcp-create-socket@0.2.12" (instance $create
    (alias outer 1 $family (type $family'))
    (export "ip-address-family" (type $family (eq $family')))
    (alias outer 1 $error-code (type $error-code'))
    (export "error-code" (type $error-code (eq $error-code')))
    (alias outer 1 $socket (type $socket'))
    (export "tcp-socket" (type $socket (eq $socket')))
    (export "create-tcp-socket" (func (param "address-family" $family)
      (result (result (own $socket) (error $error-code)))))
  ))
  (import "wasi:cli/exit@0.2.12" (instance $exit (export "exit" (func (param "status" (result))))))

  (core module $Memory
    (memory (export "memory") 4)
    ;; Only reads ask for memory, one at a time.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 131072)))
  (core instance $memory (instantiate $Memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "realloc" (core func $realloc))

  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $read (canon lower (func $streams "[method]input-stream.blocking-read") (memory $mem) (realloc $realloc)))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
  (core func $instance-net (canon lower (func $instance-network "instance-network")))
  (core func $bind (canon lower (func $tcp "[method]tcp-socket.start-bind") (memory $mem)))
  (core func $finish-bind (canon lower (func $tcp "[method]tcp-socket.finish-bind") (memory $mem)))
  (core func $listen (canon lower (func $tcp "[method]tcp-socket.start-listen") (memory $mem)))
  (core func $finish-listen (canon lower (func $tcp "[method]tcp-socket.finish-listen") (memory $mem)))
  (core func $accept (canon lower (func $tcp "[method]tcp-socket.accept") (memory $mem)))
  (core func $subscribe (canon lower (func $tcp "[method]tcp-socket.subscribe")))
  (core func $create-socket (canon lower (func $create "create-tcp-socket") (memory $mem)))
  (core func $exit-process (canon lower (func $exit "exit")))
  (core func $drop-pollable (canon resource.drop $pollable))
  (core func $drop-socket (canon resource.drop $socket))
  (core func $drop-input (canon resource.drop $input))
  (core func $drop-output (canon resource.drop $output))

  (core module $Main
    (import "host" "memory" (memory 4))
    (import "host" "block" (func $block (param i32)))
    (import "host" "read" (func $read (param i32 i64 i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "network" (func $network (result i32)))
    (import "host" "bind" (func $bind (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "finish-bind" (func $finish-bind (param i32 i32)))
    (import "host" "listen" (func $listen (param i32 i32)))
    (import "host" "finish-listen" (func $finish-listen (param i32 i32)))
    (import "host" "accept" (func $accept (param i32 i32)))
    (import "host" "subscribe" (func $subscribe (param i32) (result i32)))
    (import "host" "create" (func $create (param i32 i32)))
    (import "host" "exit" (func $exit (param i32)))
    (import "host" "drop-pollable" (func $drop-pollable (param i32)))
    (import "host" "drop-socket" (func $drop-socket (param i32)))
    (import "host" "drop-input" (func $drop-input (param i32)))
    (import "host" "drop-output" (func $drop-output (param i32)))

    (data (i32.const 1024) "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n")
    (data (i32.const 2048) "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")
    (data (i32.const 3072) "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")

    ;; Results of host calls are at 16; the network and the listener here.
    (global $net (mut i32) (i32.const 0))
    (global $listener (mut i32) (i32.const 0))

    (func $trap-on-error (if (i32.load8_u (i32.const 16)) (then unreachable)))

    (func $new-socket (result i32)
      (call $create (i32.const 0) (i32.const 16))
      (call $trap-on-error)
      (i32.load (i32.const 20)))

    ;; Begins to bind 0.0.0.0:port.
    (func $bind-port (param $socket i32) (param $port i32)
      (call $bind (local.get $socket) (global.get $net)
        (i32.const 0) (local.get $port) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 16)))

    ;; Writes it all; 1 when nobody reads any more.
    (func $write-all (param $output i32) (param $from i32) (param $length i32) (result i32)
      (local $piece i32)
      (loop $more
        (if (i32.eqz (local.get $length)) (then (return (i32.const 0))))
        (local.set $piece (select (i32.const 4096) (local.get $length) (i32.gt_u (local.get $length) (i32.const 4096))))
        (call $write (local.get $output) (local.get $from) (local.get $piece) (i32.const 16))
        (if (i32.load8_u (i32.const 16)) (then (return (i32.const 1))))
        (local.set $from (i32.add (local.get $from) (local.get $piece)))
        (local.set $length (i32.sub (local.get $length) (local.get $piece)))
        (br $more))
      unreachable)

    ;; The number of bytes read to 131072, or 0 at the end.
    (func $read-some (param $input i32) (result i32)
      (call $read (local.get $input) (i64.const 65536) (i32.const 16))
      (if (result i32) (i32.load8_u (i32.const 16))
        (then (i32.const 0))
        (else (i32.load (i32.const 24)))))

    ;; Sends back the body of the request whose beginning has been read.
    (func $echo-body (param $input i32) (param $output i32) (param $length i32)
      (local $at i32) (local $left i32)
      (local.set $at (i32.const 131072))
      (loop $head
        (if (i32.ne (i32.load (local.get $at)) (i32.const 0x0a0d0a0d)) (then
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $head))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (local.set $length (i32.sub (i32.add (i32.const 131072) (local.get $length)) (local.get $at)))
      (local.set $left (i32.const 5000000))
      (loop $more
        (if (call $write-all (local.get $output) (local.get $at) (local.get $length)) (then (return)))
        (local.set $left (i32.sub (local.get $left) (local.get $length)))
        (if (i32.eqz (local.get $left)) (then (return)))
        (local.set $length (call $read-some (local.get $input)))
        (local.set $at (i32.const 131072))
        (br_if $more (local.get $length))))

    ;; Answers requests until either side ends the connection. A request's head comes in one read.
    (func $serve (param $input i32) (param $output i32)
      (local $length i32) (local $at i32) (local $what i32) (local $other i32)
      (loop $next
        (local.set $length (call $read-some (local.get $input)))
        (if (i32.eqz (local.get $length)) (then (return)))
        (local.set $at (i32.const 131072))
        (loop $slash
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $slash (i32.ne (i32.load8_u (local.get $at)) (i32.const 47))))
        (local.set $what (i32.load8_u offset=1 (local.get $at)))

        (if (i32.eq (local.get $what) (i32.const 101)) (then (call $exit (i32.const 1)))) ;; e
        (if (i32.eq (local.get $what) (i32.const 104)) (then ;; h
          (loop $hang (br_if $hang (call $read-some (local.get $input))))
          (return)))
        (if (i32.eq (local.get $what) (i32.const 108)) (then ;; l
          (drop (call $write-all (local.get $output) (i32.const 2048) (i32.const 44)))
          (local.set $length (i32.const 1250))
          (loop $more
            (if (call $write-all (local.get $output) (i32.const 131072) (i32.const 4000)) (then (return)))
            (local.set $length (i32.sub (local.get $length) (i32.const 1)))
            (br_if $more (local.get $length)))
          (br $next)))
        (if (i32.eq (local.get $what) (i32.const 112)) (then ;; p
          (drop (call $write-all (local.get $output) (i32.const 2048) (i32.const 44)))
          (call $echo-body (local.get $input) (local.get $output) (local.get $length))
          (br $next)))
        (if (i32.eq (local.get $what) (i32.const 117)) (then ;; u
          (drop (call $write-all (local.get $output) (i32.const 3072) (i32.const 72)))
          (loop $echo
            (local.set $length (call $read-some (local.get $input)))
            (drop (call $write-all (local.get $output) (i32.const 131072) (local.get $length)))
            (br_if $echo (local.get $length)))
          (return)))
        (if (i32.eq (local.get $what) (i32.const 109)) (then ;; m
          (local.set $other (call $new-socket))
          (call $bind-port (local.get $other) (i32.const 9090))
          (if (i32.ne (i32.load8_u (i32.const 17)) (i32.const 1)) (then unreachable)) ;; access-denied
          (call $drop-socket (local.get $other))))
        (drop (call $write-all (local.get $output) (i32.const 1024) (i32.const 41)))
        (br_if $next (i32.ne (local.get $what) (i32.const 99))))) ;; c

    (func (export "run") (result i32)
      (local $pollable i32) (local $connection i32) (local $input i32) (local $output i32)
      (global.set $net (call $network))
      (global.set $listener (call $new-socket))
      (local.set $pollable (call $subscribe (global.get $listener)))
      (call $bind-port (global.get $listener) (i32.const 5000))
      (call $trap-on-error)
      (call $finish-bind (global.get $listener) (i32.const 16))
      (call $trap-on-error)
      (call $listen (global.get $listener) (i32.const 16))
      (call $trap-on-error)
      (call $finish-listen (global.get $listener) (i32.const 16))
      (call $trap-on-error)
      (loop $next
        (call $block (local.get $pollable))
        (call $accept (global.get $listener) (i32.const 16))
        (br_if $next (i32.load8_u (i32.const 16)))
        (local.set $connection (i32.load (i32.const 20)))
        (local.set $input (i32.load (i32.const 24)))
        (local.set $output (i32.load (i32.const 28)))
        (call $serve (local.get $input) (local.get $output))
        (call $drop-input (local.get $input))
        (call $drop-output (local.get $output))
        (call $drop-socket (local.get $connection))
        (br $next))
      unreachable)
  )
  (core instance $main (instantiate $Main (with "host" (instance
    (export "memory" (memory $mem))
    (export "block" (func $block)) (export "read" (func $read)) (export "write" (func $write))
    (export "network" (func $instance-net)) (export "bind" (func $bind)) (export "finish-bind" (func $finish-bind))
    (export "listen" (func $listen)) (export "finish-listen" (func $finish-listen)) (export "accept" (func $accept))
    (export "subscribe" (func $subscribe)) (export "create" (func $create-socket)) (export "exit" (func $exit-process))
    (export "drop-pollable" (func $drop-pollable)) (export "drop-socket" (func $drop-socket))
    (export "drop-input" (func $drop-input)) (export "drop-output" (func $drop-output))
  ))))

  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.12" (instance $command))
)
