/* SPDX-License-Identifier: Apache-2.0
 * Rows from here to there (kernels/cpu/move.c): picked by a list, put back by a list, appended to key-value caches. */
#include "cuda_dev.h"

enum { THREADS = 128 };

static __global__ void gather_kernel(int64_t width, const int32_t *row, const float *from, float *to) {
  for (int64_t c = threadIdx.x; c < width; c += THREADS) {
    to[blockIdx.x * width + c] = from[row[blockIdx.x] * width + c];
  }
}

static __global__ void scatter_kernel(int64_t width, const int32_t *row, const float *from, float *to) {
  for (int64_t c = threadIdx.x; c < width; c += THREADS) {
    to[row[blockIdx.x] * width + c] = from[blockIdx.x * width + c];
  }
}

/* A block a token: its place is the end of its sequence's cache, less the tokens that come after it. */
static __global__ void kv_store_kernel(int32_t n_seq, const int32_t *start, int64_t width, const struct kv_view *cache, const float *k,
                                       const float *v) {
  int32_t t = static_cast<int32_t>(blockIdx.x), lo = 0, hi = n_seq;
  while (hi - lo > 1) {
    int32_t mid = (lo + hi) / 2;
    if (start[mid] <= t) {
      lo = mid;
    } else {
      hi = mid;
    }
  }
  int64_t at = (cache[lo].len - (start[lo + 1] - t)) * width;
  float *to_k = cache[lo].k + at, *to_v = cache[lo].v + at;
  for (int64_t c = threadIdx.x; c < width; c += THREADS) {
    to_k[c] = k[t * width + c];
    to_v[c] = v[t * width + c];
  }
}

/* ---- launchers ---- */

void cuda_gather_rows(struct kdev *d, int64_t n, int64_t width, const int32_t *row, const float *from, float *to) {
  CUDA_RUN(d, gather_kernel, dim3(static_cast<unsigned>(n)), dim3(THREADS), 0, width, row, from, to);
}

void cuda_scatter_rows(struct kdev *d, int64_t n, int64_t width, const int32_t *row, const float *from, float *to) {
  CUDA_RUN(d, scatter_kernel, dim3(static_cast<unsigned>(n)), dim3(THREADS), 0, width, row, from, to);
}

void cuda_kv_store(struct kdev *d, const struct seqs *s, int64_t width, const struct kv_view *cache, const float *k, const float *v) {
  const int32_t *start = static_cast<const int32_t *>(cuda_small(d, s->start, (static_cast<size_t>(s->n_seq) + 1) * sizeof *s->start));
  const struct kv_view *view = static_cast<const struct kv_view *>(cuda_small(d, cache, static_cast<size_t>(s->n_seq) * sizeof *cache));
  CUDA_RUN(d, kv_store_kernel, dim3(static_cast<unsigned>(s->n_tok)), dim3(THREADS), 0, s->n_seq, start, width, view, k, v);
}
