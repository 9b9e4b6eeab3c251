// realpath() by the text of the path: the 2022 wasi-libc has none, and std names it as soon as a crate canonicalises.
//
// Symbolic links are not followed: preview 1 resolves them inside the host, below a directory it was given, and does not
// say where they lead.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *realpath(const char *restrict path, char *restrict out) {
  char result[PATH_MAX] = "/";
  size_t length = 1;
  if (!path || !*path) {
    errno = path ? ENOENT : EINVAL;
    return NULL;
  }
  if (*path != '/') {
    if (!getcwd(result, sizeof result)) return NULL;
    length = strlen(result);
  }
  while (*path) {
    size_t part = strcspn(path, "/");
    if (part == 2 && !strncmp(path, "..", 2)) {
      while (length > 1 && result[length - 1] != '/') length--;
      if (length > 1) length--;
    } else if (part && !(part == 1 && *path == '.')) {
      if (length + part + 2 > sizeof result) {
        errno = ENAMETOOLONG;
        return NULL;
      }
      if (result[length - 1] != '/') result[length++] = '/';
      memcpy(result + length, path, part);
      length += part;
    }
    result[length] = 0;
    path += part;
    while (*path == '/') path++;
  }
  struct stat there;
  if (stat(result, &there)) return NULL;
  if (!out) return strdup(result);
  return memcpy(out, result, length + 1);
}
