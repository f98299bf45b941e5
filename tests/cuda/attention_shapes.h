/* SPDX-License-Identifier: Apache-2.0
 * Shapes of attention for cuda_attention*_test.c: grouped heads, odd head sizes, sliding windows, documents of one token and of
 * more than one block of queries. */
#ifndef TESTS_CUDA_ATTENTION_SHAPES_H
#define TESTS_CUDA_ATTENTION_SHAPES_H
#include "cuda/rows.h"

struct shape {
  int32_t heads, groups, dh, window;
  int32_t lengths[6]; /* 0 ends */
};
static const struct shape shapes[] = {
    {1, 1, 1, 0, {1}},       {2, 1, 10, 0, {3, 1, 5}}, {3, 3, 37, 4, {17, 2}},   {6, 2, 16, 0, {40, 1, 30}},
    {4, 2, 64, 20, {70, 9}}, {2, 2, 32, 1, {40}},      {4, 1, 24, 64, {64, 65, 3}}, {2, 1, 8, 100, {270, 20}},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static inline void shape_of(const struct shape *s, int32_t *start, struct seqs *seqs, struct attn_shape *a) {
  int32_t i = 0;
  start[0] = 0;
  for (; i < 6 && s->lengths[i] > 0; i++) {
    start[i + 1] = start[i] + s->lengths[i];
  }
  *seqs = (struct seqs){start[i], i, start};
  *a = (struct attn_shape){s->heads, s->groups, s->dh, s->window, (float)(1 / sqrt((double)s->dh))};
}
#endif
