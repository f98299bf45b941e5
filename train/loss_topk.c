/* SPDX-License-Identifier: Apache-2.0
 * Forward KL on stored top-k targets (sheet A11). K = kept ids, t_i teacher probabilities, a = sum over K of t_i. The four
 * treatments of the tail differ in what they ask of the student's remaining mass:
 *   ghost   K plus one bucket of mass 1 - a (stored exactly): head exact, tail mass exact, tail shape free. The default.
 *   raw     sum t log(t/q): its optimum t/a is over-confident by 1/a
 *   renorm  t/a against q over the full vocabulary: pushes the tail to 0
 *   both    both renormalised over K: the tail is unconstrained (gradient 0 off K) */
#include "loss.h"

/* t log(t/q), 0 for t = 0. */
LOSS_FN double term(double log_t, double log_q) {
  double t = exp(log_t);
  return t > 0 ? t * (log_t - log_q) : 0;
}

struct kept {
  double tail_lse, head_lse, lse; /* of z / T off K, on K, of the whole row */
  double log_a;                   /* log of the teacher's kept mass */
  LOSS_KEPT_FIELD(z);             /* z / T of the kept ids: dz may overwrite z */
};

LOSS_FN void kept_fill(const struct loss_loops *v, const struct loss_position *x, float inv_t, struct kept *o) {
  o->tail_lse = loss_tail_lse(v, x, inv_t);
  o->head_lse = o->log_a = -INFINITY;
  LOSS_KEPT_ROOM(o->z, x);
  LOSS_ONCE(for (int32_t i = 0; i < x->k; i++) { o->z[i] = x->z[x->top_id[i]] * inv_t; });
  for (int32_t i = 0; i < x->k; i++) {
    o->head_lse = loss_add_logs(o->head_lse, (double)o->z[i]);
    o->log_a = loss_add_logs(o->log_a, (double)x->top_logprob[i]);
  }
  o->lse = loss_add_logs(o->tail_lse, o->head_lse);
}

LOSS_FN float inverse(const struct loss_params *p) {
  return (float)(1 / p->temperature);
}

LOSS_FN float scaled(const struct loss_params *p, const struct loss_position *x) {
  return (float)(x->grad_scale * loss_grad_scale(p));
}

LOSS_FN double ghost(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
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
    LOSS_ONCE(for (int32_t i = 0; i < x->k; i++) {
      x->dz[x->top_id[i]] = (float)(s * (exp((double)o.z[i] - o.lse) - exp((double)x->top_logprob[i])));
    });
  }
  return value * loss_value_scale(p);
}

LOSS_FN double raw(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  struct kept o;
  float inv_t = inverse(p), s = scaled(p, x);
  kept_fill(v, x, inv_t, &o);
  double value = 0, a = exp(o.log_a);
  for (int32_t i = 0; i < x->k; i++) {
    value += term((double)x->top_logprob[i], (double)o.z[i] - o.lse);
  }
  if (x->dz != NULL) {
    v->softmax(x->vocab, x->z, inv_t, o.lse, (float)(s * a), x->dz);
    LOSS_ONCE(for (int32_t i = 0; i < x->k; i++) {
      x->dz[x->top_id[i]] = (float)(s * (a * exp((double)o.z[i] - o.lse) - exp((double)x->top_logprob[i])));
    });
  }
  return value * loss_value_scale(p);
}

LOSS_FN double renorm(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  struct kept o;
  float inv_t = inverse(p), s = scaled(p, x);
  kept_fill(v, x, inv_t, &o);
  double value = 0;
  for (int32_t i = 0; i < x->k; i++) {
    value += term((double)x->top_logprob[i] - o.log_a, (double)o.z[i] - o.lse);
  }
  if (x->dz != NULL) {
    v->softmax(x->vocab, x->z, inv_t, o.lse, s, x->dz);
    LOSS_ONCE(for (int32_t i = 0; i < x->k; i++) {
      x->dz[x->top_id[i]] = (float)(s * (exp((double)o.z[i] - o.lse) - exp((double)x->top_logprob[i] - o.log_a)));
    });
  }
  return value * loss_value_scale(p);
}

LOSS_FN double both(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  struct kept o;
  float s = scaled(p, x);
  kept_fill(v, x, inverse(p), &o);
  double value = 0;
  for (int32_t i = 0; i < x->k; i++) {
    value += term((double)x->top_logprob[i] - o.log_a, (double)o.z[i] - o.head_lse);
  }
  if (x->dz != NULL) {
    v->zero(x->vocab, x->dz);
    LOSS_ONCE(for (int32_t i = 0; i < x->k; i++) {
      x->dz[x->top_id[i]] = (float)(s * (exp((double)o.z[i] - o.head_lse) - exp((double)x->top_logprob[i] - o.log_a)));
    });
  }
  return value * loss_value_scale(p);
}

LOSS_ROW(topk, "sum t log(t/q) over K and one bucket of the remaining mass", LOSS_TOPK | LOSS_ZERO, ghost)
LOSS_ROW(topk_ghost, "the same as topk", LOSS_TOPK | LOSS_ZERO, ghost)
LOSS_ROW(topk_raw, "sum t log(t/q) over K alone (biased: over-confident)", LOSS_TOPK, raw)
LOSS_ROW(topk_renorm, "sum t/a log(t/(a q)) over K (biased: no tail)", LOSS_TOPK, renorm)
LOSS_ROW(topk_both, "the same with q renormalised over K too", LOSS_TOPK | LOSS_ZERO, both)
