/* SPDX-License-Identifier: Apache-2.0
 * Entropy coding of the teacher's targets (docs/formats.md "Coded targets"): an adaptive binary arithmetic coder, token ids as
 * paths through an adaptive tree, small numbers by length and bits, and the scale of the log-probabilities. One stream a sample,
 * so any sample decodes alone. Integer arithmetic only: the same bytes on every machine. Used by shard_coded.c. */
#ifndef CORPORA_SHARD_CODE_H
#define CORPORA_SHARD_CODE_H
#include <stdint.h>
#include "err.h"
#include "mem.h"

enum { CODE_CONTEXTS = 48, CODE_NODES = 288 }; /* of numbers; a number needs 32 nodes for its length and 8 for each length's first bits */
struct code_node { uint16_t p, n; };           /* p / 65536: chance of a 1; n: how often it was used, at most 255 */
struct code_model {
  int id_bits;             /* of the vocabulary */
  struct code_node *id;    /* (1 << id_bits) */
  struct code_node number[CODE_CONTEXTS][CODE_NODES];
};
/* One allocation; mem_free. */
MUST_USE enum status code_model_new(int32_t vocab, struct code_model **m, struct err *e);
void code_model_reset(struct code_model *m); /* every chance 1/2: the state at the start of a stream */

struct code_writer { struct buf *out; uint32_t low, high; };
void code_writer_start(struct code_writer *w, struct buf *out);
MUST_USE enum status code_put_id(struct code_writer *w, struct code_model *m, uint32_t id, struct err *e);
MUST_USE enum status code_put_number(struct code_writer *w, struct code_model *m, int context, uint32_t v, struct err *e);
MUST_USE enum status code_writer_end(struct code_writer *w, struct err *e);

/* Behind its last byte a stream goes on with zeros; the caller checks every value it gets. */
struct code_reader { const unsigned char *p, *end; uint32_t low, high, value; };
void code_reader_start(struct code_reader *r, const unsigned char *p, uint64_t bytes);
uint32_t code_get_id(struct code_reader *r, struct code_model *m);
uint32_t code_get_number(struct code_reader *r, struct code_model *m, int context);

/* Level 0 is 0 nat, level i + 1 lies step(i) below level i; step(0) = first, step(i + 1) = min(step(i) + step(i)^2 / 2, most), which
 * keeps step / sqrt(probability) about even down to `most`: it costs the least divergence for its bytes. first = most: even steps. */
#define SCALE_LEVELS 2097152 /* at most: 209 nat at the finest error a user can ask for */
struct code_scale {
  double first, most;
  double *at, *step; /* (n), grown on demand */
  uint32_t n, cap;
};
void scale_free(struct code_scale *s);
/* Nearest level of a log-probability of at least -1e4; STATUS_DATA above SCALE_LEVELS. */
MUST_USE enum status scale_level(struct code_scale *s, double logprob, uint32_t *level, struct err *e);
MUST_USE enum status scale_value(struct code_scale *s, uint32_t level, double *logprob, double *step, struct err *e);
#endif
