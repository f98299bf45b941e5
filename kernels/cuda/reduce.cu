/* SPDX-License-Identifier: Apache-2.0
 * Sums over rows and over whole tensors, in double and in a fixed order (kernels/cpu/reduce.c). */
#include "block.cuh"
#include "columns.cuh"

enum { THREADS = 256 };

struct bias_term {
  const float *dy;
  int64_t width;
  __device__ double at(int64_t i, int64_t c) const { return static_cast<double>(dy[i * width + c]); }
};

static __global__ void squares_kernel(int64_t n, int64_t chunk, const float *x, double *partial) {
  __shared__ double room[32];
  int64_t begin = blockIdx.x * chunk, end = begin + chunk < n ? begin + chunk : n;
  double s = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) {
    s += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  s = block_sum(s, room);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = s;
  }
}

/* ---- launchers ---- */

void cuda_bias_backward(struct kdev *d, int64_t n, int64_t width, const float *dy, float *dbias) {
  struct bias_term term = {dy, width};
  columns_add(d, term, n, width, dbias);
}

double cuda_sum_squares(struct kdev *d, int64_t n, const float *x) {
  int64_t chunk = 8192, most = CUDA_PARTIALS;
  while (n > chunk * most) {
    chunk *= 2;
  }
  int64_t blocks = (n + chunk - 1) / chunk;
  double *partial = static_cast<double *>(cuda_scratch(d, static_cast<size_t>(most) * sizeof(double), "partial sums")), sum = 0;
  if (partial == NULL || blocks == 0) {
    return 0;
  }
  CUDA_RUN(d, squares_kernel, dim3(static_cast<unsigned>(blocks)), dim3(THREADS), 0, n, chunk, x, partial);
  CUDA_TRY(d, cudaMemcpyAsync(d->partial, partial, static_cast<size_t>(blocks) * sizeof(double), cudaMemcpyDeviceToHost, d->stream[d->lane]));
  CUDA_TRY(d, cudaStreamSynchronize(d->stream[d->lane]));
  for (int64_t i = 0; i < blocks && !d->failed; i++) {
    sum += d->partial[i];
  }
  return sum;
}
