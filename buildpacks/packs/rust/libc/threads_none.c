// The thread calls that Rust's std names and a libc without threads lacks: std::thread::spawn gets ENOTSUP.
//
// Signatures must be exactly std's: a mismatch links, and traps when called.
#include <errno.h>
#include <stddef.h>

int pthread_create(void *thread, const void *attributes, void *(*start)(void *), void *argument) {
  (void)thread, (void)attributes, (void)start, (void)argument;
  return ENOTSUP;
}
int pthread_detach(void *thread) {
  (void)thread;
  return ENOTSUP;
}
int pthread_join(void *thread, void **result) {
  (void)thread, (void)result;
  return ENOTSUP;
}
int pthread_attr_init(void *attributes) {
  (void)attributes;
  return 0;
}
int pthread_attr_destroy(void *attributes) {
  (void)attributes;
  return 0;
}
int pthread_attr_setstacksize(void *attributes, size_t size) {
  (void)attributes, (void)size;
  return 0;
}
