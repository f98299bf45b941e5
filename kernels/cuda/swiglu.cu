/* SPDX-License-Identifier: Apache-2.0
 * out = silu(gate) * up and its gradient (formulas: kernels/cpu/swiglu.c). */
#include "cuda_dev.h"

enum { THREADS = 256 };

static __device__ float sigmoid(float g) { return 1.0f / (1.0f + expf(-g)); }

static __global__ void forward_kernel(int64_t n, const float *gate, const float *up, float *out) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (i < n) {
    out[i] = gate[i] * sigmoid(gate[i]) * up[i];
  }
}

static __global__ void backward_kernel(int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (i < n) {
    float g = gate[i], u = up[i], o = dout[i], s = sigmoid(g);
    dup[i] = o * (g * s);
    dgate[i] = o * u * s * (1.0f + g * (1.0f - s));
  }
}

/* ---- launchers ---- */

void cuda_swiglu_forward(struct kdev *d, int64_t n, const float *gate, const float *up, float *out) {
  CUDA_RUN(d, forward_kernel, dim3(cuda_blocks(n, THREADS)), dim3(THREADS), 0, n, gate, up, out);
}

void cuda_swiglu_backward(struct kdev *d, int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup) {
  CUDA_RUN(d, backward_kernel, dim3(cuda_blocks(n, THREADS)), dim3(THREADS), 0, n, gate, up, dout, dgate, dup);
}
