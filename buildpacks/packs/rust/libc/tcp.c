// Making, naming, connecting and closing TCP sockets: socket(), bind(), listen(), connect(), accept(), shutdown().
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include "socket_table.h"

// === addresses ===

#define FLAT(a) a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]

static int flatten(int family, const struct sockaddr *sa, socklen_t length, int a[12]) {
  memset(a, 0, 12 * sizeof *a);
  if (!sa || length < sizeof(sa_family_t)) return fail(EINVAL);
  if (sa->sa_family != family) return fail(EAFNOSUPPORT);
  if (family == AF_INET && length >= sizeof(struct sockaddr_in)) {
    const struct sockaddr_in *in = (const void *)sa;
    const unsigned char *ip = (const void *)&in->sin_addr;
    a[1] = ntohs(in->sin_port);
    for (int i = 0; i < 4; i++) a[2 + i] = ip[i];
    return 0;
  }
  if (family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
    const struct sockaddr_in6 *in = (const void *)sa;
    const unsigned char *ip = (const void *)&in->sin6_addr;
    a[0] = 1;
    a[1] = ntohs(in->sin6_port);
    a[2] = (int)in->sin6_flowinfo;
    for (int i = 0; i < 8; i++) a[3 + i] = ip[2 * i] << 8 | ip[2 * i + 1];
    a[11] = (int)in->sin6_scope_id;
    return 0;
  }
  return fail(EINVAL);
}

static void put(const void *from, socklen_t size, struct sockaddr *to, socklen_t *length) {
  if (!to || !length) return;
  memcpy(to, from, *length < size ? *length : size);
  *length = size;
}

static int address(void (*of)(handle, void *), handle tcp, struct sockaddr *to, socklen_t *length) {
  union area r;
  of(tcp, &r);
  if (r.b[0]) return fail(r.b[4] == CODE_INVALID_STATE ? ENOTCONN : dyno_errno(r.b[4]));
  if (r.b[4] == 0) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(U16(r, 8))};
    memcpy(&in.sin_addr, r.b + 10, 4);
    put(&in, sizeof in, to, length);
  } else {
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(U16(r, 8)), .sin6_flowinfo = U32(r, 12), .sin6_scope_id = U32(r, 32)};
    unsigned char *ip = (void *)&in.sin6_addr;
    for (int i = 0; i < 8; i++) {
      uint16_t part = U16(r, 16 + 2 * i);
      ip[2 * i] = part >> 8;
      ip[2 * i + 1] = (unsigned char)part;
    }
    put(&in, sizeof in, to, length);
  }
  return 0;
}

// === calls ===

int socket(int family, int type, int protocol) {
  union area r;
  if (family != AF_INET && family != AF_INET6) return fail(EAFNOSUPPORT);
  if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM) return fail(EPROTONOSUPPORT);
  if (protocol && protocol != IPPROTO_TCP) return fail(EPROTONOSUPPORT);
  w_tcp_create(family == AF_INET6, &r);
  if (r.b[0]) return fail(dyno_errno(r.b[4]));
  int fd = dyno_socket_install((handle)U32(r, 4), family, NEW);
  if (fd >= 0) dyno_socket(fd)->nonblock = type & SOCK_NONBLOCK;
  return fd;
}

int bind(int fd, const struct sockaddr *sa, socklen_t length) {
  struct socket *s = dyno_socket(fd);
  int a[12];
  union area r;
  if (!s || flatten(s->family, sa, length, a)) return -1;
  if (s->state != NEW) return fail(EINVAL);
  w_start_bind(s->tcp, dyno_network(), FLAT(a), &r);
  if (r.b[0]) return fail(dyno_errno(r.b[1]));
  while (w_finish_bind(s->tcp, &r), r.b[0]) {
    if (r.b[1] != CODE_WOULD_BLOCK) return fail(dyno_errno(r.b[1]));
    w_pollable_block(dyno_tcp_pollable(s));
  }
  s->state = BOUND;
  return 0;
}

int listen(int fd, int backlog) {
  struct socket *s = dyno_socket(fd);
  union area r;
  if (!s) return -1;
  if (s->state == LISTENING) return 0;
  if (s->state != BOUND) return fail(s->state == NEW ? EDESTADDRREQ : EINVAL);
  w_set_backlog(s->tcp, backlog > 0 ? (uint64_t)backlog : 1, &r); // a hint: hosts may refuse it
  w_start_listen(s->tcp, &r);
  if (r.b[0]) return fail(dyno_errno(r.b[1]));
  while (w_finish_listen(s->tcp, &r), r.b[0]) {
    if (r.b[1] != CODE_WOULD_BLOCK) return fail(dyno_errno(r.b[1]));
    w_pollable_block(dyno_tcp_pollable(s));
  }
  s->state = LISTENING;
  return 0;
}

int dyno_finish_connect(struct socket *s) {
  union area r;
  w_finish_connect(s->tcp, &r);
  if (!r.b[0]) {
    s->input = (handle)U32(r, 4);
    s->output = (handle)U32(r, 8);
    s->state = CONNECTED;
    return 0;
  }
  if (r.b[4] == CODE_WOULD_BLOCK) return EINPROGRESS;
  s->state = BROKEN;
  return s->error = dyno_errno(r.b[4]);
}

static int start_connect(struct socket *s, const struct sockaddr *sa, socklen_t length) {
  int a[12];
  union area r;
  if (flatten(s->family, sa, length, a)) return errno;
  w_start_connect(s->tcp, dyno_network(), FLAT(a), &r);
  if (r.b[0]) return dyno_errno(r.b[1]);
  s->state = CONNECTING;
  return dyno_finish_connect(s);
}

int connect(int fd, const struct sockaddr *sa, socklen_t length) {
  struct socket *s = dyno_socket(fd);
  if (!s) return -1;
  int error;
  switch (s->state) {
    case NEW:
    case BOUND: error = start_connect(s, sa, length); break;
    case CONNECTING:
      error = dyno_finish_connect(s);
      if (error == EINPROGRESS && s->nonblock) return fail(EALREADY);
      break;
    case CONNECTED: return fail(EISCONN);
    default: return fail(s->state == BROKEN ? ECONNABORTED : EINVAL);
  }
  while (error == EINPROGRESS) {
    if (s->nonblock || !dyno_wait_one(dyno_tcp_pollable(s), s->send_timeout_ns)) return fail(EINPROGRESS);
    error = dyno_finish_connect(s);
  }
  s->error = 0;
  return error ? fail(error) : 0;
}

int accept4(int fd, struct sockaddr *sa, socklen_t *length, int flags) {
  struct socket *s = dyno_socket(fd);
  union area r;
  if (!s) return -1;
  if (s->state != LISTENING) return fail(EINVAL);
  while (w_accept(s->tcp, &r), r.b[0]) {
    if (r.b[4] != CODE_WOULD_BLOCK) return fail(dyno_errno(r.b[4]));
    if (s->nonblock || !dyno_wait_one(dyno_tcp_pollable(s), s->receive_timeout_ns)) return fail(EAGAIN);
  }
  handle tcp = (handle)U32(r, 4), input = (handle)U32(r, 8), output = (handle)U32(r, 12);
  if (dyno_socket_table_full()) { // the peer sees a close; streams go before their socket
    w_input_drop(input);
    w_output_drop(output);
    w_tcp_drop(tcp);
    return fail(EMFILE);
  }
  int accepted = dyno_socket_install(tcp, s->family, CONNECTED);
  struct socket *n = dyno_socket(accepted);
  n->input = input;
  n->output = output;
  n->nonblock = flags & SOCK_NONBLOCK;
  if (sa) address(w_remote_address, tcp, sa, length);
  return accepted;
}

int accept(int fd, struct sockaddr *restrict sa, socklen_t *restrict length) { return accept4(fd, sa, length, 0); }

int getsockname(int fd, struct sockaddr *restrict sa, socklen_t *restrict length) {
  struct socket *s = dyno_socket(fd);
  if (!s) return -1;
  if (s->state != NEW) return address(w_local_address, s->tcp, sa, length);
  struct sockaddr_storage none = {.ss_family = (sa_family_t)s->family};
  put(&none, s->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6), sa, length);
  return 0;
}

int getpeername(int fd, struct sockaddr *restrict sa, socklen_t *restrict length) {
  struct socket *s = dyno_socket(fd);
  if (!s) return -1;
  return s->state == CONNECTED ? address(w_remote_address, s->tcp, sa, length) : fail(ENOTCONN);
}

int shutdown(int fd, int how) {
  struct socket *s = dyno_socket(fd);
  union area r;
  if (!s) return -1;
  if (s->state != CONNECTED) return fail(ENOTCONN);
  if (how < SHUT_RD || how > SHUT_RDWR) return fail(EINVAL);
  if (how & SHUT_RD) s->read_closed = true;
  if (how & SHUT_WR) s->write_closed = true;
  w_shutdown(s->tcp, how == SHUT_RDWR ? 2 : how == SHUT_WR ? 1 : 0, &r);
  return r.b[0] ? fail(dyno_errno(r.b[1])) : 0;
}
