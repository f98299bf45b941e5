/* SPDX-License-Identifier: Apache-2.0
 * The shim's half: storage and conversions, bit for bit CUDA's (round to nearest even, NaN becomes 0x7fff). Arithmetic is done
 * in float. */
#ifndef CUDASIM_CUDA_FP16_H
#define CUDASIM_CUDA_FP16_H
#include "cuda_runtime.h"

struct __align__(2) __half { unsigned short x; };
struct __align__(4) __half2 { __half x, y; };
typedef struct __half half;
typedef struct __half2 half2;

static inline __half __ushort_as_half(unsigned short u) { __half h = {u}; return h; }
static inline unsigned short __half_as_ushort(__half h) { return h.x; }
static inline __half __float2half_rn(float f) {
  unsigned u = __float_as_uint(f), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu, r;
  if (a > 0x7f800000u) {
    return __ushort_as_half(0x7fff);
  }
  if (a >= 0x477ff000u) { /* rounds to 65536 or more */
    r = 0x7c00u;
  } else if (a >= 0x38800000u) { /* normal: 2^-14 and up */
    r = (a + 0xfffu + (a >> 13 & 1u)) >> 13;
    r -= (127u - 15u) << 10;
  } else if (a >= 0x33000000u) { /* subnormal: 2^-25 and up */
    unsigned shift = 126u - (a >> 23), m = (a & 0x7fffffu) | 0x800000u, half_ulp = 1u << (shift - 1), rest = m & ((1u << shift) - 1u);
    r = m >> shift;
    r += rest > half_ulp || (rest == half_ulp && (r & 1u));
  } else {
    r = 0;
  }
  return __ushort_as_half(static_cast<unsigned short>(sign | r));
}
static inline __half __float2half(float f) { return __float2half_rn(f); }
static inline float __half2float(__half h) {
  unsigned sign = (h.x & 0x8000u) << 16, e = h.x >> 10 & 31u, m = h.x & 0x3ffu;
  if (e == 31) {
    return __uint_as_float(m ? 0x7fffffffu : sign | 0x7f800000u);
  }
  if (e) {
    return __uint_as_float(sign | (e + 112u) << 23 | m << 13);
  }
  float f = static_cast<float>(m) * 0x1p-24f;
  return sign ? -f : f;
}
static inline __half2 __floats2half2_rn(float a, float b) {
  __half2 r = {__float2half_rn(a), __float2half_rn(b)};
  return r;
}
static inline __half2 __float22half2_rn(float2 f) { return __floats2half2_rn(f.x, f.y); }
static inline float2 __half22float2(__half2 h) { return make_float2(__half2float(h.x), __half2float(h.y)); }
static inline float __low2float(__half2 h) { return __half2float(h.x); }
static inline float __high2float(__half2 h) { return __half2float(h.y); }
#endif
