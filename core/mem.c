/* SPDX-License-Identifier: Apache-2.0
 * All memory of the program. The fault counter makes every allocation of a run failable by its number (tests/fault). */
#include "mem.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

static atomic_long fail_countdown; /* 0 = off */
static atomic_int fail_hit;

void mem_fail_at(long n) {
  atomic_store(&fail_countdown, n);
  atomic_store(&fail_hit, 0);
}
int mem_failed(void) { return atomic_load(&fail_hit); }

static int must_fail(void) {
  if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) <= 0) return 0;
  if (atomic_fetch_sub(&fail_countdown, 1) != 1) return 0;
  atomic_store(&fail_hit, 1);
  return 1;
}

void *mem_alloc(size_t n) { return must_fail() ? NULL : malloc(n ? n : 1); }

void *mem_calloc(size_t count, size_t size) {
  if (size != 0 && count > SIZE_MAX / size) return NULL;
  return must_fail() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *mem_realloc(void *p, size_t n) { return must_fail() ? NULL : realloc(p, n ? n : 1); }

void mem_free(void *p) { free(p); }

char *mem_strndup(const char *s, size_t n) {
  char *d = mem_alloc(n + 1);
  if (d == NULL) return NULL;
  if (n) memcpy(d, s, n);
  d[n] = '\0';
  return d;
}
char *mem_strdup(const char *s) { return mem_strndup(s, strlen(s)); }

#define BLOCK_MMAP_BYTES ((size_t)1 << 20)

void *mem_block(size_t bytes) {
  if (must_fail()) return NULL;
  if (bytes < BLOCK_MMAP_BYTES) {
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes ? bytes : 1) != 0) return NULL;
    memset(p, 0, bytes ? bytes : 1);
    return p;
  }
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
  (void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
  return p;
}

void mem_block_free(void *p, size_t bytes) {
  if (p == NULL) return;
  if (bytes < BLOCK_MMAP_BYTES) free(p);
  else (void)munmap(p, bytes);
}

uint64_t mem_peak_rss_bytes(void) {
  struct rusage u;
  return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;
}

/* ---- arena ---- */
struct chunk {
  struct chunk *next;
  size_t cap, used;
  _Alignas(16) unsigned char bytes[];
};
struct arena {
  struct chunk *first, *last;
  size_t total, cap, first_bytes;
};
#define CHUNK_FIRST ((size_t)8 << 10)
#define CHUNK_MOST ((size_t)4 << 20)

struct arena *arena_new(size_t cap_bytes) {
  struct arena *a = mem_calloc(1, sizeof *a);
  if (a != NULL) a->cap = cap_bytes;
  return a;
}

struct arena *arena_new_small(size_t first_bytes) {
  struct arena *a = arena_new(0);
  if (a != NULL) a->first_bytes = first_bytes;
  return a;
}

static struct chunk *chunk_add(struct arena *a, size_t n) {
  size_t cap = a->last ? a->last->cap * 2 : CHUNK_FIRST;
  if (a->first_bytes) cap = a->total / 2 > a->first_bytes ? a->total / 2 : a->first_bytes; /* little waste rather than few chunks */
  if (cap > CHUNK_MOST) cap = CHUNK_MOST;
  if (cap < n) cap = n;
  if (cap > SIZE_MAX - sizeof(struct chunk)) return NULL;
  if (a->cap != 0 && (n > a->cap || a->total > a->cap - n)) return NULL;
  struct chunk *c = mem_alloc(sizeof *c + cap);
  if (c == NULL) return NULL;
  c->next = NULL, c->cap = cap, c->used = 0;
  if (a->last) a->last->next = c;
  else a->first = c;
  a->last = c;
  a->total += cap;
  return c;
}

void *arena_alloc(struct arena *a, size_t n) {
  if (n > SIZE_MAX - 15) return NULL;
  n = (n + 15) & ~(size_t)15;
  struct chunk *c = a->last;
  if (c == NULL || c->cap - c->used < n) c = chunk_add(a, n);
  if (c == NULL) return NULL;
  void *p = c->bytes + c->used;
  c->used += n;
  return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size) {
  if (size != 0 && count > SIZE_MAX / size) return NULL;
  void *p = arena_alloc(a, count * size);
  if (p != NULL) memset(p, 0, count * size);
  return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n) {
  char *d = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;
  if (d == NULL) return NULL;
  if (n) memcpy(d, s, n);
  d[n] = '\0';
  return d;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  char *d = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
  if (d != NULL) vsnprintf(d, (size_t)n + 1, fmt, again);
  va_end(again);
  return d;
}

void arena_reset(struct arena *a) {
  if (a == NULL || a->first == NULL) return;
  struct chunk *c = a->first->next;
  while (c != NULL) {
    struct chunk *next = c->next;
    mem_free(c);
    c = next;
  }
  a->first->next = NULL;
  a->first->used = 0;
  a->last = a->first;
  a->total = a->first->cap;
}

struct arena_mark arena_mark(const struct arena *a) { return (struct arena_mark){ a->last, a->last ? a->last->used : 0 }; }

void arena_rewind(struct arena *a, struct arena_mark m) {
  struct chunk *keep = m.chunk;
  if (keep == NULL) { /* the arena was empty */
    arena_reset(a);
    return;
  }
  for (struct chunk *c = keep->next, *next; c != NULL; c = next) {
    next = c->next;
    a->total -= c->cap;
    mem_free(c);
  }
  keep->next = NULL;
  keep->used = m.used;
  a->last = keep;
}

void arena_free(struct arena *a) {
  if (a == NULL) return;
  arena_reset(a);
  mem_free(a->first);
  mem_free(a);
}

/* ---- growing buffer ---- */
enum status buf_reserve(struct buf *b, size_t more, struct err *e) {
  size_t max = b->max_bytes ? b->max_bytes : BUF_MAX_DEFAULT;
  if (more > max || b->n > max - more) {
    return err_set(e, STATUS_LIMIT, "buffer of %zu bytes would grow by %zu above its cap of %zu bytes", b->n, more, max);
  }
  size_t need = b->n + more + 1;
  if (need <= b->cap) return STATUS_OK;
  size_t cap = b->cap + b->cap / 2 < 256 ? 256 : b->cap + b->cap / 2;
  if (cap < need) cap = need;
  char *p = mem_realloc(b->p, cap);
  if (p == NULL) return err_nomem(e, cap);
  b->p = p;
  b->cap = cap;
  return STATUS_OK;
}

enum status buf_put(struct buf *b, const void *p, size_t n, struct err *e) {
  enum status st = buf_reserve(b, n, e);
  if (st != STATUS_OK) return st;
  if (n) memcpy(b->p + b->n, p, n);
  b->n += n;
  b->p[b->n] = '\0';
  return STATUS_OK;
}
enum status buf_puts(struct buf *b, const char *s, struct err *e) { return buf_put(b, s, strlen(s), e); }
enum status buf_putc(struct buf *b, char c, struct err *e) { return buf_put(b, &c, 1, e); }

enum status buf_printf(struct buf *b, struct err *e, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n < 0) return err_set(e, STATUS_DATA, "text could not be formatted");
  enum status st = buf_reserve(b, (size_t)n, e);
  if (st != STATUS_OK) return st;
  va_start(ap, fmt);
  vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
  va_end(ap);
  b->n += (size_t)n;
  return STATUS_OK;
}

void buf_clear(struct buf *b) {
  b->n = 0;
  if (b->p) b->p[0] = '\0';
}
void buf_free(struct buf *b) {
  mem_free(b->p);
  b->p = NULL;
  b->n = b->cap = 0;
}
