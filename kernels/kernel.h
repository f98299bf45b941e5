/* SPDX-License-Identifier: Apache-2.0
 * The table of tensor kernels: one slot an operation, one back end a table (kernels/cpu, kernels/cuda). Kernels know
 * pointers and sizes, no files and no JSON. All tensors are row-major float32 unless a row says else; sizes are int64.
 * Every tensor (ids and row lists too) lies in the back end's memory (block_new); structs and the arrays of struct seqs and
 * struct kv_view themselves are the host's. Calls of a device are asynchronous and follow each other in its lane; a call that
 * fails is kept and asked for by `failed` (device.h: device_check), what comes after it is skipped.
 * Included by .cu files too: no restrict, no _Static_assert, no designators.
 *
 * Determinism (decision 3): every result is a function of the inputs and the instruction set only, never of the number of
 * threads, and a row of a result never of the other rows (so batch size never changes an answer). On CUDA gemm_* and what is built
 * on them keep the first promise for equal shapes, not the second (cuBLAS); gemv and attention_decode keep both.
 * No kernel allocates: scratch comes from the caller through *_scratch_bytes, or is fixed and per worker.
 * `accumulate` = 1 adds to the output instead of storing. */
#ifndef KERNELS_KERNEL_H
#define KERNELS_KERNEL_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kdev; /* device handle: streams and scratch of a back end; NULL for the CPU */
struct loss_chunk; /* train/loss_row.h */

/* Storage types of weights, GGUF's meaning. Block types hold 32 (Q4_0 Q4_1 Q8_0) or 256 (Q4_K Q6_K) values a block. */
enum dtype { DT_F32, DT_F16, DT_BF16, DT_Q4_0, DT_Q4_1, DT_Q8_0, DT_Q4_K, DT_Q6_K, DT_I32, DT_I64, DT_U8, DT_F64, DT_COUNT };

/* Packed sequences (documents) in one row of tokens. */
struct seqs {
  int32_t n_tok;           /* total tokens */
  int32_t n_seq;
  const int32_t *start;    /* (n_seq + 1) first token of each, start[n_seq] = n_tok */
};
struct attn_shape {
  int32_t n_head, n_kv_head, head_dim;
  int32_t window; /* key j visible to i iff i - j < window; 0 = no window */
  float scale;    /* 1 / sqrt(head_dim) */
};
/* Decoding: the newest tokens of a stream against that stream's cache. */
struct kv_view {
  float *k, *v;  /* (len, n_kv_head, head_dim) rows, oldest first, the new tokens' rows included */
  int32_t len;
};

struct kernels {
  const char *name; /* "cpu" "cuda" */
  const char *isa;  /* "avx512", "avx2", "generic", "sm90": part of the kernel contract version */

  /* Memory of the back end; for the CPU the host's own. block_new: zeroed, NULL when there is none left. upload and download
   * go from and to the host's memory: src is free at return of upload, dst is there at return of download. */
  int on_device; /* 1: the host must not touch tensors */
  void *(*block_new)(struct kdev *d, size_t bytes);
  void (*block_free)(struct kdev *d, void *p, size_t bytes);
  void (*upload)(struct kdev *d, void *dst, const void *src, size_t bytes);
  void (*download)(struct kdev *d, void *dst, const void *src, size_t bytes);
  void (*copy)(struct kdev *d, void *dst, const void *src, size_t bytes);
  void (*zero)(struct kdev *d, void *dst, size_t bytes);
  const char *(*failed)(struct kdev *d); /* waits; NULL = all calls so far were good, else file, line, call, what to do */
  /* Two lanes run beside each other: calls go to the one named last; lane_wait makes it wait for all calls so far of another.
   * The CPU has one. */
  void (*lane)(struct kdev *d, int lane);
  void (*lane_wait)(struct kdev *d, int other);

  /* to row i = from row row[i], and back: to row row[i] = from row i (each row named once) */
  void (*gather_rows)(struct kdev *d, int64_t n, int64_t width, const int32_t *row, const float *from, float *to);
  void (*scatter_rows)(struct kdev *d, int64_t n, int64_t width, const int32_t *row, const float *from, float *to);
  /* k, v(n, width) of the packed tokens become the last rows of their sequences' caches; len counts them already */
  void (*kv_store)(struct kdev *d, const struct seqs *s, int64_t width, const struct kv_view *cache, const float *k, const float *v);

  /* y(m,n) = x(m,k) w(n,k)^T */
  void (*gemm_nt)(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw,
                  float *y, int64_t ldy, int accumulate);
  /* dx(m,k) = dy(m,n) w(n,k) */
  void (*gemm_nn)(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *w, int64_t ldw,
                  float *dx, int64_t lddx, int accumulate);
  /* dw(n,k) = dy(m,n)^T x(m,k); the reduction over m runs in a fixed order */
  void (*gemm_tn)(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *x, int64_t ldx,
                  float *dw, int64_t lddw, int accumulate);
  /* y(m,n) = x(m,k) w(n,k)^T for few rows (decoding, m 1..64) with weights in their stored type (row = k values);
   * exact: float32 activations, weights as their dequantised float32 values. One stated summation order for every m. */
  void (*gemv)(struct kdev *d, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, enum dtype wtype, const void *w,
               float *y, int64_t ldy);
  void (*bias_forward)(struct kdev *d, int64_t n, int64_t width, const float *bias, float *y);         /* y(n,width) += bias */
  void (*bias_backward)(struct kdev *d, int64_t n, int64_t width, const float *dy, float *dbias);      /* dbias += column sums */

  /* table(vocab, width) in its stored type */
  void (*embed_forward)(struct kdev *d, int64_t n, int64_t width, const int32_t *ids, enum dtype type, const void *table, float *out);
  void (*embed_backward)(struct kdev *d, int64_t n, int64_t width, const int32_t *ids, const float *dout, float *dtable); /* += */

  /* out = x * rstd * gamma, rstd(n) = 1/sqrt(mean(x^2) + eps); also used per head (n = tokens * heads, width = head_dim) */
  void (*rmsnorm_forward)(struct kdev *d, int64_t n, int64_t width, const float *x, const float *gamma, float eps, float *out,
                          float *rstd);
  void (*rmsnorm_backward)(struct kdev *d, int64_t n, int64_t width, const float *x, const float *gamma, const float *rstd,
                           const float *dout, float *dx, int accumulate_dx, float *dgamma /* +=, may be NULL */);

  /* cos_sin(n, head_dim) of positions(n) and inv_freq(head_dim / 2), angles in double */
  void (*rotary_table)(struct kdev *d, int64_t n, int32_t head_dim, const int32_t *positions, const double *inv_freq, float *cos_sin);
  /* half-split (HF) rotary in place on x(n, heads, head_dim), row stride ldx; cos_sin(n, head_dim): cos first half, sin second;
   * inverse = 1 rotates back (the backward pass) */
  void (*rope)(struct kdev *d, int64_t n, int32_t heads, int32_t head_dim, const float *cos_sin, float *x, int64_t ldx, int inverse);

  /* q(n,H,dh) k,v(n,G,dh) out(n,H,dh), causal inside each sequence; lse(n,H) log-sum-exp kept for the backward pass.
   * Row strides in floats (so q,k,v may be slices of one fused buffer). */
  void (*attention_forward)(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq,
                            const float *k, const float *v, int64_t ldkv, float *out, int64_t ldo, float *lse);
  /* dq, dk, dv are stored, not added to */
  void (*attention_backward)(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq,
                             const float *k, const float *v, int64_t ldkv, const float *out, const float *dout, int64_t ldo,
                             const float *lse, float *dq, float *dk, float *dv, void *scratch);
  size_t (*attention_backward_scratch_bytes)(const struct seqs *s, const struct attn_shape *a);
  /* s->n_seq streams, q(n,H,dh), cache[n_seq], out(n,H,dh): the queries of a stream are the last tokens of its cache. The same
   * bits as those rows of attention_forward over the whole stream, however many queries and streams a call has */
  void (*attention_decode)(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q,
                           const struct kv_view *cache, float *out);

  /* out = silu(gate) * up */
  void (*swiglu_forward)(struct kdev *d, int64_t n, const float *gate, const float *up, float *out);
  void (*swiglu_backward)(struct kdev *d, int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup);

  void (*add)(struct kdev *d, int64_t n, const float *a, const float *b, float *out); /* out may be a */
  void (*scale)(struct kdev *d, int64_t n, float s, float *x);
  double (*sum_squares)(struct kdev *d, int64_t n, const float *x); /* fixed order, double accumulation */

  /* rows of logits(n, vocab): lse(n) = log-sum-exp of logits / temperature */
  void (*row_lse)(struct kdev *d, int64_t n, int64_t vocab, const float *logits, float temperature, float *lse);
  /* top k of each row by (value descending, id ascending): ids(n,k), logprob(n,k) = logit - lse, rest(n) = log of the exact
   * remaining mass (-inf when none); 1 <= k <= vocab */
  void (*row_topk)(struct kdev *d, int64_t n, int64_t vocab, int64_t k, const float *logits, int32_t *ids, float *logprob, float *rest);

  /* out = exp(x * scale - shift) for n values in the calling thread (for row functions inside rows()); out may be x. Returns the
   * float sum of the values in a fixed order. At most 1.5 units in the last place off; exp(0) = 1 exactly. */
  float (*exp_span)(int64_t n, const float *x, float scale, float shift, float *out);

  /* AdamW on one tensor (Loshchilov & Hutter 2019, decoupled decay applied before the update; step counts from 1):
   * g = grad * grad_scale; p -= lr*wd*p; m,v moments with bias correction; p -= lr * mhat / (sqrt(vhat) + eps) */
  void (*adamw)(struct kdev *d, int64_t n, float *p, const float *grad, float *mom, float *var, double lr, double beta1, double beta2,
                double eps, double weight_decay, double grad_scale, int64_t step);

  /* n values of a stored type to float32 and back (n a multiple of the block size; encode: F16 BF16 Q8_0 Q4_1 only) */
  void (*decode)(struct kdev *d, enum dtype t, int64_t n, const void *src, float *dst);
  void (*encode)(struct kdev *d, enum dtype t, int64_t n, const float *src, void *dst);

  /* x(n), float32 or float64, becomes the sum over all data-parallel ranks, the same bits on each (ranks.h). Devices only. */
  void (*reduce_ranks)(struct kdev *d, int64_t n, enum dtype type, void *x);
  /* Losses of a chunk of rows of logits (train/loss_row.h); the CPU has none: there the loss driver brings its own row function */
  void (*loss_rows)(struct kdev *d, const struct loss_chunk *c);
  /* Loops over rows for code that brings its own row function: f(ctx, row, worker). CPU only, as exp_span. */
  void (*rows)(struct kdev *d, int64_t n, void (*f)(void *ctx, int64_t row, int worker), void *ctx);
};

/* A back end in a shared object of its own, which exports `const struct kernel_plugin *retort_plugin(void)` (device.h opens it). */
#define KERNEL_ABI 1
enum { KERNEL_RANKS_ID = 128 };
/* Of the inputs of products; sums, results and everything else are float32. TF32: rounded to 10 bits of mantissa. BF16: to 7, and
 * weights are kept in that form beside their float32 master values; attention's products are TF32 then. */
enum kdev_precision { KDEV_F32, KDEV_TF32, KDEV_BF16 };
struct kdev_options {
  enum kdev_precision precision;
  size_t work_bytes; /* scratch of each lane */
};
struct kdev_about {
  char name[256], isa[16]; /* "NVIDIA H100 80GB HBM3", "sm90" */
  uint64_t memory_bytes, free_bytes;
};
struct kernel_plugin {
  uint32_t abi;
  const char *build; /* of the headers both sides share; another one is refused */
  const struct kernels *table;
  int (*count)(char *why, size_t n); /* devices; 0 with the reason when there is none */
  struct kdev *(*open)(int index, const struct kdev_options *o, char *why, size_t n);
  void (*close)(struct kdev *d);
  void (*describe)(struct kdev *d, struct kdev_about *a);
  /* Ranks of one job: rank 0 makes an id, all join with it (waits for all). 0 with the reason when it failed. */
  int (*ranks_id)(unsigned char *id /* (KERNEL_RANKS_ID) */, char *why, size_t n);
  int (*ranks_join)(struct kdev *d, const unsigned char *id, int rank, int ranks, char *why, size_t n);
};

/* The CPU table with the best variant of each slot for this processor (RETORT_ISA=generic|avx2|avx512 lowers it). */
const struct kernels *kernels_cpu(void);
/* Tests and benchmarks: switches the table to the named instruction set (NULL: the best one). Returns 0 when this processor
 * does not have it, with the best below in place. Not while kernels run. Call kernels_cpu() once before. */
int kernels_cpu_select(const char *isa);
/* Raised whenever a kernel's results change in any bit: journals of local teachers are keyed by it. */
#define KERNEL_CONTRACT 1
const char *kernel_contract(void); /* of the device in use; goes into local teacher identities: "cpu-1-avx512", "cuda-1-sm90" */

int64_t dtype_block(enum dtype t);               /* values a block: 1, 32 or 256 */
size_t dtype_bytes(enum dtype t, int64_t n);     /* bytes of n values */
const char *dtype_name(enum dtype t);            /* "Q4_1" */

#ifdef __cplusplus
}
#endif
#endif
