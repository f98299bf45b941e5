/* SPDX-License-Identifier: Apache-2.0
 * Micro-kernels of the matrix product for one instruction set: GROUPS x 3 rows by two vectors of columns, and GROUPS rows for few
 * rows. Included once by each gemm_ISA.c, which gives GROUPS and `transpose_square` (VL x VL values of src, row j to column j of
 * dst, whose rows are NR apart). */
#ifndef KERNELS_CPU_GEMM_VEC_H
#define KERNELS_CPU_GEMM_VEC_H
#include "cpu.h"
#include "vec.h"

enum { NR = 2 * VL, MR = 3 * GROUPS, FEW = GROUPS };
static inline void transpose_square(const float *src, int64_t ld, float *dst);

/* Row r of the block starts at a + r * rs; three rows share a pointer, so that the addresses fit the registers. */
#define ROW3(i) \
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
  const float *p[GROUPS];
  vf acc[MR][2];
  UNROLL
  for (int i = 0; i < GROUPS; i++) {
    p[i] = a + 3 * i * rs;
  }
  UNROLL
  for (int i = 0; i < MR; i++) {
    acc[i][0] = acc[i][1] = v_zero();
    __builtin_prefetch(c + i * ldc, 1);
    if (VL == 16) __builtin_prefetch(c + i * ldc + VL, 1);
  }
  for (int64_t l = 0; l < k; l++, b += ldb) {
    vf b0 = v_load(b), b1 = v_load(b + VL);
    UNROLL
    for (int i = 0; i < GROUPS; i++) {
      ROW3(i);
    }
  }
  UNROLL
  for (int i = 0; i < MR; i++) {
    store(acc[i][0], acc[i][1], c + i * ldc, add);
  }
}

static void micro(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add) {
  if (cs == 1) {
    tall(k, a, rs, 1, b, ldb, c, ldc, add);
  } else if (rs == 1 && cs == MR) {
    tall(k, a, 1, MR, b, ldb, c, ldc, add);
  } else {
    tall(k, a, rs, cs, b, ldb, c, ldc, add);
  }
}

static void micro_few(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add) {
  vf acc[FEW][2];
  UNROLL
  for (int i = 0; i < FEW; i++) {
    acc[i][0] = acc[i][1] = v_zero();
  }
  for (int64_t l = 0; l < k; l++, b += ldb, a += cs) {
    vf b0 = v_load(b), b1 = v_load(b + VL);
    UNROLL
    for (int i = 0; i < FEW; i++) {
      vf x = v_set(a[i * rs]);
      acc[i][0] = v_fma(x, b0, acc[i][0]);
      acc[i][1] = v_fma(x, b1, acc[i][1]);
    }
  }
  UNROLL
  for (int i = 0; i < FEW; i++) {
    store(acc[i][0], acc[i][1], c + i * ldc, add);
  }
}

static void pack_transposed(int64_t k, const float *src, int64_t ld, float *dst) {
  int64_t l = 0;
  for (; l + VL <= k; l += VL) {
    transpose_square(src + l, ld, dst + l * NR);
    transpose_square(src + VL * ld + l, ld, dst + l * NR + VL);
  }
  for (; l < k; l++) {
    for (int j = 0; j < NR; j++) {
      dst[l * NR + j] = src[j * ld + l];
    }
  }
}

static void use(struct cpu_isa *isa) {
  isa->mr = MR;
  isa->few = FEW;
  isa->nr = NR;
  isa->micro = micro;
  isa->micro_few = micro_few;
  isa->pack_transposed = pack_transposed;
}
#endif
