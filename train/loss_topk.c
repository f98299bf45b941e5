/* SPDX-License-Identifier: Apache-2.0
 * Forward KL on stored top-k targets (sheet A11). K = kept ids, t_i teacher probabilities, a = sum over K of t_i. The four
 * treatments of the tail differ in what they ask of the student's remaining mass:
 *   ghost   K plus one bucket of mass 1 - a (stored exactly): head exact, tail mass exact, tail shape free. The default.
 *   raw     sum t log(t/q): its optimum t/a is over-confident by 1/a
 *   renorm  t/a against q over the full vocabulary: pushes the tail to 0
 *   both    both renormalised over K: the tail is unconstrained (gradient 0 off K) */
#include <math.h>
#include <string.h>
#include "loss.h"

static double add_logs(double a, double b) {
  double hi = a > b ? a : b, lo = a > b ? b : a;
  return lo == -INFINITY ? hi : hi + log1p(exp(lo - hi));
}

/* t log(t/q), 0 for t = 0. */
static double term(double log_t, double log_q) {
  double t = exp(log_t);
  return t > 0 ? t * (log_t - log_q) : 0;
}

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

struct kept {
  double tail_lse, head_lse, lse; /* of z / T off K, on K, of the whole row */
  double log_a;                   /* log of the teacher's kept mass */
  float z[LOSS_MAX_K];            /* z / T of the kept ids: dz may overwrite z */
};

/* The tail is summed as stretches between the kept ids and not as 1 - head: the difference has no digits left where
 * the student's tail is small, which is where ghost's gradient needs it. */
static void kept_fill(const struct loss_loops *v, const struct loss_position *x, float inv_t, struct kept *o) {
  int32_t id[LOSS_MAX_K];
  memcpy(id, x->top_id, (size_t)x->k * sizeof *id);
  sort_ids(id, x->k);
  o->tail_lse = o->head_lse = o->log_a = -INFINITY;
  int64_t at = 0;
  for (int32_t i = 0; i <= x->k; i++) {
    int64_t end = i < x->k ? id[i] : x->vocab;
    if (end > at) {
      o->tail_lse = add_logs(o->tail_lse, v->lse(end - at, x->z + at, inv_t));
    }
    at = end + 1;
  }
  for (int32_t i = 0; i < x->k; i++) {
    o->z[i] = x->z[x->top_id[i]] * inv_t;
    o->head_lse = add_logs(o->head_lse, (double)o->z[i]);
    o->log_a = add_logs(o->log_a, (double)x->top_logprob[i]);
  }
  o->lse = add_logs(o->tail_lse, o->head_lse);
}

static float inverse(const struct loss_params *p) {
  return (float)(1 / p->temperature);
}

static float scaled(const struct loss_params *p, const struct loss_position *x) {
  return (float)(x->grad_scale * loss_grad_scale(p));
}

static double ghost(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  struct kept o;
  float inv_t = inverse(p), s = scaled(p, x);
  kept_fill(v, x, inv_t, &o);
  double value = 0, tail = o.tail_lse - o.lse, rest = exp((double)x->rest);
  for (int32_t i = 0; i < x->k; i++) {
    value += term((double)x->top_logprob[i], (double)o.z[i] - o.lse);
  }
  value += term((double)x->rest, tail);
  if (x->dz != NULL) {
    /* off K: (tail of q - tail of p) spread as the student spreads its tail */
    if (o.tail_lse > -INFINITY) {
      v->softmax(x->vocab, x->z, inv_t, o.tail_lse, (float)(s * (exp(tail) - rest)), x->dz);
    }
    for (int32_t i = 0; i < x->k; i++) {
      x->dz[x->top_id[i]] = (float)(s * (exp((double)o.z[i] - o.lse) - exp((double)x->top_logprob[i])));
    }
  }
  return value * loss_value_scale(p);
}

static double raw(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  struct kept o;
  float inv_t = inverse(p), s = scaled(p, x);
  kept_fill(v, x, inv_t, &o);
  double value = 0, a = exp(o.log_a);
  for (int32_t i = 0; i < x->k; i++) {
    value += term((double)x->top_logprob[i], (double)o.z[i] - o.lse);
  }
  if (x->dz != NULL) {
    v->softmax(x->vocab, x->z, inv_t, o.lse, (float)(s * a), x->dz);
    for (int32_t i = 0; i < x->k; i++) {
      x->dz[x->top_id[i]] = (float)(s * (a * exp((double)o.z[i] - o.lse) - exp((double)x->top_logprob[i])));
    }
  }
  return value * loss_value_scale(p);
}

static double renorm(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  struct kept o;
  float inv_t = inverse(p), s = scaled(p, x);
  kept_fill(v, x, inv_t, &o);
  double value = 0;
  for (int32_t i = 0; i < x->k; i++) {
    value += term((double)x->top_logprob[i] - o.log_a, (double)o.z[i] - o.lse);
  }
  if (x->dz != NULL) {
    v->softmax(x->vocab, x->z, inv_t, o.lse, s, x->dz);
    for (int32_t i = 0; i < x->k; i++) {
      x->dz[x->top_id[i]] = (float)(s * (exp((double)o.z[i] - o.lse) - exp((double)x->top_logprob[i] - o.log_a)));
    }
  }
  return value * loss_value_scale(p);
}

static double both(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  struct kept o;
  float s = scaled(p, x);
  kept_fill(v, x, inverse(p), &o);
  double value = 0;
  for (int32_t i = 0; i < x->k; i++) {
    value += term((double)x->top_logprob[i] - o.log_a, (double)o.z[i] - o.head_lse);
  }
  if (x->dz != NULL) {
    memset(x->dz, 0, (size_t)x->vocab * sizeof *x->dz);
    for (int32_t i = 0; i < x->k; i++) {
      x->dz[x->top_id[i]] = (float)(s * (exp((double)o.z[i] - o.head_lse) - exp((double)x->top_logprob[i] - o.log_a)));
    }
  }
  return value * loss_value_scale(p);
}

const struct loss loss_topk = { "topk", "sum t log(t/q) over K and one bucket of the remaining mass", LOSS_TOPK | LOSS_ZERO, ghost };
const struct loss loss_topk_ghost = { "topk_ghost", "the same as topk", LOSS_TOPK | LOSS_ZERO, ghost };
const struct loss loss_topk_raw = { "topk_raw", "sum t log(t/q) over K alone (biased: over-confident)", LOSS_TOPK, raw };
const struct loss loss_topk_renorm = { "topk_renorm", "sum t/a log(t/(a q)) over K (biased: no tail)", LOSS_TOPK, renorm };
const struct loss loss_topk_both = { "topk_both", "the same with q renormalised over K too", LOSS_TOPK | LOSS_ZERO, both };
