/* SPDX-License-Identifier: Apache-2.0
 * What an interrupted run left: NAME.part with data files that lack their index, and `key`, which says what they are made of.
 * The next run with the same key takes each sample with its targets from there as long as the samples are the same, so no
 * position is asked of the teacher twice and the folder ends up with the same bytes. Used by shard.c only. */
#ifndef CORPORA_SHARD_RESUME_H
#define CORPORA_SHARD_RESUME_H
#include "shard_block.h"

struct shard_resume;
/* Makes or takes over NAME.part (tmp: its path) under a lock; STATUS_USAGE when another process writes there. *r is NULL when
 * there is nothing to take. lock_fd: closed by the caller at the end. */
MUST_USE enum status resume_begin(const char *folder, const char *key, const struct block_shape *shape, char **tmp, int *lock_fd,
                                  struct shard_resume **r, struct err *e);
/* Block and number of the old sample if it equals s (ids, mask, bounds, row ids, weights); *from NULL when not, and then never
 * again. */
MUST_USE enum status resume_next(struct shard_resume *r, const struct sample *s, const struct block **from, uint32_t *number, struct err *e);
/* Removes what only resuming needs, before the folder gets its name. */
MUST_USE enum status resume_tidy(const char *tmp, struct err *e);
void resume_free(struct shard_resume *r);
#endif
