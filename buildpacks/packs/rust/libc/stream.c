// The bytes of a connected socket: recv(), send() and their relatives, and what read() and close() do with a socket.
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "socket_table.h"

// How much is taken ahead per polled socket, and how much one host call may bring at most (the host buffers that much).
#define PEEK_BYTES_MAX 16384
#define READ_BYTES_MAX (1u << 20)
// Small pieces of one writev() are joined up to this size: one host call, one segment.
#define GATHER_BYTES_MAX 2048

// The caller's libc decides these: Rust's libc crate for wasip2 has preview 2's values, C code here has preview 1's.
#ifdef DYNO_P2_FLAGS
enum { PEEK = 0x02, WAITALL = 0x100 };
#else
enum { PEEK = MSG_PEEK, WAITALL = MSG_WAITALL };
#endif

static ssize_t read_stream(struct socket *s, void *to, size_t size, bool nonblock) {
  union area r;
  if (size > READ_BYTES_MAX) size = READ_BYTES_MAX;
  for (;;) {
    dyno_land(to, (uint32_t)size);
    w_input_read(s->input, size, &r);
    if (r.b[0]) {
      dyno_land(NULL, 0);
      s->read_closed = true;
      if (r.b[4]) return 0; // closed: the end
      w_error_drop((handle)U32(r, 8));
      return fail(ECONNRESET);
    }
    uint32_t n = U32(r, 8);
    dyno_landed(to, U32(r, 4), n);
    if (n) return (ssize_t)n;
    if (nonblock || !dyno_wait_one(dyno_input_pollable(s), s->receive_timeout_ns)) return fail(EAGAIN);
  }
}

static ssize_t fill_peeked(struct socket *s, bool nonblock) {
  if (!s->peeked && !(s->peeked = malloc(PEEK_BYTES_MAX))) return fail(ENOMEM);
  ssize_t n = read_stream(s, s->peeked, PEEK_BYTES_MAX, nonblock);
  s->peek_at = 0;
  s->peek_length = n > 0 ? (uint32_t)n : 0;
  return n;
}

// A ready pollable only says "try": after everything was read the host still reports an input stream ready once, and a
// blocking read that believed it would hang. Trying is the only sure answer.
bool dyno_readable(struct socket *s) {
  if (s->peek_at < s->peek_length || s->read_closed) return true;
  if (!w_pollable_ready(dyno_input_pollable(s))) return false;
  if (fill_peeked(s, true) >= 0) return true;
  if (errno == EAGAIN) return false;
  s->error = errno;
  return true;
}

// 0 when bytes can flow, or -1 with the reason they cannot.
static int usable(struct socket *s) {
  if (s->state == CONNECTING && dyno_finish_connect(s) == EINPROGRESS) return fail(EAGAIN);
  if (s->error) {
    int error = s->error;
    s->error = 0;
    return fail(error);
  }
  return s->state == CONNECTED ? 0 : fail(ENOTCONN);
}

ssize_t dyno_receive(struct socket *s, void *to, size_t size, int flags) {
  if (usable(s)) return -1;
  bool nonblock = s->nonblock || flags & MSG_DONTWAIT, peek = flags & PEEK;
  if (!size) return 0;
  if (s->peek_at == s->peek_length) {
    if (s->read_closed) return 0;
    if (!peek) {
      ssize_t n = read_stream(s, to, size, nonblock);
      for (ssize_t more; n > 0 && flags & WAITALL && (size_t)n < size; n += more)
        if ((more = read_stream(s, (char *)to + n, size - (size_t)n, nonblock)) <= 0) break;
      return n;
    }
    ssize_t n = fill_peeked(s, nonblock);
    if (n <= 0) return n;
  }
  size_t n = s->peek_length - s->peek_at;
  if (n > size) n = size;
  memcpy(to, s->peeked + s->peek_at, n);
  if (!peek) s->peek_at += (uint32_t)n;
  return (ssize_t)n;
}

ssize_t dyno_send(struct socket *s, const void *from, size_t size, int flags) {
  union area r;
  size_t done = 0;
  if (usable(s)) return -1;
  if (s->write_closed) return fail(EPIPE);
  bool nonblock = s->nonblock || flags & MSG_DONTWAIT;
  while (done < size) {
    w_output_check(s->output, &r);
    if (r.b[0]) {
      s->write_closed = true;
      if (!r.b[8]) w_error_drop((handle)U32(r, 12));
      return done ? (ssize_t)done : fail(r.b[8] ? EPIPE : ECONNRESET);
    }
    uint64_t room = U64(r, 8); // writing more than this traps
    if (!room) {
      if (nonblock || !dyno_wait_one(dyno_output_pollable(s), s->send_timeout_ns)) return done ? (ssize_t)done : fail(EAGAIN);
      continue;
    }
    uint32_t n = (uint32_t)(size - done < room ? size - done : room);
    w_output_write(s->output, (const char *)from + done, n, &r);
    if (r.b[0]) {
      s->write_closed = true;
      if (!r.b[4]) w_error_drop((handle)U32(r, 8));
      return done ? (ssize_t)done : fail(r.b[4] ? EPIPE : ECONNRESET);
    }
    done += n;
  }
  return (ssize_t)done;
}

static ssize_t scatter(struct socket *s, const struct iovec *v, int count, int flags) {
  ssize_t all = 0;
  for (int i = 0; i < count; i++) {
    if (!v[i].iov_len) continue;
    ssize_t got = dyno_receive(s, v[i].iov_base, v[i].iov_len, all ? flags | MSG_DONTWAIT : flags);
    if (got < 0) return all ? all : -1;
    all += got;
    if ((size_t)got < v[i].iov_len) break;
  }
  return all;
}

static ssize_t gather(struct socket *s, const struct iovec *v, int count, int flags) {
  char small[GATHER_BYTES_MAX];
  size_t sum = 0;
  ssize_t all = 0;
  for (int i = 0; i < count && sum <= sizeof small; i++) sum += v[i].iov_len <= sizeof small ? v[i].iov_len : sizeof small + 1;
  if (count > 1 && sum <= sizeof small) {
    for (int i = 0, at = 0; i < count; at += (int)v[i++].iov_len) memcpy(small + at, v[i].iov_base, v[i].iov_len);
    return dyno_send(s, small, sum, flags);
  }
  for (int i = 0; i < count; i++) {
    ssize_t put = dyno_send(s, v[i].iov_base, v[i].iov_len, flags);
    if (put < 0) return all ? all : -1;
    all += put;
    if ((size_t)put < v[i].iov_len) break;
  }
  return all;
}

ssize_t recv(int fd, void *to, size_t size, int flags) {
  struct socket *s = dyno_socket(fd);
  return s ? dyno_receive(s, to, size, flags) : -1;
}
ssize_t send(int fd, const void *from, size_t size, int flags) {
  struct socket *s = dyno_socket(fd);
  return s ? dyno_send(s, from, size, flags) : -1;
}
ssize_t recvfrom(int fd, void *restrict to, size_t size, int flags, struct sockaddr *restrict sa, socklen_t *restrict length) {
  if (sa && length) *length = 0; // TCP: the peer's name is getpeername()'s
  return recv(fd, to, size, flags);
}
ssize_t sendto(int fd, const void *from, size_t size, int flags, const struct sockaddr *sa, socklen_t length) {
  (void)length;
  struct socket *s = dyno_socket(fd);
  if (!s) return -1;
  return sa && s->state == CONNECTED ? fail(EISCONN) : dyno_send(s, from, size, flags);
}
ssize_t recvmsg(int fd, struct msghdr *m, int flags) {
  struct socket *s = dyno_socket(fd);
  if (!s) return -1;
  m->msg_namelen = 0;
  m->msg_controllen = 0;
  m->msg_flags = 0;
  return scatter(s, m->msg_iov, (int)m->msg_iovlen, flags);
}
ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
  struct socket *s = dyno_socket(fd);
  return s ? gather(s, m->msg_iov, (int)m->msg_iovlen, flags) : -1;
}

// === descriptor operations (fdio.h) ===

static ssize_t socket_readv(int fd, const struct iovec *v, int count) {
  struct socket *s = dyno_socket(fd);
  return s ? scatter(s, v, count, 0) : -1;
}
static ssize_t socket_writev(int fd, const struct iovec *v, int count) {
  struct socket *s = dyno_socket(fd);
  return s ? gather(s, v, count, 0) : -1;
}
static int socket_close(int fd) {
  struct socket *s = dyno_socket(fd);
  return s ? dyno_socket_close(s) : -1;
}
static int socket_fstat(int fd, struct stat *st) {
  if (!dyno_socket(fd)) return -1;
  *st = (struct stat){.st_mode = S_IFSOCK | 0600, .st_nlink = 1, .st_ino = (ino_t)fd};
  return 0;
}
static int socket_flags(int fd, bool set, int flags) {
  struct socket *s = dyno_socket(fd);
  if (!s) return -1;
  if (!set) return O_RDWR | (s->nonblock ? O_NONBLOCK : 0);
  s->nonblock = flags & O_NONBLOCK;
  return 0;
}
static int socket_ioctl(int fd, int request, int *argument) {
  struct socket *s = dyno_socket(fd);
  if (!s) return -1;
  if (request == FIONBIO) {
    s->nonblock = *argument != 0;
    return 0;
  }
  if (request != FIONREAD) return fail(EINVAL);
  char first;
  ssize_t n = dyno_receive(s, &first, 1, PEEK | MSG_DONTWAIT);
  *argument = n > 0 ? (int)(s->peek_length - s->peek_at) : 0;
  return 0;
}
const struct dyno_fd_operations dyno_socket_operations = {socket_readv, socket_writev, socket_close, socket_fstat, socket_flags, socket_ioctl};
