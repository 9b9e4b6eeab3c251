// The table of sockets and what every file of the socket layer needs of it: lookup, waiting, memory, errors.
#ifndef DYNO_SOCKET_TABLE_H
#define DYNO_SOCKET_TABLE_H
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "fdio.h"
#include "wasi_sockets.h"

#define NONE (-1)

// FREE: not in use. NEW: made. BOUND: has a local address. CONNECTING: the host is at it. CONNECTED: `input` and `output`
// are there. LISTENING: may accept. BROKEN: connecting failed; only close() helps.
enum socket_state { FREE, NEW, BOUND, CONNECTING, CONNECTED, LISTENING, BROKEN };

struct socket {
  enum socket_state state;
  int family;
  int error; // pending, for SO_ERROR
  bool nonblock, read_closed, write_closed;
  handle tcp, input, output;
  handle tcp_pollable, input_pollable, output_pollable; // made on first need; children, so dropped before their parents
  uint64_t receive_timeout_ns, send_timeout_ns;          // 0 = none
  unsigned char *peeked;                                 // bytes taken ahead for MSG_PEEK, FIONREAD and poll()
  uint32_t peek_at, peek_length;
};

// A return area, big enough for every function in wasi_sockets.h.
union area {
  uint64_t align;
  unsigned char b[48];
};
#define U16(area, at) (*(uint16_t *)((area).b + (at)))
#define U32(area, at) (*(uint32_t *)((area).b + (at)))
#define U64(area, at) (*(uint64_t *)((area).b + (at)))

// wasi:sockets' error codes that mean something to us beyond an errno.
enum { CODE_ACCESS_DENIED = 1, CODE_WOULD_BLOCK = 8, CODE_INVALID_STATE = 9, CODE_NAME_UNRESOLVABLE = 18, CODE_RESOLVER_BUSY = 19, CODE_RESOLVER_FAILED = 20 };

static inline int fail(int error) {
  errno = error;
  return -1;
}

int dyno_errno(unsigned code);
// The socket behind `fd`, or NULL with errno EBADF or ENOTSOCK.
struct socket *dyno_socket(int fd);
// Gives `tcp` a descriptor, or drops it and fails with EMFILE.
int dyno_socket_install(handle tcp, int family, enum socket_state state);
bool dyno_socket_table_full(void);
int dyno_socket_close(struct socket *);
// The network handle, taken at first use: a heap snapshot must hold no handle, and boot uses no network.
handle dyno_network(void);

handle dyno_tcp_pollable(struct socket *);
handle dyno_input_pollable(struct socket *);
handle dyno_output_pollable(struct socket *);
// Waits for any of the list. The list must not be empty, or the host traps.
void dyno_wait(const handle *list, uint32_t count);
// Waits for one thing; false when `ns` (0 = no limit) ran out first.
bool dyno_wait_one(handle pollable, uint64_t ns);

// Asks that the next list from the host be put straight at `to`; dyno_landed() brings it there if it was not.
void dyno_land(void *to, uint32_t size);
void dyno_landed(void *to, uint32_t pointer, uint32_t size);

// Moves a connecting socket on if the host is done with it: 0, EINPROGRESS, or why it failed.
int dyno_finish_connect(struct socket *);
ssize_t dyno_receive(struct socket *, void *to, size_t size, int flags);
ssize_t dyno_send(struct socket *, const void *from, size_t size, int flags);
// Whether a read would return at once; looks by trying.
bool dyno_readable(struct socket *);

extern const struct dyno_fd_operations dyno_socket_operations;
#endif
