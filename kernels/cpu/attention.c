/* SPDX-License-Identifier: Apache-2.0
 * Attention over packed sequences, forward: causal, optional sliding window, grouped keys, any head_dim. Blocks of keys with a
 * running maximum and sum (Dao et al. 2022), so nothing of size T x T exists. A task takes some queries of all heads that
 * share one key head, stacked as rows (query, head), against that head's keys in blocks counted from the sequence's start:
 * a row's arithmetic depends on its own query and keys only, and decoding one token repeats it exactly. */
#include <math.h>
#include <string.h>

#include "attention.h"

_Thread_local float cpu_attn_scores[ATTN_ROWS * ATTN_KEYS] __attribute__((aligned(64)));
static _Thread_local float stacked_q[ATTN_FLOATS] __attribute__((aligned(64)));
static _Thread_local float stacked_o[ATTN_FLOATS] __attribute__((aligned(64)));

/* Heads of a group that one task takes together, and the queries beside each other. */
static int32_t heads_together(const struct attn_shape *a) {
  int64_t per = a->n_head / a->n_kv_head, most = cpu_min(ATTN_ROWS, ATTN_FLOATS / a->head_dim);
  return (int32_t)cpu_min(per, most);
}

static int32_t queries_together(const struct attn_shape *a) {
  int64_t most = cpu_min(ATTN_ROWS, ATTN_FLOATS / a->head_dim) / heads_together(a);
  return (int32_t)(most < ATTN_KEYS ? most : most / ATTN_KEYS * ATTN_KEYS);
}

struct softmax {
  float max[ATTN_ROWS], sum[ATTN_ROWS], fix[ATTN_ROWS];
};

/* Scores of one row to unnormalised probabilities; keys outside [lo, hi) of the block are invisible. fix gets the exponent of
 * the factor that earlier sums must be multiplied with. */
static void softmax_row(float *s, int64_t keys, int64_t lo, int64_t hi, float scale, float *max, float *sum, float *fix) {
  *fix = 0;
  for (int64_t j = 0; j < cpu_min(lo, keys); j++) {
    s[j] = -INFINITY;
  }
  for (int64_t j = hi > 0 ? hi : 0; j < keys; j++) {
    s[j] = -INFINITY;
  }
  if (lo >= hi) { /* nothing visible in this block */
    memset(s, 0, (size_t)keys * sizeof *s);
    return;
  }
  float most = cpu_isa.max_span(keys, s) * scale;
  if (most > *max) {
    *fix = *max - most; /* -inf the first time: factor 0 */
    *max = most;
  }
  *sum = *sum * (*fix == 0 ? 1.0f : expf(*fix)) + cpu_isa.exp_store(keys, s, scale, *max, s);
}

static void scale_row(float *o, int64_t n, float f) {
  for (int64_t c = 0; c < n; c++) {
    o[c] *= f;
  }
}

void cpu_attn_forward_rows(const struct attn_part *p) {
  static _Thread_local struct softmax sm;
  int64_t dh = p->head_dim, heads = p->heads, rows = heads * p->queries;
  float *s = cpu_attn_scores;
  for (int64_t r = 0; r < rows; r++) {
    memcpy(stacked_q + r * dh, p->q + r / heads * p->ldq + r % heads * dh, (size_t)dh * sizeof(float));
    sm.max[r] = -INFINITY;
    sm.sum[r] = 0;
  }
  memset(stacked_o, 0, (size_t)(rows * dh) * sizeof(float));
  int64_t end = p->first + p->queries; /* keys before this one may be visible; positions count from the sequence's start */
  int64_t j0 = p->window > 0 && p->first - p->window + 1 > 0 ? (p->first - p->window + 1) / ATTN_KEYS * ATTN_KEYS : 0;
  for (; j0 < end; j0 += ATTN_KEYS) {
    int64_t keys = cpu_min(ATTN_KEYS, end - j0), r0 = j0 > p->first ? (j0 - p->first) * heads : 0;
    cpu_gemm_block(rows - r0, keys, dh, stacked_q + r0 * dh, dh, 1, p->k + j0 * p->ldkv, p->ldkv, 1, s + r0 * ATTN_KEYS, ATTN_KEYS, 0);
    for (int64_t r = r0; r < rows; r++) {
      int64_t i = p->first + r / heads, lo = p->window > 0 ? i - p->window + 1 - j0 : 0;
      softmax_row(s + r * ATTN_KEYS, keys, lo > 0 ? lo : 0, cpu_min(i + 1 - j0, keys), p->scale, sm.max + r, sm.sum + r, sm.fix + r);
      if (sm.fix[r] != 0) {
        scale_row(stacked_o + r * dh, dh, expf(sm.fix[r]));
      }
    }
    cpu_gemm_block(rows - r0, dh, keys, s + r0 * ATTN_KEYS, ATTN_KEYS, 1, p->v + j0 * p->ldkv, p->ldkv, 0, stacked_o + r0 * dh, dh, 1);
  }
  for (int64_t r = 0; r < rows; r++) {
    float *out = p->out + r / heads * p->ldo + r % heads * dh, inv = 1.0f / sm.sum[r];
    for (int64_t c = 0; c < dh; c++) {
      out[c] = stacked_o[r * dh + c] * inv;
    }
    if (p->lse) {
      p->lse[r / heads * p->ldlse + r % heads] = sm.max[r] + logf(sm.sum[r]);
    }
  }
}

struct job {
  const struct seqs *s;
  const struct attn_shape *a;
  const float *q, *k, *v;
  const struct kv_view *cache; /* NULL: keys and values lie beside the queries */
  float *out, *lse;
  int64_t ldq, ldkv, ldo;
  int32_t heads, queries, splits, blocks; /* splits: tasks a (query block) has: groups x parts of a group */
};

/* Blocks of queries are counted over all sequences; the one with number `block` of the whole. */
static int32_t find_block(const struct job *p, int32_t block, int32_t *seq) {
  if (p->blocks == p->s->n_seq) { /* one each, as when decoding many streams: no search */
    *seq = block;
    return 0;
  }
  for (*seq = 0;; (*seq)++) {
    int32_t n = (p->s->start[*seq + 1] - p->s->start[*seq] + p->queries - 1) / p->queries;
    if (block < n) {
      return n - 1 - block; /* the last queries first: they have the most keys */
    }
    block -= n;
  }
}

static void forward_task(void *ctx, int task, int worker) {
  const struct job *p = ctx;
  const struct attn_shape *a = p->a;
  int32_t per = a->n_head / a->n_kv_head, parts = (per + p->heads - 1) / p->heads, split = task % p->splits, seq;
  int32_t g = split / parts, h = g * per + split % parts * p->heads;
  int32_t first = find_block(p, task / p->splits, &seq) * p->queries, length = p->s->start[seq + 1] - p->s->start[seq];
  int64_t at = p->s->start[seq], before = p->cache ? p->cache[seq].len - length : 0; /* keys older than the first query */
  struct attn_part part = {
      .first = before + first, .queries = (int32_t)cpu_min(p->queries, length - first), .heads = (int32_t)cpu_min(p->heads, (g + 1) * per - h),
      .head_dim = a->head_dim, .window = a->window, .scale = a->scale, .ldq = p->ldq, .ldkv = p->ldkv, .ldo = p->ldo, .ldlse = a->n_head,
      .q = p->q + (at + first) * p->ldq + (int64_t)h * a->head_dim, .out = p->out + (at + first) * p->ldo + (int64_t)h * a->head_dim,
      .lse = p->lse ? p->lse + (at + first) * a->n_head + h : NULL};
  part.k = (p->cache ? p->cache[seq].k : p->k + at * p->ldkv) + (int64_t)g * a->head_dim;
  part.v = (p->cache ? p->cache[seq].v : p->v + at * p->ldkv) + (int64_t)g * a->head_dim;
  (void)worker;
  cpu_attn_forward_rows(&part);
}

static void forward_run(struct job *p) {
  int32_t per = p->a->n_head / p->a->n_kv_head;
  p->heads = heads_together(p->a);
  p->queries = queries_together(p->a);
  p->splits = p->a->n_kv_head * ((per + p->heads - 1) / p->heads);
  for (int32_t i = 0; i < p->s->n_seq; i++) {
    p->blocks += (p->s->start[i + 1] - p->s->start[i] + p->queries - 1) / p->queries;
  }
  pool_run(p->blocks * p->splits, forward_task, p);
}

void cpu_attention_forward(KDEV, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq, const float *k,
                           const float *v, int64_t ldkv, float *out, int64_t ldo, float *lse) {
  struct job p = {.s = s, .a = a, .q = q, .k = k, .v = v, .out = out, .lse = lse, .ldq = ldq, .ldkv = ldkv, .ldo = ldo};
  forward_run(&p);
}

void cpu_attention_decode(KDEV, const struct seqs *s, const struct attn_shape *a, const float *q, const struct kv_view *cache, float *out) {
  int64_t width = (int64_t)a->n_head * a->head_dim;
  struct job p = {.s = s, .a = a, .q = q, .cache = cache, .out = out, .ldq = width, .ldkv = (int64_t)a->n_kv_head * a->head_dim, .ldo = width};
  forward_run(&p);
}
