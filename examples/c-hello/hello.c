// A small web app in C: wasi:http called directly, with no server library and no generated code.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "wasi_http.h"

#define WRITE_BYTES_MAX 4096u // what blocking-write-and-flush takes at once
#define READ_BYTES_MAX 65536u
#define LARGE_BYTES (10u << 20)
#define LARGE_BYTES_MAX (1u << 30)

// === memory ===

// Where the host puts strings and lists for us. They are plain malloc memory, so free() gives them back.
EXPORT("cabi_realloc")
void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
  (void)old_size;
  if (size == 0) return (void *)(uintptr_t)align;
  void *p = realloc(old, size);
  if (!p) abort();
  return p;
}

// === answering ===

// One request being answered. `headers` becomes part of the response when the status is known.
struct exchange {
  handle outparam, headers, body, output;
  bool broken; // the client is gone: write no more
};

static void header(struct exchange *x, const char *name, const char *value) {
  union ret r;
  fields_append(x->headers, name, (uint32_t)strlen(name), value, (uint32_t)strlen(value), &r);
}

// Sends status and headers; the body may follow for as long as it takes.
static void start(struct exchange *x, int status, const char *content_type) {
  union ret r;
  header(x, "content-type", content_type);
  handle response = response_new(x->headers);
  response_set_status(response, status);
  response_body(response, &r);
  x->body = (handle)r.word[1];
  outparam_set(x->outparam, 0, response, 0, 0, 0, 0, 0, 0);
  outgoing_body_write(x->body, &r);
  x->output = (handle)r.word[1];
}

static void put(struct exchange *x, const void *bytes, size_t size) {
  union ret r;
  for (size_t done = 0; done < size && !x->broken;) {
    uint32_t piece = size - done < WRITE_BYTES_MAX ? (uint32_t)(size - done) : WRITE_BYTES_MAX;
    output_write(x->output, (const char *)bytes + done, piece, &r);
    if (r.tag) {
      if (r.word[1] == 0) error_drop((handle)r.word[2]);
      x->broken = true;
    }
    done += piece;
  }
}

// A stream must be dropped before the body it belongs to is finished.
static void finish(struct exchange *x) {
  union ret r;
  output_drop(x->output);
  if (x->broken) outgoing_body_drop(x->body); // unfinished, so nobody takes half a body for a whole one
  else outgoing_body_finish(x->body, 0, 0, &r);
}

static void text(struct exchange *x, int status, const char *body) {
  start(x, status, "text/plain; charset=utf-8");
  put(x, body, strlen(body));
  finish(x);
}

// === reading ===

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

// Finds `name` in the query "a=1&b=2" and decodes its value into `value`; false when it is not there.
static bool query_value(const char *query, const char *name, char *value, size_t size) {
  size_t name_length = strlen(name), n = 0;
  for (const char *p = query; p && *p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL) {
    if (strncmp(p, name, name_length) || p[name_length] != '=') continue;
    for (p += name_length + 1; *p && *p != '&' && n + 1 < size; p++) {
      char c = *p == '+' ? ' ' : *p;
      if (c == '%' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
        c = (char)(hex_digit(p[1]) * 16 + hex_digit(p[2]));
        p += 2;
      }
      value[n++] = c;
    }
    value[n] = 0;
    return true;
  }
  return false;
}

// The first header of that name, for the caller to free; NULL when there is none.
static char *first_header(handle request, const char *name) {
  union ret r;
  char *first = NULL;
  handle headers = request_headers(request);
  fields_get(headers, name, (uint32_t)strlen(name), &r);
  struct list *values = (struct list *)(uintptr_t)r.word[0];
  for (uint32_t i = 0; i < r.word[1]; i++) {
    if (i == 0) first = strndup(values[i].at, values[i].length);
    if (values[i].length) free(values[i].at);
  }
  if (r.word[1]) free(values);
  fields_drop(headers);
  return first;
}

// The number of visits that the cookie "visits=N" tells of; 0 without one.
static unsigned visits_so_far(handle request) {
  char *cookie = first_header(request, "cookie");
  char *found = cookie ? strstr(cookie, "visits=") : NULL;
  unsigned visits = found ? (unsigned)strtoul(found + 7, NULL, 10) : 0;
  free(cookie);
  return visits;
}

// === routes ===

static void index_page(struct exchange *x) {
  static const char page[] = "<!doctype html>\n<title>C on dyno</title>\n<h1>Hello from C</h1>\n";
  start(x, 200, "text/html; charset=utf-8");
  put(x, page, sizeof page - 1);
  finish(x);
}

static void hello(struct exchange *x, const char *query) {
  char name[128] = "World", body[sizeof name + 16];
  query_value(query, "name", name, sizeof name);
  snprintf(body, sizeof body, "Hello, %s!", name);
  text(x, 200, body);
}

static void json(struct exchange *x, const char *query) {
  char name[128] = "world", escaped[sizeof name * 6 + 1], body[sizeof escaped + 64];
  size_t n = 0;
  query_value(query, "name", name, sizeof name);
  for (const char *p = name; *p; p++) {
    if ((unsigned char)*p < 0x20) n += (size_t)sprintf(escaped + n, "\\u%04x", *p);
    else {
      if (*p == '"' || *p == '\\') escaped[n++] = '\\';
      escaped[n++] = *p;
    }
  }
  escaped[n] = 0;
  snprintf(body, sizeof body, "{\"language\":\"c\",\"hello\":\"%s\"}", escaped);
  start(x, 200, "application/json");
  put(x, body, strlen(body));
  finish(x);
}

// Sends the request's body back piece by piece, never holding the whole of it.
static void echo(struct exchange *x, handle request) {
  union ret r;
  request_consume(request, &r);
  handle body = (handle)r.word[1];
  incoming_body_stream(body, &r);
  handle input = (handle)r.word[1];
  char *type = first_header(request, "content-type");
  start(x, 200, type ? type : "application/octet-stream");
  free(type);
  while (!x->broken) {
    input_read(input, READ_BYTES_MAX, &r);
    if (r.tag) {
      if (r.word[1] == 0) {
        error_drop((handle)r.word[2]);
        x->broken = true;
      }
      break;
    }
    put(x, (void *)(uintptr_t)r.word[1], r.word[2]);
    if (r.word[2]) free((void *)(uintptr_t)r.word[1]);
  }
  input_drop(input);
  incoming_body_drop(body);
  finish(x);
}

static void cookies(struct exchange *x, handle request) {
  char cookie[64], body[32];
  unsigned visits = visits_so_far(request) + 1;
  snprintf(cookie, sizeof cookie, "visits=%u; Path=/; HttpOnly; SameSite=Lax", visits);
  snprintf(body, sizeof body, "visits: %u\n", visits);
  header(x, "set-cookie", cookie);
  header(x, "set-cookie", "language=c; Path=/");
  text(x, 200, body);
}

static void large(struct exchange *x, const char *query) {
  static char piece[READ_BYTES_MAX];
  char number[16];
  unsigned long left = query_value(query, "bytes", number, sizeof number) ? strtoul(number, NULL, 10) : LARGE_BYTES;
  if (left > LARGE_BYTES_MAX) {
    text(x, 400, "bytes must be a number up to 1 GiB\n");
    return;
  }
  memset(piece, 'a', sizeof piece);
  start(x, 200, "application/octet-stream");
  while (left && !x->broken) {
    size_t n = left < sizeof piece ? left : sizeof piece;
    put(x, piece, n);
    left -= n;
  }
  finish(x);
}

static void environment(struct exchange *x, const char *query) {
  char name[128] = "";
  query_value(query, "name", name, sizeof name);
  const char *value = getenv(name);
  text(x, value ? 200 : 404, value ? value : "not set\n");
}

static void fresh(struct exchange *x) {
  unsigned char b[24];
  char body[192];
  struct timespec now;
  if (getentropy(b, sizeof b) || clock_gettime(CLOCK_REALTIME, &now)) {
    text(x, 500, "no random bytes, or no clock\n");
    return;
  }
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  unsigned random = (unsigned)b[16] << 16 | (unsigned)b[17] << 8 | b[18];
  snprintf(body, sizeof body, "{\"uuid\":\"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\",\"random\":%u,\"time\":%lld.%09ld}", b[0],
           b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15], random, (long long)now.tv_sec, now.tv_nsec);
  start(x, 200, "application/json");
  put(x, body, strlen(body));
  finish(x);
}

static void route(struct exchange *x, handle request, enum method method, char *path) {
  char *query = strchr(path, '?');
  if (query) *query++ = 0;
  if (!strcmp(path, "/echo")) {
    if (method == POST) echo(x, request);
    else text(x, 405, "method not allowed\n");
  } else if (method != GET && method != HEAD) {
    text(x, 405, "method not allowed\n");
  } else if (!strcmp(path, "/")) {
    index_page(x);
  } else if (!strcmp(path, "/hello")) {
    hello(x, query);
  } else if (!strcmp(path, "/json")) {
    json(x, query);
  } else if (!strcmp(path, "/cookies")) {
    cookies(x, request);
  } else if (!strcmp(path, "/large")) {
    large(x, query);
  } else if (!strcmp(path, "/environment")) {
    environment(x, query);
  } else if (!strcmp(path, "/random")) {
    fresh(x);
  } else if (!strcmp(path, "/error")) {
    text(x, 500, "something went wrong\n");
  } else if (!strcmp(path, "/crash")) {
    fputs("crashing, as asked\n", stderr);
    exit(1); // ends the dyno, to see the platform start another
  } else {
    text(x, 404, "not found\n");
  }
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle")
void handle_request(handle request, handle outparam) {
  union ret r;
  struct exchange x = {.outparam = outparam, .headers = fields_new()};
  request_method(request, &r);
  enum method method = (enum method)r.tag;
  if (method == OTHER && r.word[2]) free((void *)(uintptr_t)r.word[1]);
  request_path(request, &r);
  char *path = r.tag ? strndup((char *)(uintptr_t)r.word[1], r.word[2]) : strdup("/");
  if (r.tag && r.word[2]) free((void *)(uintptr_t)r.word[1]);
  if (!path) abort();
  route(&x, request, method, path);
  free(path);
  request_drop(request);
}
