/* SPDX-License-Identifier: Apache-2.0
 * Token shards (decision 9; docs/formats.md "Shard folder"): a folder with a JSON manifest and files of independent zstd
 * frames (with the seek table of zstd's seekable format). A sample = one packed row of `context` tokens at most: ids, loss
 * mask, document bounds, row ids, and targets of a teacher for the masked positions. Writer used by `shard`, reader by
 * train, prune, eval, check. Targets carry the hash of their exact context; a reader refuses what does not belong. */
#ifndef CORPORA_SHARD_H
#define CORPORA_SHARD_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"
struct sample {
  int32_t n_tok, n_doc;
  int32_t *ids;            /* (n_tok) */
  unsigned char *mask;     /* (n_tok) 1 = this token is a target of the loss: row k predicts k+1, so mask belongs to the token predicted */
  int32_t *doc_start;      /* (n_doc + 1) */
  const char **row_id;     /* (n_doc) record ids */
  int32_t k;               /* top-k targets a position, 0 = none */
  int32_t n_target;        /* positions with targets = number of i with mask[i] = 1 that are not first in their document */
  int32_t *target_pos;     /* (n_target) row index = i - 1: the position whose output predicts token i */
  int32_t *top_id;         /* (n_target, k) */
  float *top_logprob;      /* (n_target, k) */
  float *rest;             /* (n_target) log of the exact remaining mass */
  float *hidden;           /* (n_target, hidden) dequantised, NULL when none */
};
struct shard_info {
  int64_t n_samples, n_tokens, n_targets, n_docs;
  int32_t context, vocab, top_k, hidden;
  char tokenizer_hash[65], template_name[32];
  const char *teacher, *teacher_identity, *terms; /* "" when no targets */
};
struct shard_reader;
/* Opens and checks the manifest (SHA-256 of every file is checked by `retort check`, XXH3 of a block at every read). */
MUST_USE enum status shard_open(const char *folder, struct shard_reader **r, struct err *e);
void shard_close(struct shard_reader *r);
const struct shard_info *shard_info(const struct shard_reader *r);
/* Sample i in stored order into arena memory. Random access by the seek table. */
MUST_USE enum status shard_read(struct shard_reader *r, int64_t i, struct arena *a, struct sample *s, struct err *e);
/* Deterministic order of an epoch: permutation of [0, n_samples) from (seed, epoch). */
void shard_order(const struct shard_reader *r, uint64_t seed, uint64_t epoch, int64_t *order);

struct shard_writer;
struct shard_writer_options { const char *folder; int32_t context, vocab, top_k, hidden; struct shard_info info; uint64_t frame_bytes; int level; struct span extra_json; };
MUST_USE enum status shard_writer_new(const struct shard_writer_options *o, struct shard_writer **w, struct err *e);
MUST_USE enum status shard_write(struct shard_writer *w, const struct sample *s, struct err *e);
MUST_USE enum status shard_writer_commit(struct shard_writer *w, struct err *e); /* manifest last, then rename */
void shard_writer_free(struct shard_writer *w);
#endif
