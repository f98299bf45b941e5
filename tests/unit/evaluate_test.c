/* SPDX-License-Identifier: Apache-2.0
 * evaluate() against whole logits in float64: the golden loss of a model, KL and agreement of two models under one teacher
 * (its logits are computed once and used twice), the teacher itself, stored targets, documents and their interval. */
#include "golden_file.h"
#include <math.h>
#include "evaluate.h"
#include "rng.h"

#define MODELS TEST_SOURCE "/tests/golden/data/model/"
enum { VOCAB = 320, LEN = 40, SAMPLES = 30, TOP = 7 };
static struct arena *arena;
static struct sample samples[SAMPLES];

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) {
    fail_msg("%s: %s", status_name(st), e->msg);
  }
}

static enum status read_sample(void *ctx, int64_t i, struct arena *a, struct sample *s, struct err *e) {
  (void)ctx;
  (void)a;
  (void)e;
  *s = samples[i];
  return STATUS_OK;
}

static const struct sample_source source = { SAMPLES, SAMPLES * LEN, VOCAB, read_sample, NULL };

static void make_samples(void) {
  struct rng r = { 1, 2, 3 };
  struct err e;
  for (int i = 0; i < SAMPLES; i++) {
    struct sample *s = &samples[i];
    static const char *row[2] = { "a", "b" };
    memset(s, 0, sizeof *s);
    s->n_tok = LEN - i % 7;
    s->n_doc = 2;
    s->ids = arena_calloc(arena, LEN, 4);
    s->mask = arena_calloc(arena, LEN, 1);
    s->doc_start = arena_calloc(arena, 3, 4);
    s->doc_start[1] = 11;
    s->doc_start[2] = s->n_tok;
    s->row_id = row;
    for (int j = 0; j < s->n_tok; j++) {
      s->ids[j] = (int32_t)rng_below(&r, VOCAB);
      s->mask[j] = rng_below(&r, 3) > 0;
    }
    ok(sample_targets(s, arena, &e), &e);
  }
}

/* Log-probabilities of every masked position, (n, VOCAB), documents run one by one. */
static double *logprobs(struct model *m, int64_t *n) {
  struct err e;
  struct run *r = NULL;
  ok(run_new(m, LEN, 0, &r, &e), &e);
  double *out = arena_calloc(arena, (size_t)SAMPLES * LEN * VOCAB, sizeof *out);
  *n = 0;
  for (int i = 0; i < SAMPLES; i++) {
    for (int32_t t = 0; t < samples[i].n_target; t++) {
      int32_t pos = samples[i].target_pos[t], first = pos >= samples[i].doc_start[1] ? samples[i].doc_start[1] : 0;
      int32_t start[2] = { 0, pos - first + 1 };
      struct packed p = { samples[i].ids + first, NULL, { start[1], 1, start } };
      const float *hidden;
      float z[VOCAB];
      double top = -INFINITY, sum = 0, *row = out + (*n)++ * VOCAB;
      ok(run_forward(r, &p, &hidden, &e), &e);
      model_logits(m, hidden + (int64_t)(pos - first) * model_config(m)->hidden, 1, z);
      for (int v = 0; v < VOCAB; v++) {
        top = fmax(top, (double)z[v]);
      }
      for (int v = 0; v < VOCAB; v++) {
        sum += exp((double)z[v] - top);
      }
      for (int v = 0; v < VOCAB; v++) {
        row[v] = (double)z[v] - top - log(sum);
      }
    }
  }
  run_free(r);
  return out;
}

static struct model *open_model(const char *path) {
  struct model *m = NULL;
  struct err e;
  ok(model_open(path, 0, &m, &e), &e);
  return m;
}

static int best(const double *p) {
  int b = 0;
  for (int v = 1; v < VOCAB; v++) {
    b = p[v] > p[b] ? v : b;
  }
  return b;
}

static void three_under_one_teacher(void **state) {
  (void)state;
  struct err e;
  struct target t = { .mode = TARGET_ONLINE, .model = open_model(MODELS "llama_tied") };
  struct subject s[3] = { { .model = open_model(MODELS "qwen2") }, { .model = t.model }, { .model = open_model(MODELS "mistral") } };
  struct loss_driver *d = NULL;
  t.head = model_head(t.model);
  t.width = model_config(t.model)->hidden;
  ok(run_new(t.model, 100, 0, &t.run, &e), &e);
  ok(run_new(s[0].model, 100, 0, &s[0].run, &e), &e);
  ok(run_new(s[2].model, 100, 0, &s[2].run, &e), &e);
  ok(loss_driver_new(device_in_use(), VOCAB, 48, 48, &d, &e), &e);
  struct evaluation v = { .data = source, .target = &t, .driver = d, .max_tok = 100, .want_docs = 1 };
  ok(evaluate(&v, s, 3, &e), &e);
  int64_t n;
  double *p = logprobs(t.model, &n);
  for (int i = 0; i < 3; i++) {
    double *q = logprobs(s[i].model, &n), kl = 0, ce = 0, agree = 0;
    int64_t row = 0;
    for (int j = 0; j < SAMPLES; j++) {
      for (int32_t k = 0; k < samples[j].n_target; k++, row++) {
        ce -= q[row * VOCAB + samples[j].ids[samples[j].target_pos[k] + 1]];
        agree += best(q + row * VOCAB) == best(p + row * VOCAB);
        for (int w = 0; w < VOCAB; w++) {
          kl += exp(p[row * VOCAB + w]) * (p[row * VOCAB + w] - q[row * VOCAB + w]);
        }
      }
    }
    print_message("model %d: loss %.5f, KL %.5f, agreement %.3f\n", i, ce / (double)n, kl / (double)n, agree / (double)n);
    assert_int_equal(s[i].sums.n, n);
    assert_true(fabs(s[i].sums.ce - ce) < 1e-5 * ce);
    assert_true(fabs(s[i].sums.kl - kl) < 1e-5 * fmax(kl, 1));
    assert_true(s[i].sums.agree == agree);
    assert_int_equal(s[i].n_doc, 2 * SAMPLES);
    double docs = 0;
    for (int64_t j = 0; j < s[i].n_doc; j++) {
      docs += s[i].doc[j].kl;
    }
    assert_true(fabs(docs - s[i].sums.kl) < 1e-9 * fmax(kl, 1));
    struct interval x = subject_interval(&s[i], SUMS_CE, 1);
    assert_true(x.low < ce / (double)n && ce / (double)n < x.high && x.high - x.low < 1);
    subject_free_docs(&s[i]);
  }
  assert_true(s[1].sums.kl == 0 && s[1].sums.agree == (double)n); /* the teacher against itself */
  loss_driver_free(d);
  run_free(s[0].run);
  run_free(s[2].run);
  model_close(s[0].model);
  model_close(s[2].model);
  target_close(&t);
}

static void a_limit_ends_it(void **state) {
  (void)state;
  struct err e;
  struct target none = { 0 };
  struct subject s = { .model = open_model(MODELS "qwen3") };
  struct loss_driver *d = NULL;
  ok(run_new(s.model, 64, 0, &s.run, &e), &e);
  ok(loss_driver_new(device_in_use(), VOCAB, 48, 0, &d, &e), &e);
  struct evaluation v = { .data = source, .target = &none, .driver = d, .max_tok = 64, .token_limit = 100 };
  ok(evaluate(&v, &s, 1, &e), &e);
  assert_true(v.tokens >= 100 && v.tokens < 200);
  assert_true(s.sums.kl == 0 && s.sums.ce > 0);
  loss_driver_free(d);
  run_free(s.run);
  model_close(s.model);
}

int main(void) {
  arena = arena_new(0);
  make_samples();
  const struct CMUnitTest tests[] = { cmocka_unit_test(three_under_one_teacher), cmocka_unit_test(a_limit_ends_it) };
  int bad = cmocka_run_group_tests(tests, NULL, NULL);
  arena_free(arena);
  return bad;
}
