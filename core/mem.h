/* SPDX-License-Identifier: Apache-2.0
 * Memory: every allocation of the program goes through here, so that a test can fail the Nth one (mem_fail_at).
 * Three lifetimes: per record (arena, reset), per stage (arena), per model (one planned block, mem_block).
 * Growing buffers (struct buf) have a cap. All calls are thread safe except on the same arena or buffer. */
#ifndef CORE_MEM_H
#define CORE_MEM_H
#include <stddef.h>
#include <stdint.h>
#include "err.h"

/* NULL when out of memory (or failed on purpose). n = 0 gives a valid pointer. */
void *mem_alloc(size_t n);
void *mem_calloc(size_t count, size_t size); /* zeroed; NULL when count * size overflows */
void *mem_realloc(void *p, size_t n);        /* p stays valid when NULL is returned */
void mem_free(void *p);                      /* accepts NULL */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);  /* copies n bytes and terminates */

/* 64-byte aligned, zeroed, for planned blocks of tensors; anonymous mmap (huge pages advised) above 1 MiB. */
void *mem_block(size_t bytes);
void mem_block_free(void *p, size_t bytes);

/* Tests: the nth allocation from now fails (1 = the next one); 0 = never. mem_failed() says whether it was hit. */
void mem_fail_at(long n);
int mem_failed(void);
/* Sum of live bytes is not tracked; peak resident set of the process in bytes: */
uint64_t mem_peak_rss_bytes(void);

/* Arena: bump allocation, freed or reset as a whole. cap_bytes = 0 means no cap. */
struct arena;
struct arena *arena_new(size_t cap_bytes);
struct arena *arena_new_small(size_t first_bytes); /* little waste: its first chunk, kept for good, has so many bytes instead of 8 KiB; where thousands live at once */
void *arena_alloc(struct arena *a, size_t n); /* 16-byte aligned, not zeroed; NULL when over the cap or out of memory */
void *arena_calloc(struct arena *a, size_t count, size_t size);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arena_reset(struct arena *a); /* keeps its first chunk */
/* What was allocated since the mark goes; what was before stays. */
struct arena_mark { void *chunk; size_t used; };
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark m);
void arena_free(struct arena *a);

/* Growing buffer; p is always terminated by a NUL that n does not count (p is NULL while nothing was put).
 * max_bytes = 0 means BUF_MAX_DEFAULT. Zero-initialise to start. */
#define BUF_MAX_DEFAULT ((size_t)1 << 32)
struct buf {
  char *p;
  size_t n, cap, max_bytes;
};
MUST_USE enum status buf_reserve(struct buf *b, size_t more, struct err *e);
MUST_USE enum status buf_put(struct buf *b, const void *p, size_t n, struct err *e);
MUST_USE enum status buf_puts(struct buf *b, const char *s, struct err *e);
MUST_USE enum status buf_putc(struct buf *b, char c, struct err *e);
MUST_USE enum status buf_printf(struct buf *b, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
void buf_clear(struct buf *b); /* n = 0, keeps the memory */
void buf_free(struct buf *b);

#endif
