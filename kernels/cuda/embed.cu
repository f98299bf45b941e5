/* SPDX-License-Identifier: Apache-2.0
 * Embedding rows and their gradient (kernels/cpu/embed.c). A token may occur many times: the block of its first occurrence adds
 * the rows of all of them in the order of tokens, so no two blocks write one row and no atomics are needed. */
#include "cuda_dev.h"
#include "stored.cuh"

enum { THREADS = 128 };

template <int type>
static __global__ void forward_kernel(int64_t width, int64_t row_bytes, const int32_t *ids, const unsigned char *table, float *out) {
  const unsigned char *row = table + ids[blockIdx.x] * row_bytes;
  for (int64_t c = threadIdx.x; c < width; c += THREADS) {
    out[blockIdx.x * width + c] = stored<type>::at(row, c);
  }
}

static __global__ void backward_kernel(int64_t n, int64_t width, const int32_t *ids, const float *dout, float *dtable) {
  __shared__ int32_t match[THREADS];
  int64_t first = blockIdx.x;
  int32_t id = ids[first], before = 0;
  for (int64_t j = threadIdx.x; j < first; j += THREADS) {
    before |= ids[j] == id;
  }
  if (__syncthreads_or(before)) {
    return;
  }
  for (int64_t from = first; from < n; from += THREADS) {
    int64_t j = from + threadIdx.x;
    match[threadIdx.x] = j < n && ids[j] == id;
    if (!__syncthreads_or(match[threadIdx.x])) {
      continue;
    }
    for (int t = 0; t < THREADS; t++) {
      if (!match[t]) {
        continue;
      }
      for (int64_t c = threadIdx.x; c < width; c += THREADS) {
        dtable[id * width + c] += dout[(from + t) * width + c];
      }
    }
    __syncthreads(); /* match is written again */
  }
}

/* ---- launchers ---- */

void cuda_embed_forward(struct kdev *d, int64_t n, int64_t width, const int32_t *ids, enum dtype type, const void *table, float *out) {
  const unsigned char *from = static_cast<const unsigned char *>(table);
  int64_t row_bytes = static_cast<int64_t>(dtype_bytes(type, width));
  switch (static_cast<int>(type)) {
#define EACH(t) \
  case t: CUDA_RUN(d, forward_kernel<t>, dim3(static_cast<unsigned>(n)), dim3(THREADS), 0, width, row_bytes, ids, from, out); break;
    STORED_TYPES(EACH)
#undef EACH
  default: cuda_note_text(d, "an embedding table of a type that has no decoder", __FILE__, __LINE__);
  }
}

void cuda_embed_backward(struct kdev *d, int64_t n, int64_t width, const int32_t *ids, const float *dout, float *dtable) {
  CUDA_RUN(d, backward_kernel, dim3(static_cast<unsigned>(n)), dim3(THREADS), 0, n, width, ids, dout, dtable);
}
