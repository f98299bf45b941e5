/* SPDX-License-Identifier: Apache-2.0
 * The shim's bfloat16: storage and conversions, bit for bit CUDA's (round to nearest even, NaN becomes 0x7fff). Arithmetic is
 * done in float. */
#ifndef CUDASIM_CUDA_BF16_H
#define CUDASIM_CUDA_BF16_H
#include "cuda_runtime.h"

struct __align__(2) __nv_bfloat16 { unsigned short x; };
struct __align__(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
typedef struct __nv_bfloat16 nv_bfloat16;
typedef struct __nv_bfloat162 nv_bfloat162;

static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short u) { __nv_bfloat16 b = {u}; return b; }
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 b) { return b.x; }
static inline __nv_bfloat16 __float2bfloat16_rn(float f) {
  unsigned u = __float_as_uint(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) {
    return __ushort_as_bfloat16(0x7fff);
  }
  return __ushort_as_bfloat16(static_cast<unsigned short>((u + 0x7fffu + (u >> 16 & 1u)) >> 16));
}
static inline __nv_bfloat16 __float2bfloat16(float f) { return __float2bfloat16_rn(f); }
static inline float __bfloat162float(__nv_bfloat16 b) { return __uint_as_float(static_cast<unsigned>(b.x) << 16); }
static inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) {
  __nv_bfloat162 r = {__float2bfloat16_rn(a), __float2bfloat16_rn(b)};
  return r;
}
static inline __nv_bfloat162 __float22bfloat162_rn(float2 f) { return __floats2bfloat162_rn(f.x, f.y); }
static inline float2 __bfloat1622float2(__nv_bfloat162 b) { return make_float2(__bfloat162float(b.x), __bfloat162float(b.y)); }
#endif
