// poll(), select() and pselect() over sockets and standard input; every other file is always ready, as POSIX says.
#define _GNU_SOURCE
#include <poll.h>
#include <stdlib.h>
#include <sys/select.h>
#include <wasi/api.h>
#include "socket_table.h"

// More descriptors than can be open at once (sockets and the adapter's table): a longer list is a mistake.
#define POLL_COUNT_MAX 1024
#define NS_PER_MS 1000000

static int ready(struct socket *s, int events) {
  int found = 0;
  if (s->state == CONNECTING && w_pollable_ready(dyno_tcp_pollable(s))) dyno_finish_connect(s);
  switch (s->state) {
    case LISTENING: return events & POLLIN && w_pollable_ready(dyno_tcp_pollable(s)) ? POLLIN : 0;
    case CONNECTING: return 0;
    case CONNECTED:
      if (events & POLLIN && dyno_readable(s)) found |= POLLIN;
      if (events & POLLOUT && (s->write_closed || w_pollable_ready(dyno_output_pollable(s)))) found |= POLLOUT;
      return found;
    case BROKEN: return POLLERR | POLLHUP | (events & (POLLIN | POLLOUT));
    default: return POLLHUP | (events & POLLOUT);
  }
}

// What is being waited for in one call of poll().
struct waiting {
  handle *list;
  uint32_t count;
  handle standard_input, standard_input_pollable;
};

static void look_at_socket(struct pollfd *f, struct waiting *w) {
  struct socket *s = dyno_socket(f->fd);
  if (!s) {
    f->revents = POLLNVAL;
    return;
  }
  f->revents = (short)ready(s, f->events);
  if (f->revents) return;
  if (s->state == CONNECTING || s->state == LISTENING) {
    w->list[w->count++] = dyno_tcp_pollable(s);
    return;
  }
  if (f->events & POLLIN) w->list[w->count++] = dyno_input_pollable(s);
  if (f->events & POLLOUT) w->list[w->count++] = dyno_output_pollable(s);
}

static void look_at_file(struct pollfd *f, struct waiting *w) {
  __wasi_fdstat_t stat;
  if (__wasi_fd_fdstat_get(f->fd, &stat)) {
    f->revents = POLLNVAL;
  } else if (f->fd || !(f->events & POLLIN)) {
    f->revents = f->events & (POLLIN | POLLOUT);
  } else {
    if (w->standard_input_pollable == NONE) w->standard_input_pollable = w_input_subscribe(w->standard_input = w_stdin());
    if (w_pollable_ready(w->standard_input_pollable)) f->revents = POLLIN;
    else w->list[w->count++] = w->standard_input_pollable;
  }
}

static int look(struct pollfd *fds, nfds_t count, struct waiting *w) {
  int found = 0;
  w->count = 0;
  for (nfds_t i = 0; i < count; i++) {
    fds[i].revents = 0;
    if (fds[i].fd < 0) continue;
    if (dyno_fd_is_socket(fds[i].fd)) look_at_socket(&fds[i], w);
    else look_at_file(&fds[i], w);
    found += fds[i].revents != 0;
  }
  return found;
}

// `ns` < 0 waits without limit.
static int poll_ns(struct pollfd *fds, nfds_t count, int64_t ns) {
  handle few[64];
  if (count > POLL_COUNT_MAX) return fail(EINVAL);
  size_t room = count * 2 + 1; // two pollables a socket, one timer
  struct waiting w = {.list = room <= 64 ? few : malloc(room * sizeof(handle)), .standard_input = NONE, .standard_input_pollable = NONE};
  if (!w.list) return fail(ENOMEM);
  uint64_t end = ns > 0 ? w_now() + (uint64_t)ns : 0;
  int found;
  while (!(found = look(fds, count, &w)) && ns) {
    handle timer = NONE;
    if (ns > 0) {
      uint64_t now = w_now();
      if (now >= end) break;
      w.list[w.count++] = timer = w_subscribe_duration(end - now);
    } else if (!w.count) {
      __builtin_trap(); // nothing could ever end this wait: better a trace than a dyno that hangs
    }
    dyno_wait(w.list, w.count);
    if (timer != NONE) w_pollable_drop(timer);
  }
  if (w.standard_input_pollable != NONE) {
    w_pollable_drop(w.standard_input_pollable);
    w_input_drop(w.standard_input);
  }
  if (w.list != few) free(w.list);
  return found;
}

int poll(struct pollfd *fds, nfds_t count, int ms) { return poll_ns(fds, count, ms < 0 ? -1 : (int64_t)ms * NS_PER_MS); }

// wasi-libc's fd_set is a list of descriptors, so high numbers cost nothing.
static int select_ns(fd_set *reads, fd_set *writes, fd_set *exceptions, int64_t ns) {
  size_t count = 0, reads_count = reads ? reads->__nfds : 0, writes_count = writes ? writes->__nfds : 0;
  struct pollfd few[32], *fds = few;
  if (reads_count + writes_count > 32 && !(fds = malloc((reads_count + writes_count) * sizeof *fds))) return fail(ENOMEM);
  for (size_t i = 0; i < reads_count; i++) fds[count++] = (struct pollfd){.fd = reads->__fds[i], .events = POLLIN};
  for (size_t i = 0; i < writes_count; i++) fds[count++] = (struct pollfd){.fd = writes->__fds[i], .events = POLLOUT};
  int found = poll_ns(fds, count, ns);
  if (exceptions) exceptions->__nfds = 0;
  if (found >= 0) {
    found = 0;
    if (reads) reads->__nfds = 0;
    if (writes) writes->__nfds = 0;
    for (size_t i = 0; i < count; i++) {
      if (!fds[i].revents) continue;
      if (fds[i].revents & POLLNVAL) {
        found = fail(EBADF);
        break;
      }
      fd_set *set = i < reads_count ? reads : writes;
      set->__fds[set->__nfds++] = fds[i].fd;
      found++;
    }
  }
  if (fds != few) free(fds);
  return found;
}

int select(int n, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict exceptions, struct timeval *restrict t) {
  (void)n;
  return select_ns(reads, writes, exceptions, t ? (int64_t)t->tv_sec * 1000000000 + (int64_t)t->tv_usec * 1000 : -1);
}
int pselect(int n, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict exceptions, const struct timespec *restrict t, const sigset_t *restrict mask) {
  (void)n;
  (void)mask; // no signals
  return select_ns(reads, writes, exceptions, t ? (int64_t)t->tv_sec * 1000000000 + t->tv_nsec : -1);
}
