/* SPDX-License-Identifier: Apache-2.0
 * The losses on the device: a block a position runs the row functions of train/loss_*.c as they stand (loss.h says how). Here are
 * the loops they call, which all threads of the block run together, with the same meaning as train/loss_loops_body.h: exponentials
 * in float, sums in double, log-sum-exps as doubles. Each begins and ends with a barrier, so that what one thread wrote before is
 * seen inside and what is written inside is seen after. */
#include <math.h>
#include <string.h>

#include "block.cuh"
#include "cuda_dev.h"

#define LOSS_DEVICE
enum { THREADS = 256 };

/* The highest of the block and the room for it. */
static __device__ float highest(int64_t n, const float *z, float inv_t) {
  __shared__ float room[32];
  float most = -INFINITY;
  for (int64_t i = threadIdx.x; i < n; i += THREADS) {
    most = fmaxf(most, z[i] * inv_t);
  }
  return block_max(most, room);
}

static __device__ double total(double v) {
  __shared__ double room[32];
  return block_sum(v, room);
}

/* lse as two floats, so that z - lse keeps its digits. */
struct centre {
  float hi, lo;
  __device__ explicit centre(double lse) : hi(static_cast<float>(lse)), lo(static_cast<float>(lse - static_cast<double>(static_cast<float>(lse)))) {}
  __device__ float of(float z, float inv_t) const { return (z * inv_t - hi) - lo; }
};

struct loss_loops {
  unsigned *kept; /* (vocab / 32) bits, dynamic shared memory */

  __device__ double lse(int64_t n, const float *z, float inv_t) const {
    __syncthreads();
    float most = highest(n, z, inv_t), shift = most == -INFINITY ? 0.0f : most;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
      sum += static_cast<double>(expf(z[i] * inv_t - shift));
    }
    return static_cast<double>(most) + log(total(sum));
  }
  __device__ void softmax(int64_t n, const float *z, float inv_t, double lse, float scale, float *out) const {
    struct centre c(lse);
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
      out[i] = scale * expf(c.of(z[i], inv_t));
    }
    __syncthreads();
  }
  __device__ void logprob(int64_t n, const float *z, float inv_t, double lse, float *lp, float *p) const {
    struct centre c(lse);
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
      float d = c.of(z[i], inv_t);
      lp[i] = d;
      p[i] = expf(d);
    }
    __syncthreads();
  }
  __device__ double fkl(int64_t n, const float *z, const float *y, float inv_t, double z_lse, double y_lse, float scale, float *dz) const {
    struct centre cz(z_lse), cy(y_lse);
    double value = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
      float lq = cz.of(z[i], inv_t), lp = cy.of(y[i], inv_t), q = expf(lq), p = expf(lp);
      value += p == 0 ? 0.0 : static_cast<double>(p * (lp - lq)); /* p = 0: the limit is 0, whatever q is */
      if (dz != NULL) {
        dz[i] = scale * (q - p);
      }
    }
    return total(value);
  }
  __device__ void zero(int64_t n, float *out) const {
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
      out[i] = 0;
    }
    __syncthreads();
  }
  __device__ int64_t argmax(int64_t n, const float *z) const {
    __shared__ unsigned long long best;
    __syncthreads();
    if (threadIdx.x == 0) {
      best = 0xffffffffu; /* all NaN: 0 */
    }
    __syncthreads();
    unsigned long long own = 0;
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
      unsigned b = __float_as_uint(z[i] + 0.0f);
      b = b & 0x80000000u ? ~b : b | 0x80000000u;
      unsigned long long key = static_cast<unsigned long long>(b) << 32 | (0xffffffffu - static_cast<unsigned>(i));
      own = !isnan(z[i]) && key > own ? key : own;
    }
    atomicMax(&best, own);
    __syncthreads();
    return 0xffffffffu - static_cast<unsigned>(best & 0xffffffffu);
  }
};

#include "loss.h"

/* The tail by a map of the kept ids instead of stretches between them. */
static __device__ double loss_tail_lse(const struct loss_loops *v, const struct loss_position *x, float inv_t) {
  __shared__ float room[32];
  float most = -INFINITY;
  double sum = 0;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < (x->vocab + 31) / 32; i += THREADS) {
    v->kept[i] = 0;
  }
  __syncthreads();
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < x->k; i += THREADS) {
    atomicOr(&v->kept[x->top_id[i] / 32], 1u << x->top_id[i] % 32);
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < x->vocab; i += THREADS) {
    if (!(v->kept[i / 32] >> i % 32 & 1)) {
      most = fmaxf(most, x->z[i] * inv_t);
    }
  }
  most = block_max(most, room);
  float shift = most == -INFINITY ? 0.0f : most;
  for (int64_t i = threadIdx.x; i < x->vocab; i += THREADS) {
    if (!(v->kept[i / 32] >> i % 32 & 1)) {
      sum += static_cast<double>(expf(x->z[i] * inv_t - shift));
    }
  }
  return static_cast<double>(most) + log(total(sum));
}

#include "loss_files.cuh"
#include "loss_row.h"

struct loss_row_none {
  static __device__ double at(const struct loss_loops *, const struct loss_params *, const struct loss_position *) { return 0; }
};

template <class Main> static __global__ void rows_kernel(struct loss_chunk c) {
  CUDA_SHARED(unsigned, kept);
  struct loss_loops v;
  struct loss_sums s;
  v.kept = kept;
  loss_row_run<Main>(&v, &c, blockIdx.x, &s);
  if (threadIdx.x == 0) {
    c.each[blockIdx.x] = s;
  }
}

/* ---- launcher ---- */

void cuda_loss_rows(struct kdev *d, const struct loss_chunk *c) {
  dim3 grid(static_cast<unsigned>(c->n)), block(THREADS);
  size_t map = c->k > 0 ? static_cast<size_t>((c->vocab + 31) / 32) * sizeof(unsigned) : 0;
  switch (c->loss) {
#define LOSS(name) \
  case LOSS_NUMBER_##name: CUDA_RUN(d, rows_kernel<loss_row_##name>, grid, block, map, *c); break;
#include "losses.def"
#undef LOSS
  case LOSS_NONE: CUDA_RUN(d, rows_kernel<loss_row_none>, grid, block, map, *c); break;
  default: cuda_note_text(d, "a loss that is not in the table", __FILE__, __LINE__);
  }
}
