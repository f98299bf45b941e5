/* SPDX-License-Identifier: Apache-2.0
 * Attention over packed sequences, forward (kernels/cpu/attention.c): for each block of queries scores = q k^T, masked softmax in
 * place, out = scores v. Causal, bounded by documents and by the sliding window, grouped keys, any head_dim. */
#include "attention.cuh"

/* A block a (query, head): scores to probabilities; keys the query does not see get 0. */
static __global__ void softmax_kernel(struct attention_block b, int32_t n_seq, const int32_t *start, int32_t window, float scale, int32_t heads,
                                      float *scores, float *lse) {
  __shared__ float room[32];
  int64_t i = b.first + blockIdx.x;
  float *s = scores + (static_cast<int64_t>(blockIdx.y) * b.rows + blockIdx.x) * b.keys;
  int64_t lo = attention_first_key(i, start[attention_document(start, n_seq, i)], window) - b.key, hi = i + 1 - b.key;
  float most = -INFINITY, sum = 0;
  for (int64_t j = lo + threadIdx.x; j < hi; j += ATTENTION_THREADS) {
    most = fmaxf(most, s[j]);
  }
  most = block_max(most, room) * scale;
  for (int64_t j = threadIdx.x; j < b.keys; j += ATTENTION_THREADS) {
    float p = j >= lo && j < hi ? expf(s[j] * scale - most) : 0.0f;
    s[j] = p;
    sum += p;
  }
  sum = block_sum(sum, room);
  float inv = 1.0f / sum;
  for (int64_t j = threadIdx.x; j < b.keys; j += ATTENTION_THREADS) {
    s[j] *= inv;
  }
  if (threadIdx.x == 0 && lse != NULL) {
    lse[i * heads + blockIdx.y] = most + logf(sum);
  }
}

/* ---- launcher ---- */

void cuda_attention_forward(struct kdev *d, const struct seqs *s, const struct attn_shape *a, const float *q, int64_t ldq, const float *k,
                            const float *v, int64_t ldkv, float *out, int64_t ldo, float *lse) {
  const int32_t *start = static_cast<const int32_t *>(cuda_small(d, s->start, (static_cast<size_t>(s->n_seq) + 1) * sizeof *s->start));
  float *scores = static_cast<float *>(cuda_scratch(d, d->work_bytes, "scores of attention"));
  for (int64_t first = 0; first < s->n_tok && !d->failed;) {
    struct attention_block b = attention_next(d, s, a, first, 1);
    if (b.rows == 0) {
      return;
    }
    struct attention_operand z = attention_scores(a, scores, &b);
    attention_multiply(d, a, b.rows, b.keys, a->head_dim, attention_queries(a, q + first * ldq, ldq), 0,
                       attention_keys(a, k + b.key * ldkv, ldkv), 1, z, 0, 0);
    CUDA_RUN(d, softmax_kernel, dim3(static_cast<unsigned>(b.rows), static_cast<unsigned>(a->n_head)), dim3(ATTENTION_THREADS), 0, b, s->n_seq,
             start, a->window, a->scale, a->n_head, scores, lse);
    attention_multiply(d, a, b.rows, a->head_dim, b.keys, z, 0, attention_keys(a, v + b.key * ldkv, ldkv), 0,
                       attention_queries(a, out + first * ldo, ldo), 0, 0);
    first += b.rows;
  }
}
