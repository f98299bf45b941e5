/* SPDX-License-Identifier: Apache-2.0
 * Matrix products by cuBLAS. cuBLAS thinks in columns: a row-major c(m,n) is its c^T(n,m), so operands change places.
 * Sums are float32; the same shapes on the same card give the same bits (no atomics, a workspace of its own for each lane), but
 * a row's bits may depend on the number of rows: here the promise of kernel.h is weaker than the CPU's (docs/decisions.md). */
#include "cuda_dev.h"

/* Operands as cuBLAS gets them. */
struct operands {
  const void *a, *b;
  int64_t lda, ldb;
  cudaDataType_t type;
};

/* Rounds both to bf16 when that is asked for; single products only, attention's batches stay float32 (TF32). */
static int take_operands(struct kdev *d, const struct cuda_product *p, struct operands *o) {
  *o = {p->a, p->b, p->lda, p->ldb, CUDA_R_32F};
  if (d->precision != KDEV_BF16 || p->batch > 1) {
    return 1;
  }
  int64_t rows_a = p->ta ? p->k : p->m, wide_a = p->ta ? p->m : p->k, rows_b = p->tb ? p->n : p->k, wide_b = p->tb ? p->k : p->n;
  o->a = cuda_bf16_matrix(d, 0, p->a, rows_a, wide_a, p->lda);
  o->b = p->weights ? cuda_bf16_weights(d, p->b, rows_b, wide_b, p->ldb) : cuda_bf16_matrix(d, 1, p->b, rows_b, wide_b, p->ldb);
  o->lda = wide_a;
  o->ldb = wide_b;
  o->type = CUDA_R_16BF;
  return o->a != NULL && o->b != NULL;
}

void cuda_multiply(struct kdev *d, const struct cuda_product *p) {
  float one = 1, beta = p->add ? 1.0f : 0.0f;
  cublasOperation_t ta = p->tb ? CUBLAS_OP_T : CUBLAS_OP_N, tb = p->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
  struct operands o;
  if (p->m <= 0 || p->n <= 0 || p->batch <= 0) {
    return;
  }
  if (p->m > INT32_MAX || p->n > INT32_MAX || p->k > INT32_MAX || p->lda > INT32_MAX || p->ldb > INT32_MAX || p->ldc > INT32_MAX) {
    cuda_note_text(d, "a matrix product of more than 2147483647 rows or columns", __FILE__, __LINE__);
    return;
  }
  if (d->failed || !take_operands(d, p, &o)) {
    return;
  }
  cublasComputeType_t sums = o.type == CUDA_R_16BF || d->precision == KDEV_F32 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32;
  CUDA_TRY_BLAS(d, cublasGemmStridedBatchedEx(d->blas[d->lane], ta, tb, static_cast<int>(p->n), static_cast<int>(p->m), static_cast<int>(p->k),
                                              &one, o.b, o.type, static_cast<int>(o.ldb), p->stride_b, o.a, o.type, static_cast<int>(o.lda),
                                              p->stride_a, &beta, p->c, CUDA_R_32F, static_cast<int>(p->ldc), p->stride_c,
                                              static_cast<int>(p->batch), sums, CUBLAS_GEMM_DEFAULT));
}

static struct cuda_product product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, int ta, const float *b, int64_t ldb, int tb,
                                   float *c, int64_t ldc, int add) {
  struct cuda_product p = {};
  p.m = m;
  p.n = n;
  p.k = k;
  p.a = a;
  p.lda = lda;
  p.ta = ta;
  p.b = b;
  p.ldb = ldb;
  p.tb = tb;
  p.c = c;
  p.ldc = ldc;
  p.add = add;
  p.batch = 1;
  return p;
}

void cuda_gemm_nt(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw, float *y,
                  int64_t ldy, int accumulate) {
  struct cuda_product p = product(m, n, k, x, ldx, 0, w, ldw, 1, y, ldy, accumulate);
  p.weights = 1;
  cuda_multiply(d, &p);
}

void cuda_gemm_nn(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *w, int64_t ldw, float *dx,
                  int64_t lddx, int accumulate) {
  struct cuda_product p = product(m, k, n, dy, lddy, 0, w, ldw, 0, dx, lddx, accumulate);
  p.weights = 1;
  cuda_multiply(d, &p);
}

void cuda_gemm_tn(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *x, int64_t ldx, float *dw,
                  int64_t lddw, int accumulate) {
  struct cuda_product p = product(n, k, m, dy, lddy, 1, x, ldx, 0, dw, lddw, accumulate);
  cuda_multiply(d, &p);
}
