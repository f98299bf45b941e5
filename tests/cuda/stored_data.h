/* SPDX-License-Identifier: Apache-2.0
 * Random blocks of every stored type for cuda_*_test.c: all bit patterns of codes and sub-scales, finite halves as scales. */
#ifndef TESTS_CUDA_STORED_DATA_H
#define TESTS_CUDA_STORED_DATA_H
#include "cuda/rows.h"

static const enum dtype stored_types[] = {DT_F32, DT_F16, DT_BF16, DT_Q4_0, DT_Q4_1, DT_Q8_0, DT_Q4_K, DT_Q6_K};
enum { N_STORED = sizeof stored_types / sizeof *stored_types };

static inline void stored_scale(unsigned char *p, uint32_t r) { /* a half of size 2^-8 to 2^-2, either sign */
  unsigned h = (r >> 8 & 0x83ff) | (7 + r % 6) << 10;
  p[0] = (unsigned char)h;
  p[1] = (unsigned char)(h >> 8);
}

/* n values of the type; the host keeps them. */
static inline unsigned char *stored_data(enum dtype t, int64_t n, uint32_t seed) {
  size_t bytes = dtype_bytes(t, n), block = dtype_bytes(t, dtype_block(t));
  unsigned char *p = host(bytes);
  uint32_t r = seed * 747796405u + 1;
  for (size_t i = 0; i < bytes; i++) {
    r = r * 1664525u + 1013904223u;
    p[i] = (unsigned char)(r >> 24);
  }
  if (t == DT_F32) {
    fill((float *)(void *)p, n, seed);
    return p;
  }
  for (size_t b = 0; b + block <= bytes; b += block) {
    r = r * 1664525u + 1013904223u;
    if (t == DT_BF16) {
      p[b + 1] = (unsigned char)((r >> 16 & 0x80) | 0x3d | (r >> 20 & 2));
      continue;
    }
    stored_scale(p + b + (t == DT_Q6_K ? 208 : 0), r);
    if (t == DT_Q4_1 || t == DT_Q4_K) {
      stored_scale(p + b + 2, r * 2654435761u);
    }
  }
  return p;
}
#endif
