/* SPDX-License-Identifier: Apache-2.0
 * External sort of byte records in memcmp order (a shorter one before its continuations): sorted runs on an unlinked temporary
 * file when they do not fit the bound, merged while they are read. Keys are written big-endian so that byte order is their
 * order. Equal records come in any order: they are equal. One thread at a time. */
#ifndef CORE_SORTER_H
#define CORE_SORTER_H
#include <stdint.h>
#include "err.h"
#include "mem.h"

#define SORTER_RECORD_MAX 65535
struct sorter;
MUST_USE enum status sorter_new(uint64_t memory_bytes, struct sorter **s, struct err *e);
void sorter_free(struct sorter *s); /* accepts NULL */
MUST_USE enum status sorter_add(struct sorter *s, const void *p, size_t n, struct err *e);
/* Ends the adding (again: starts reading from the front). */
MUST_USE enum status sorter_rewind(struct sorter *s, struct err *e);
/* *got = 0 at the end; *p is valid until the next call. */
MUST_USE enum status sorter_next(struct sorter *s, const unsigned char **p, size_t *n, int *got, struct err *e);
uint64_t sorter_count(const struct sorter *s);

static inline void sorter_put32(unsigned char *p, uint32_t v) { p[0] = (unsigned char)(v >> 24), p[1] = (unsigned char)(v >> 16), p[2] = (unsigned char)(v >> 8), p[3] = (unsigned char)v; }
static inline void sorter_put64(unsigned char *p, uint64_t v) { sorter_put32(p, (uint32_t)(v >> 32)), sorter_put32(p + 4, (uint32_t)v); }
static inline uint32_t sorter_get32(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static inline uint64_t sorter_get64(const unsigned char *p) { return (uint64_t)sorter_get32(p) << 32 | sorter_get32(p + 4); }
#endif
