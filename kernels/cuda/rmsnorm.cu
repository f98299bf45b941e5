/* SPDX-License-Identifier: Apache-2.0
 * RMSNorm and its gradient (formulas: kernels/cpu/rmsnorm.c), also per head. A block a row: one warp for narrow rows, eight for
 * wide ones; row sums in double, column sums of the weight's gradient in two launches (columns.cuh). */
#include "block.cuh"
#include "columns.cuh"

static __global__ void forward_kernel(int64_t width, const float *x, const float *gamma, float eps, float *out, float *rstd) {
  __shared__ double room[32];
  const float *row = x + blockIdx.x * width;
  double s = 0;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    s += static_cast<double>(row[c]) * static_cast<double>(row[c]);
  }
  s = block_sum(s, room);
  float r = static_cast<float>(1.0 / sqrt(s / static_cast<double>(width) + static_cast<double>(eps)));
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    out[blockIdx.x * width + c] = row[c] * r * gamma[c];
  }
  if (threadIdx.x == 0 && rstd != NULL) {
    rstd[blockIdx.x] = r;
  }
}

static __global__ void backward_kernel(int64_t width, const float *x, const float *gamma, const float *rstd, const float *dout, float *dx,
                                       int accumulate) {
  __shared__ double room[32];
  int64_t at = blockIdx.x * width;
  float r = rstd[blockIdx.x];
  double s = 0;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    s += static_cast<double>(dout[at + c] * gamma[c]) * static_cast<double>(x[at + c]);
  }
  s = block_sum(s, room);
  float mean = static_cast<float>(s * static_cast<double>(r) * static_cast<double>(r) / static_cast<double>(width));
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    float g = r * (dout[at + c] * gamma[c] - x[at + c] * mean);
    dx[at + c] = accumulate ? dx[at + c] + g : g;
  }
}

struct gamma_term {
  const float *x, *rstd, *dout;
  int64_t width;
  __device__ double at(int64_t i, int64_t c) const {
    return static_cast<double>(dout[i * width + c] * (x[i * width + c] * rstd[i]));
  }
};

/* ---- launchers ---- */

static unsigned threads_for(int64_t width) { return width <= 256 ? 32 : 256; }

void cuda_rmsnorm_forward(struct kdev *d, int64_t n, int64_t width, const float *x, const float *gamma, float eps, float *out, float *rstd) {
  CUDA_RUN(d, forward_kernel, dim3(static_cast<unsigned>(n)), dim3(threads_for(width)), 0, width, x, gamma, eps, out, rstd);
}

void cuda_rmsnorm_backward(struct kdev *d, int64_t n, int64_t width, const float *x, const float *gamma, const float *rstd,
                           const float *dout, float *dx, int accumulate_dx, float *dgamma) {
  if (dgamma != NULL) { /* first: dx may overwrite dout */
    struct gamma_term term = {x, rstd, dout, width};
    columns_add(d, term, n, width, dgamma);
  }
  CUDA_RUN(d, backward_kernel, dim3(static_cast<unsigned>(n)), dim3(threads_for(width)), 0, width, x, gamma, rstd, dout, dx, accumulate_dx);
}
