// getsockopt() and setsockopt(), as far as wasi:sockets 0.2 has the option.
//
// TCP_NODELAY, SO_LINGER and SO_REUSEADDR are accepted and ignored: 0.2 has none of them (its hosts reuse addresses and
// decide about delays on their own), and programs treat a refusal as fatal.
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "socket_table.h"

#define NS_PER_S 1000000000u
// What SO_RCVBUF and SO_SNDBUF answer: the host does not tell, and callers only use it to size their own buffers.
#define BUFFER_BYTES 65536

static uint64_t nanoseconds(const void *value, socklen_t length) {
  struct timeval t;
  if (length < sizeof t) return 0;
  memcpy(&t, value, sizeof t);
  return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_usec * 1000u;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length) {
  struct socket *s = dyno_socket(fd);
  union area r = {0};
  if (!s) return -1;
  if (!value) return fail(EFAULT);
  int i = length >= sizeof(int) ? *(const int *)value : 0;
  if (level == SOL_SOCKET) switch (name) {
      case SO_RCVTIMEO: s->receive_timeout_ns = nanoseconds(value, length); break;
      case SO_SNDTIMEO: s->send_timeout_ns = nanoseconds(value, length); break;
      case SO_KEEPALIVE: w_set_keepalive(s->tcp, i != 0, &r); break;
      case SO_RCVBUF: w_set_receive_buffer(s->tcp, i > 0 ? (uint64_t)i : 1, &r); break;
      case SO_SNDBUF: w_set_send_buffer(s->tcp, i > 0 ? (uint64_t)i : 1, &r); break;
    }
  if (level == IPPROTO_TCP) {
    if (name != TCP_NODELAY && i <= 0) return fail(EINVAL);
    switch (name) {
      case TCP_KEEPIDLE: w_set_keepalive_idle(s->tcp, (uint64_t)i * NS_PER_S, &r); break;
      case TCP_KEEPINTVL: w_set_keepalive_interval(s->tcp, (uint64_t)i * NS_PER_S, &r); break;
      case TCP_KEEPCNT: w_set_keepalive_count(s->tcp, (uint32_t)i, &r); break;
    }
  }
  return r.b[0] ? fail(dyno_errno(r.b[1])) : 0;
}

static int get_timeout(uint64_t ns, void *value, socklen_t *length) {
  struct timeval t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_usec = (suseconds_t)(ns % NS_PER_S / 1000)};
  if (*length < sizeof t) return fail(EINVAL);
  memcpy(value, &t, *length = sizeof t);
  return 0;
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict length) {
  struct socket *s = dyno_socket(fd);
  if (!s) return -1;
  int i = 0;
  if (level == SOL_SOCKET) switch (name) {
      case SO_RCVTIMEO: return get_timeout(s->receive_timeout_ns, value, length);
      case SO_SNDTIMEO: return get_timeout(s->send_timeout_ns, value, length);
      case SO_ERROR:
        if (s->state == CONNECTING) dyno_finish_connect(s);
        i = s->error;
        s->error = 0;
        break;
      case SO_TYPE: i = SOCK_STREAM; break;
      case SO_ACCEPTCONN: i = s->state == LISTENING; break;
      case SO_DOMAIN: i = s->family; break;
      case SO_PROTOCOL: i = IPPROTO_TCP; break;
      case SO_REUSEADDR: i = 1; break;
      case SO_RCVBUF:
      case SO_SNDBUF: i = BUFFER_BYTES; break;
    }
  if (*length < sizeof i) return fail(EINVAL);
  memcpy(value, &i, *length = sizeof i);
  return 0;
}
