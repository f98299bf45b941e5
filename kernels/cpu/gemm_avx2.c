/* SPDX-License-Identifier: Apache-2.0
 * Micro-kernels of the matrix product for AVX2 + FMA: 6 rows by 16 columns (12 accumulators), and 2 by 16 for few rows. */
#include "cpu.h"
#include "vec.h"

enum { NR = 16 };

static inline __attribute__((always_inline)) void store(vf lo, vf hi, float *c, int add) {
  if (add) {
    lo = v_add(v_load(c), lo);
    hi = v_add(v_load(c + VL), hi);
  }
  v_store(c, lo);
  v_store(c + VL, hi);
}

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

static inline __attribute__((always_inline)) void tall(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb,
                                                       float *c, int64_t ldc, int add) {
  const float *p[2] = {a, a + 3 * rs};
  vf acc[6][2];
  UNROLL
  for (int i = 0; i < 6; i++) {
    acc[i][0] = acc[i][1] = v_zero();
    __builtin_prefetch(c + i * ldc, 1);
  }
  for (int64_t l = 0; l < k; l++, b += ldb) {
    vf b0 = v_load(b), b1 = v_load(b + VL);
    ROW3(0);
    ROW3(1);
  }
  UNROLL
  for (int i = 0; i < 6; i++) {
    store(acc[i][0], acc[i][1], c + i * ldc, add);
  }
}

static void micro(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add) {
  if (cs == 1) {
    tall(k, a, rs, 1, b, ldb, c, ldc, add);
  } else if (rs == 1 && cs == 6) {
    tall(k, a, 1, 6, b, ldb, c, ldc, add);
  } else {
    tall(k, a, rs, cs, b, ldb, c, ldc, add);
  }
}

static void micro_few(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add) {
  vf acc[2][2];
  UNROLL
  for (int i = 0; i < 2; i++) {
    acc[i][0] = acc[i][1] = v_zero();
  }
  for (int64_t l = 0; l < k; l++, b += ldb, a += cs) {
    vf b0 = v_load(b), b1 = v_load(b + VL);
    UNROLL
    for (int i = 0; i < 2; i++) {
      vf x = v_set(a[i * rs]);
      acc[i][0] = v_fma(x, b0, acc[i][0]);
      acc[i][1] = v_fma(x, b1, acc[i][1]);
    }
  }
  UNROLL
  for (int i = 0; i < 2; i++) {
    store(acc[i][0], acc[i][1], c + i * ldc, add);
  }
}

/* dst[l * 16 + j] = src[j * ld + l] for 8 rows j and 8 columns l of src, transposed in registers. */
static inline __attribute__((always_inline)) void transpose8(const float *src, int64_t ld, float *dst) {
  __m256 r[8], t[8];
  UNROLL
  for (int i = 0; i < 8; i++) {
    r[i] = _mm256_loadu_ps(src + i * ld);
  }
  UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  UNROLL
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  UNROLL
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps(dst + i * NR, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(dst + (i + 4) * NR, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

static void pack_transposed(int64_t k, const float *src, int64_t ld, float *dst) {
  int64_t l = 0;
  for (; l + 8 <= k; l += 8) {
    transpose8(src + l, ld, dst + l * NR);
    transpose8(src + 8 * ld + l, ld, dst + l * NR + 8);
  }
  for (; l < k; l++) {
    for (int j = 0; j < NR; j++) {
      dst[l * NR + j] = src[j * ld + l];
    }
  }
}

void cpu_gemm_use_avx2(struct cpu_isa *isa) {
  isa->mr = 6;
  isa->few = 2;
  isa->nr = NR;
  isa->micro = micro;
  isa->micro_few = micro_few;
  isa->pack_transposed = pack_transposed;
}
