/* SPDX-License-Identifier: Apache-2.0
 * Value i of a row of weights in its stored type, one thread a value (layouts: kernels/cpu/dequant.c; the same bits as there).
 * Rows begin at even addresses: every block type has an even size. */
#ifndef KERNELS_CUDA_STORED_CUH
#define KERNELS_CUDA_STORED_CUH
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernel.h"

static __device__ float stored_half(const unsigned char *p) {
  return __half2float(__ushort_as_half(*reinterpret_cast<const unsigned short *>(p)));
}

template <int type> struct stored;

template <> struct stored<DT_F32> {
  static __device__ float at(const unsigned char *row, int64_t i) { return reinterpret_cast<const float *>(row)[i]; }
};

template <> struct stored<DT_F16> {
  static __device__ float at(const unsigned char *row, int64_t i) { return stored_half(row + 2 * i); }
};

template <> struct stored<DT_BF16> {
  static __device__ float at(const unsigned char *row, int64_t i) {
    return __uint_as_float(static_cast<unsigned>(reinterpret_cast<const unsigned short *>(row)[i]) << 16);
  }
};

/* Low nibbles are values 0..15 of a block, high ones 16..31. */
static __device__ int stored_nibble(const unsigned char *q, int i) { return i < 16 ? q[i] & 15 : q[i - 16] >> 4; }

template <> struct stored<DT_Q4_0> {
  static __device__ float at(const unsigned char *row, int64_t i) {
    const unsigned char *b = row + i / 32 * 18;
    return stored_half(b) * static_cast<float>(stored_nibble(b + 2, static_cast<int>(i % 32)) - 8);
  }
};

template <> struct stored<DT_Q4_1> {
  static __device__ float at(const unsigned char *row, int64_t i) {
    const unsigned char *b = row + i / 32 * 20;
    return stored_half(b) * static_cast<float>(stored_nibble(b + 4, static_cast<int>(i % 32))) + stored_half(b + 2);
  }
};

template <> struct stored<DT_Q8_0> {
  static __device__ float at(const unsigned char *row, int64_t i) {
    const unsigned char *b = row + i / 32 * 34;
    return stored_half(b) * static_cast<float>(static_cast<signed char>(b[2 + i % 32]));
  }
};

template <> struct stored<DT_Q4_K> {
  static __device__ float at(const unsigned char *row, int64_t i) {
    const unsigned char *b = row + i / 256 * 144, *s = b + 4;
    int in = static_cast<int>(i % 256), j = in / 32, scale, min;
    if (j < 4) {
      scale = s[j] & 63;
      min = s[j + 4] & 63;
    } else { /* six bits split between a nibble and two high bits */
      scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
      min = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
    float ds = stored_half(b) * static_cast<float>(scale), m = stored_half(b + 2) * static_cast<float>(min);
    return ds * static_cast<float>(b[16 + j / 2 * 32 + in % 32] >> j % 2 * 4 & 15) - m;
  }
};

template <> struct stored<DT_Q6_K> {
  static __device__ float at(const unsigned char *row, int64_t i) {
    const unsigned char *b = row + i / 256 * 210;
    int in = static_cast<int>(i % 256), half = in / 128, part = in % 128 / 32, l = in % 32;
    const unsigned char *low = b + half * 64 + part % 2 * 32, *high = b + 128 + half * 32;
    int q = ((low[l] >> part / 2 * 4 & 15) | (high[l] >> 2 * part & 3) << 4) - 32;
    int scale = static_cast<signed char>(b[192 + half * 8 + part * 2 + l / 16]);
    return stored_half(b + 208) * static_cast<float>(scale) * static_cast<float>(q);
  }
};

/* EACH(type): one line for each stored type of weights. */
#define STORED_TYPES(EACH) EACH(DT_F32) EACH(DT_F16) EACH(DT_BF16) EACH(DT_Q4_0) EACH(DT_Q4_1) EACH(DT_Q8_0) EACH(DT_Q4_K) EACH(DT_Q6_K)
#endif
