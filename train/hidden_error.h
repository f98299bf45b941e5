/* SPDX-License-Identifier: Apache-2.0
 * What 8 bits a channel cost stored hidden states, told by the reader alone. Rounding put each channel somewhere within half a
 * step of what is stored, evenly; so the divergence between the stored state and the stored state with such a step of noise is,
 * on average, the one between the teacher's own state and the stored one. Used by train and eval. */
#ifndef TRAIN_HIDDEN_ERROR_H
#define TRAIN_HIDDEN_ERROR_H
#include "err.h"
#include "shard.h"
#include "target.h"

/* Mean KL in nats over n rows of width stored states (largest magnitude = 127 steps) under head (vocab, width), which lies on dev. */
MUST_USE enum status hidden_error(const struct device *dev, const float *hidden, int64_t n, int64_t width, const float *head, int64_t vocab, double *kl, struct err *e);
/* Says it on stderr for the first positions of the shards; nothing when t does not read hidden states. */
MUST_USE enum status hidden_error_report(const struct target *t, struct shard_reader *r, struct err *e);
#endif
