/* SPDX-License-Identifier: Apache-2.0
 * What one forward pass takes: samples of a shard folder laid end to end, with the positions in the loss, their labels,
 * weights and stored targets in one array each; and the feed that hands out the samples of step after step in the
 * shuffled order of (seed, epoch). Used by train and eval. */
#ifndef TRAIN_MICRO_H
#define TRAIN_MICRO_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "model.h"
#include "shard.h"

struct micro {
  struct packed packed;   /* over ids and start */
  int32_t *ids, *start;
  int64_t n;              /* positions in the loss */
  int32_t *row, *label;   /* (n) row k predicts token k + 1 of its document */
  int32_t *doc;           /* (n) document, counted over the whole micro-batch */
  float *weight;          /* (n) */
  double weights;         /* their sum */
  int32_t k;              /* stored sparse targets, 0 = none */
  int32_t *top_id;        /* (n, k) best first; of draws: most drawn first */
  float *top_logprob, *rest; /* (n, k) (n); of draws: log of drawn / draws (-inf behind the last id), rest NULL */
  float *hidden;          /* (n, width of the stored states) or NULL */
  int64_t pairs;          /* query-key pairs of causal attention, for counting operations */
};
/* All arena memory; s must hold the same kinds of targets. hidden_width: of the stored states, 0 = leave them out. draws: take
 * the stored draws and not the top k. */
MUST_USE enum status micro_build(const struct sample *s, int64_t n, int32_t hidden_width, int draws, struct arena *a, struct micro *m, struct err *e);

struct feed {
  struct shard_reader *reader;
  uint64_t seed;
  int64_t epoch, at;      /* the state: next sample is order[at] of that epoch */
  int64_t n_samples, *order, order_epoch;
};
MUST_USE enum status feed_open(struct feed *f, struct shard_reader *r, uint64_t seed, struct err *e);
void feed_close(struct feed *f);
/* The samples of one step: as many whole ones as fit into tokens, at least one; never over the end of an epoch. Moves on. */
MUST_USE enum status feed_step(struct feed *f, int64_t tokens, struct arena *a, struct sample **s, int64_t *n, struct err *e);
/* How many samples from s[0] fit into `tokens` (at least 1); their tokens in *n_tok. */
int64_t samples_fitting(const struct sample *s, int64_t n, int64_t tokens, int64_t *n_tok);
#endif
