/* SPDX-License-Identifier: Apache-2.0
 * A record row as a token document for `shard`: ids, loss mask, weight. Used by shard_stage.c only. */
#ifndef CORPORA_SHARD_ROW_H
#define CORPORA_SHARD_ROW_H
#include "opt.h"
#include "record.h"
#include "template.h"
#include "tokenizer.h"

struct row_targets {      /* of the tokens in the loss, in their order; k = 0: none */
  int32_t k;
  size_t n;
  int32_t *top_id;        /* (n, k) likeliest first */
  float *top_logprob;     /* (n, k) */
  float *rest;            /* (n) log of the remaining mass */
};
struct document {
  struct arena *a;        /* owns all below */
  struct record rec;
  struct span id;
  int32_t *ids;
  unsigned char *mask;    /* 1 = in the loss; mask[0] is always 0: nothing predicts the first token */
  size_t n;
  const char *about;      /* the row without its text, as a JSON object, for `why` and the card; NULL = nothing but text */
  float weight;
  struct row_targets targets; /* of shard_recorded.h */
  const char *reason;     /* why the row is dropped; NULL = keep */
  struct span teacher, terms, licence; /* of the row's answer and source, for the card; {NULL,0} when absent */
};
struct row_rules {
  const struct tokenizer *tokenizer;
  const struct chat_template *chat; /* NULL when the tokenizer has none: rows with messages are an error then */
  int32_t vocab;
  int all_tokens;                   /* messages: everything is in the loss, not only what the assistant wrote */
  int weights;                      /* read the field weight */
  int about;                        /* keep what else the row says */
  const char *split;                /* NULL = all */
};
/* `ids` (with `mask`) as they are; else messages through the template, mask on what the assistant wrote; else text, mask on
 * all but the first token. Fills everything but a and rec. Thread safe. */
MUST_USE enum status document_from_row(const struct row_rules *rules, struct document *d, struct err *e);
#endif
