/* SPDX-License-Identifier: Apache-2.0
 * Column sums over many rows without atomics: blocks sum a stretch of rows for 32 columns each, a second launch adds the
 * stretches in order. In double, as the CPU twins. A term has `double at(row, column)`. Used by rmsnorm and bias gradients. */
#ifndef KERNELS_CUDA_COLUMNS_CUH
#define KERNELS_CUDA_COLUMNS_CUH
#include "cuda_dev.h"

enum { COLUMNS_WIDE = 32, COLUMNS_DEEP = 8, COLUMNS_ROWS = 256 };

template <typename Term>
static __global__ void columns_partial(Term term, int64_t n, int64_t width, int64_t rows, double *partial /* (stretches, width) */) {
  __shared__ double sum[COLUMNS_DEEP][COLUMNS_WIDE];
  int x = static_cast<int>(threadIdx.x % COLUMNS_WIDE), y = static_cast<int>(threadIdx.x / COLUMNS_WIDE);
  int64_t c = static_cast<int64_t>(blockIdx.x) * COLUMNS_WIDE + x, begin = blockIdx.y * rows, end = begin + rows < n ? begin + rows : n;
  double s = 0;
  for (int64_t i = begin + y; c < width && i < end; i += COLUMNS_DEEP) {
    s += term.at(i, c);
  }
  sum[y][x] = s;
  __syncthreads();
  if (y == 0 && c < width) {
    for (int r = 1; r < COLUMNS_DEEP; r++) {
      s += sum[r][x];
    }
    partial[blockIdx.y * width + c] = s;
  }
}

static __global__ void columns_total(int64_t stretches, int64_t width, const double *partial, float *out) {
  int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < width) {
    double s = 0;
    for (int64_t i = 0; i < stretches; i++) {
      s += partial[i * width + c];
    }
    out[c] = static_cast<float>(static_cast<double>(out[c]) + s);
  }
}

/* out(width) += sums of the term's columns over n rows. */
template <typename Term> static void columns_add(struct kdev *d, Term term, int64_t n, int64_t width, float *out) {
  int64_t most = static_cast<int64_t>(d->work_bytes / sizeof(double)) / cuda_max(width, 1), rows = COLUMNS_ROWS;
  while (most > 0 && (n + rows - 1) / rows > cuda_min(most, 65535)) {
    rows *= 2;
  }
  int64_t stretches = (n + rows - 1) / rows;
  double *partial = static_cast<double *>(cuda_scratch(d, static_cast<size_t>(stretches * width) * sizeof(double), "column sums"));
  if (partial == NULL || n <= 0) {
    return;
  }
  CUDA_RUN(d, columns_partial<Term>, dim3(cuda_blocks(width, COLUMNS_WIDE), static_cast<unsigned>(stretches)), dim3(COLUMNS_WIDE * COLUMNS_DEEP), 0,
           term, n, width, rows, partial);
  CUDA_RUN(d, columns_total, dim3(cuda_blocks(width, 128)), dim3(128), 0, stretches, width, partial, out);
}
#endif
