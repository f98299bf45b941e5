/* SPDX-License-Identifier: Apache-2.0
 * One vector of floats, the widest of the instruction set a file is compiled for: written once, compiled as *_avx2.c (8
 * lanes) and *_avx512.c (16 lanes). Only those files include it. Loads and stores take any address. */
#ifndef KERNELS_VEC_H
#define KERNELS_VEC_H
#include <immintrin.h>
#include <stdint.h>

/* Before a loop over registers: it must disappear, else the array stays in memory. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#ifdef __AVX512F__
enum { VL = 16 };
typedef __m512 vf;
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline vf v_set(float a) { return _mm512_set1_ps(a); }
static inline vf v_zero(void) { return _mm512_setzero_ps(); }
static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); } /* b when either is NaN */
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline __mmask16 v_head(int64_t n) { return (__mmask16)((1u << n) - 1); } /* first n < 16 lanes */
static inline vf v_load_head(const float *p, int64_t n, float rest) { return _mm512_mask_loadu_ps(v_set(rest), v_head(n), p); }
static inline void v_store_head(float *p, int64_t n, vf a) { _mm512_mask_storeu_ps(p, v_head(n), a); }
/* p * 2^n with n integral; right below the normal range too */
static inline vf v_scale2(vf p, vf n) { return _mm512_scalef_ps(p, n); }
static inline vf v_round(vf a) { return _mm512_roundscale_ps(a, 8); }
static inline float v_sum(vf a) { /* lanes l and l + 8, l + 4, l + 2, l + 1 */
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
static inline float v_most(vf a) { return _mm512_reduce_max_ps(a); }
#else
enum { VL = 8 };
typedef __m256 vf;
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline vf v_set(float a) { return _mm256_set1_ps(a); }
static inline vf v_zero(void) { return _mm256_setzero_ps(); }
static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline __m256i v_head(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf v_load_head(const float *p, int64_t n, float rest) {
  __m256i head = v_head(n);
  return _mm256_blendv_ps(v_set(rest), _mm256_maskload_ps(p, head), _mm256_castsi256_ps(head));
}
static inline void v_store_head(float *p, int64_t n, vf a) { _mm256_maskstore_ps(p, v_head(n), a); }
static inline vf v_scale2(vf p, vf n) { /* in two steps: 2^n itself may be below the normal range */
  __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
  __m256i rest = _mm256_sub_epi32(i, half);
  p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
  return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
static inline vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline float v_sum(vf a) { /* lanes l and l + 4, l + 2, l + 1 */
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
static inline float v_most(vf a) {
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}
#endif

/* exp to within 1 unit in the last place where the result is normal (test_kernel_exp compares with libm in double):
 * 2^n * e^r, r = x - n ln 2 with ln 2 in two parts; e^r = 1 + r + r^2 p(r), p of degree 5 as in Cephes (Moshier) expf.
 * exp(0) = 1 exactly; below -104 it is 0, above 88.73 infinite; NaN stays NaN. */
static inline vf v_exp(vf x) {
  x = v_min(v_set(90.0f), v_max(v_set(-105.0f), x));
  vf n = v_round(v_mul(x, v_set(1.44269504088896341f)));
  vf r = v_fma(n, v_set(-0.693359375f), x);
  r = v_fma(n, v_set(2.12194440e-4f), r);
  vf p = v_set(1.9875691500e-4f);
  p = v_fma(p, r, v_set(1.3981999507e-3f));
  p = v_fma(p, r, v_set(8.3334519073e-3f));
  p = v_fma(p, r, v_set(4.1665795894e-2f));
  p = v_fma(p, r, v_set(1.6666665459e-1f));
  p = v_fma(p, r, v_set(5.0000001201e-1f));
  p = v_fma(p, v_mul(r, r), r);
  return v_scale2(v_add(p, v_set(1.0f)), n);
}

#endif
