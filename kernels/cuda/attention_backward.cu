/* SPDX-License-Identifier: Apache-2.0
 * Gradient of attention (formulas: kernels/cpu/attention_backward.c), block of queries by block of queries: scores and
 * dP = dout v^T, then P and dS = P * (dP - delta) * scale in place, then dv += P^T dout, dk += dS^T q, dq = dS k. Blocks and the
 * heads of a group follow each other in the stream, so every sum has one order. */
#include "attention.cuh"

/* A warp a (token, head): delta = rowsum(dout * out). */
static __global__ void delta_kernel(int64_t n, int32_t heads, int32_t head_dim, const float *out, const float *dout, int64_t ldo, float *delta) {
  int64_t at = static_cast<int64_t>(blockIdx.x) * (ATTENTION_THREADS / 32) + threadIdx.x / 32, i = at / heads, h = at % heads;
  double sum = 0;
  if (i >= n) {
    return;
  }
  for (int64_t c = threadIdx.x % 32; c < head_dim; c += 32) {
    int64_t x = i * ldo + h * head_dim + c;
    sum += static_cast<double>(out[x]) * static_cast<double>(dout[x]);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) {
    delta[at] = static_cast<float>(sum);
  }
}

/* A block a (query, head). */
static __global__ void gradient_kernel(struct attention_block b, int32_t n_seq, const int32_t *start, int32_t window, float scale,
                                       int32_t heads, const float *lse, const float *delta, float *scores, float *dscores) {
  int64_t i = b.first + blockIdx.x, at = (static_cast<int64_t>(blockIdx.y) * b.rows + blockIdx.x) * b.keys;
  int64_t lo = attention_first_key(i, start[attention_document(start, n_seq, i)], window) - b.key, hi = i + 1 - b.key;
  float total = lse[i * heads + blockIdx.y], mean = delta[i * heads + blockIdx.y];
  for (int64_t j = threadIdx.x; j < b.keys; j += ATTENTION_THREADS) {
    float p = j >= lo && j < hi ? expf(scores[at + j] * scale - total) : 0.0f;
    scores[at + j] = p;
    dscores[at + j] = j >= lo && j < hi ? p * (dscores[at + j] - mean) * scale : 0.0f;
  }
}

/* ---- launchers ---- */

size_t cuda_attention_backward_scratch_bytes(const struct seqs *s, const struct attn_shape *a) {
  return static_cast<size_t>(s->n_tok) * static_cast<size_t>(a->n_head) * sizeof(float); /* delta */
}

void cuda_attention_backward(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq,
                             const float *k, const float *v, int64_t ldkv, const float *out, const float *dout, int64_t ldo,
                             const float *lse, float *dq, float *dk, float *dv, void *scratch) {
  const int32_t *start = static_cast<const int32_t *>(cuda_small(d, s->start, (static_cast<size_t>(s->n_seq) + 1) * sizeof *s->start));
  float *delta = static_cast<float *>(scratch), *scores = static_cast<float *>(cuda_scratch(d, d->work_bytes, "scores of attention"));
  size_t width = static_cast<size_t>(a->n_kv_head) * static_cast<size_t>(a->head_dim) * sizeof(float), pitch = static_cast<size_t>(ldkv) * sizeof(float);
  int64_t pairs = static_cast<int64_t>(s->n_tok) * a->n_head;
  CUDA_TRY(d, cudaMemset2DAsync(dk, pitch, 0, width, static_cast<size_t>(s->n_tok), d->stream[d->lane]));
  CUDA_TRY(d, cudaMemset2DAsync(dv, pitch, 0, width, static_cast<size_t>(s->n_tok), d->stream[d->lane]));
  CUDA_RUN(d, delta_kernel, dim3(cuda_blocks(pairs, ATTENTION_THREADS / 32)), dim3(ATTENTION_THREADS), 0, s->n_tok, a->n_head, a->head_dim, out,
           dout, ldo, delta);
  for (int64_t first = 0; first < s->n_tok && !d->failed;) {
    struct attention_block b = attention_next(d, s, a, first, 2);
    if (b.rows == 0) {
      return;
    }
    float *dscores = scores + a->n_head * b.rows * b.keys;
    struct attention_operand p = attention_scores(a, scores, &b), ds = attention_scores(a, dscores, &b);
    struct attention_operand query = attention_queries(a, q + first * ldq, ldq), grad = attention_queries(a, dout + first * ldo, ldo);
    struct attention_operand key = attention_keys(a, k + b.key * ldkv, ldkv), value = attention_keys(a, v + b.key * ldkv, ldkv);
    attention_multiply(d, a, b.rows, b.keys, a->head_dim, query, 0, key, 1, p, 0, 0);
    attention_multiply(d, a, b.rows, b.keys, a->head_dim, grad, 0, value, 1, ds, 0, 0);
    CUDA_RUN(d, gradient_kernel, dim3(static_cast<unsigned>(b.rows), static_cast<unsigned>(a->n_head)), dim3(ATTENTION_THREADS), 0, b, s->n_seq,
             start, a->window, a->scale, a->n_head, lse, delta, scores, dscores);
    attention_multiply(d, a, b.keys, a->head_dim, b.rows, p, 1, grad, 0, attention_keys(a, dv + b.key * ldkv, ldkv), 1, 1);
    attention_multiply(d, a, b.keys, a->head_dim, b.rows, ds, 1, query, 0, attention_keys(a, dk + b.key * ldkv, ldkv), 1, 1);
    attention_multiply(d, a, b.rows, a->head_dim, b.keys, ds, 0, key, 0, attention_queries(a, dq + first * ldq, ldq), 0, 0);
    first += b.rows;
  }
}
