// libc's descriptor calls: sockets go to the socket layer, the rest to preview 1 as before.
//
// These replace members of wasi-libc's archive (lib/toolchain.sh removes those), so no linker flag is needed to hook in.
#define _GNU_SOURCE
#include "fdio.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wasi/api.h>

const struct dyno_fd_operations *dyno_fd_operations;

static int fail(int error) {
  errno = error;
  return -1;
}
static bool is_socket(int fd) { return dyno_fd_operations && dyno_fd_is_socket(fd); }

ssize_t readv(int fd, const struct iovec *v, int count) {
  if (is_socket(fd)) return dyno_fd_operations->readv(fd, v, count);
  __wasi_size_t got;
  int error = __wasi_fd_read(fd, (const __wasi_iovec_t *)v, (size_t)count, &got);
  return error ? fail(error == ENOTCAPABLE ? EBADF : error) : (ssize_t)got;
}
ssize_t writev(int fd, const struct iovec *v, int count) {
  if (is_socket(fd)) return dyno_fd_operations->writev(fd, v, count);
  __wasi_size_t put;
  int error = __wasi_fd_write(fd, (const __wasi_ciovec_t *)v, (size_t)count, &put);
  return error ? fail(error == ENOTCAPABLE ? EBADF : error) : (ssize_t)put;
}
ssize_t read(int fd, void *to, size_t size) { return readv(fd, &(struct iovec){to, size}, 1); }
ssize_t write(int fd, const void *from, size_t size) { return writev(fd, &(struct iovec){(void *)from, size}, 1); }

int close(int fd) {
  if (is_socket(fd)) return dyno_fd_operations->close(fd);
  // As libc's own does: preopened directories are noted before any number can be closed and used again.
  extern __attribute__((weak)) void __wasilibc_populate_preopens(void);
  if (__wasilibc_populate_preopens) __wasilibc_populate_preopens();
  int error = __wasi_fd_close(fd);
  return error ? fail(error) : 0;
}

static struct timespec time_of(__wasi_timestamp_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}
int fstat(int fd, struct stat *st) {
  if (is_socket(fd)) return dyno_fd_operations->fstat(fd, st);
  static const mode_t modes[] = {0, S_IFBLK, S_IFCHR, S_IFDIR, S_IFREG, S_IFSOCK, S_IFSOCK, S_IFLNK};
  __wasi_filestat_t f;
  int error = __wasi_fd_filestat_get(fd, &f);
  if (error) return fail(error);
  *st = (struct stat){.st_dev = f.dev, .st_ino = f.ino, .st_nlink = f.nlink, .st_size = (off_t)f.size};
  st->st_mode = f.filetype < sizeof modes / sizeof *modes ? modes[f.filetype] : 0;
  st->st_atim = time_of(f.atim);
  st->st_mtim = time_of(f.mtim);
  st->st_ctim = time_of(f.ctim);
  return 0;
}

static int get_flags(int fd) {
  __wasi_fdstat_t st;
  int error = __wasi_fd_fdstat_get(fd, &st);
  if (error) return fail(error);
  bool reads = st.fs_rights_base & (__WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_READDIR);
  bool writes = st.fs_rights_base & __WASI_RIGHTS_FD_WRITE;
  return st.fs_flags | (reads ? writes ? O_RDWR : O_RDONLY : writes ? O_WRONLY : O_SEARCH);
}
int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  int argument = command == F_SETFL ? va_arg(rest, int) : 0;
  va_end(rest);
  switch (command) {
    case F_GETFD: return FD_CLOEXEC; // there is no exec
    case F_SETFD: return 0;
    case F_GETFL: return is_socket(fd) ? dyno_fd_operations->flags(fd, false, 0) : get_flags(fd);
    case F_SETFL: {
      if (is_socket(fd)) return dyno_fd_operations->flags(fd, true, argument);
      int error = __wasi_fd_fdstat_set_flags(fd, (__wasi_fdflags_t)(argument & 0xfff));
      return error ? fail(error) : 0;
    }
    default: return fail(EINVAL);
  }
}
int ioctl(int fd, int request, ...) {
  va_list rest;
  va_start(rest, request);
  int *argument = va_arg(rest, int *);
  va_end(rest);
  return is_socket(fd) ? dyno_fd_operations->ioctl(fd, request, argument) : fail(ENOTTY);
}
