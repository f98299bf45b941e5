/* SPDX-License-Identifier: Apache-2.0
 * Append-only bytes that stay in memory up to a bound and go to an unlinked temporary file beyond it (in $TMPDIR, else /tmp):
 * what a stage holds until the end of its input does not grow with the input. Reading gives the same bytes either way. A record
 * never spans two blocks, so a view of one in memory needs no copy. One thread at a time. A full disk is an error that
 * names the folder; nothing is left behind by a kill. */
#ifndef CORE_SPOOL_H
#define CORE_SPOOL_H
#include <stdint.h>
#include "err.h"
#include "mem.h"

#define SPOOL_BLOCK ((size_t)1 << 20) /* records whose size divides this lie at number * size */
struct spool;
MUST_USE enum status spool_new(uint64_t memory_bytes, struct spool **s, struct err *e);
void spool_free(struct spool *s); /* accepts NULL */
/* Appends n bytes; *at (may be NULL) is where they are found again. */
MUST_USE enum status spool_add(struct spool *s, const void *p, size_t n, uint64_t *at, struct err *e);
/* *p: the n bytes at `at` (of one spool_add, or a part of them), valid until the next call on s or on scratch. */
MUST_USE enum status spool_view(struct spool *s, uint64_t at, size_t n, struct buf *scratch, const void **p, struct err *e);
/* The same for a walk from front to back: bytes on disk are read ahead. */
MUST_USE enum status spool_walk(struct spool *s, uint64_t at, size_t n, struct buf *scratch, const void **p, struct err *e);
uint64_t spool_spilled(const struct spool *s); /* bytes on disk, for messages */
/* An open, already unlinked temporary file; also for others that keep what does not fit. */
MUST_USE enum status spool_temp_file(int *fd, struct err *e);
#endif
