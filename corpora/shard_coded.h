/* SPDX-License-Identifier: Apache-2.0
 * The coded targets of one sample: top k and draws of a teacher as one stream (docs/formats.md "Coded targets"). Used by
 * shard_block.c. */
#ifndef CORPORA_SHARD_CODED_H
#define CORPORA_SHARD_CODED_H
#include "shard.h"
#include "shard_code.h"

struct coded { /* state of a writer or reader; one sample at a time */
  struct code_model *model;
  int raw; /* reading: leave the levels as they are, mass not closed; writing them again gives the same stream */
  struct code_scale scale; /* error of a log-probability: at most scale.most, half by rounding, half by closing the mass */
};
MUST_USE enum status coded_open(struct coded *c, int32_t vocab, double first, double most, struct err *e);
void coded_close(struct coded *c); /* accepts a zeroed one */
/* What a stream can hold: ids below vocab, log-probabilities falling and at most 0, counts falling with the sum of the draws; and,
 * unless `unchecked`, a mass of 1 within 1e-3. */
MUST_USE enum status coded_check(const struct sample *s, int32_t vocab, int unchecked, struct err *e);
/* Appends the stream of s. */
MUST_USE enum status coded_put(struct coded *c, const struct sample *s, struct buf *out, struct err *e);
/* Fills top_id, top_logprob, draw_id, draw_count of s from its stream; k, n_draw, n_target, rest and the arrays are there. The
 * log-probabilities are shifted so that they and the rest have mass 1; a shift beyond the error of the scale is an error. */
MUST_USE enum status coded_get(struct coded *c, const unsigned char *p, uint64_t bytes, int32_t vocab, struct sample *s, struct err *e);
#endif
