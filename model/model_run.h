/* SPDX-License-Identifier: Apache-2.0
 * struct run for the files of model/: a plan, its memory, and what decoding adds to run_forward. */
#ifndef MODEL_MODEL_RUN_H
#define MODEL_MODEL_RUN_H
#include "decode_kv.h"
#include "model_private.h"
#include "plan.h"

struct run {
  struct model *m;
  struct arena *arena;
  struct plan plan;
  int flags;
  int64_t max_tok;        /* rounded up so that every buffer starts on a cache line */
  int64_t cap_tok;        /* as asked for */
  float *block;
  size_t block_bytes;
  float *cos_sin;         /* (max_tok, head_dim), inside block */
  int32_t *ids, *positions, *starts; /* copies of the last forward's input, for the backward pass; the host's */
  size_t host_bytes;
  int32_t *dev_ids, *dev_positions;  /* (max_tok) on the device, inside block; the host's own on the CPU */
  struct seqs seqs;
  void *scratch;
  size_t scratch_bytes;
  float *matrix;          /* the weight being used, when weights stay in the file */
  size_t matrix_bytes;
  float *logits;          /* rows of score.c, made when first needed */
  size_t logits_bytes;
  int skip;
  int forward_done;
  tap_fn tap;
  void *tap_ctx;
};
/* run_forward with caches (NULL = none). Caches have room; the caller adds to their len afterwards. */
MUST_USE enum status run_forward_kv(struct run *r, const struct packed *p, const struct kv_batch *kv, const float **hidden,
                                    struct err *e);
#endif
