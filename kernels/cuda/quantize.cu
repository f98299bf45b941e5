/* SPDX-License-Identifier: Apache-2.0
 * Float32 to stored types, the same bytes as kernels/cpu/quantize.c: a thread a value for 16-bit floats, a thread a block of 32
 * for Q8_0 and Q4_1. */
#include <math.h>

#include "cuda_dev.h"
#include "half.h"

enum { THREADS = 128, BLOCK = 32 };

static __device__ void store_half(unsigned char *p, float f) {
  uint16_t h = half_to_f16(f);
  p[0] = static_cast<unsigned char>(h & 255);
  p[1] = static_cast<unsigned char>(h >> 8);
}

static __device__ int code(float x, float lo, float hi) { return static_cast<int>(x >= hi ? hi : x >= lo ? x : lo); }

static __device__ void block_q8_0(const float *x, unsigned char *b) {
  float most = 0;
  for (int i = 0; i < BLOCK; i++) {
    most = fmaxf(most, fabsf(x[i]));
  }
  float scale = most / 127.0f, inv = scale > 0 ? 1.0f / scale : 0.0f;
  store_half(b, scale);
  for (int i = 0; i < BLOCK; i++) {
    b[2 + i] = static_cast<unsigned char>(static_cast<signed char>(code(roundf(x[i] * inv), -127, 127)));
  }
}

static __device__ void block_q4_1(const float *x, unsigned char *b) {
  float least = x[0], most = x[0];
  for (int i = 1; i < BLOCK; i++) {
    least = fminf(least, x[i]);
    most = fmaxf(most, x[i]);
  }
  float scale = (most - least) / 15.0f, inv = scale > 0 ? 1.0f / scale : 0.0f;
  store_half(b, scale);
  store_half(b + 2, least);
  for (int i = 0; i < BLOCK / 2; i++) {
    int lo = code((x[i] - least) * inv + 0.5f, 0, 15), hi = code((x[i + 16] - least) * inv + 0.5f, 0, 15);
    b[4 + i] = static_cast<unsigned char>(lo | hi << 4);
  }
}

template <int type> static __global__ void encode_kernel(int64_t n, const float *src, unsigned char *dst) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (i >= n) {
    return;
  }
  switch (type) {
  case DT_F32: reinterpret_cast<float *>(dst)[i] = src[i]; break;
  case DT_F16: store_half(dst + 2 * i, src[i]); break;
  case DT_BF16: {
    uint16_t h = half_to_bf16(src[i]);
    dst[2 * i] = static_cast<unsigned char>(h & 255);
    dst[2 * i + 1] = static_cast<unsigned char>(h >> 8);
    break;
  }
  case DT_Q8_0: block_q8_0(src + i * BLOCK, dst + i * 34); break;
  case DT_Q4_1: block_q4_1(src + i * BLOCK, dst + i * 20); break;
  default: break;
  }
}

/* ---- launcher ---- */

void cuda_encode(struct kdev *d, enum dtype t, int64_t n, const float *src, void *dst) {
  unsigned char *to = static_cast<unsigned char *>(dst);
  switch (static_cast<int>(t)) {
#define EACH(type, per) \
  case type: CUDA_RUN(d, encode_kernel<type>, dim3(cuda_blocks(n / (per), THREADS)), dim3(THREADS), 0, n / (per), src, to); break;
    EACH(DT_F32, 1)
    EACH(DT_F16, 1)
    EACH(DT_BF16, 1)
    EACH(DT_Q8_0, BLOCK)
    EACH(DT_Q4_1, BLOCK)
#undef EACH
  default: cuda_note_text(d, "values cannot be stored in this type", __FILE__, __LINE__);
  }
}
