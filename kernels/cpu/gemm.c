/* SPDX-License-Identifier: Apache-2.0
 * Matrix products on fixed tiles: 128 rows, at most 4,096 columns, each tile one single-threaded dnnl_sgemm. */
#include <oneapi/dnnl/dnnl.h>

#include "cpu.h"
#include "pool.h"

enum { ROWS = 128, COLUMNS = 4096, DEPTH = 128 };

struct product {
  int64_t m, n, k, lda, ldb, ldc, col_step, col_tasks;
  const float *a, *b;
  float *c;
  float beta;
  char tb;
};

static void tile(void *ctx, int i, int worker) {
  const struct product *p = ctx;
  int64_t r = i / p->col_tasks * ROWS, c = i % p->col_tasks * p->col_step;
  int64_t rows = cpu_min(ROWS, p->m - r), cols = cpu_min(p->col_step, p->n - c);
  (void)worker;
  dnnl_sgemm('N', p->tb, rows, cols, p->k, 1.0f, p->a + r * p->lda, p->lda, p->b + (p->tb == 'T' ? c * p->ldb : c), p->ldb, p->beta,
             p->c + r * p->ldc + c, p->ldc);
}

static void product_run(struct product *p) {
  p->col_step = p->n < 2048 ? 192 : COLUMNS;
  p->col_tasks = (p->n + p->col_step - 1) / p->col_step;
  pool_run((int)((p->m + ROWS - 1) / ROWS * p->col_tasks), tile, p);
}

void cpu_gemm_nt(KDEV, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw, float *y, int64_t ldy,
                 int accumulate) {
  struct product p = {.m = m, .n = n, .k = k, .lda = ldx, .ldb = ldw, .ldc = ldy, .a = x, .b = w, .c = y, .tb = 'T'};
  p.beta = accumulate ? 1.0f : 0.0f;
  product_run(&p);
}

void cpu_gemm_nn(KDEV, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *w, int64_t ldw, float *dx,
                 int64_t lddx, int accumulate) {
  struct product p = {.m = m, .n = k, .k = n, .lda = lddy, .ldb = ldw, .ldc = lddx, .a = dy, .b = w, .c = dx, .tb = 'N'};
  p.beta = accumulate ? 1.0f : 0.0f;
  product_run(&p);
}

static void tile_tn(void *ctx, int i, int worker) {
  const struct product *p = ctx;
  int64_t r = i / p->col_tasks * ROWS, c = i % p->col_tasks * p->col_step;
  int64_t rows = cpu_min(ROWS, p->m - r), cols = cpu_min(p->col_step, p->n - c);
  float beta = p->beta;
  (void)worker;
  for (int64_t t = 0; t < p->k; t += DEPTH) {
    dnnl_sgemm('T', 'N', rows, cols, cpu_min(DEPTH, p->k - t), 1.0f, p->a + t * p->lda + r, p->lda, p->b + t * p->ldb + c, p->ldb, beta,
               p->c + r * p->ldc + c, p->ldc);
    beta = 1.0f;
  }
}

void cpu_gemm_tn(KDEV, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *x, int64_t ldx, float *dw,
                 int64_t lddw, int accumulate) {
  struct product p = {.m = n, .n = k, .k = m, .lda = lddy, .ldb = ldx, .ldc = lddw, .a = dy, .b = x, .c = dw};
  p.beta = accumulate ? 1.0f : 0.0f;
  p.col_step = COLUMNS;
  p.col_tasks = (k + COLUMNS - 1) / COLUMNS;
  pool_run((int)((n + ROWS - 1) / ROWS * p.col_tasks), tile_tn, &p);
}
