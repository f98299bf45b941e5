/* SPDX-License-Identifier: Apache-2.0
 * Inside of attention: sizes of blocks and the row arithmetic that the forward pass and decoding share. */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H
#include "cpu.h"
#include "pool.h"

enum {
  ATTN_KEYS = 64,      /* keys a block; part of the arithmetic: changing it changes results */
  ATTN_ROWS = 192,     /* rows (query, head) a task takes at most */
  ATTN_FLOATS = 16384, /* and their rows * head_dim; head_dim is at most this */
};

/* Queries [first, first + queries) of one sequence (positions from its start), `heads` heads that share one key head. */
struct attn_part {
  int64_t first, ldq, ldkv, ldo, ldlse;
  int32_t queries, heads, head_dim, window;
  float scale;
  const float *q;     /* (queries, heads, head_dim) from the first query's first head */
  const float *k, *v; /* that key head's row of the sequence's first token */
  float *out, *lse;   /* lse may be NULL */
};
void cpu_attn_forward_rows(const struct attn_part *p);

extern _Thread_local float cpu_attn_scores[ATTN_ROWS * ATTN_KEYS];
#endif
