/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/rowstat.cu against kernels/cpu/rowstat.c: flat and peaked rows, ties, near ties, huge values, -infinity, one very probable
 * token beside a rest of e^-65. */
#include "cuda/rows.h"

static const int64_t widths[] = {1, 2, 17, 255, 256, 257, 1100};
enum { N_WIDTHS = sizeof widths / sizeof *widths, ROWS = 9 };

static float *some_rows(int64_t vocab) {
  float *x = host_filled(ROWS * vocab, (uint32_t)vocab);
  for (int64_t i = 0; i < vocab; i++) {
    x[vocab + i] *= 30;
    x[2 * vocab + i] = (float)(int)(x[2 * vocab + i] * 3); /* ties */
    x[3 * vocab + i] = i == vocab / 2 ? 60.0f : x[3 * vocab + i] - 5;
    x[4 * vocab + i] *= 1e30f;
    x[5 * vocab + i] = i % 2 ? 0.0f : -0.0f; /* all equal */
    x[6 * vocab + i] = i % 3 ? -INFINITY : x[6 * vocab + i];
    x[8 * vocab + i] = 1 + (float)i * 0x1p-23f; /* one unit in the last place apart, the best last */
    x[7 * vocab + i] = -x[7 * vocab + i] * x[7 * vocab + i] - 1; /* all below 0 */
  }
  return x;
}

static void row_lse(void **state) {
  (void)state;
  for (int w = 0; w < N_WIDTHS; w++) {
    int64_t vocab = widths[w];
    float *x = some_rows(vocab), *want = host_floats(ROWS), *got = junk_floats(ROWS), *dx = up_floats(x, ROWS * vocab);
    for (int t = 0; t < 3; t++) {
      float temperature = t == 0 ? 1.0f : t == 1 ? 2.0f : 0.7f;
      kernels_cpu()->row_lse(NULL, ROWS, vocab, x, temperature, want);
      for (int twice = 0; twice < 2; twice++) {
        K->row_lse(D, ROWS, vocab, dx, temperature, got);
        CLOSE(down_floats(got, ROWS), want, ROWS, 1, 5e-7); /* observed 9.1e-8 */
      }
    }
    rows_done();
  }
}

static void row_topk(void **state) {
  static const int64_t ks[] = {1, 2, 5, 64, 300};
  (void)state;
  for (int w = 0; w < N_WIDTHS; w++) {
    int64_t vocab = widths[w];
    float *x = some_rows(vocab), *dx = up_floats(x, ROWS * vocab);
    for (int i = 0; i <= 5; i++) {
      int64_t k = i == 5 ? vocab : ks[i];
      if (k > vocab) {
        continue;
      }
      int32_t *ids = host((size_t)(ROWS * k) * sizeof *ids), *dids = up_junk((size_t)(ROWS * k) * sizeof *ids);
      float *lp = host_floats(ROWS * k), *rest = host_floats(ROWS), *dlp = junk_floats(ROWS * k), *drest = junk_floats(ROWS);
      kernels_cpu()->row_topk(NULL, ROWS, vocab, k, x, ids, lp, rest);
      K->row_topk(D, ROWS, vocab, k, dx, dids, dlp, drest);
      SAME_BITS((int32_t *)down(dids, (size_t)(ROWS * k) * sizeof *ids), ids, ROWS * k);
      CLOSE(down_floats(dlp, ROWS * k), lp, ROWS * k, 1, 5e-7);   /* observed 8.2e-8 */
      CLOSE(down_floats(drest, ROWS), rest, ROWS, 1, 5e-7);       /* observed 7.4e-8 */
    }
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(row_lse), cmocka_unit_test(row_topk))
