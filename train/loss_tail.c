/* SPDX-License-Identifier: Apache-2.0
 * The student's mass off the kept ids (loss.h, loss_tail_lse). Summed as stretches between the kept ids and not as 1 - head: the
 * difference has no digits left where the student's tail is small, which is where the ghost bucket's gradient needs it. */
#include "loss.h"

/* Shell sort of the kept ids, so that the tail is k + 1 stretches. */
static void sort_ids(int32_t *id, int32_t n) {
  static const int32_t gaps[] = { 1750, 701, 301, 132, 57, 23, 10, 4, 1 };
  for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++) {
    int32_t gap = gaps[g];
    for (int32_t i = gap; i < n; i++) {
      int32_t v = id[i], j = i;
      for (; j >= gap && id[j - gap] > v; j -= gap) {
        id[j] = id[j - gap];
      }
      id[j] = v;
    }
  }
}

double loss_tail_lse(const struct loss_loops *v, const struct loss_position *x, float inv_t) {
  int32_t id[LOSS_MAX_K];
  memcpy(id, x->top_id, (size_t)x->k * sizeof *id);
  sort_ids(id, x->k);
  double tail = -INFINITY;
  int64_t at = 0;
  for (int32_t i = 0; i <= x->k; i++) {
    int64_t end = i < x->k ? id[i] : x->vocab;
    if (end > at) {
      tail = loss_add_logs(tail, v->lse(end - at, x->z + at, inv_t));
    }
    at = end + 1;
  }
  return tail;
}
