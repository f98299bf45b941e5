/* SPDX-License-Identifier: Apache-2.0
 * Stored weights to float32 in vectors: the body of gemv_avx2.c and gemv_avx512.c. Layouts are in dequant.c; products of
 * scale and code are exact (or rounded once, in the same order), so the values are dequant.c's to the bit. */
#include <string.h>

#include "cpu.h"
#include "half.h"
#include "vec.h"

static inline float scale_at(const unsigned char *p) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half_load(p)))); }

/* 16 signed bytes: dst = q * d, or q * d + m */
static inline void put16(float *dst, __m128i q, float d) {
#ifdef __AVX512F__
  v_store(dst, v_mul(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)), v_set(d)));
#else
  v_store(dst, v_mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), v_set(d)));
  v_store(dst + VL, v_mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(q, 8))), v_set(d)));
#endif
}

static inline void put16_add(float *dst, __m128i q, float d, float m) {
#ifdef __AVX512F__
  v_store(dst, v_fma(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)), v_set(d), v_set(m)));
#else
  v_store(dst, v_fma(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), v_set(d), v_set(m)));
  v_store(dst + VL, v_fma(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(q, 8))), v_set(d), v_set(m)));
#endif
}

static inline __m128i bytes16(const unsigned char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline __m128i low_nibbles(__m128i b) { return _mm_and_si128(b, _mm_set1_epi8(15)); }
static inline __m128i high_nibbles(__m128i b) { return _mm_and_si128(_mm_srli_epi16(b, 4), _mm_set1_epi8(15)); }

static void block_q4_0(const unsigned char *b, float *y) {
  float d = scale_at(b);
  __m128i q = bytes16(b + 2), eight = _mm_set1_epi8(8);
  put16(y, _mm_sub_epi8(low_nibbles(q), eight), d);
  put16(y + 16, _mm_sub_epi8(high_nibbles(q), eight), d);
}

static void block_q4_1(const unsigned char *b, float *y) {
  float d = scale_at(b), m = scale_at(b + 2);
  __m128i q = bytes16(b + 4);
  put16_add(y, low_nibbles(q), d, m);
  put16_add(y + 16, high_nibbles(q), d, m);
}

static void block_q8_0(const unsigned char *b, float *y) {
  float d = scale_at(b);
  put16(y, bytes16(b + 2), d);
  put16(y + 16, bytes16(b + 18), d);
}

static void block_q4_k(const unsigned char *b, float *y) {
  float d = scale_at(b), dmin = scale_at(b + 2);
  for (int j = 0; j < 8; j++) {
    const unsigned char *q = b + 16 + j / 2 * 32;
    int scale, min;
    cpu_group_q4_k(b + 4, j, &scale, &min);
    float ds = d * (float)scale, m = -(dmin * (float)min);
    __m128i q0 = bytes16(q), q1 = bytes16(q + 16);
    put16_add(y + j * 32, j % 2 ? high_nibbles(q0) : low_nibbles(q0), ds, m);
    put16_add(y + j * 32 + 16, j % 2 ? high_nibbles(q1) : low_nibbles(q1), ds, m);
  }
}

static void block_q6_k(const unsigned char *b, float *y) {
  float d = scale_at(b + 208);
  const __m128i bias = _mm_set1_epi8(32), two_bits = _mm_set1_epi8(0x30);
  for (int half = 0; half < 2; half++) {
    for (int i = 0; i < 2; i++) { /* 16 values of each part */
      const unsigned char *sc = b + 192 + half * 8 + i;
      __m128i a = bytes16(b + half * 64 + i * 16), c = bytes16(b + half * 64 + 32 + i * 16), h = bytes16(b + 128 + half * 32 + i * 16);
      __m128i q[4] = {_mm_or_si128(low_nibbles(a), _mm_and_si128(_mm_slli_epi16(h, 4), two_bits)),
                      _mm_or_si128(low_nibbles(c), _mm_and_si128(_mm_slli_epi16(h, 2), two_bits)),
                      _mm_or_si128(high_nibbles(a), _mm_and_si128(h, two_bits)),
                      _mm_or_si128(high_nibbles(c), _mm_and_si128(_mm_srli_epi16(h, 2), two_bits))};
      for (int part = 0; part < 4; part++) {
        put16(y + half * 128 + part * 32 + i * 16, _mm_sub_epi8(q[part], bias), d * (float)(signed char)sc[part * 2]);
      }
    }
  }
}

static void span_f16(int64_t n, const unsigned char *b, float *y) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(y + i, _mm256_cvtph_ps(bytes16(b + 2 * i)));
  }
  for (; i < n; i++) {
    y[i] = half_from_f16(half_load(b + 2 * i));
  }
}

static void span_bf16(int64_t n, const unsigned char *b, float *y) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(y + i, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bytes16(b + 2 * i)), 16)));
  }
  for (; i < n; i++) {
    y[i] = half_from_bf16(half_load(b + 2 * i));
  }
}

static void decode_span(enum dtype t, int64_t n, const void *src, float *dst) {
  const unsigned char *b = src;
  switch ((int)t) {
  case DT_F16: span_f16(n, b, dst); return;
  case DT_BF16: span_bf16(n, b, dst); return;
  case DT_Q4_0:
    for (int64_t i = 0; i < n; i += 32, b += 18) {
      block_q4_0(b, dst + i);
    }
    return;
  case DT_Q4_1:
    for (int64_t i = 0; i < n; i += 32, b += 20) {
      block_q4_1(b, dst + i);
    }
    return;
  case DT_Q8_0:
    for (int64_t i = 0; i < n; i += 32, b += 34) {
      block_q8_0(b, dst + i);
    }
    return;
  case DT_Q4_K:
    for (int64_t i = 0; i < n; i += 256, b += 144) {
      block_q4_k(b, dst + i);
    }
    return;
  case DT_Q6_K:
    for (int64_t i = 0; i < n; i += 256, b += 210) {
      block_q6_k(b, dst + i);
    }
    return;
  default: memcpy(dst, src, dtype_bytes(t, n)); return;
  }
}
