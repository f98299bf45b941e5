/* SPDX-License-Identifier: Apache-2.0
 * Bytes and error of stored targets on the same logits: ours (top k, draws) beside DistillKit's published format (sheet A12: ids
 * bit-packed at ceil(log2 V) bits, the first `exact` values as bfloat16, the rest as a least-squares fit of terms of the rank in
 * float32). Error = divergence of what is read back from the teacher's own top k, both renormalised over it, so that nobody's
 * missing tail counts. usage: bench_targets MODEL IDS-FILE(int32) [K] ; tests/bench/targets.sh runs it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "file.h"
#include "pool.h"
#include "shard_coded.h"
#include "shard_targets.h"

enum { CONTEXT = 512, DRAWS = 50, TERMS = 3 };

static float bf16(float x) { /* round to nearest even */
  uint32_t u;
  memcpy(&u, &x, 4);
  u = (u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u;
  memcpy(&x, &u, 4);
  return x;
}

/* Gram-Schmidt of the design matrix (rank, {1, t, sqrt t}) once: coefficients = R^-1 Q^T y, the same for every row. */
struct fit { int n; double q[TERMS][4096], r[TERMS][TERMS]; };

static void fit_new(struct fit *f, int n) {
  f->n = n;
  for (int c = 0; c < TERMS; c++) {
    for (int t = 0; t < n; t++) f->q[c][t] = c == 0 ? 1 : c == 1 ? t : sqrt(t);
    for (int b = 0; b <= c; b++) {
      double dot = 0;
      for (int t = 0; t < n; t++) dot += f->q[b][t] * f->q[c][t];
      f->r[b][c] = b == c ? sqrt(dot) : dot;
      for (int t = 0; t < n; t++) f->q[c][t] = b == c ? f->q[c][t] / f->r[c][c] : f->q[c][t] - dot * f->q[b][t];
    }
  }
}

/* What DistillKit reads back for one row (`exact` = 1, terms 0, 1, sqrt; cut to falling order, which helps it). */
static void distillkit(const struct fit *f, const float *lp, int k, float *back) {
  double y[TERMS] = { 0 };
  float coefficient[TERMS];
  for (int c = 0; c < TERMS; c++)
    for (int t = 0; t < f->n; t++) y[c] += f->q[c][t] * (double)lp[t + 1];
  for (int c = TERMS - 1; c >= 0; c--) {
    for (int b = c + 1; b < TERMS; b++) y[c] -= f->r[c][b] * y[b];
    y[c] /= f->r[c][c];
  }
  for (int c = 0; c < TERMS; c++) coefficient[c] = (float)y[c];
  back[0] = bf16(lp[0]);
  for (int t = 0; t + 1 < k; t++) {
    float v = coefficient[0] + coefficient[1] * (float)t + coefficient[2] * sqrtf((float)t);
    back[t + 1] = v < back[t] ? v : back[t];
  }
}

static double divergence(const float *lp, const float *back, int k) {
  double p = 0, q = 0, sum = 0;
  for (int j = 0; j < k; j++) p += exp((double)lp[j]), q += exp((double)back[j]);
  for (int j = 0; j < k; j++) sum += exp((double)lp[j]) / p * ((double)lp[j] - log(p) - (double)back[j] + log(q));
  return sum;
}

static enum status measure(const char *model, const char *file, int k, struct err *e) {
  enum status st;
  struct buf ids = { 0 }, stream = { 0 }, drawn = { 0 };
  struct tokenizer *tok = NULL;
  struct targets *t = NULL;
  struct coded c = { 0 };
  struct arena *a = arena_new(0);
  struct fit *f = mem_calloc(1, sizeof *f);
  struct target_kind kind = { .top_k = k, .draws = DRAWS };
  double ours = 0, theirs = 0, worst = 0, n = 0, different = 0;
  if (!a || !f) return err_nomem(e, sizeof *f);
  fit_new(f, k - 1);
  TRY(file_read(file, (size_t)1 << 30, &ids, e));
  TRY(tokenizer_open(model, &tok, e));
  TRY(targets_open(model, &kind, tok, CONTEXT, "apache-2.0", NULL, &t, e));
  int32_t vocab = targets_vocab(t), bits = 1;
  while ((int64_t)1 << bits < vocab) bits++;
  TRY(coded_open(&c, vocab, 0.02, 0.1, e));
  for (size_t at = 0; (at + CONTEXT) * 4 <= ids.n; at += CONTEXT) {
    int32_t start[2] = { 0, CONTEXT };
    const char *name = "x";
    arena_reset(a);
    unsigned char *mask = arena_alloc(a, CONTEXT);
    memset(mask, 1, CONTEXT);
    struct sample s = { .n_tok = CONTEXT, .n_doc = 1, .ids = (int32_t *)(void *)ids.p + at, .mask = mask, .doc_start = start, .row_id = &name }, top, back;
    TRY(sample_targets(&s, a, e));
    TRY(targets_fill(t, &s, e));
    top = s, top.n_draw = 0;
    back = top;
    size_t from = stream.n;
    TRY(coded_put(&c, &top, &stream, e));
    back.top_id = arena_alloc(a, (size_t)s.n_target * (size_t)k * 4), back.top_logprob = arena_alloc(a, (size_t)s.n_target * (size_t)k * 4);
    TRY(coded_get(&c, (unsigned char *)stream.p + from, stream.n - from, vocab, &back, e));
    top.k = 0, top.n_draw = s.n_draw;
    TRY(coded_put(&c, &top, &drawn, e));
    for (int32_t i = 0; i < s.n_target; i++, n++) {
      float their[4096];
      const float *lp = s.top_logprob + (size_t)i * (size_t)k, *mine = back.top_logprob + (size_t)i * (size_t)k;
      if (memcmp(s.top_id + (size_t)i * (size_t)k, back.top_id + (size_t)i * (size_t)k, (size_t)k * 4) != 0) return err_set(e, STATUS_DATA, "ids came back wrong");
      distillkit(f, lp, k, their);
      ours += divergence(lp, mine, k), theirs += divergence(lp, their, k);
      for (int j = 0; j < k; j++) worst = fmax(worst, fabs((double)(lp[j] - mine[j])));
      for (int j = 0; j < s.n_draw; j++) different += s.draw_count[(size_t)i * DRAWS + (size_t)j] > 0;
    }
  }
  printf("%.0f positions, k = %d, vocabulary %d\n", n, k, vocab);
  printf("retort topk:%d        %6.2f bytes a token (ids and log-probabilities %.2f, remaining mass 4)  mean KL %.2e  worst log-probability %.3f (bound 0.1)\n", k,
         (double)stream.n / n + 4, (double)stream.n / n, ours / n, worst);
  printf("DistillKit k=%d exact=1 terms 0,1,sqrt %6.2f bytes a token  mean KL %.2e  (%.0f times ours)\n", k, (double)(k * bits) / 8 + 2 + 4 * TERMS, theirs / n, theirs / ours);
  printf("retort sample:%d      %6.2f bytes a token (%.1f different ids)\n", DRAWS, (double)drawn.n / n, different / n);
out:
  coded_close(&c);
  targets_close(t);
  tokenizer_close(tok);
  buf_free(&ids);
  buf_free(&stream);
  buf_free(&drawn);
  mem_free(f);
  arena_free(a);
  return st;
}

int main(int argc, char **argv) {
  struct err e = { 0 };
  int k = argc > 3 ? (int)strtod(argv[3], NULL) : 50;
  if (argc < 3 || k < 5 || k > 4096) return fprintf(stderr, "usage: bench_targets MODEL IDS-FILE [K]\n"), 2;
  enum status st = pool_setup(0, &e);
  if (st == STATUS_OK) st = measure(argv[1], argv[2], k, &e);
  pool_close();
  return st == STATUS_OK ? 0 : (fprintf(stderr, "bench_targets: %s\n", e.msg), 1);
}
