/* SPDX-License-Identifier: Apache-2.0
 * Targets out of the book: the log-probabilities that a teacher gave with its answer (`label --logprobs K`), joined to the tokens of
 * the row that holds the answer. Used by shard_stage.c.
 * A token of the answer gets targets when the teacher's tokens have the same bytes at the same place of the same context (messages
 * before the answer equal to the request's); others leave the loss. Alternatives become ids of the shards' tokenizer by their
 * bytes; the mass of what is not in it, or beyond the K best, goes to the rest. The token that ends the turn has the teacher's
 * log-probabilities where it told them, else mass 1 when the answer ended by itself, else no target. */
#ifndef CORPORA_SHARD_RECORDED_H
#define CORPORA_SHARD_RECORDED_H
#include "shard_row.h"

struct recorded;
/* 1 for replay:BOOK[#NAME]. */
int recorded_is(const char *teacher);
/* Opens the book's teacher after its terms allowed it. tok must outlive it. */
MUST_USE enum status recorded_open(const char *teacher, int32_t top_k, const struct tokenizer *tok, const char *stated, const char *accept,
                                   struct recorded **out, struct err *e);
void recorded_close(struct recorded *r);
const char *recorded_name(const struct recorded *r);
const char *recorded_identity(const struct recorded *r);
const char *recorded_terms(const struct recorded *r);
/* Fills d->targets, one entry for each token left in d->mask; or d->reason: no_recorded_answer, other_teacher, no_logprobs (none
 * asked for, or none fits), other_context, other_text (the answer was changed). STATUS_DATA: log-probabilities that are none.
 * Thread safe. */
MUST_USE enum status recorded_join(struct recorded *r, struct document *d, struct err *e);
/* Tokens of answers with and without targets, so far. */
void recorded_counts(const struct recorded *r, uint64_t *with, uint64_t *without);
#endif
