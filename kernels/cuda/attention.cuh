/* SPDX-License-Identifier: Apache-2.0
 * What the forward and the backward pass of attention share: blocks of queries over the whole packed row of tokens, their keys,
 * and the three kinds of products, batched over heads. Scores exist for one block of queries at a time, (head, query, key), in the
 * lane's scratch; a block holds as many queries as fit there, at most ATTENTION_ROWS (more would waste products above the diagonal). */
#ifndef KERNELS_CUDA_ATTENTION_CUH
#define KERNELS_CUDA_ATTENTION_CUH
#include <math.h>

#include "block.cuh"
#include "cuda_dev.h"

enum { ATTENTION_ROWS = 256, ATTENTION_THREADS = 128 };

/* First key that query i may see; start is the document's. */
static __host__ __device__ int64_t attention_first_key(int64_t i, int64_t start, int32_t window) {
  return window > 0 && i - window + 1 > start ? i - window + 1 : start;
}

/* Number of the document of token t. */
static __host__ __device__ int32_t attention_document(const int32_t *start, int32_t n_seq, int64_t t) {
  int32_t lo = 0, hi = n_seq;
  while (hi - lo > 1) {
    int32_t mid = (lo + hi) / 2;
    if (start[mid] <= t) {
      lo = mid;
    } else {
      hi = mid;
    }
  }
  return lo;
}

/* Queries [first, first + rows) of the packed row against keys [key, key + keys): scores(H, rows, keys). */
struct attention_block {
  int64_t first, rows, key, keys;
};

/* The next block from query `first`, whose `buffers` score matrices fit the scratch; rows = 0 (and noted) when one query does not. */
static struct attention_block attention_next(struct kdev *d, const struct seqs *s, const struct attn_shape *a, int64_t first, int buffers) {
  struct attention_block b;
  b.first = first;
  b.key = attention_first_key(first, s->start[attention_document(s->start, s->n_seq, first)], a->window);
  for (b.rows = cuda_min(ATTENTION_ROWS, s->n_tok - first); b.rows > 0; b.rows /= 2) {
    b.keys = first + b.rows - b.key;
    if (static_cast<uint64_t>(b.rows) * static_cast<uint64_t>(b.keys) * static_cast<uint64_t>(a->n_head) * sizeof(float) * static_cast<unsigned>(buffers) <=
        d->work_bytes) {
      return b;
    }
  }
  cuda_note_text(d, "the scores of one query of attention do not fit the device's scratch; use a shorter context", __FILE__, __LINE__);
  return b;
}

/* One kind of product for all heads. Query-side operands step dh a head, key-side ones dh a group, scores rows * keys a head.
 * Batched over groups or over the heads of a group, whichever needs fewer calls; with `sum`, heads of a group add into one result
 * and follow each other. */
struct attention_operand {
  const float *p;
  int64_t ld, by_head, by_group; /* by_head: step inside a group; by_group: from group to group */
};

static void attention_multiply(struct kdev *d, const struct attn_shape *a, int64_t m, int64_t n, int64_t k, struct attention_operand x, int tx,
                               struct attention_operand y, int ty, struct attention_operand z, int add, int sum) {
  int64_t per = a->n_head / a->n_kv_head, over_groups = sum || per <= a->n_kv_head, calls = over_groups ? per : a->n_kv_head;
  for (int64_t i = 0; i < calls; i++) {
    struct cuda_product p = {};
    p.m = m;
    p.n = n;
    p.k = k;
    p.ta = tx;
    p.tb = ty;
    p.lda = x.ld;
    p.ldb = y.ld;
    p.ldc = z.ld;
    p.a = x.p + i * (over_groups ? x.by_head : x.by_group);
    p.b = y.p + i * (over_groups ? y.by_head : y.by_group);
    p.c = const_cast<float *>(z.p) + i * (over_groups ? z.by_head : z.by_group);
    p.stride_a = over_groups ? x.by_group : x.by_head;
    p.stride_b = over_groups ? y.by_group : y.by_head;
    p.stride_c = over_groups ? z.by_group : z.by_head;
    p.batch = over_groups ? a->n_kv_head : per;
    p.add = add || (sum && i > 0);
    cuda_multiply(d, &p);
  }
}

/* Operands: rows of queries (or outputs, gradients), rows of keys (or values), scores. */
static struct attention_operand attention_queries(const struct attn_shape *a, const float *p, int64_t ld) {
  int64_t per = a->n_head / a->n_kv_head;
  return {p, ld, a->head_dim, per * a->head_dim};
}

static struct attention_operand attention_keys(const struct attn_shape *a, const float *p, int64_t ld) { return {p, ld, 0, a->head_dim}; }

static struct attention_operand attention_scores(const struct attn_shape *a, const float *p, const struct attention_block *b) {
  int64_t per = a->n_head / a->n_kv_head;
  return {p, b->keys, b->rows * b->keys, per * b->rows * b->keys};
}
#endif
