// Name lookup over wasi:sockets/ip-name-lookup: getaddrinfo() and its relatives.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "socket_table.h"

#define HOSTENT_ADDRESSES_MAX 8

int h_errno;

static const struct {
  const char *name;
  int port;
} services[] = {
    {"http", 80}, {"https", 443}, {"postgresql", 5432}, {"postgres", 5432}, {"mysql", 3306}, {"redis", 6379},
    {"smtp", 25}, {"submission", 587}, {"amqp", 5672}, {"ftp", 21}, {"domain", 53}, {"imap", 143},
};

static int service_port(const char *service) {
  char *end;
  if (!service || !*service) return 0;
  long n = strtol(service, &end, 10);
  if (!*end) return n >= 0 && n <= 65535 ? (int)n : -1;
  for (size_t i = 0; i < sizeof services / sizeof *services; i++)
    if (!strcmp(service, services[i].name)) return services[i].port;
  return -1;
}

// === getaddrinfo ===

// A result under construction.
struct results {
  struct addrinfo *first, **tail;
  const struct addrinfo *hints;
  int port;
  const char *canonical_name; // for the first entry only
};
// One entry and its address in one allocation, so freeaddrinfo() frees both.
struct entry {
  struct addrinfo info;
  union {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } address;
};

static int add(struct results *results, int family, const void *ip) {
  const struct addrinfo *hints = results->hints;
  if (hints && hints->ai_family != AF_UNSPEC && hints->ai_family != family) return 0;
  struct entry *e = calloc(1, sizeof *e);
  if (!e) return EAI_MEMORY;
  e->info.ai_family = family;
  e->info.ai_socktype = SOCK_STREAM;
  e->info.ai_protocol = IPPROTO_TCP;
  e->info.ai_addr = (struct sockaddr *)&e->address;
  if (results->canonical_name && !(e->info.ai_canonname = strdup(results->canonical_name))) {
    free(e);
    return EAI_MEMORY;
  }
  results->canonical_name = NULL;
  if (family == AF_INET) {
    e->info.ai_addrlen = sizeof e->address.v4;
    e->address.v4.sin_family = AF_INET;
    e->address.v4.sin_port = htons((uint16_t)results->port);
    memcpy(&e->address.v4.sin_addr, ip, 4);
  } else {
    e->info.ai_addrlen = sizeof e->address.v6;
    e->address.v6.sin6_family = AF_INET6;
    e->address.v6.sin6_port = htons((uint16_t)results->port);
    memcpy(&e->address.v6.sin6_addr, ip, 16);
  }
  *results->tail = &e->info;
  results->tail = &e->info.ai_next;
  return 0;
}

static int resolver_error(unsigned code) {
  switch (code) {
    case CODE_RESOLVER_BUSY: return EAI_AGAIN;
    case CODE_NAME_UNRESOLVABLE:
    case CODE_RESOLVER_FAILED: return EAI_NONAME;
    case CODE_ACCESS_DENIED: errno = EACCES; return EAI_SYSTEM;
    default: return EAI_FAIL;
  }
}

static int resolve(struct results *results, const char *name) {
  union area r;
  w_resolve(dyno_network(), name, (uint32_t)strlen(name), &r);
  if (r.b[0]) return r.b[4] == CODE_ACCESS_DENIED ? resolver_error(CODE_ACCESS_DENIED) : EAI_NONAME;
  handle stream = (handle)U32(r, 4), pollable = w_resolve_subscribe(stream);
  int error = 0;
  while (!error) {
    w_resolve_next(stream, &r);
    if (r.b[0] && r.b[2] == CODE_WOULD_BLOCK) {
      w_pollable_block(pollable);
    } else if (r.b[0]) {
      error = resolver_error(r.b[2]);
    } else if (!r.b[2]) {
      break; // no more addresses
    } else if (r.b[4] == 0) {
      error = add(results, AF_INET, r.b + 6);
    } else {
      unsigned char ip[16];
      for (int i = 0; i < 8; i++) {
        uint16_t part = U16(r, 6 + 2 * i);
        ip[2 * i] = part >> 8;
        ip[2 * i + 1] = (unsigned char)part;
      }
      error = add(results, AF_INET6, ip);
    }
  }
  w_pollable_drop(pollable);
  w_resolve_drop(stream);
  return error;
}

static int add_unnamed(struct results *results, bool passive) {
  static const unsigned char any[16], loopback4[4] = {127, 0, 0, 1}, loopback6[16] = {[15] = 1};
  int error = add(results, AF_INET, passive ? any : loopback4); // first: "::" takes no IPv4 here
  return error ? error : add(results, AF_INET6, passive ? any : loopback6);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
  int flags = hints ? hints->ai_flags : 0, port = service_port(service), error;
  unsigned char ip[16];
  *out = NULL;
  if (!name && !service) return EAI_NONAME;
  if (port < 0) return EAI_SERVICE;
  if (hints && hints->ai_socktype && hints->ai_socktype != SOCK_STREAM) return EAI_SOCKTYPE;
  struct results results = {.hints = hints, .port = port, .canonical_name = flags & AI_CANONNAME ? name : NULL};
  results.tail = &results.first;
  if (!name) error = add_unnamed(&results, flags & AI_PASSIVE);
  else if (inet_pton(AF_INET, name, ip) == 1) error = add(&results, AF_INET, ip);
  else if (inet_pton(AF_INET6, name, ip) == 1) error = add(&results, AF_INET6, ip);
  else if (flags & AI_NUMERICHOST) return EAI_NONAME;
  else error = resolve(&results, name);
  if (!error && !results.first) error = EAI_NONAME;
  if (error) freeaddrinfo(results.first);
  else *out = results.first;
  return error;
}

void freeaddrinfo(struct addrinfo *a) {
  while (a) {
    struct addrinfo *next = a->ai_next;
    free(a->ai_canonname);
    free(a); // the entry: its addrinfo is its first field
    a = next;
  }
}

const char *gai_strerror(int error) {
  switch (error) {
    case EAI_AGAIN: return "Temporary failure in name resolution";
    case EAI_FAIL: return "Non-recoverable failure in name resolution";
    case EAI_FAMILY: return "Address family not supported";
    case EAI_SOCKTYPE: return "Socket type not supported";
    case EAI_SERVICE: return "Service not known";
    case EAI_MEMORY: return "Out of memory";
    case EAI_SYSTEM: return "Name lookup is not permitted";
    default: return "Name or service not known";
  }
}

// === the older calls ===

int getnameinfo(const struct sockaddr *sa, socklen_t length, char *host, socklen_t host_size, char *service, socklen_t service_size, int flags) {
  if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6) return EAI_FAMILY;
  if (length < (sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6))) return EAI_FAMILY;
  const struct sockaddr_in *v4 = (const void *)sa;
  const struct sockaddr_in6 *v6 = (const void *)sa;
  if (host && host_size) {
    if (flags & NI_NAMEREQD) return EAI_NONAME; // wasi:sockets has no reverse lookup
    const void *ip = sa->sa_family == AF_INET ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr;
    if (!inet_ntop(sa->sa_family, ip, host, host_size)) return EAI_OVERFLOW;
  }
  // The port is at the same place in both families.
  if (service && service_size && snprintf(service, service_size, "%d", ntohs(v4->sin_port)) >= (int)service_size) return EAI_OVERFLOW;
  return 0;
}

struct hostent *gethostbyname(const char *name) {
  static struct hostent host;
  static char *no_aliases[1], *list[HOSTENT_ADDRESSES_MAX + 1], ips[HOSTENT_ADDRESSES_MAX][4], kept_name[256];
  struct addrinfo hints = {.ai_family = AF_INET}, *found;
  if (getaddrinfo(name, NULL, &hints, &found)) {
    h_errno = HOST_NOT_FOUND;
    return NULL;
  }
  int n = 0;
  for (struct addrinfo *a = found; a && n < HOSTENT_ADDRESSES_MAX; a = a->ai_next, n++) {
    memcpy(ips[n], &((struct sockaddr_in *)a->ai_addr)->sin_addr, 4);
    list[n] = ips[n];
  }
  list[n] = NULL;
  freeaddrinfo(found);
  snprintf(kept_name, sizeof kept_name, "%s", name);
  host = (struct hostent){kept_name, no_aliases, AF_INET, 4, list};
  return &host;
}

int gethostbyname_r(const char *name, struct hostent *host, char *buffer, size_t size, struct hostent **found, int *error) {
  (void)buffer;
  (void)size; // no threads: the static record will do
  if (!(*found = gethostbyname(name))) {
    *error = h_errno;
    return 0;
  }
  *host = **found;
  *found = host;
  return 0;
}

struct servent *getservbyname(const char *name, const char *protocol) {
  static struct servent service;
  static char *no_aliases[1];
  int port = service_port(name);
  if (port <= 0) return NULL;
  service = (struct servent){(char *)name, no_aliases, htons((uint16_t)port), (char *)(protocol ? protocol : "tcp")};
  return &service;
}
