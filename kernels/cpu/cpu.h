/* SPDX-License-Identifier: Apache-2.0
 * Inside of the CPU back end: the functions behind the table, how work is cut, and the switch to faster variants.
 * Work is cut into tasks by sizes alone, never by the number of threads (decision 3). Nothing outside kernels/cpu includes it. */
#ifndef KERNELS_CPU_H
#define KERNELS_CPU_H
#include "kernel.h"

#define KDEV struct kdev *dev __attribute__((unused))

/* f(ctx, begin, end) over [0, n) in chunks of `chunk`, each chunk one task of the pool. */
typedef void (*cpu_range)(void *ctx, int64_t begin, int64_t end);
void cpu_for(int64_t n, int64_t chunk, cpu_range f, void *ctx);
/* Chunk of rows so that a task touches about 16,384 values. */
int64_t cpu_row_chunk(int64_t width);

/* The inner pieces that each instruction set has its own of; cpu_table.c fills it before any kernel runs. */
struct cpu_isa {
  const char *name;
  /* Matrix product: c(rows,nr) (+)= sum over l in [0,k), ascending, of a[r * rs + l * cs] * b[l * ldb + j], rows = mr for
   * micro and `few` for micro_few (mr a multiple of few). Both give each value the same bits: one running sum from 0. */
  int mr, few, nr;
  void (*micro)(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add);
  void (*micro_few)(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add);
  void (*pack_transposed)(int64_t k, const float *src, int64_t ld, float *dst); /* dst[l*nr + j] = src[j*ld + l] */
  /* Product for few rows: for 8 rows of weights w[i] and m rows of x, 16 lanes of each sum: lane l of lanes[i * ld_lanes + j * 16]
   * adds (from 0 when first) w[i][c] * x[j * ldx + c] for c = l, l + 16, ... < k ascending. lanes_sum folds them in halves. */
  void (*gemv_tile)(int64_t m, int64_t k, const float *const *w, const float *x, int64_t ldx, float *lanes, int64_t ld_lanes, int first);
  float (*lanes_sum)(const float *lanes);
  void (*decode_span)(enum dtype t, int64_t n, const void *src, float *dst); /* whole blocks, one thread */
  /* Spans. exp_sum: sum of exp(x * scale - shift) in a fixed order; exp_store: the values to out (may be x), their sum back. */
  float (*max_span)(int64_t n, const float *x);
  double (*exp_sum)(int64_t n, const float *x, float scale, float shift);
  float (*exp_store)(int64_t n, const float *x, float scale, float shift, float *out);
  void (*swiglu_forward)(int64_t n, const float *gate, const float *up, float *out);
  void (*swiglu_backward)(int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup);
};
extern struct cpu_isa cpu_isa;
void cpu_gemm_use_generic(struct cpu_isa *isa);
void cpu_spans_use_generic(struct cpu_isa *isa);
void cpu_gemv_use_generic(struct cpu_isa *isa);
void cpu_gemm_use_avx2(struct cpu_isa *isa);
void cpu_spans_use_avx2(struct cpu_isa *isa);
void cpu_gemv_use_avx2(struct cpu_isa *isa);
void cpu_gemm_use_avx512(struct cpu_isa *isa);
void cpu_spans_use_avx512(struct cpu_isa *isa);
void cpu_gemv_use_avx512(struct cpu_isa *isa);

/* One thread's c(m,n) (+)= a b; a[i * rs + l * cs], b[l * ldb + j] or, when bt, b[j * ldb + l]. A value's bits depend on its
 * row of a, its column of b and k only: not on m, n or where it stands. */
void cpu_gemm_block(int64_t m, int64_t n, int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, int bt,
                    float *c, int64_t ldc, int add);

static inline int64_t cpu_min(int64_t a, int64_t b) { return a < b ? a : b; }

void *cpu_block_new(struct kdev *, size_t bytes);
void cpu_block_free(struct kdev *, void *p, size_t bytes);
void cpu_copy(struct kdev *, void *dst, const void *src, size_t bytes);
void cpu_zero(struct kdev *, void *dst, size_t bytes);
const char *cpu_failed(struct kdev *);
void cpu_lane(struct kdev *, int lane);
void cpu_gather_rows(struct kdev *, int64_t n, int64_t width, const int32_t *row, const float *from, float *to);
void cpu_scatter_rows(struct kdev *, int64_t n, int64_t width, const int32_t *row, const float *from, float *to);
void cpu_kv_store(struct kdev *, const struct seqs *s, int64_t width, const struct kv_view *cache, const float *k, const float *v);
void cpu_gemm_nt(struct kdev *, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw, float *y,
                 int64_t ldy, int accumulate);
void cpu_gemm_nn(struct kdev *, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *w, int64_t ldw, float *dx,
                 int64_t lddx, int accumulate);
void cpu_gemm_tn(struct kdev *, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *x, int64_t ldx, float *dw,
                 int64_t lddw, int accumulate);
void cpu_gemv(struct kdev *, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, enum dtype wtype, const void *w, float *y,
              int64_t ldy);
void cpu_bias_forward(struct kdev *, int64_t n, int64_t width, const float *bias, float *y);
void cpu_bias_backward(struct kdev *, int64_t n, int64_t width, const float *dy, float *dbias);
void cpu_embed_forward(struct kdev *, int64_t n, int64_t width, const int32_t *ids, enum dtype type, const void *table, float *out);
void cpu_embed_backward(struct kdev *, int64_t n, int64_t width, const int32_t *ids, const float *dout, float *dtable);
void cpu_rmsnorm_forward(struct kdev *, int64_t n, int64_t width, const float *x, const float *gamma, float eps, float *out, float *rstd);
void cpu_rmsnorm_backward(struct kdev *, int64_t n, int64_t width, const float *x, const float *gamma, const float *rstd,
                          const float *dout, float *dx, int accumulate_dx, float *dgamma);
void cpu_rotary_table(struct kdev *, int64_t n, int32_t head_dim, const int32_t *positions, const double *inv_freq, float *cos_sin);
void cpu_rope(struct kdev *, int64_t n, int32_t heads, int32_t head_dim, const float *cos_sin, float *x, int64_t ldx, int inverse);
void cpu_attention_forward(struct kdev *, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq, const float *k,
                           const float *v, int64_t ldkv, float *out, int64_t ldo, float *lse);
void cpu_attention_backward(struct kdev *, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq,
                            const float *k, const float *v, int64_t ldkv, const float *out, const float *dout, int64_t ldo,
                            const float *lse, float *dq, float *dk, float *dv, void *scratch);
size_t cpu_attention_backward_scratch_bytes(const struct seqs *s, const struct attn_shape *a);
void cpu_attention_decode(struct kdev *, const struct seqs *s, const struct attn_shape *a, const float *q, const struct kv_view *cache,
                          float *out);
void cpu_swiglu_forward(struct kdev *, int64_t n, const float *gate, const float *up, float *out);
void cpu_swiglu_backward(struct kdev *, int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup);
void cpu_add(struct kdev *, int64_t n, const float *a, const float *b, float *out);
void cpu_scale(struct kdev *, int64_t n, float s, float *x);
double cpu_sum_squares(struct kdev *, int64_t n, const float *x);
void cpu_row_lse(struct kdev *, int64_t n, int64_t vocab, const float *logits, float temperature, float *lse);
void cpu_row_topk(struct kdev *, int64_t n, int64_t vocab, int64_t k, const float *logits, int32_t *ids, float *logprob, float *rest);
void cpu_adamw(struct kdev *, int64_t n, float *p, const float *grad, float *mom, float *var, double lr, double beta1, double beta2,
               double eps, double weight_decay, double grad_scale, int64_t step);
void cpu_decode(struct kdev *, enum dtype t, int64_t n, const void *src, float *dst);
void cpu_encode(struct kdev *, enum dtype t, int64_t n, const float *src, void *dst);
void cpu_rows(struct kdev *, int64_t n, void (*f)(void *ctx, int64_t row, int worker), void *ctx);

/* The readable decode_span, and the 6-bit scale and minimum of group j of a Q4_K block. */
void cpu_decode_span(enum dtype t, int64_t n, const void *src, float *dst);
void cpu_group_q4_k(const unsigned char *scales, int j, int *scale, int *min);
#endif
