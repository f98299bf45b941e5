/* SPDX-License-Identifier: Apache-2.0
 * y = a + b, x *= s, y += bias: the same bits as kernels/cpu/elementwise.c. */
#include "cuda_dev.h"

enum { THREADS = 256 };

static __global__ void add_kernel(int64_t n, const float *a, const float *b, float *out) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (i < n) {
    out[i] = a[i] + b[i];
  }
}

static __global__ void scale_kernel(int64_t n, float s, float *x) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (i < n) {
    x[i] *= s;
  }
}

/* A block is THREADS columns of row blockIdx.x. */
static __global__ void bias_kernel(int64_t width, const float *bias, float *y) {
  int64_t c = static_cast<int64_t>(blockIdx.y) * THREADS + threadIdx.x;
  if (c < width) {
    y[blockIdx.x * width + c] += bias[c];
  }
}

/* ---- launchers ---- */

void cuda_add(struct kdev *d, int64_t n, const float *a, const float *b, float *out) {
  CUDA_RUN(d, add_kernel, dim3(cuda_blocks(n, THREADS)), dim3(THREADS), 0, n, a, b, out);
}

void cuda_scale(struct kdev *d, int64_t n, float s, float *x) {
  CUDA_RUN(d, scale_kernel, dim3(cuda_blocks(n, THREADS)), dim3(THREADS), 0, n, s, x);
}

void cuda_bias_forward(struct kdev *d, int64_t n, int64_t width, const float *bias, float *y) {
  CUDA_RUN(d, bias_kernel, dim3(static_cast<unsigned>(n), cuda_blocks(width, THREADS)), dim3(THREADS), 0, width, bias, y);
}
