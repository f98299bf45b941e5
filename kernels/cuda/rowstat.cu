/* SPDX-License-Identifier: Apache-2.0
 * Statistics of rows of logits (kernels/cpu/rowstat.c): log-sum-exp, and the exact top k with the log of the remaining mass. A
 * block a row. The k-th best is found by radix selection over 64-bit keys (value, then the lower id), which are all different,
 * so the kept set is exact and the order of threads does not matter; the kept keys are sorted in the lane's scratch. */
#include <math.h>

#include "block.cuh"
#include "cuda_dev.h"

enum { THREADS = 256, DIGITS = 256 };

static __global__ void lse_kernel(int64_t vocab, const float *logits, float inv_t, float *lse) {
  __shared__ float room[32];
  __shared__ double wide[32];
  const float *x = logits + blockIdx.x * vocab;
  float most = -INFINITY;
  for (int64_t i = threadIdx.x; i < vocab; i += THREADS) {
    most = fmaxf(most, x[i]);
  }
  most = block_max(most, room);
  if (isinf(most)) { /* all -inf, or one +inf: the limit is the maximum itself */
    if (threadIdx.x == 0) {
      lse[blockIdx.x] = most;
    }
    return;
  }
  float shift = most * inv_t;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < vocab; i += THREADS) {
    sum += static_cast<double>(expf(x[i] * inv_t - shift));
  }
  sum = block_sum(sum, wide);
  if (threadIdx.x == 0) {
    lse[blockIdx.x] = static_cast<float>(static_cast<double>(shift) + log(sum));
  }
}

/* Greater is better: value, then the lower id. */
static __device__ uint64_t key_of(float x, int64_t id) {
  unsigned b = __float_as_uint(x + 0.0f); /* -0 is 0 */
  b = b & 0x80000000u ? ~b : b | 0x80000000u;
  return static_cast<uint64_t>(b) << 32 | (0xffffffffu - static_cast<unsigned>(id));
}

static __device__ int64_t id_of(uint64_t key) { return 0xffffffffu - static_cast<unsigned>(key & 0xffffffffu); }

/* The least key that belongs to the best k of the row. */
static __device__ uint64_t least_kept(int64_t vocab, int64_t k, const float *x) {
  __shared__ unsigned count[DIGITS];
  __shared__ uint64_t found;
  __shared__ int64_t left;
  __shared__ int over;
  uint64_t prefix = 0;
  int64_t want = k;
  for (int shift = 56;; shift -= 8) {
    for (int i = static_cast<int>(threadIdx.x); i < DIGITS; i += THREADS) {
      count[i] = 0;
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < vocab; i += THREADS) {
      uint64_t key = key_of(x[i], i);
      if (shift == 56 || key >> (shift + 8) == prefix >> (shift + 8)) {
        atomicAdd(&count[key >> shift & 255], 1u);
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = DIGITS - 1;
      int64_t need = want;
      while (need > count[digit]) {
        need -= count[digit--];
      }
      found = prefix | static_cast<uint64_t>(digit) << shift;
      left = need;
      over = need == count[digit] || shift == 0; /* the whole digit is kept: no need to look further */
    }
    __syncthreads();
    prefix = found;
    want = left;
    int done = over;
    __syncthreads();
    if (done) {
      return prefix;
    }
  }
}

/* list(size) descending, size a power of two. */
static __device__ void sort_keys(uint64_t *list, int64_t size) {
  for (int64_t run = 2; run <= size; run *= 2) {
    for (int64_t step = run / 2; step > 0; step /= 2) {
      for (int64_t i = threadIdx.x; i < size; i += THREADS) {
        int64_t j = i ^ step;
        if (j > i && (list[i] < list[j]) == ((i & run) == 0)) {
          uint64_t t = list[i];
          list[i] = list[j];
          list[j] = t;
        }
      }
      __syncthreads();
    }
  }
}

static __global__ void topk_kernel(int64_t vocab, int64_t k, int64_t ldk, int64_t size, const float *logits, uint64_t *lists, int32_t *ids,
                                   float *logprob, float *rest) {
  __shared__ unsigned n;
  __shared__ double room[32];
  const float *x = logits + blockIdx.x * vocab;
  uint64_t *list = lists + blockIdx.x * size, least = least_kept(vocab, k, x);
  for (int64_t i = k + threadIdx.x; i < size; i += THREADS) {
    list[i] = 0;
  }
  if (threadIdx.x == 0) {
    n = 0;
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < vocab; i += THREADS) {
    uint64_t key = key_of(x[i], i);
    if (key >= least) {
      list[atomicAdd(&n, 1u)] = key;
    }
  }
  __syncthreads();
  sort_keys(list, size);
  float most = x[id_of(list[0])];
  double kept = 0, other = 0;
  for (int64_t i = threadIdx.x; i < k; i += THREADS) {
    kept += exp(static_cast<double>(x[id_of(list[i])]) - static_cast<double>(most));
  }
  for (int64_t i = threadIdx.x; i < vocab; i += THREADS) { /* summed itself: total - kept would lose a small rest */
    other += key_of(x[i], i) >= least ? 0.0 : static_cast<double>(expf(x[i] - most));
  }
  kept = block_sum(kept, room);
  other = block_sum(other, room);
  double lse = log(kept + other);
  for (int64_t i = threadIdx.x; i < k; i += THREADS) {
    int64_t id = id_of(list[i]);
    ids[blockIdx.x * ldk + i] = static_cast<int32_t>(id);
    logprob[blockIdx.x * ldk + i] = static_cast<float>(static_cast<double>(x[id]) - static_cast<double>(most) - lse);
  }
  if (threadIdx.x == 0) {
    rest[blockIdx.x] = static_cast<float>(other > 0 ? log(other) - lse : -INFINITY);
  }
}

/* ---- launchers ---- */

void cuda_row_lse(struct kdev *d, int64_t n, int64_t vocab, const float *logits, float temperature, float *lse) {
  CUDA_RUN(d, lse_kernel, dim3(static_cast<unsigned>(n)), dim3(THREADS), 0, vocab, logits, 1.0f / temperature, lse);
}

void cuda_row_topk(struct kdev *d, int64_t n, int64_t vocab, int64_t k, const float *logits, int32_t *ids, float *logprob, float *rest) {
  int64_t ldk = cuda_min(k, vocab), size = 2;
  while (size < ldk) {
    size *= 2;
  }
  int64_t most = static_cast<int64_t>(d->work_bytes / sizeof(uint64_t)) / size, step = cuda_min(n, cuda_max(most, 1));
  uint64_t *lists = static_cast<uint64_t *>(cuda_scratch(d, static_cast<size_t>(step * size) * sizeof *lists, "the kept keys of a row"));
  for (int64_t i = 0; lists != NULL && i < n; i += step) {
    CUDA_RUN(d, topk_kernel, dim3(static_cast<unsigned>(cuda_min(step, n - i))), dim3(THREADS), 0, vocab, ldk, ldk, size, logits + i * vocab,
             lists, ids + i * ldk, logprob + i * ldk, rest + i);
  }
}
