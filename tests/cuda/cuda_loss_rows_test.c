/* SPDX-License-Identifier: Apache-2.0
 * train/loss_rows.cu against the same row functions on the CPU: every loss of the table and everything measured beside it, with
 * dense and stored targets, weights, temperatures, a gradient in place or none, logits up to 1e30 and of -inf. */
#include "cuda/rows.h"
#include "loss_row.h"

enum { N = 3 };

/* Chunk of the CPU, and its copy on the device. */
static struct loss_chunk fill_chunk(int32_t loss, int64_t vocab, int variant) {
  struct loss_chunk c = {.loss = loss, .params = {variant == 1 ? 2.5 : 1, variant == 1, 0, 0, 0}, .want = LOSS_WANT_CE | LOSS_WANT_KL | LOSS_WANT_AGREE,
                         .grad = variant != 2, .vocab = vocab, .n = N, .k = (int32_t)(vocab < 9 ? vocab : 9), .grad_scale = 0.125};
  int32_t *label = host(N * sizeof *label), *id = host((size_t)(N * c.k) * sizeof *id);
  float *y = host_filled(N * vocab, 2), *weight = host_filled(N, 3), *lp = host_floats(N * c.k), *rest = host_floats(N);
  unsigned needs = loss == LOSS_NONE ? LOSS_TEACHER : loss_table[loss]->needs;
  c.z = host_filled(N * vocab, 1);
  for (int64_t i = 0; i < N * vocab; i++) {
    c.z[i] *= variant == 3 ? 60.0f : variant == 1 && i / vocab == 1 ? 700.0f : 8.0f; /* with a temperature also beyond what exp can hold */
    y[i] *= 8.0f;
  }
  if (variant == 3 && vocab > 20) {
    c.z[3] = -INFINITY; /* a token the student may not say, and one that takes all its mass */
    c.z[vocab + 5] = 1e30f;
  }
  kernels_cpu()->row_topk(NULL, N, vocab, c.k, y, id, lp, rest);
  for (int i = 0; i < N; i++) {
    label[i] = (int32_t)(i * 7 % vocab);
    weight[i] = weight[i] * weight[i] + 0.5f;
  }
  if (needs & LOSS_DRAWS && c.k > 3) {
    id[1] = id[0]; /* drawn twice, and an array that is not full */
    lp[c.k - 1] = -INFINITY;
  }
  c.label = label;
  c.weight = variant % 2 ? weight : NULL;
  c.y = needs & (LOSS_TOPK | LOSS_DRAWS) ? NULL : y;
  c.is_kl = variant == 0 && loss != LOSS_NONE && (loss == LOSS_NUMBER_fkl || loss == LOSS_NUMBER_topk);
  c.top_id = id;
  c.top_logprob = lp;
  c.rest = needs & LOSS_DRAWS ? NULL : rest;
  c.each = host(N * sizeof *c.each);
  return c;
}

static struct loss_chunk on_device(const struct loss_chunk *c) {
  struct loss_chunk g = *c;
  size_t sparse = (size_t)(N * c->k) * sizeof(float);
  g.z = up_floats(c->z, N * c->vocab);
  g.y = c->y != NULL ? up_floats(c->y, N * c->vocab) : NULL;
  g.label = up(c->label, N * sizeof *c->label);
  g.weight = c->weight != NULL ? up_floats(c->weight, N) : NULL;
  g.top_id = up(c->top_id, sparse);
  g.top_logprob = up(c->top_logprob, sparse);
  g.rest = c->rest != NULL ? up_floats(c->rest, N) : NULL;
  g.room = up_junk(sparse);
  g.each = up_junk(N * sizeof *c->each);
  return g;
}

static void close_to(const char *what, double got, double want, const char *loss, int64_t vocab, int variant) {
  double err = got == want || (isnan(got) && isnan(want)) ? 0 : fabs(got - want) / (1 + fabs(want));
  if (!(err <= 2e-6)) { /* observed 4e-7: exponentials of another library, sums in another order */
    fail_msg("%s of %s, vocabulary %lld, variant %d: %.9g, wanted %.9g", what, loss, (long long)vocab, variant, got, want);
  }
}

static void loss_rows(void **state) {
  static const int64_t vocabs[] = {1, 37, 256, 1031};
  (void)state;
  for (int32_t loss = LOSS_NONE; loss < LOSS_NUMBERS; loss++) {
    for (size_t v = 0; v < sizeof vocabs / sizeof *vocabs; v++) {
      for (int variant = 0; variant < 4; variant++) {
        struct loss_chunk c = fill_chunk(loss, vocabs[v], variant), g = on_device(&c);
        const char *name = loss == LOSS_NONE ? "none" : loss_table[loss]->name;
        K->loss_rows(D, &g);
        const struct loss_sums *each = down(g.each, N * sizeof *each);
        const float *dz = down_floats(g.z, N * c.vocab);
        for (int r = 0; r < N; r++) {
          loss_row_run(loss_loops_find(kernels_cpu()->isa), &c, r, &c.each[r]);
          close_to("loss", each[r].loss, c.each[r].loss, name, c.vocab, variant);
          close_to("ce", each[r].ce, c.each[r].ce, name, c.vocab, variant);
          close_to("kl", each[r].kl, c.each[r].kl, name, c.vocab, variant);
          assert_true(each[r].agree == c.each[r].agree && each[r].weight == c.each[r].weight && each[r].n == 1);
        }
        CLOSE(dz, c.z, N * c.vocab, loss == LOSS_NONE || !c.grad ? 0 : 0.125, loss == LOSS_NONE || !c.grad ? 0 : 2e-6); /* observed 3e-7 */
        rows_done();
      }
    }
  }
}

ROWS_MAIN(cmocka_unit_test(loss_rows))
