/* SPDX-License-Identifier: Apache-2.0
 * Statistics of rows of logits: log-sum-exp, and the exact top k with the log of the remaining mass. One row is one task's
 * work from start to end; the sums of exp are cpu_isa's. */
#include <math.h>

#include "cpu.h"

enum { SPAN = 256 };

struct job {
  int64_t vocab, k;
  const float *logits;
  float inv_temperature;
  float *lse, *logprob, *rest;
  int32_t *ids;
};

static void lse_row(void *ctx, int64_t row, int worker) {
  const struct job *p = ctx;
  const float *x = p->logits + row * p->vocab;
  float max = cpu_isa.max_span(p->vocab, x), shift = max * p->inv_temperature;
  (void)worker;
  if (isinf(max)) { /* all -inf, or one +inf: the limit is the maximum itself */
    p->lse[row] = max;
    return;
  }
  p->lse[row] = (float)((double)shift + log(cpu_isa.exp_sum(p->vocab, x, p->inv_temperature, shift)));
}

void cpu_row_lse(struct kdev *d, int64_t n, int64_t vocab, const float *logits, float temperature, float *lse) {
  struct job p = {.vocab = vocab, .logits = logits, .inv_temperature = 1.0f / temperature, .lse = lse};
  cpu_rows(d, n, lse_row, &p);
}

/* The order of the result: larger value first, then smaller id. */
static int before(const float *x, int32_t a, int32_t b) { return x[a] > x[b] || (x[a] == x[b] && a < b); }

/* Heap with the last of the kept k at the root. */
static void sift_down(const float *x, int32_t *heap, int64_t n, int64_t i) {
  for (;;) {
    int64_t child = 2 * i + 1;
    if (child >= n) {
      return;
    }
    if (child + 1 < n && before(x, heap[child], heap[child + 1])) {
      child++;
    }
    if (!before(x, heap[i], heap[child])) {
      return;
    }
    int32_t t = heap[i];
    heap[i] = heap[child];
    heap[child] = t;
    i = child;
  }
}

static void select_top(const float *x, int64_t vocab, int64_t k, int32_t *ids) {
  for (int64_t i = 0; i < k; i++) {
    ids[i] = (int32_t)i;
  }
  for (int64_t i = k / 2 - 1; i >= 0; i--) {
    sift_down(x, ids, k, i);
  }
  for (int64_t from = k; from < vocab; from += SPAN) {
    int64_t end = cpu_min(from + SPAN, vocab);
    if (!(cpu_isa.max_span(end - from, x + from) > x[ids[0]])) {
      continue;
    }
    for (int64_t i = from; i < end; i++) {
      if (x[i] > x[ids[0]]) { /* equal values: the earlier id stays */
        ids[0] = (int32_t)i;
        sift_down(x, ids, k, 0);
      }
    }
  }
  for (int64_t n = k - 1; n > 0; n--) {
    int32_t t = ids[0];
    ids[0] = ids[n];
    ids[n] = t;
    sift_down(x, ids, n, 0);
  }
}

/* Sum of exp(x - max) over all but the kept ids. Summed itself: total - kept would lose a small rest. A stretch without a
 * kept id is one exp_sum; the others go value by value. */
static double rest_sum(const float *x, int64_t vocab, const int32_t *ids, int64_t k, float max) {
  float last = x[ids[k - 1]], skip[SPAN];
  double sum = 0;
  for (int64_t from = 0; from < vocab; from += SPAN) {
    int64_t end = cpu_min(from + SPAN, vocab);
    if (cpu_isa.max_span(end - from, x + from) < last) {
      sum += cpu_isa.exp_sum(end - from, x + from, 1, max);
      continue;
    }
    for (int64_t i = from; i < end; i++) {
      int kept = x[i] > last || (x[i] == last && i <= ids[k - 1]);
      skip[i - from] = kept ? -INFINITY : x[i];
    }
    sum += cpu_isa.exp_sum(end - from, skip, 1, max);
  }
  return sum;
}

static void topk_row(void *ctx, int64_t row, int worker) {
  const struct job *p = ctx;
  const float *x = p->logits + row * p->vocab;
  int32_t *ids = p->ids + row * p->k;
  int64_t k = p->k;
  double kept = 0;
  (void)worker;
  select_top(x, p->vocab, k, ids);
  float max = x[ids[0]];
  for (int64_t i = 0; i < k; i++) {
    kept += exp((double)x[ids[i]] - (double)max);
  }
  double rest = rest_sum(x, p->vocab, ids, k, max), lse = log(kept + rest);
  for (int64_t i = 0; i < k; i++) {
    p->logprob[row * k + i] = (float)((double)x[ids[i]] - (double)max - lse);
  }
  p->rest[row] = (float)(rest > 0 ? log(rest) - lse : -INFINITY);
}

void cpu_row_topk(struct kdev *d, int64_t n, int64_t vocab, int64_t k, const float *logits, int32_t *ids, float *logprob, float *rest) {
  struct job p = {.vocab = vocab, .k = cpu_min(k, vocab), .logits = logits, .ids = ids, .logprob = logprob, .rest = rest};
  cpu_rows(d, n, topk_row, &p);
}
