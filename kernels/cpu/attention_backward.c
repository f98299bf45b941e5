/* SPDX-License-Identifier: Apache-2.0
 * Gradient of attention. With P = exp(scale * q k^T - lse), delta = rowsum(dout * out):
 *   dv = P^T dout,  dS = P * (dout v^T - delta) * scale,  dq = dS k,  dk = dS^T q   (Dao et al. 2022, algorithm 4).
 * A task is one head of one sequence; gradients of keys shared by several heads are kept apart in the scratch and added in
 * the order of heads afterwards, so threads never change a sum. */
#include <math.h>
#include <string.h>

#include "attention.h"

static _Thread_local float dscores[ATTN_ROWS * ATTN_KEYS] __attribute__((aligned(64)));

struct job {
  const struct seqs *s;
  const struct attn_shape *a;
  const float *q, *k, *v, *out, *dout, *lse;
  float *dq, *dk, *dv, *part_dk, *part_dv, *delta; /* part_*(n_tok, H, dh), delta(n_tok, H) */
  int64_t ldq, ldkv, ldo;
};

size_t cpu_attention_backward_scratch_bytes(const struct seqs *s, const struct attn_shape *a) {
  return (size_t)s->n_tok * (size_t)a->n_head * (2 * (size_t)a->head_dim + 1) * sizeof(float);
}

/* Row of scores to P, and of dout v^T to dS, both 0 where the key is invisible. */
static void gradient_row(float *s, float *ds, int64_t keys, int64_t lo, int64_t hi, float scale, float lse, float delta) {
  lo = lo < 0 ? 0 : cpu_min(lo, keys);
  hi = cpu_min(hi, keys);
  for (int64_t j = 0; j < keys; j++) {
    s[j] = j >= lo && j < hi ? s[j] : -INFINITY;
  }
  cpu_isa.exp_store(keys, s, scale, lse, s);
  for (int64_t j = 0; j < keys; j++) {
    ds[j] = s[j] * (ds[j] - delta) * scale;
  }
}

/* One block of keys from j0 against one block of queries from i0; positions in the sequence that starts at token `at`. */
static void gradient_block(const struct job *p, int64_t at, int32_t h, int64_t j0, int64_t keys, int64_t i0, int64_t rows) {
  const struct attn_shape *a = p->a;
  int64_t dh = a->head_dim, g = h / (a->n_head / a->n_kv_head), row = at + i0, width = a->n_head * dh;
  const float *q = p->q + row * p->ldq + h * dh, *dout = p->dout + row * p->ldo + h * dh;
  const float *k = p->k + (at + j0) * p->ldkv + g * dh, *v = p->v + (at + j0) * p->ldkv + g * dh;
  float *s = cpu_attn_scores, *ds = dscores;
  int first = i0 == j0; /* the block on the diagonal comes first */
  cpu_gemm_block(rows, keys, dh, q, p->ldq, 1, k, p->ldkv, 1, s, ATTN_KEYS, 0);
  cpu_gemm_block(rows, keys, dh, dout, p->ldo, 1, v, p->ldkv, 1, ds, ATTN_KEYS, 0);
  for (int64_t r = 0; r < rows; r++) {
    int64_t i = i0 + r, stat = (row + r) * a->n_head + h;
    gradient_row(s + r * ATTN_KEYS, ds + r * ATTN_KEYS, keys, a->window > 0 ? i - a->window + 1 - j0 : 0, i + 1 - j0, a->scale,
                 p->lse[stat], p->delta[stat]);
  }
  int64_t part = (at + j0) * width + h * dh;
  cpu_gemm_block(keys, dh, rows, s, 1, ATTN_KEYS, dout, p->ldo, 0, p->part_dv + part, width, !first);
  cpu_gemm_block(keys, dh, rows, ds, 1, ATTN_KEYS, q, p->ldq, 0, p->part_dk + part, width, !first);
  cpu_gemm_block(rows, dh, keys, ds, ATTN_KEYS, 1, k, p->ldkv, 0, p->dq + row * p->ldq + h * dh, p->ldq, 1);
}

static void head_task(void *ctx, int task, int worker) {
  const struct job *p = ctx;
  const struct attn_shape *a = p->a;
  int32_t seq = task / a->n_head, h = task % a->n_head;
  int64_t at = p->s->start[seq], length = p->s->start[seq + 1] - at, dh = a->head_dim;
  (void)worker;
  for (int64_t i = at; i < at + length; i++) {
    const float *o = p->out + i * p->ldo + h * dh, *d = p->dout + i * p->ldo + h * dh;
    double delta = 0;
    for (int64_t c = 0; c < dh; c++) {
      delta += (double)o[c] * (double)d[c];
    }
    p->delta[i * a->n_head + h] = (float)delta;
    memset(p->dq + i * p->ldq + h * dh, 0, (size_t)dh * sizeof(float));
  }
  for (int64_t j0 = 0; j0 < length; j0 += ATTN_KEYS) {
    int64_t keys = cpu_min(ATTN_KEYS, length - j0);
    int64_t end = a->window > 0 ? cpu_min(length, j0 + keys - 1 + a->window) : length; /* queries that see one of the keys */
    for (int64_t i0 = j0; i0 < end; i0 += ATTN_ROWS) {
      gradient_block(p, at, h, j0, keys, i0, cpu_min(ATTN_ROWS, end - i0));
    }
  }
}

static void add_heads(void *ctx, int64_t begin, int64_t end) {
  const struct job *p = ctx;
  const struct attn_shape *a = p->a;
  int64_t dh = a->head_dim, per = a->n_head / a->n_kv_head;
  for (int64_t i = begin; i < end; i++) {
    for (int64_t g = 0; g < a->n_kv_head; g++) {
      int64_t from = (i * a->n_head + g * per) * dh;
      float *dk = p->dk + i * p->ldkv + g * dh, *dv = p->dv + i * p->ldkv + g * dh;
      memcpy(dk, p->part_dk + from, (size_t)dh * sizeof *dk);
      memcpy(dv, p->part_dv + from, (size_t)dh * sizeof *dv);
      for (int64_t h = 1; h < per; h++) {
        for (int64_t c = 0; c < dh; c++) {
          dk[c] += p->part_dk[from + h * dh + c];
          dv[c] += p->part_dv[from + h * dh + c];
        }
      }
    }
  }
}

void cpu_attention_backward(KDEV, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq, const float *k,
                            const float *v, int64_t ldkv, const float *out, const float *dout, int64_t ldo, const float *lse, float *dq,
                            float *dk, float *dv, void *scratch) {
  struct job p = {.s = s, .a = a, .q = q, .k = k, .v = v, .out = out, .dout = dout, .lse = lse, .dq = dq, .dk = dk, .dv = dv,
                  .ldq = ldq, .ldkv = ldkv, .ldo = ldo};
  int64_t width = (int64_t)a->n_head * a->head_dim;
  p.part_dk = scratch;
  p.part_dv = p.part_dk + s->n_tok * width;
  p.delta = p.part_dv + s->n_tok * width;
  pool_run(s->n_seq * a->n_head, head_task, &p);
  cpu_for(s->n_tok, cpu_row_chunk(width), add_heads, &p);
}
