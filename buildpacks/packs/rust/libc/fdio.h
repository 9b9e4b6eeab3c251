// What read(), close() and the like do with a descriptor that is a socket.
//
// fdio.c reaches the sockets only through this table, and the first socket() sets it. So a program that never makes a
// socket links no import of wasi:sockets, and its component still shows that it needs no network.
#ifndef DYNO_FDIO_H
#define DYNO_FDIO_H
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/uio.h>

// Above the preview-1 adapter's whole table (128 descriptors), below FD_SETSIZE (1024): programs refuse to select() beyond.
#define SOCKET_FD_FIRST 512
#define SOCKETS_MAX 256
_Static_assert(SOCKET_FD_FIRST + SOCKETS_MAX <= 1024, "socket descriptors must stay below FD_SETSIZE");

struct dyno_fd_operations {
  ssize_t (*readv)(int, const struct iovec *, int);
  ssize_t (*writev)(int, const struct iovec *, int);
  int (*close)(int);
  int (*fstat)(int, struct stat *);
  int (*flags)(int, bool set, int flags);
  int (*ioctl)(int, int, int *);
};
extern const struct dyno_fd_operations *dyno_fd_operations; // NULL until the first socket

static inline bool dyno_fd_is_socket(int fd) { return fd >= SOCKET_FD_FIRST && fd < SOCKET_FD_FIRST + SOCKETS_MAX; }
#endif
