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
  const char **about;      /* (n_doc) what else the row said (shard_about), JSON objects; NULL = nothing. Written, not read back here */
  int32_t k;               /* top-k targets a position, 0 = none */
  int32_t n_target;        /* positions in the loss = number of i with mask[i] = 1 that are not first in their document;
                              filled with target_pos whether or not targets of a teacher are stored */
  int32_t *target_pos;     /* (n_target) row index = i - 1: the position whose output predicts token i */
  int32_t *top_id;         /* (n_target, k) */
  float *top_logprob;      /* (n_target, k) */
  float *rest;             /* (n_target) log of the exact remaining mass */
  int32_t n_draw;          /* draws from the teacher a position (sample:N), 0 = none */
  int32_t *draw_id;        /* (n_target, n_draw) different ids, most drawn first; behind them zeros */
  int32_t *draw_count;     /* (n_target, n_draw) falling, sum n_draw; behind the last id zeros */
  float *hidden;           /* (n_target, hidden) dequantised, NULL when none */
  float *weight;           /* (n_doc) weight of each document in the loss; NULL = all 1 */
};
struct shard_info {
  int64_t n_samples, n_tokens, n_targets, n_docs;
  int32_t context, vocab, top_k, hidden, draws;
  double logprob_error;    /* bound of what quantising did to a stored log-probability, nats; 0 without top k */
  char tokenizer_hash[65], template_name[32];
  const char *teacher, *teacher_identity, *terms; /* "" when no targets */
};
struct shard_reader;
struct shard_writer_options;
/* A reader is for one thread at a time. Opens and checks the manifest (SHA-256 of every file is checked by `retort check`, XXH3 of a block at every read). */
MUST_USE enum status shard_open(const char *folder, struct shard_reader **r, struct err *e);
void shard_close(struct shard_reader *r);
const struct shard_info *shard_info(const struct shard_reader *r);
/* Sample i in stored order into arena memory. Random access by the seek table. */
MUST_USE enum status shard_read(struct shard_reader *r, int64_t i, struct arena *a, struct sample *s, struct err *e);
/* Unpacks the blocks of the samples that will be read next, several at the same time; a damaged one is an error only when it is
 * read. Somebody who reads sample after sample gets this without asking. Needs pool_setup; the caller's is not running. */
MUST_USE enum status shard_ahead(struct shard_reader *r, const int64_t *i, int64_t n, struct err *e);
/* Deterministic order of an epoch: permutation of [0, n_samples) from (seed, epoch). */
void shard_order(const struct shard_reader *r, uint64_t seed, uint64_t epoch, int64_t *order);

/* The same with log-probabilities as they are stored (mass not closed): shard_write of such a sample into a writer of the same
 * scale that is `unchecked` stores the very same targets. */
MUST_USE enum status shard_read_raw(struct shard_reader *r, int64_t i, struct arena *a, struct sample *s, struct err *e);
/* Sets the scale of o to that of the reader's blocks (top_error, or the shards' own). */
MUST_USE enum status shard_scale(struct shard_reader *r, struct shard_writer_options *o, struct err *e);
/* Where a row went: calls f for every piece of it, in order. */
struct shard_place { int64_t sample; int32_t doc, n_tok, n_target; uint64_t frame; const char *file; };
MUST_USE enum status shard_find_row(struct shard_reader *r, const char *row_id, enum status (*f)(void *ctx, const struct shard_place *p, struct err *e),
                                    void *ctx, struct err *e);
/* What the row of a document said beside its text: source, teacher, scores, ... as a JSON object; {NULL,0} when nothing is kept. */
MUST_USE enum status shard_about(struct shard_reader *r, int64_t sample, int32_t doc, struct arena *a, struct span *about, struct err *e);

struct shard_writer;
struct shard_writer_options {
  const char *folder;
  int32_t context, vocab, top_k, hidden, draws;
  double top_error;        /* top-k log-probabilities: error of at most this, nats; 0 = steps of 0.02 to 0.1 nat, finer the likelier */
  int unchecked;           /* targets are taken without the check of their mass: for tests that plant mistakes */
  struct shard_info info;  /* tokenizer_hash, template_name, teacher, teacher_identity, terms; the counts are filled here */
  uint64_t frame_bytes;    /* of a block before compression; 0 = 4 MiB, with targets 256 KiB. Small frames: fast random access */
  uint64_t file_bytes;     /* a new data file begins above this; 0 = 256 MiB */
  int level;               /* zstd; 0 = 3 */
  const char *resume_key;  /* not NULL: work in FOLDER.part, keep it when not committed, and go on from what an interrupted run
                              with the same key left there (what targets depend on must be in the key) */
  int replace;             /* an older folder of this name is replaced at commit (else STATUS_USAGE) */
};
MUST_USE enum status shard_writer_new(const struct shard_writer_options *o, struct shard_writer **w, struct err *e);
/* s needs ids, mask, doc_start, row_id; with targets also top_id, top_logprob, rest and/or hidden and/or draw_id, draw_count for
 * each target_pos. The top k must fall and have mass 1 with the rest. */
MUST_USE enum status shard_write(struct shard_writer *w, const struct sample *s, struct err *e);
/* For a writer with resume_key: if the interrupted run wrote this very sample here (ids, mask, bounds, row ids, weights), it is
 * written with the targets from there and *known = 1; else nothing happens. */
MUST_USE enum status shard_write_known(struct shard_writer *w, const struct sample *s, int *known, struct err *e);
/* extra: raw members for the manifest without braces (`"ledger":{...},"options":{...}`) or {NULL,0}. Manifest last, then
 * rename: the folder is complete or absent. */
MUST_USE enum status shard_writer_commit(struct shard_writer *w, struct span extra, struct err *e);
const struct shard_info *shard_writer_info(const struct shard_writer *w);
void shard_writer_free(struct shard_writer *w); /* without a commit: removes what was written, but not with resume_key */
/* Fills target_pos and n_target from mask and doc_start (arena memory). */
MUST_USE enum status sample_targets(struct sample *s, struct arena *a, struct err *e);
/* The manifest of an opened folder: raw JSON value of a top-level member, {NULL,0} when absent. */
struct span shard_manifest_member(const struct shard_reader *r, const char *key);
#endif
