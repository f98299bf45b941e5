/* SPDX-License-Identifier: Apache-2.0
 * Micro-kernels of the matrix product for AVX-512: 12 rows by 32 columns (24 accumulators), and 4 by 32 for few rows. */
#define GROUPS 4
#include "gemm_vec.h"

/* dst[l * 32 + j] = src[j * ld + l] for 16 rows j and 16 columns l of src, transposed in registers. */
static inline __attribute__((always_inline)) void transpose_square(const float *src, int64_t ld, float *dst) {
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

void cpu_gemm_use_avx512(struct cpu_isa *isa) { use(isa); }
