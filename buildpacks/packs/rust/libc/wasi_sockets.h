// The functions of wasi:io and wasi:sockets 0.2 that the socket layer calls, as the canonical ABI flattens them.
//
// `ret` is a return area. Byte 0 is the result's discriminant; the payload starts at its own alignment, noted per
// function below. Declared by hand because a generator's runtime would bring an allocator and types nobody needs here.
#ifndef DYNO_WASI_SOCKETS_H
#define DYNO_WASI_SOCKETS_H
#include <stdint.h>

#define WASI_VERSION "@0.2.12"
#define IMPORT(module, name) __attribute__((import_module(module WASI_VERSION), import_name(name)))
#define IO_POLL "wasi:io/poll"
#define IO_STREAMS "wasi:io/streams"
#define TCP "wasi:sockets/tcp"
#define LOOKUP "wasi:sockets/ip-name-lookup"

typedef int32_t handle;

// --- wasi:io
IMPORT("wasi:io/error", "[resource-drop]error")
void w_error_drop(handle);
IMPORT(IO_POLL, "[resource-drop]pollable")
void w_pollable_drop(handle);
IMPORT(IO_POLL, "[method]pollable.ready")
int w_pollable_ready(handle);
IMPORT(IO_POLL, "[method]pollable.block")
void w_pollable_block(handle);
IMPORT(IO_POLL, "poll")
void w_poll(const handle *, uint32_t, void *ret); // list<u32>: pointer@0 length@4
IMPORT("wasi:clocks/monotonic-clock", "subscribe-duration")
handle w_subscribe_duration(uint64_t nanoseconds);
IMPORT("wasi:clocks/monotonic-clock", "now")
uint64_t w_now(void);
IMPORT("wasi:cli/stdin", "get-stdin")
handle w_stdin(void);
IMPORT(IO_STREAMS, "[resource-drop]input-stream")
void w_input_drop(handle);
IMPORT(IO_STREAMS, "[resource-drop]output-stream")
void w_output_drop(handle);
IMPORT(IO_STREAMS, "[method]input-stream.read")
void w_input_read(handle, uint64_t, void *ret); // ok pointer@4 length@8; err tag@4 error@8
IMPORT(IO_STREAMS, "[method]input-stream.subscribe")
handle w_input_subscribe(handle);
IMPORT(IO_STREAMS, "[method]output-stream.check-write")
void w_output_check(handle, void *ret); // ok u64@8; err tag@8 error@12
IMPORT(IO_STREAMS, "[method]output-stream.write")
void w_output_write(handle, const void *, uint32_t, void *ret); // err tag@4 error@8
IMPORT(IO_STREAMS, "[method]output-stream.subscribe")
handle w_output_subscribe(handle);

// --- wasi:sockets. An ip-socket-address argument is 12 flat numbers: its case and 11 more.
#define ADDRESS int kind, int, int, int, int, int, int, int, int, int, int, int
IMPORT("wasi:sockets/instance-network", "instance-network")
handle w_network(void);
IMPORT("wasi:sockets/tcp-create-socket", "create-tcp-socket")
void w_tcp_create(int family, void *ret); // ok @4; err u8@4
IMPORT(TCP, "[resource-drop]tcp-socket")
void w_tcp_drop(handle);
IMPORT(TCP, "[method]tcp-socket.start-bind")
void w_start_bind(handle, handle network, ADDRESS, void *ret); // err u8@1
IMPORT(TCP, "[method]tcp-socket.finish-bind")
void w_finish_bind(handle, void *ret); // err u8@1
IMPORT(TCP, "[method]tcp-socket.start-connect")
void w_start_connect(handle, handle network, ADDRESS, void *ret); // err u8@1
IMPORT(TCP, "[method]tcp-socket.finish-connect")
void w_finish_connect(handle, void *ret); // ok input@4 output@8; err u8@4
IMPORT(TCP, "[method]tcp-socket.start-listen")
void w_start_listen(handle, void *ret); // err u8@1
IMPORT(TCP, "[method]tcp-socket.finish-listen")
void w_finish_listen(handle, void *ret); // err u8@1
IMPORT(TCP, "[method]tcp-socket.accept")
void w_accept(handle, void *ret); // ok socket@4 input@8 output@12; err u8@4
IMPORT(TCP, "[method]tcp-socket.local-address")
void w_local_address(handle, void *ret); // ok case@4 payload@8; err u8@4
IMPORT(TCP, "[method]tcp-socket.remote-address")
void w_remote_address(handle, void *ret); // ok case@4 payload@8; err u8@4
IMPORT(TCP, "[method]tcp-socket.subscribe")
handle w_tcp_subscribe(handle);
IMPORT(TCP, "[method]tcp-socket.shutdown")
void w_shutdown(handle, int how, void *ret); // err u8@1
IMPORT(TCP, "[method]tcp-socket.set-listen-backlog-size")
void w_set_backlog(handle, uint64_t, void *ret); // err u8@1, as for every setter
IMPORT(TCP, "[method]tcp-socket.set-keep-alive-enabled")
void w_set_keepalive(handle, int, void *ret);
IMPORT(TCP, "[method]tcp-socket.set-keep-alive-idle-time")
void w_set_keepalive_idle(handle, uint64_t nanoseconds, void *ret);
IMPORT(TCP, "[method]tcp-socket.set-keep-alive-interval")
void w_set_keepalive_interval(handle, uint64_t nanoseconds, void *ret);
IMPORT(TCP, "[method]tcp-socket.set-keep-alive-count")
void w_set_keepalive_count(handle, uint32_t, void *ret);
IMPORT(TCP, "[method]tcp-socket.set-receive-buffer-size")
void w_set_receive_buffer(handle, uint64_t, void *ret);
IMPORT(TCP, "[method]tcp-socket.set-send-buffer-size")
void w_set_send_buffer(handle, uint64_t, void *ret);
IMPORT(LOOKUP, "resolve-addresses")
void w_resolve(handle network, const char *, uint32_t, void *ret); // ok @4; err u8@4
IMPORT(LOOKUP, "[method]resolve-address-stream.resolve-next-address")
void w_resolve_next(handle, void *ret); // ok option@2 case@4 payload@6; err u8@2
IMPORT(LOOKUP, "[method]resolve-address-stream.subscribe")
handle w_resolve_subscribe(handle);
IMPORT(LOOKUP, "[resource-drop]resolve-address-stream")
void w_resolve_drop(handle);
#endif
