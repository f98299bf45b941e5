/* SPDX-License-Identifier: Apache-2.0
 * y(m,n) = x(m,k) w(n,k)^T for decoding, weights in their stored type (kernels/cpu/gemv.c). A warp a row of weights: lane l adds
 * the products of k = l, l + 32, ... ascending, then lanes in halves. The order does not know m, so the batch never changes
 * an answer; a few rows of x share one pass over the weights. */
#include "block.cuh"
#include "cuda_dev.h"
#include "stored.cuh"

enum { WARPS = 4 };

template <int type, int rows>
static __global__ void gemv_kernel(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const unsigned char *w, int64_t row_bytes, float *y,
                                   int64_t ldy) {
  int64_t r = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / 32, first = static_cast<int64_t>(blockIdx.y) * rows;
  int lane = static_cast<int>(threadIdx.x % 32);
  float sum[rows];
  if (r >= n) {
    return;
  }
  for (int j = 0; j < rows; j++) {
    sum[j] = 0;
  }
  for (int64_t c = lane; c < k; c += 32) {
    float value = stored<type>::at(w + r * row_bytes, c);
    for (int j = 0; j < rows; j++) {
      if (first + j < m) {
        sum[j] = fmaf(value, x[(first + j) * ldx + c], sum[j]);
      }
    }
  }
  for (int j = 0; j < rows; j++) {
    float all = warp_sum(sum[j]);
    if (lane == 0 && first + j < m) {
      y[(first + j) * ldy + r] = all;
    }
  }
}

/* ---- launcher ---- */

template <int type>
static void run(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const unsigned char *w, float *y, int64_t ldy) {
  int64_t row_bytes = static_cast<int64_t>(dtype_bytes(static_cast<enum dtype>(type), k));
  unsigned blocks = cuda_blocks(n, WARPS);
  if (m == 1) {
    CUDA_RUN(d, (gemv_kernel<type, 1>), dim3(blocks), dim3(WARPS * 32), 0, m, n, k, x, ldx, w, row_bytes, y, ldy);
  } else {
    CUDA_RUN(d, (gemv_kernel<type, 8>), dim3(blocks, cuda_blocks(m, 8)), dim3(WARPS * 32), 0, m, n, k, x, ldx, w, row_bytes, y, ldy);
  }
}

void cuda_gemv(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, enum dtype wtype, const void *w, float *y,
               int64_t ldy) {
  const unsigned char *from = static_cast<const unsigned char *>(w);
  switch (static_cast<int>(wtype)) {
#define EACH(type) \
  case type: run<type>(d, m, n, k, x, ldx, from, y, ldy); break;
    STORED_TYPES(EACH)
#undef EACH
  default: cuda_note_text(d, "weights of a type that has no decoder", __FILE__, __LINE__);
  }
}
