/* SPDX-License-Identifier: Apache-2.0
 * The product for few rows with stored weights: against double precision on the decoded weights, the same bits for any m and
 * 1, 2, 3 threads. Stored weights are random bytes with sane scales, at an odd address. */
#include "kernel_check.h"

static const enum dtype types[] = {DT_F32, DT_F16, DT_BF16, DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q4_K, DT_Q6_K};
enum { N_TYPES = sizeof types / sizeof *types, MOST = 70 };

/* Random bytes; 16-bit scales of every block replaced by numbers of about 0.01. */
static void fill_blocks(enum dtype t, unsigned char *p, int64_t n_blocks) {
  static const int offsets[DT_COUNT][3] = {[DT_Q8_0] = {1, 0}, [DT_Q4_0] = {1, 0}, [DT_Q4_1] = {2, 0, 2}, [DT_Q4_K] = {2, 0, 2}, [DT_Q6_K] = {1, 208}};
  size_t bytes = dtype_bytes(t, dtype_block(t));
  uint32_t s = 99;
  for (int64_t b = 0; b < n_blocks; b++, p += bytes) {
    for (size_t i = 0; i < bytes; i++) {
      s = s * 1664525u + 1013904223u;
      p[i] = (unsigned char)(s >> 24);
    }
    for (int i = 0; i < offsets[t][0]; i++) {
      float scale = (float)(s >> 8) / (float)(1 << 26) - 0.1f;
      kernels_cpu()->encode(NULL, DT_F16, 1, &scale, p + offsets[t][1 + i]);
    }
  }
}

static void product_matches(void **state) {
  static const int64_t plain[][2] = {{1, 1}, {3, 17}, {37, 577}, {192, 64}, {130, 1537}, {9, 3000}};
  static const int64_t blocked[][2] = {{3, 256}, {130, 512}, {37, 768}, {8, 1536}, {17, 2304}};
  (void)state;
  for (int t = 0; t < N_TYPES; t++) {
    int is_plain = dtype_block(types[t]) == 1;
    for (int s = 0; s < (is_plain ? 6 : 5); s++) {
      int64_t n = is_plain ? plain[s][0] : blocked[s][0], k = is_plain ? plain[s][1] : blocked[s][1];
      unsigned char *memory = mem_calloc(1, dtype_bytes(types[t], n * k) + 1), *w = memory + 1;
      float *x = filled(MOST * (k + 3), 5), *wide = filled(n * k, 6), *all = floats(MOST * n), *some = floats(MOST * n);
      double *want = doubles(MOST * n);
      if (is_plain) {
        kernels_cpu()->encode(NULL, types[t], n * k, wide, w);
      } else {
        fill_blocks(types[t], w, n * k / dtype_block(types[t]));
      }
      kernels_cpu()->decode(NULL, types[t], n * k, w, wide);
      double size = 0;
      for (int64_t i = 0; i < MOST; i++) {
        for (int64_t j = 0; j < n; j++) {
          for (int64_t c = 0; c < k; c++) {
            want[i * n + j] += (double)x[i * (k + 3) + c] * (double)wide[j * k + c];
          }
        }
      }
      for (int64_t i = 0; i < n * k; i++) {
        size = fmax(size, fabs((double)wide[i]));
      }
      use_threads(1);
      kernels_cpu()->gemv(NULL, MOST, n, k, x, k + 3, types[t], w, all, n);
      CHECK_CLOSE(all, want, MOST * n, size * sqrt((double)k), 1e-6); /* observed 3.8e-7 */
      static const int64_t few[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 31, 63, 64, 65};
      for (size_t f = 0; f < sizeof few / sizeof *few; f++) {
        int64_t m = few[f], at = MOST - m;
        use_threads((int)(f % 3) + 1);
        kernels_cpu()->gemv(NULL, m, n, k, x + at * (k + 3), k + 3, types[t], w, some, n);
        CHECK_SAME(all + at * n, some, m * n);
      }
      mem_free(memory), mem_free(x), mem_free(wide), mem_free(all), mem_free(some), mem_free(want);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(product_matches)};
  return run_each_isa(tests, sizeof tests / sizeof *tests);
}
