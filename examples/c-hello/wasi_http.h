// The functions of wasi:http and wasi:io 0.2 that hello.c calls, as the canonical ABI flattens them.
//
// A generator (wit-bindgen) would write this from the WIT files; by hand it fits a page and needs no tool. `ret` is a
// return area: byte 0 says ok (0) or error (1), or none (0) or some (1); the payload follows at its own alignment.
#ifndef WASI_HTTP_H
#define WASI_HTTP_H
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module "@0.2.12"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name), used))
#define HTTP "wasi:http/types"
#define STREAMS "wasi:io/streams"

typedef int32_t handle;

// Large enough, and aligned enough, for every return value below.
union ret {
  uint64_t align;
  uint8_t tag;
  uint32_t word[12]; // a payload of one handle is word[1]; a list is its pointer and its length
};

struct list {
  void *at;
  uint32_t length;
};

// --- what comes in
IMPORT(HTTP, "[method]incoming-request.method")
void request_method(handle, union ret *); // variant: see enum method
IMPORT(HTTP, "[method]incoming-request.path-with-query")
void request_path(handle, union ret *); // option<string>: word[1], word[2]
IMPORT(HTTP, "[method]incoming-request.headers")
handle request_headers(handle);
IMPORT(HTTP, "[method]incoming-request.consume")
void request_consume(handle, union ret *); // result<incoming-body>
IMPORT(HTTP, "[resource-drop]incoming-request")
void request_drop(handle);
IMPORT(HTTP, "[method]incoming-body.stream")
void incoming_body_stream(handle, union ret *); // result<input-stream>
IMPORT(HTTP, "[resource-drop]incoming-body")
void incoming_body_drop(handle);
IMPORT(STREAMS, "[method]input-stream.blocking-read")
void input_read(handle, uint64_t bytes_max, union ret *); // ok: word[1], word[2]; error: word[1] is 1 at the end, else word[2] an error
IMPORT(STREAMS, "[resource-drop]input-stream")
void input_drop(handle);
IMPORT("wasi:io/error", "[resource-drop]error")
void error_drop(handle);

enum method { GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH, OTHER };

// --- what goes out
IMPORT(HTTP, "[constructor]fields")
handle fields_new(void);
IMPORT(HTTP, "[method]fields.get")
void fields_get(handle, const char *name, uint32_t, union ret *); // list of lists: word[0], word[1]
IMPORT(HTTP, "[method]fields.append")
void fields_append(handle, const char *name, uint32_t, const char *value, uint32_t, union ret *);
IMPORT(HTTP, "[resource-drop]fields")
void fields_drop(handle);
IMPORT(HTTP, "[constructor]outgoing-response")
handle response_new(handle fields);
IMPORT(HTTP, "[method]outgoing-response.set-status-code")
int response_set_status(handle, int status);
IMPORT(HTTP, "[method]outgoing-response.body")
void response_body(handle, union ret *); // result<outgoing-body>
IMPORT(HTTP, "[static]response-outparam.set")
void outparam_set(handle, int is_error, int response, int, uint64_t, int, int, int, int); // the rest spells an error code
IMPORT(HTTP, "[method]outgoing-body.write")
void outgoing_body_write(handle, union ret *); // result<output-stream>
IMPORT(HTTP, "[static]outgoing-body.finish")
void outgoing_body_finish(handle, int has_trailers, handle trailers, union ret *);
IMPORT(HTTP, "[resource-drop]outgoing-body")
void outgoing_body_drop(handle);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void output_write(handle, const void *, uint32_t, union ret *); // at most 4096 bytes, or it traps; error as for reading
IMPORT(STREAMS, "[resource-drop]output-stream")
void output_drop(handle);
#endif
