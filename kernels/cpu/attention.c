/* SPDX-License-Identifier: Apache-2.0
 * Attention over packed sequences: causal, optional sliding window, grouped keys, forward and backward. */
#include <math.h>
#include <string.h>

#include "cpu.h"
#include "pool.h"

struct job {
  const struct seqs *s;
  const struct attn_shape *a;
  const float *q, *k, *v, *out, *dout, *lse_in;
  float *o, *lse, *dq, *dk, *dv;
  int64_t ldq, ldkv, ldo;
};

static int32_t seq_of(const struct seqs *s, int32_t tok) {
  int32_t lo = 0, hi = s->n_seq - 1;
  while (lo < hi) {
    int32_t mid = lo + (hi - lo + 1) / 2;
    if (s->start[mid] <= tok) {
      lo = mid;
    } else {
      hi = mid - 1;
    }
  }
  return lo;
}

static int32_t first_key(const struct attn_shape *a, int32_t start, int32_t tok) {
  return a->window > 0 && tok - a->window + 1 > start ? tok - a->window + 1 : start;
}

static float dot(const float *a, const float *b, int32_t n) {
  float s = 0;
  for (int32_t c = 0; c < n; c++) {
    s += a[c] * b[c];
  }
  return s;
}

/* One query of one head against keys [first, last] (rows of k and v, stride ldkv); lse may be NULL. */
void cpu_attention_row(int32_t dh, float scale, const float *q, const float *k, const float *v, int64_t ldkv, int32_t first, int32_t last,
                       float *o, float *lse) {
  float max = -INFINITY, sum = 0;
  memset(o, 0, (size_t)dh * sizeof *o);
  for (int32_t j = first; j <= last; j++) {
    float s = dot(q, k + j * ldkv, dh) * scale;
    if (s > max) {
      float fix = expf(max - s);
      sum *= fix;
      for (int32_t c = 0; c < dh; c++) {
        o[c] *= fix;
      }
      max = s;
    }
    float e = expf(s - max);
    sum += e;
    for (int32_t c = 0; c < dh; c++) {
      o[c] += e * v[j * ldkv + c];
    }
  }
  for (int32_t c = 0; c < dh; c++) {
    o[c] /= sum;
  }
  if (lse) {
    *lse = max + logf(sum);
  }
}

static void forward_row(void *ctx, int64_t row, int worker) {
  const struct job *p = ctx;
  const struct attn_shape *a = p->a;
  int32_t i = (int32_t)(row / a->n_head), h = (int32_t)(row % a->n_head), dh = a->head_dim;
  int64_t g = (int64_t)(h / (a->n_head / a->n_kv_head)) * dh;
  (void)worker;
  cpu_attention_row(dh, a->scale, p->q + i * p->ldq + (int64_t)h * dh, p->k + g, p->v + g, p->ldkv,
                    first_key(a, p->s->start[seq_of(p->s, i)], i), i, p->o + i * p->ldo + (int64_t)h * dh, p->lse ? p->lse + row : NULL);
}

void cpu_attention_forward(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq, const float *k,
                           const float *v, int64_t ldkv, float *out, int64_t ldo, float *lse) {
  struct job p = {.s = s, .a = a, .q = q, .k = k, .v = v, .o = out, .lse = lse, .ldq = ldq, .ldkv = ldkv, .ldo = ldo};
  cpu_rows(d, (int64_t)s->n_tok * a->n_head, forward_row, &p);
}

size_t cpu_attention_backward_scratch_bytes(const struct seqs *s, const struct attn_shape *a) {
  (void)s;
  (void)a;
  return 64;
}

static void backward_group(void *ctx, int task, int worker) {
  const struct job *p = ctx;
  const struct attn_shape *a = p->a;
  int32_t seq = task / a->n_kv_head, g = task % a->n_kv_head, dh = a->head_dim, per = a->n_head / a->n_kv_head;
  int32_t start = p->s->start[seq], end = p->s->start[seq + 1];
  (void)worker;
  for (int32_t i = start; i < end; i++) {
    memset(p->dk + i * p->ldkv + (int64_t)g * dh, 0, (size_t)dh * sizeof(float));
    memset(p->dv + i * p->ldkv + (int64_t)g * dh, 0, (size_t)dh * sizeof(float));
  }
  for (int32_t h = g * per; h < (g + 1) * per; h++) {
    for (int32_t i = start; i < end; i++) {
      int64_t at = i * p->ldo + (int64_t)h * dh;
      const float *q = p->q + i * p->ldq + (int64_t)h * dh, *dout = p->dout + at;
      float *dq = p->dq + i * p->ldq + (int64_t)h * dh;
      float delta = dot(p->out + at, dout, dh), lse = p->lse_in[(int64_t)i * a->n_head + h];
      memset(dq, 0, (size_t)dh * sizeof *dq);
      for (int32_t j = first_key(a, start, i); j <= i; j++) {
        const float *k = p->k + j * p->ldkv + (int64_t)g * dh, *v = p->v + j * p->ldkv + (int64_t)g * dh;
        float *dk = p->dk + j * p->ldkv + (int64_t)g * dh, *dv = p->dv + j * p->ldkv + (int64_t)g * dh;
        float e = expf(dot(q, k, dh) * a->scale - lse);
        float ds = e * (dot(dout, v, dh) - delta) * a->scale;
        for (int32_t c = 0; c < dh; c++) {
          dv[c] += e * dout[c];
          dk[c] += ds * q[c];
          dq[c] += ds * k[c];
        }
      }
    }
  }
}

void cpu_attention_backward(KDEV, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq, const float *k,
                            const float *v, int64_t ldkv, const float *out, const float *dout, int64_t ldo, const float *lse, float *dq,
                            float *dk, float *dv, void *scratch) {
  struct job p = {.s = s, .a = a, .q = q, .k = k, .v = v, .out = out, .dout = dout, .lse_in = lse, .dq = dq, .dk = dk, .dv = dv,
                  .ldq = ldq, .ldkv = ldkv, .ldo = ldo};
  (void)scratch;
  pool_run(s->n_seq * a->n_kv_head, backward_group, &p);
}
