/* SPDX-License-Identifier: Apache-2.0
 * Rotary embedding, half-split (kernels/cpu/rope.c), and the table of its cosines and sines. A thread a pair. */
#include "cuda_dev.h"

enum { THREADS = 128 };

static __global__ void table_kernel(int64_t n, int32_t half, const int32_t *positions, const double *inv_freq, float *cos_sin) {
  int64_t at = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x, i = at / half, j = at % half;
  if (i < n) {
    double angle = static_cast<double>(positions[i]) * inv_freq[j];
    cos_sin[i * 2 * half + j] = static_cast<float>(cos(angle));
    cos_sin[i * 2 * half + half + j] = static_cast<float>(sin(angle));
  }
}

static __global__ void rope_kernel(int64_t n, int32_t heads, int32_t head_dim, const float *cos_sin, float *x, int64_t ldx, float sign) {
  int32_t half = head_dim / 2;
  int64_t at = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x, i = at / (static_cast<int64_t>(heads) * half), rest = at % (static_cast<int64_t>(heads) * half);
  if (i >= n) {
    return;
  }
  int64_t h = rest / half, c = rest % half;
  float *a = x + i * ldx + h * head_dim + c, *b = a + half;
  float co = cos_sin[i * head_dim + c], s = cos_sin[i * head_dim + half + c] * sign, a0 = *a, b0 = *b;
  *a = a0 * co - b0 * s;
  *b = b0 * co + a0 * s;
}

/* ---- launchers ---- */

void cuda_rotary_table(struct kdev *d, int64_t n, int32_t head_dim, const int32_t *positions, const double *inv_freq, float *cos_sin) {
  int32_t half = head_dim / 2;
  CUDA_RUN(d, table_kernel, dim3(cuda_blocks(n * half, THREADS)), dim3(THREADS), 0, n, half, positions, inv_freq, cos_sin);
}

void cuda_rope(struct kdev *d, int64_t n, int32_t heads, int32_t head_dim, const float *cos_sin, float *x, int64_t ldx, int inverse) {
  CUDA_RUN(d, rope_kernel, dim3(cuda_blocks(n * heads * (head_dim / 2), THREADS)), dim3(THREADS), 0, n, heads, head_dim, cos_sin, x, ldx,
           inverse ? -1.0f : 1.0f);
}
