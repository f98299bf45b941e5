/* SPDX-License-Identifier: Apache-2.0
 * Log-sum-exp and top k of rows against double precision and a full sort: ties, infinities, spread and flat rows, a rest far
 * below float's resolution beside the kept mass; exp itself against libm. */
#include <stdlib.h>

#include "kernel_check.h"

static const int64_t widths[] = {1, 2, 3, 17, 37, 255, 256, 257, 577, 4099, 49152};
enum { N_WIDTHS = sizeof widths / sizeof *widths, ROWS = 7 };

/* Rows of different kinds: flat, spread, with ties, peaked, huge. */
static float *make_rows(int64_t vocab) {
  float *x = filled(ROWS * vocab, (uint32_t)vocab);
  for (int64_t i = 0; i < vocab; i++) {
    x[vocab + i] *= 30;
    x[2 * vocab + i] = (float)(int)(x[2 * vocab + i] * 3); /* ties */
    x[3 * vocab + i] = i == vocab / 2 ? 60.0f : x[3 * vocab + i] - 5; /* rest is e^-65 of the mass */
    x[4 * vocab + i] *= 1e30f;
    x[5 * vocab + i] = -7.25f; /* all equal */
    x[6 * vocab + i] = i % 3 ? -INFINITY : x[6 * vocab + i];
  }
  return x;
}

static const float *sort_row;

static int by_rank(const void *a, const void *b) {
  int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
  if (sort_row[i] != sort_row[j]) {
    return sort_row[i] > sort_row[j] ? -1 : 1;
  }
  return i < j ? -1 : 1;
}

static void lse_matches(void **state) {
  (void)state;
  for (int w = 0; w < N_WIDTHS; w++) {
    int64_t vocab = widths[w];
    float *x = make_rows(vocab), got[ROWS], again[ROWS];
    for (int t = 0; t < 3; t++) {
      double temperature = t == 0 ? 1 : t == 1 ? 2 : 0.7, want[ROWS];
      for (int r = 0; r < ROWS; r++) {
        double max = -INFINITY, sum = 0;
        for (int64_t i = 0; i < vocab; i++) {
          max = fmax(max, (double)x[r * vocab + i]);
        }
        for (int64_t i = 0; i < vocab; i++) {
          sum += exp(((double)x[r * vocab + i] - max) / temperature);
        }
        want[r] = max / temperature + log(sum);
      }
      for (int threads = 1; threads <= 3; threads++) {
        use_threads(threads);
        kernels_cpu()->row_lse(NULL, ROWS, vocab, x, (float)temperature, threads == 1 ? got : again);
        if (threads > 1) {
          CHECK_SAME(got, again, ROWS);
        }
      }
      CHECK_CLOSE(got, want, ROWS, 1, 1e-6); /* observed 3.9e-7 */
    }
    mem_free(x);
  }
}

static void topk_matches(void **state) {
  static const int64_t ks[] = {1, 2, 5, 64, 300};
  (void)state;
  for (int w = 0; w < N_WIDTHS; w++) {
    int64_t vocab = widths[w];
    float *x = make_rows(vocab);
    int32_t *rank = mem_calloc((size_t)vocab, sizeof *rank), *ids = mem_calloc((size_t)(ROWS * vocab), sizeof *ids);
    float *logprob = floats(ROWS * vocab), rest[ROWS];
    for (size_t ki = 0; ki <= sizeof ks / sizeof *ks; ki++) {
      int64_t k = ki == sizeof ks / sizeof *ks ? vocab : ks[ki];
      if (k > vocab || k > 4099) {
        continue;
      }
      use_threads((int)(ki % 3) + 1);
      kernels_cpu()->row_topk(NULL, ROWS, vocab, k, x, ids, logprob, rest);
      for (int r = 0; r < ROWS; r++) {
        double kept = 0, tail = 0;
        for (int64_t i = 0; i < vocab; i++) {
          rank[i] = (int32_t)i;
        }
        sort_row = x + r * vocab;
        qsort(rank, (size_t)vocab, sizeof *rank, by_rank);
        assert_memory_equal(rank, ids + r * k, (size_t)k * sizeof *rank);
        for (int64_t i = 0; i < vocab; i++) {
          *(i < k ? &kept : &tail) += exp((double)sort_row[rank[i]] - (double)sort_row[rank[0]]);
        }
        for (int64_t i = 0; i < k; i++) {
          double want = (double)sort_row[rank[i]] - (double)sort_row[rank[0]] - log(kept + tail);
          if (isinf(want)) {
            assert_true(isinf(logprob[r * k + i]) && logprob[r * k + i] < 0);
          } else {
            CHECK_CLOSE(logprob + r * k + i, &want, 1, 1, 4e-7); /* observed 6e-8 */
          }
        }
        double want = log(tail) - log(kept + tail);
        if (want < -100) { /* float exp has no such small values: close to the edge, or none */
          assert_true(rest[r] < -86);
        } else {
          CHECK_CLOSE(rest + r, &want, 1, 1, 4e-7); /* observed 5.1e-8 */
        }
      }
    }
    mem_free(x), mem_free(rank), mem_free(ids), mem_free(logprob);
  }
}

/* exp through row_lse of one value is exact by construction, so exp is looked at through exp_span. */
static void exp_matches(void **state) {
  enum { N = 200003 };
  float *x = floats(N), *got = floats(N);
  (void)state;
  for (int64_t i = 0; i < N; i++) {
    x[i] = -110.0f + 205.0f * (float)i / (float)N;
  }
  x[0] = 0, x[1] = -INFINITY, x[2] = INFINITY, x[3] = NAN, x[4] = -0.0f, x[5] = 88.7f, x[6] = -87.3f, x[7] = -103.0f, x[8] = 1e30f, x[9] = -1e30f;
  kernels_cpu()->exp_span(N, x, 1, 0, got);
  double most = 0;
  for (int64_t i = 0; i < N; i++) {
    double want = exp((double)x[i]);
    if (isnan(want)) {
      assert_true(isnan(got[i]));
    } else if (want > 3.4028235e38) {
      assert_true(isinf(got[i]) || got[i] > 3.4e38f);
    } else if (want < 1.2e-38) {
      assert_true(fabs((double)got[i] - want) <= 1.5e-45); /* below the normal range: one step */
    } else {
      int e;
      frexp(want, &e);
      most = fmax(most, fabs((double)got[i] - want) / ldexp(1, e - 24));
    }
  }
  assert_true(got[0] == 1 && got[1] == 0 && got[4] == 1);
  if (!(most <= 1.5)) { /* units in the last place; observed 0.98 */
    fail_msg("exp is off by %.2f units in the last place", most);
  }
  mem_free(x), mem_free(got);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(lse_matches), cmocka_unit_test(topk_matches), cmocka_unit_test(exp_matches)};
  return run_each_isa(tests, sizeof tests / sizeof *tests);
}
