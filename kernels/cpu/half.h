/* SPDX-License-Identifier: Apache-2.0
 * 16-bit floats to and from float32, round to nearest even; subnormals, infinities and NaN kept. */
#ifndef KERNELS_HALF_H
#define KERNELS_HALF_H
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#define HALF_FN static __host__ __device__ inline
#else
#define HALF_FN static inline
#endif

HALF_FN float half_float_bits(uint32_t b) {
  float f;
  memcpy(&f, &b, sizeof f);
  return f;
}

HALF_FN uint32_t half_bits_of(float f) {
  uint32_t b;
  memcpy(&b, &f, sizeof b);
  return b;
}

HALF_FN float half_from_f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7fff;
  if (mag >= 0x7c00) {
    return half_float_bits(sign | 0x7f800000 | (mag & 0x3ff) << 13);
  }
  if (mag < 0x400) { /* subnormal: mag * 2^-24, exact */
    return half_float_bits(sign | half_bits_of((float)mag * 0x1p-24f));
  }
  return half_float_bits(sign | ((mag << 13) + 0x38000000));
}

HALF_FN uint16_t half_to_f16(float f) {
  uint32_t b = half_bits_of(f), sign = b >> 16 & 0x8000, mag = b & 0x7fffffff;
  if (mag > 0x7f800000) {
    return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
  }
  if (mag >= 0x477ff000) { /* rounds to 65520 or more */
    return (uint16_t)(sign | 0x7c00);
  }
  if (mag < 0x38800000) { /* result is subnormal: adding 0.5 rounds at 2^-24 */
    return (uint16_t)(sign | (half_bits_of(half_float_bits(mag) + 0.5f) - 0x3f000000));
  }
  return (uint16_t)(sign | ((mag - 0x38000000 + 0xfff + (mag >> 13 & 1)) >> 13));
}

HALF_FN float half_from_bf16(uint16_t h) { return half_float_bits((uint32_t)h << 16); }

HALF_FN uint16_t half_to_bf16(float f) {
  uint32_t b = half_bits_of(f);
  if ((b & 0x7fffffff) > 0x7f800000) {
    return (uint16_t)(b >> 16 | 0x40);
  }
  return (uint16_t)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

/* Little-endian load from an unaligned place of a weight file. */
HALF_FN uint16_t half_load(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }

#endif
