// A disk that is full while a file exists: preloaded, it lets no write to a regular file through.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int full(int fd) {
  const char *flag = getenv("FULL_DISK_WHILE");
  struct stat status;
  if (!flag || access(flag, F_OK) != 0) return 0;
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

#define REFUSE(fd)   \
  if (full(fd)) {    \
    errno = ENOSPC;  \
    return -1;       \
  }

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t count) {
  REFUSE(fd)
  return NEXT(ssize_t(*)(int, const void *, size_t), write)(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REFUSE(fd)
  return NEXT(ssize_t(*)(int, const struct iovec *, int), writev)(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  REFUSE(fd)
  return NEXT(ssize_t(*)(int, const void *, size_t, off_t), pwrite)(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  REFUSE(fd)
  return NEXT(ssize_t(*)(int, const void *, size_t, off64_t), pwrite64)(fd, bytes, count, offset);
}
