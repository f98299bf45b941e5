/* SPDX-License-Identifier: Apache-2.0
 * Stored weights to float32 (kernels/cpu/dequant.c), a thread a value. */
#include "cuda_dev.h"
#include "stored.cuh"

enum { THREADS = 256 };

template <int type> static __global__ void decode_kernel(int64_t n, const unsigned char *src, float *dst) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (i < n) {
    dst[i] = stored<type>::at(src, i);
  }
}

/* ---- launcher ---- */

void cuda_decode(struct kdev *d, enum dtype t, int64_t n, const void *src, float *dst) {
  const unsigned char *from = static_cast<const unsigned char *>(src);
  cuda_bf16_changed(d, dst, static_cast<size_t>(n) * sizeof *dst);
  switch (static_cast<int>(t)) {
#define EACH(type) \
  case type: CUDA_RUN(d, decode_kernel<type>, dim3(cuda_blocks(n, THREADS)), dim3(THREADS), 0, n, from, dst); break;
    STORED_TYPES(EACH)
#undef EACH
  default: cuda_note_text(d, "weights of a type that has no decoder", __FILE__, __LINE__);
  }
}
