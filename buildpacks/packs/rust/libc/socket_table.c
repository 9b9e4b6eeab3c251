// The table of sockets, waiting for them, and the memory in which the host puts what it returns.
#include "socket_table.h"
#include <stdlib.h>
#include <string.h>

static struct socket table[SOCKETS_MAX];

static const unsigned short errnos[] = {
    EIO,          EACCES,     ENOTSUP,      EINVAL,       ENOMEM,     ETIMEDOUT,    EALREADY,
    EINVAL,       EAGAIN,     EINVAL,       EMFILE,       EADDRNOTAVAIL, EADDRINUSE, EHOSTUNREACH,
    ECONNREFUSED, ECONNRESET, ECONNABORTED, EMSGSIZE,     ENOENT,     EAGAIN,       ENOENT,
};

int dyno_errno(unsigned code) { return code < sizeof errnos / sizeof *errnos ? errnos[code] : EIO; }

struct socket *dyno_socket(int fd) {
  if (dyno_fd_is_socket(fd) && table[fd - SOCKET_FD_FIRST].state != FREE) return &table[fd - SOCKET_FD_FIRST];
  errno = fd < 0 || dyno_fd_is_socket(fd) ? EBADF : ENOTSOCK;
  return NULL;
}

int dyno_socket_install(handle tcp, int family, enum socket_state state) {
  dyno_fd_operations = &dyno_socket_operations;
  for (int i = 0; i < SOCKETS_MAX; i++)
    if (table[i].state == FREE) {
      table[i] = (struct socket){.state = state, .family = family, .tcp = tcp, .input = NONE, .output = NONE,
                                 .tcp_pollable = NONE, .input_pollable = NONE, .output_pollable = NONE};
      return SOCKET_FD_FIRST + i;
    }
  w_tcp_drop(tcp);
  return fail(EMFILE);
}

bool dyno_socket_table_full(void) {
  for (int i = 0; i < SOCKETS_MAX; i++)
    if (table[i].state == FREE) return false;
  return true;
}

// Children before parents, or the host traps. The host goes on sending what was written before the drop.
int dyno_socket_close(struct socket *s) {
  if (s->input_pollable != NONE) w_pollable_drop(s->input_pollable);
  if (s->output_pollable != NONE) w_pollable_drop(s->output_pollable);
  if (s->tcp_pollable != NONE) w_pollable_drop(s->tcp_pollable);
  if (s->input != NONE) w_input_drop(s->input);
  if (s->output != NONE) w_output_drop(s->output);
  w_tcp_drop(s->tcp);
  free(s->peeked);
  s->state = FREE;
  return 0;
}

handle dyno_network(void) {
  static handle network = NONE;
  if (network == NONE) network = w_network();
  return network;
}

// === memory ===

static void *landing;
static uint32_t landing_size;

// Weak: a program with bindings of its own brings its own, and then every list costs one copy (see dyno_landed).
// A list that lands in the caller's buffer saves both the allocation and that copy.
__attribute__((weak, export_name("cabi_realloc"))) void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
  (void)old_size;
  if (!old && align <= 4 && landing && size <= landing_size) {
    void *p = landing;
    landing = NULL;
    return p;
  }
  if (!size) return (void *)(uintptr_t)align;
  void *p = realloc(old, size);
  if (!p) __builtin_trap(); // the canonical ABI has no other way to say "out of memory"
  return p;
}

void dyno_land(void *to, uint32_t size) {
  landing = to;
  landing_size = size;
}

void dyno_landed(void *to, uint32_t pointer, uint32_t size) {
  landing = NULL;
  void *from = (void *)(uintptr_t)pointer;
  if (!size || from == to) return;
  if (to) memcpy(to, from, size);
  free(from); // the other cabi_realloc took it from malloc: Rust's System allocator and every C program do
}

// === waiting ===

static handle once(handle *slot, handle (*subscribe)(handle), handle parent) {
  if (*slot == NONE) *slot = subscribe(parent);
  return *slot;
}
handle dyno_tcp_pollable(struct socket *s) { return once(&s->tcp_pollable, w_tcp_subscribe, s->tcp); }
handle dyno_input_pollable(struct socket *s) { return once(&s->input_pollable, w_input_subscribe, s->input); }
handle dyno_output_pollable(struct socket *s) { return once(&s->output_pollable, w_output_subscribe, s->output); }

void dyno_wait(const handle *list, uint32_t count) {
  union area r;
  uint32_t few[32], *to = count <= 32 ? few : NULL;
  dyno_land(to, to ? sizeof few : 0);
  w_poll(list, count, &r);
  // Which of them are ready is asked again by whoever waits, so the answer itself is not looked at.
  dyno_landed(to, U32(r, 0), U32(r, 4) * sizeof(uint32_t));
}

bool dyno_wait_one(handle pollable, uint64_t ns) {
  if (!ns) {
    w_pollable_block(pollable);
    return true;
  }
  handle both[2] = {pollable, w_subscribe_duration(ns)};
  dyno_wait(both, 2);
  w_pollable_drop(both[1]);
  return w_pollable_ready(pollable);
}
