/* SPDX-License-Identifier: Apache-2.0
 * Targets of a local teacher for packed samples: top k with the exact remaining mass, or the last hidden state, at the
 * positions in the loss only. Takes the machine's lease for each sample and gives it back, so that a stage upstream with a
 * local teacher of its own gets its turn. Used by shard_stage.c. */
#ifndef CORPORA_SHARD_TARGETS_H
#define CORPORA_SHARD_TARGETS_H
#include "model.h"
#include "shard.h"
#include "tokenizer.h"

struct target_kind {
  int32_t top_k;
  int hidden;
};
/* "none", "topk:K", "hidden", or several joined with commas. */
MUST_USE enum status target_parse(const char *text, struct target_kind *k, struct err *e);

struct targets;
/* Opens the teacher after its terms allowed it. t: the shards' tokenizer; another one in the teacher is an error, for its
 * probabilities would be of other tokens. identity and terms stay until targets_close. */
MUST_USE enum status targets_open(const char *teacher, const struct target_kind *k, const struct tokenizer *t, int32_t context, const char *stated,
                                  const char *accept, struct targets **out, struct err *e);
const char *targets_name(const struct targets *t);
const char *targets_identity(const struct targets *t);
const char *targets_terms(const struct targets *t);
int32_t targets_vocab(const struct targets *t);
int32_t targets_hidden(const struct targets *t); /* width, 0 when not asked for */
/* Fills k, top_id, top_logprob, rest, hidden of s (memory of the targets, until the next call). */
MUST_USE enum status targets_fill(struct targets *t, struct sample *s, struct err *e);
void targets_close(struct targets *t);
#endif
