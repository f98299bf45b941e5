/* SPDX-License-Identifier: Apache-2.0
 * Micro-kernels of the matrix product for AVX2 + FMA: 6 rows by 16 columns (12 accumulators), and 2 by 16 for few rows. */
#define GROUPS 2
#include "gemm_vec.h"

/* dst[l * 16 + j] = src[j * ld + l] for 8 rows j and 8 columns l of src, transposed in registers. */
static inline __attribute__((always_inline)) void transpose_square(const float *src, int64_t ld, float *dst) {
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

void cpu_gemm_use_avx2(struct cpu_isa *isa) { use(isa); }
