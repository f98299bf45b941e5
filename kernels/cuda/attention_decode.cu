/* SPDX-License-Identifier: Apache-2.0
 * Decoding: the last queries of each stream against that stream's cache (kernels/cpu/attention.c, attention_decode). A block is a
 * query and the heads that share one key head; keys come in tiles counted from the cache's beginning with a running maximum and
 * sum, so a query's bits depend on itself and its keys only, never on the batch. */
#include <math.h>

#include "block.cuh"
#include "cuda_dev.h"

enum { THREADS = 128, TILE = 64 };

struct decode_args {
  int32_t n_seq, n_head, n_kv_head, head_dim, window;
  float scale;
  const int32_t *start;
  const struct kv_view *cache;
  const float *q;
  float *out;
};

/* Scores of one tile: a warp a key, all heads of the group; -inf where the query does not see. */
static __device__ void score_tile(const struct decode_args *a, int per, const float *query, const float *k, int64_t ldkv, int64_t j0, int64_t lo,
                                  int64_t hi, float *p) {
  int lane = static_cast<int>(threadIdx.x % 32);
  for (int j = static_cast<int>(threadIdx.x / 32); j < TILE; j += THREADS / 32) {
    int seen = j0 + j >= lo && j0 + j < hi;
    for (int h = 0; h < per; h++) {
      float dot = 0;
      for (int c = lane; seen && c < a->head_dim; c += 32) {
        dot = fmaf(query[h * a->head_dim + c], k[(j0 + j) * ldkv + c], dot);
      }
      dot = warp_sum(dot);
      if (lane == 0) {
        p[h * TILE + j] = seen ? dot * a->scale : -INFINITY;
      }
    }
  }
}

static __global__ void decode_kernel(struct decode_args a) {
  CUDA_SHARED(float, shared);
  int per = a.n_head / a.n_kv_head, wide = per * a.head_dim, warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  float *query = shared, *acc = query + wide, *p = acc + wide, *most = p + per * TILE, *sum = most + per, *fix = sum + per;
  int64_t t = blockIdx.x, g = blockIdx.y, ldkv = static_cast<int64_t>(a.n_kv_head) * a.head_dim;
  int32_t seq = 0;
  for (int32_t hi = a.n_seq; hi - seq > 1;) {
    int32_t mid = (seq + hi) / 2;
    if (a.start[mid] <= t) {
      seq = mid;
    } else {
      hi = mid;
    }
  }
  struct kv_view view = a.cache[seq];
  const float *k = view.k + g * a.head_dim, *v = view.v + g * a.head_dim;
  int64_t end = view.len - (a.start[seq + 1] - t) + 1, lo = a.window > 0 && end > a.window ? end - a.window : 0;
  for (int i = static_cast<int>(threadIdx.x); i < wide; i += THREADS) {
    query[i] = a.q[(t * a.n_kv_head + g) * wide + i];
    acc[i] = 0;
  }
  for (int h = static_cast<int>(threadIdx.x); h < per; h += THREADS) {
    most[h] = -INFINITY;
    sum[h] = 0;
  }
  for (int64_t j0 = lo / TILE * TILE; j0 < end; j0 += TILE) {
    __syncthreads();
    score_tile(&a, per, query, k, ldkv, j0, lo, end, p);
    __syncthreads();
    for (int h = warp; h < per; h += THREADS / 32) {
      float s0 = p[h * TILE + lane], s1 = p[h * TILE + 32 + lane], old = most[h], now = fmaxf(old, warp_max(fmaxf(s0, s1)));
      float e0 = expf(s0 - now), e1 = expf(s1 - now), all = warp_sum(e0 + e1);
      __syncwarp();
      p[h * TILE + lane] = e0;
      p[h * TILE + 32 + lane] = e1;
      if (lane == 0) {
        float f = expf(old - now); /* 0 the first time */
        most[h] = now;
        fix[h] = f;
        sum[h] = sum[h] * f + all;
      }
    }
    __syncthreads();
    int tile = static_cast<int>(end - j0 < TILE ? end - j0 : TILE);
    for (int i = static_cast<int>(threadIdx.x); i < wide; i += THREADS) {
      int h = i / a.head_dim, c = i % a.head_dim;
      float o = acc[i] * fix[h];
      for (int j = 0; j < tile; j++) {
        o = fmaf(p[h * TILE + j], v[(j0 + j) * ldkv + c], o);
      }
      acc[i] = o;
    }
  }
  for (int i = static_cast<int>(threadIdx.x); i < wide; i += THREADS) {
    a.out[(t * a.n_kv_head + g) * wide + i] = acc[i] / sum[i / a.head_dim];
  }
}

/* ---- launcher ---- */

void cuda_attention_decode(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, const struct kv_view *cache,
                           float *out) {
  struct decode_args x = {};
  size_t per = static_cast<size_t>(a->n_head / a->n_kv_head), shared = per * (2 * static_cast<size_t>(a->head_dim) + TILE + 3) * sizeof(float);
  x.n_seq = s->n_seq;
  x.n_head = a->n_head;
  x.n_kv_head = a->n_kv_head;
  x.head_dim = a->head_dim;
  x.window = a->window;
  x.scale = a->scale;
  x.q = q;
  x.out = out;
  x.start = static_cast<const int32_t *>(cuda_small(d, s->start, (static_cast<size_t>(s->n_seq) + 1) * sizeof *s->start));
  x.cache = static_cast<const struct kv_view *>(cuda_small(d, cache, static_cast<size_t>(s->n_seq) * sizeof *cache));
  CUDA_RUN(d, decode_kernel, dim3(static_cast<unsigned>(s->n_tok), static_cast<unsigned>(a->n_kv_head)), dim3(THREADS), shared, x);
}
