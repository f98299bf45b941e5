/* SPDX-License-Identifier: Apache-2.0
 * Rows from here to there: picked by a list, put back by a list, appended to key-value caches. */
#include <string.h>

#include "cpu.h"

struct move {
  const int32_t *row;
  const float *from;
  float *to;
  int64_t width;
};

static void gather_range(void *ctx, int64_t begin, int64_t end) {
  const struct move *p = ctx;
  for (int64_t i = begin; i < end; i++) {
    memcpy(p->to + i * p->width, p->from + p->row[i] * p->width, (size_t)p->width * sizeof(float));
  }
}

static void scatter_range(void *ctx, int64_t begin, int64_t end) {
  const struct move *p = ctx;
  for (int64_t i = begin; i < end; i++) {
    memcpy(p->to + p->row[i] * p->width, p->from + i * p->width, (size_t)p->width * sizeof(float));
  }
}

void cpu_gather_rows(KDEV, int64_t n, int64_t width, const int32_t *row, const float *from, float *to) {
  struct move p = {row, from, to, width};
  cpu_for(n, cpu_row_chunk(width), gather_range, &p);
}

void cpu_scatter_rows(KDEV, int64_t n, int64_t width, const int32_t *row, const float *from, float *to) {
  struct move p = {row, from, to, width};
  cpu_for(n, cpu_row_chunk(width), scatter_range, &p);
}

void cpu_kv_store(KDEV, const struct seqs *s, int64_t width, const struct kv_view *cache, const float *k, const float *v) {
  for (int32_t i = 0; i < s->n_seq; i++) {
    int64_t n = s->start[i + 1] - s->start[i], at = (cache[i].len - n) * width;
    memcpy(cache[i].k + at, k + s->start[i] * width, (size_t)(n * width) * sizeof(float));
    memcpy(cache[i].v + at, v + s->start[i] * width, (size_t)(n * width) * sizeof(float));
  }
}
