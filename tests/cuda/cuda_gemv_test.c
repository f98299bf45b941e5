/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/gemv.cu against kernels/cpu/gemv.c: every stored type, 1 to 64 rows; a row's bits do not depend on the others. */
#include "cuda/stored_data.h"

static void gemv(void **state) {
  static const int64_t rows[] = {1, 2, 7, 8, 9, 17};
  double worst_off = 0;
  (void)state;
  for (int i = 0; i < N_STORED; i++) {
    enum dtype t = stored_types[i];
    for (int s = 0; s < 6; s++) {
      int64_t m = rows[s], block = dtype_block(t), k = block == 1 ? 33 + 50 * s : block * (1 + s % 3), n = 1 + 6 * s, ldx = k + 5, ldy = n + 2;
      float *x = host_filled(m * ldx, 3), *want = host_filled(m * ldy, 4), *dx = up_floats(x, m * ldx), *dy = up_floats(want, m * ldy), *again = up_floats(want, ldy);
      unsigned char *w = stored_data(t, n * k, (uint32_t)(7 * i + s)), *dw = up(w, dtype_bytes(t, n * k));
      kernels_cpu()->gemv(NULL, m, n, k, x, ldx, t, w, want, ldy);
      K->gemv(D, m, n, k, dx, ldx, t, dw, dy, ldy);
      float *got = down_floats(dy, m * ldy);
      float *value = host_floats(n * k);
      kernels_cpu()->decode(NULL, t, n * k, w, value);
      for (int64_t r = 0; r < m; r++) {
        for (int64_t c = 0; c < ldy; c++) { /* against the size of the terms: sums of quantised weights cancel */
          double terms = 0, off = fabs((double)got[r * ldy + c] - (double)want[r * ldy + c]);
          for (int64_t l = 0; c < n && l < k; l++) {
            terms += fabs((double)value[c * k + l] * (double)x[r * ldx + l]);
          }
          worst_off = c < n && off / terms > worst_off ? off / terms : worst_off;
          if (!(off <= 2e-7 * terms)) { /* observed 8.3e-8 */
            fail_msg("%s: y(%lld, %lld) is %.9g, wanted %.9g", dtype_name(t), (long long)r, (long long)c, (double)got[r * ldy + c], (double)want[r * ldy + c]);
          }
        }
      }
      K->gemv(D, 1, n, k, dx + (m - 1) * ldx, ldx, t, dw, again, ldy); /* the last row alone */
      SAME_BITS(down_floats(again, n), got + (m - 1) * ldy, n);
      rows_done();
    }
  }
  if (getenv("ROWS_SHOW") != NULL) {
    printf("gemv: %.3g\n", worst_off);
  }
}

ROWS_MAIN(cmocka_unit_test(gemv))
