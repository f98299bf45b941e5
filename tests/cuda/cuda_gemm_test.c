/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/gemm.cu (cuBLAS) against kernels/cpu/gemm.c: odd shapes, rows longer than the matrix, adding to what is there. */
#include "cuda/rows.h"

typedef void (*product)(struct kdev *, int64_t, int64_t, int64_t, const float *, int64_t, const float *, int64_t, float *, int64_t, int);

static const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {17, 33, 64}, {64, 48, 130}, {130, 7, 31}, {5, 200, 257}};

/* x(xr, xc), w(wr, wc), y(yr, yc), each with some floats behind every row that nobody may touch */
static void one(product cpu, product gpu, const int64_t *mnk, int64_t xr, int64_t xc, int64_t wr, int64_t wc, int64_t yr, int64_t yc) {
  int64_t ldx = xc + 3, ldw = wc + 1, ldy = yc + 2;
  float *x = host_filled(xr * ldx, 1), *w = host_filled(wr * ldw, 2), *y = host_filled(yr * ldy, 3);
  float *dx = up_floats(x, xr * ldx), *dw = up_floats(w, wr * ldw), *dy = up_floats(y, yr * ldy);
  for (int add = 0; add <= 1; add++) {
    cpu(NULL, mnk[0], mnk[1], mnk[2], x, ldx, w, ldw, y, ldy, add);
    gpu(D, mnk[0], mnk[1], mnk[2], dx, ldx, dw, ldw, dy, ldy, add);
    CLOSE(down_floats(dy, yr * ldy), y, yr * ldy, 4, 2e-6); /* observed 9.1e-7: sums of up to 257 terms in another order */
  }
  rows_done();
}

#define EACH_SHAPE for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
static void gemm_nt(void **state) {
  (void)state;
  EACH_SHAPE {
    int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
    one(kernels_cpu()->gemm_nt, K->gemm_nt, shapes[s], m, k, n, k, m, n);
  }
}

static void gemm_nn(void **state) {
  (void)state;
  EACH_SHAPE {
    int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
    one(kernels_cpu()->gemm_nn, K->gemm_nn, shapes[s], m, n, n, k, m, k);
  }
}

static void gemm_tn(void **state) {
  (void)state;
  EACH_SHAPE {
    int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
    one(kernels_cpu()->gemm_tn, K->gemm_tn, shapes[s], m, n, m, k, n, k);
  }
}

ROWS_MAIN(cmocka_unit_test(gemm_nt), cmocka_unit_test(gemm_nn), cmocka_unit_test(gemm_tn))
