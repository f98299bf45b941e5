/* SPDX-License-Identifier: Apache-2.0
 * Inside of the CUDA back end: the device handle, how a call that failed is noted, the functions behind the table.
 * Kernels return nothing, as their CPU twins: the first failure is kept in the handle with file, line and call, everything after
 * it is skipped, and whoever waits for a result asks kernels->failed (kernels/device.h). Included by .cu files only. */
#ifndef KERNELS_CUDA_DEV_H
#define KERNELS_CUDA_DEV_H
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel.h"
#include "launch.h"

enum { CUDA_LANES = 2, CUDA_STAGES = 2, CUDA_PARTIALS = 1024 };
static const size_t CUDA_RING_BYTES = static_cast<size_t>(4) << 20, CUDA_STAGE_BYTES = static_cast<size_t>(8) << 20;

struct kdev {
  int index;
  enum kdev_precision precision;
  int lane;                            /* where calls go: a stream with its own cuBLAS handle and scratch */
  cudaStream_t stream[CUDA_LANES], copy;
  cublasHandle_t blas[CUDA_LANES];
  cudaEvent_t mark[CUDA_LANES];
  void *blas_work[CUDA_LANES];
  unsigned char *work[CUDA_LANES];     /* scratch of kernels, each call's own while it is in its stream */
  size_t work_bytes;
  unsigned char *ring_host, *ring;     /* small tables on their way to the device (cuda_small) */
  size_t ring_at;
  unsigned char *stage[CUDA_STAGES];   /* pinned; big uploads and downloads pass through */
  cudaEvent_t stage_done[CUDA_STAGES];
  double *partial;                     /* pinned (CUDA_PARTIALS) */
  struct cuda_bf16 *bf16;              /* bf16.cu; NULL = products take float32 */
  void *comm;                          /* NCCL, see ranks.cu; NULL = alone */
  int failed;
  char why[600];
};

/* 1 when the call was good. The first bad one is noted with its place; `what` is the call's text. */
int cuda_note(struct kdev *d, cudaError_t code, const char *what, const char *file, int line);
int cuda_note_blas(struct kdev *d, cublasStatus_t code, const char *what, const char *file, int line);
void cuda_note_text(struct kdev *d, const char *text, const char *file, int line);
#define CUDA_TRY(d, call) ((d)->failed ? 0 : cuda_note((d), (call), #call, __FILE__, __LINE__))
#define CUDA_TRY_BLAS(d, call) ((d)->failed ? 0 : cuda_note_blas((d), (call), #call, __FILE__, __LINE__))
/* A kernel in the lane's stream. */
#define CUDA_RUN(d, kernel, grid, block, shared_bytes, ...)                                                                  \
  ((d)->failed ? 0 : cuda_note((d), CUDA_LAUNCH(kernel, (grid), (block), (shared_bytes), (d)->stream[(d)->lane], __VA_ARGS__), \
                               #kernel, __FILE__, __LINE__))

/* A device copy of a small host table for the calls that follow in this lane; valid until about CUDA_RING_BYTES later. NULL
 * (and noted) when it does not fit the ring. */
const void *cuda_small(struct kdev *d, const void *host, size_t bytes);
/* Scratch of the lane for the call in hand, 256-byte aligned parts cut by the caller. NULL (and noted) when it is too small. */
void *cuda_scratch(struct kdev *d, size_t bytes, const char *what);

static inline unsigned cuda_blocks(int64_t n, int64_t per) { return static_cast<unsigned>((n + per - 1) / per); }
static inline int64_t cuda_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cuda_max(int64_t a, int64_t b) { return a > b ? a : b; }

/* Products in row-major terms: c(m,n) (+)= a(m,k) b, one of `batch` at the strides; ta: a is stored (k,m); tb: b is stored (n,k). */
struct cuda_product {
  int64_t m, n, k, lda, ldb, ldc, stride_a, stride_b, stride_c, batch;
  int ta, tb, add;
  int weights; /* b is a matrix of weights: its bf16 form is kept */
  const float *a, *b;
  float *c;
};
void cuda_multiply(struct kdev *d, const struct cuda_product *p);

/* bf16.cu: inputs of a product in bf16. matrix: a copy made now in the lane's own room (slot 0 or 1); weights: one that is kept until the
 * values change, which every call that writes to the host-visible tensors says by cuda_bf16_changed. NULL when it failed. */
const void *cuda_bf16_matrix(struct kdev *d, int slot, const float *x, int64_t rows, int64_t width, int64_t ld);
const void *cuda_bf16_weights(struct kdev *d, const float *w, int64_t rows, int64_t width, int64_t ld);
void cuda_bf16_changed(struct kdev *d, const void *p, size_t bytes);
void cuda_bf16_close(struct kdev *d);

/* ---- rows of the table, one .cu file for each file of kernels/cpu ---- */
/* memory.cu */
void *cuda_block_new(struct kdev *d, size_t bytes);
void cuda_block_free(struct kdev *d, void *p, size_t bytes);
void cuda_upload(struct kdev *d, void *dst, const void *src, size_t bytes);
void cuda_download(struct kdev *d, void *dst, const void *src, size_t bytes);
void cuda_copy(struct kdev *d, void *dst, const void *src, size_t bytes);
void cuda_zero(struct kdev *d, void *dst, size_t bytes);
const char *cuda_failed(struct kdev *d);
void cuda_lane(struct kdev *d, int lane);
void cuda_lane_wait(struct kdev *d, int lane);
/* move.cu */
void cuda_gather_rows(struct kdev *d, int64_t n, int64_t width, const int32_t *row, const float *from, float *to);
void cuda_scatter_rows(struct kdev *d, int64_t n, int64_t width, const int32_t *row, const float *from, float *to);
void cuda_kv_store(struct kdev *d, const struct seqs *s, int64_t width, const struct kv_view *cache, const float *k, const float *v);
/* gemm.cu, gemv.cu */
void cuda_gemm_nt(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw, float *y,
                  int64_t ldy, int accumulate);
void cuda_gemm_nn(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *w, int64_t ldw, float *dx,
                  int64_t lddx, int accumulate);
void cuda_gemm_tn(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *x, int64_t ldx, float *dw,
                  int64_t lddw, int accumulate);
void cuda_gemv(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, enum dtype wtype, const void *w, float *y,
               int64_t ldy);
/* elementwise.cu, reduce.cu */
void cuda_bias_forward(struct kdev *d, int64_t n, int64_t width, const float *bias, float *y);
void cuda_bias_backward(struct kdev *d, int64_t n, int64_t width, const float *dy, float *dbias);
void cuda_add(struct kdev *d, int64_t n, const float *a, const float *b, float *out);
void cuda_scale(struct kdev *d, int64_t n, float s, float *x);
double cuda_sum_squares(struct kdev *d, int64_t n, const float *x);
/* embed.cu, rmsnorm.cu, rope.cu, swiglu.cu */
void cuda_embed_forward(struct kdev *d, int64_t n, int64_t width, const int32_t *ids, enum dtype type, const void *table, float *out);
void cuda_embed_backward(struct kdev *d, int64_t n, int64_t width, const int32_t *ids, const float *dout, float *dtable);
void cuda_rmsnorm_forward(struct kdev *d, int64_t n, int64_t width, const float *x, const float *gamma, float eps, float *out, float *rstd);
void cuda_rmsnorm_backward(struct kdev *d, int64_t n, int64_t width, const float *x, const float *gamma, const float *rstd,
                           const float *dout, float *dx, int accumulate_dx, float *dgamma);
void cuda_rotary_table(struct kdev *d, int64_t n, int32_t head_dim, const int32_t *positions, const double *inv_freq, float *cos_sin);
void cuda_rope(struct kdev *d, int64_t n, int32_t heads, int32_t head_dim, const float *cos_sin, float *x, int64_t ldx, int inverse);
void cuda_swiglu_forward(struct kdev *d, int64_t n, const float *gate, const float *up, float *out);
void cuda_swiglu_backward(struct kdev *d, int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup);
/* attention.cu, attention_backward.cu, attention_decode.cu */
void cuda_attention_forward(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq, const float *k,
                            const float *v, int64_t ldkv, float *out, int64_t ldo, float *lse);
void cuda_attention_backward(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq,
                             const float *k, const float *v, int64_t ldkv, const float *out, const float *dout, int64_t ldo,
                             const float *lse, float *dq, float *dk, float *dv, void *scratch);
size_t cuda_attention_backward_scratch_bytes(const struct seqs *s, const struct attn_shape *a);
void cuda_attention_decode(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, const struct kv_view *cache,
                           float *out);
/* rowstat.cu, adamw.cu, dequant.cu, quantize.cu */
void cuda_row_lse(struct kdev *d, int64_t n, int64_t vocab, const float *logits, float temperature, float *lse);
void cuda_row_topk(struct kdev *d, int64_t n, int64_t vocab, int64_t k, const float *logits, int32_t *ids, float *logprob, float *rest);
void cuda_adamw(struct kdev *d, int64_t n, float *p, const float *grad, float *mom, float *var, double lr, double beta1, double beta2,
                double eps, double weight_decay, double grad_scale, int64_t step);
void cuda_decode(struct kdev *d, enum dtype t, int64_t n, const void *src, float *dst);
void cuda_encode(struct kdev *d, enum dtype t, int64_t n, const float *src, void *dst);
/* ranks.cu */
int cuda_ranks_id(unsigned char *id, char *why, size_t n);
int cuda_ranks_join(struct kdev *d, const unsigned char *id, int rank, int ranks, char *why, size_t n);
void cuda_ranks_leave(struct kdev *d);
void cuda_reduce_ranks(struct kdev *d, int64_t n, enum dtype type, void *x);
/* train/loss_rows.cu */
void cuda_loss_rows(struct kdev *d, const struct loss_chunk *c);
#endif
