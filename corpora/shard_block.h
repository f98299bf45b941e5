/* SPDX-License-Identifier: Apache-2.0
 * One block of a token shard: some samples as little-endian columns, each with its XXH3 (docs/formats.md "Shard folder").
 * A block is what one zstd frame of a data file holds. Used by shard_file.c, shard.c, check and the fuzz target only;
 * everybody else includes shard.h. Every count and offset of a parsed block was checked against the bytes that are there. */
#ifndef CORPORA_SHARD_BLOCK_H
#define CORPORA_SHARD_BLOCK_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "shard.h"
#include "shard_coded.h"
#include "span.h"

#define BLOCK_MAGIC 0x42535452u /* "RTSB" */
#define BLOCK_VERSION 2 /* 1 is read too, but not its raw top-k columns */
#define BLOCK_MAX_BYTES ((uint64_t)1 << 30)

enum block_column_id {
  COL_SAMPLE_TOK = 1,   /* u32 (n_samples) tokens of each sample */
  COL_SAMPLE_DOC = 2,   /* u32 (n_samples) documents of each sample */
  COL_DOC_LEN = 3,      /* u32 (n_doc) tokens of each document */
  COL_IDS = 4,          /* u16 or u32 (n_tok) */
  COL_MASK = 5,         /* bits (n_tok), least significant first */
  COL_ROW_ID_LEN = 6,   /* u32 (n_doc) */
  COL_ROW_ID = 7,       /* bytes */
  COL_DOC_WEIGHT = 8,   /* f32 (n_doc); absent = all 1 */
  COL_CONTEXT_HASH = 9, /* u64 (n_doc) XXH3 of the document's ids as i32; only with targets */
  /* 10 to 12: top k of version 1 */
  COL_REST = 13,        /* f32 (n_target) log of the exact remaining mass */
  COL_HIDDEN = 14,      /* i8 (n_target, hidden): value * scale */
  COL_HIDDEN_SCALE = 15,/* f32 (n_target) */
  COL_CODED_BYTES = 16, /* u32 (n_samples) bytes of each sample's stream */
  COL_CODED = 17,       /* streams of top k and draws (shard_coded.h) */
  COL_SCALE = 18,       /* f64 (2) first and greatest step of the log-probabilities; with top k */
  COL_ABOUT_LEN = 19,   /* u32 (n_doc); absent when no row has anything to say */
  COL_ABOUT = 20,       /* JSON objects: the row without its text (docs/formats.md) */
  COL_COUNT
};

struct block_shape { /* what the manifest says of all blocks of a folder */
  int32_t context, vocab, top_k, hidden, draws;
};

/* ---- writing ---- */
struct block_writer {
  struct block_shape shape;
  struct buf col[COL_COUNT];
  uint32_t n_samples, n_tok, n_doc, n_target;
  uint64_t first_sample;
  int weighted, with_about, unchecked;
  double step_first, step_most; /* scale of the log-probabilities; set with shape */
  struct coded coded;           /* opened by the first sample with top k or draws */
};
/* Refuses a sample that breaks the format's rules (STATUS_DATA says which). */
MUST_USE enum status block_add(struct block_writer *w, const struct sample *s, struct err *e);
/* s with the targets of an old block's sample that has the same tokens, as they are stored there. */
struct block;
MUST_USE enum status block_add_from(struct block_writer *w, const struct sample *s, const struct block *from, uint32_t number, struct err *e);
uint64_t block_bytes(const struct block_writer *w); /* about the size block_finish would give */
/* Appends the whole block to out and empties w (counts move on to the next block). */
MUST_USE enum status block_finish(struct block_writer *w, struct buf *out, struct err *e);
void block_writer_free(struct block_writer *w);

/* ---- reading ---- */
struct block {
  struct block_shape shape;
  uint32_t n_samples, n_tok, n_doc, n_target;
  uint32_t id_bytes;
  int raw; /* set by the caller: log-probabilities as stored (coded.raw) */
  uint64_t first_sample;
  const unsigned char *col[COL_COUNT];
  uint64_t col_bytes[COL_COUNT];
  uint64_t *tok0, *doc0, *target0, *name0, *code0; /* (n_samples + 1) first token, document, target, byte of row ids, byte of the
                                                     coded targets; one allocation */
};
/* data must stay until block_free. verify = 0 leaves the hashes out (fuzzing only). shape NULL: any. */
MUST_USE enum status block_parse(const unsigned char *data, uint64_t bytes, const struct block_shape *shape, int verify,
                                 struct block *b, struct err *e);
MUST_USE enum status block_sample(const struct block *b, uint32_t i, int verify, struct arena *a, struct sample *s, struct err *e);
/* Of document `doc` of the block (doc0[sample] and on). {NULL,0}: nothing is kept. */
struct span block_about(const struct block *b, uint64_t doc);
struct span block_row_id(const struct block *b, uint32_t sample, uint64_t doc);
uint32_t block_doc_tokens(const struct block *b, uint64_t doc);
void block_free(struct block *b); /* accepts a zeroed one */
#endif
