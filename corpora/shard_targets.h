/* SPDX-License-Identifier: Apache-2.0
 * Targets of a local teacher for packed samples: top k with the exact remaining mass, draws, or the last hidden state, at the
 * positions in the loss only. Takes the machine's lease for each sample and gives it back, so that a stage upstream with a
 * local teacher of its own gets its turn. Used by shard_stage.c. */
#ifndef CORPORA_SHARD_TARGETS_H
#define CORPORA_SHARD_TARGETS_H
#include "model.h"
#include "shard.h"
#include "tokenizer.h"

struct target_kind {
  int32_t top_k, draws;
  double top_error; /* of a log-probability, nats; 0 = the shards' own scale */
  int hidden;
};
/* "none", "topk:K", "topk:K:ERROR", "sample:N", "hidden", or several joined with commas. */
MUST_USE enum status target_parse(const char *text, struct target_kind *k, struct err *e);

int target_any(const struct target_kind *k);

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
/* Fills k, top_id, top_logprob, rest, n_draw, draw_id, draw_count, hidden of s (memory of the targets, until the next call). The
 * draws of a position depend on the tokens of its document and its place in it only: not on packing, threads or a resume. */
MUST_USE enum status targets_fill(struct targets *t, struct sample *s, struct err *e);
void targets_close(struct targets *t);
/* n independent draws from softmax(logits) by the inverse of its running sum (sheet A11, tau = 1): different ids with how often
 * each was drawn, most drawn first, zeros behind the last. lse: of the logits. The same (seed, place) gives the same draws. */
void targets_draw(const float *logits, float lse, int32_t vocab, uint64_t seed, uint64_t place, int32_t n, void *scratch, int32_t *id, int32_t *count);
static inline size_t targets_draw_bytes(int32_t vocab, int32_t n) { return (size_t)vocab * sizeof(double) + (size_t)n * 2 * sizeof(int32_t); }
#endif
