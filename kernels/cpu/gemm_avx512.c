/* SPDX-License-Identifier: Apache-2.0
 * Micro-kernels of the matrix product for AVX-512: 12 rows by 32 columns (24 accumulators), and 4 by 32 for few rows. */
#include "cpu.h"
#include "vec.h"

enum { NR = 32 };

/* Row r of the block starts at a + r * rs; three rows share a pointer, so that the addresses fit the registers. */
#define ROW3(i)                                                                                       \
  do {                                                                                                \
    vf x = v_set(p[i][0]);                                                                            \
    acc[3 * i][0] = v_fma(x, b0, acc[3 * i][0]), acc[3 * i][1] = v_fma(x, b1, acc[3 * i][1]);         \
    x = v_set(p[i][rs]);                                                                              \
    acc[3 * i + 1][0] = v_fma(x, b0, acc[3 * i + 1][0]), acc[3 * i + 1][1] = v_fma(x, b1, acc[3 * i + 1][1]); \
    x = v_set(p[i][2 * rs]);                                                                          \
    acc[3 * i + 2][0] = v_fma(x, b0, acc[3 * i + 2][0]), acc[3 * i + 2][1] = v_fma(x, b1, acc[3 * i + 2][1]); \
    p[i] += cs;                                                                                       \
  } while (0)

static inline __attribute__((always_inline)) void store(vf lo, vf hi, float *c, int add) {
  if (add) {
    lo = v_add(v_load(c), lo);
    hi = v_add(v_load(c + VL), hi);
  }
  v_store(c, lo);
  v_store(c + VL, hi);
}

static inline __attribute__((always_inline)) void tall(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb,
                                                       float *c, int64_t ldc, int add) {
  const float *p[4] = {a, a + 3 * rs, a + 6 * rs, a + 9 * rs};
  vf acc[12][2];
  UNROLL
  for (int i = 0; i < 12; i++) {
    acc[i][0] = acc[i][1] = v_zero();
    __builtin_prefetch(c + i * ldc, 1);
    __builtin_prefetch(c + i * ldc + VL, 1);
  }
  for (int64_t l = 0; l < k; l++, b += ldb) {
    vf b0 = v_load(b), b1 = v_load(b + VL);
    ROW3(0);
    ROW3(1);
    ROW3(2);
    ROW3(3);
  }
  UNROLL
  for (int i = 0; i < 12; i++) {
    store(acc[i][0], acc[i][1], c + i * ldc, add);
  }
}

static void micro(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add) {
  if (cs == 1) {
    tall(k, a, rs, 1, b, ldb, c, ldc, add);
  } else if (rs == 1 && cs == 12) {
    tall(k, a, 1, 12, b, ldb, c, ldc, add);
  } else {
    tall(k, a, rs, cs, b, ldb, c, ldc, add);
  }
}

static void micro_few(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add) {
  vf acc[4][2];
  UNROLL
  for (int i = 0; i < 4; i++) {
    acc[i][0] = acc[i][1] = v_zero();
  }
  for (int64_t l = 0; l < k; l++, b += ldb, a += cs) {
    vf b0 = v_load(b), b1 = v_load(b + VL);
    UNROLL
    for (int i = 0; i < 4; i++) {
      vf x = v_set(a[i * rs]);
      acc[i][0] = v_fma(x, b0, acc[i][0]);
      acc[i][1] = v_fma(x, b1, acc[i][1]);
    }
  }
  UNROLL
  for (int i = 0; i < 4; i++) {
    store(acc[i][0], acc[i][1], c + i * ldc, add);
  }
}

/* dst[l * 32 + j] = src[j * ld + l] for 16 rows j and 16 columns l of src, transposed in registers. */
static inline __attribute__((always_inline)) void transpose16(const float *src, int64_t ld, float *dst) {
  __m512 r[16], t[16];
  UNROLL
  for (int i = 0; i < 16; i++) {
    r[i] = _mm512_loadu_ps(src + i * ld);
  }
  UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  UNROLL
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
  }
  UNROLL
  for (int i = 0; i < 4; i++) { /* quarter q of r[4 g + i] holds column 4 q + i of rows 4 g .. 4 g + 3 */
    __m512 lo = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88), hi = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    __m512 lo2 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88), hi2 = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    _mm512_storeu_ps(dst + i * NR, _mm512_shuffle_f32x4(lo, lo2, 0x88));
    _mm512_storeu_ps(dst + (i + 8) * NR, _mm512_shuffle_f32x4(lo, lo2, 0xdd));
    _mm512_storeu_ps(dst + (i + 4) * NR, _mm512_shuffle_f32x4(hi, hi2, 0x88));
    _mm512_storeu_ps(dst + (i + 12) * NR, _mm512_shuffle_f32x4(hi, hi2, 0xdd));
  }
}

static void pack_transposed(int64_t k, const float *src, int64_t ld, float *dst) {
  int64_t l = 0;
  for (; l + 16 <= k; l += 16) {
    transpose16(src + l, ld, dst + l * NR);
    transpose16(src + 16 * ld + l, ld, dst + l * NR + 16);
  }
  for (; l < k; l++) {
    for (int j = 0; j < NR; j++) {
      dst[l * NR + j] = src[j * ld + l];
    }
  }
}

void cpu_gemm_use_avx512(struct cpu_isa *isa) {
  isa->mr = 12;
  isa->few = 4;
  isa->nr = NR;
  isa->micro = micro;
  isa->micro_few = micro_few;
  isa->pack_transposed = pack_transposed;
}
