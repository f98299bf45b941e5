/* SPDX-License-Identifier: Apache-2.0
 * Forward pass of the six small models against float64: packed, single and padded runs, hidden states, bitwise over threads. */
#include "golden/model_case.h"

/* observed over all six models on AVX-512: logits 1.1e-5, hidden 3.6e-6, final norm 2.9e-6 */
static const double LOGITS_ABS = 1e-4, HIDDEN_ABS = 3e-5;
static double seen_logits, seen_hidden, seen_final;

static float *logits_of(struct golden_case *c, int flags, const struct packed *p) {
  struct run *r = NULL;
  const float *hidden;
  MUST(run_new(c->m, p->seqs.n_tok, flags, &r, E));
  MUST(run_forward(r, p, &hidden, E));
  float *z = mem_alloc((size_t)(p->seqs.n_tok * c->vocab) * sizeof *z);
  assert_non_null(z);
  model_logits(c->m, hidden, p->seqs.n_tok, z);
  run_free(r);
  return z;
}

/* Rows of one sequence in another packing: the same bits. */
static void same_rows(const float *a, const float *b, int64_t n) { assert_memory_equal(a, b, (size_t)n * sizeof *a); }

static void packed_and_hidden(struct golden_case *c) {
  struct run *r = NULL;
  const float *hidden;
  struct packed p = {c->ids, c->positions, {CASE_TOK, CASE_SEQ, c->start}};
  MUST(run_new(c->m, CASE_TOK + 7, RUN_HIDDEN_ALL, &r, E));
  MUST(run_forward(r, &p, &hidden, E));
  double d = case_worst(c->io, "final_norm_f64", hidden, CASE_TOK * c->hidden);
  seen_final = d > seen_final ? d : seen_final;
  case_bound(c->name, "final norm", d, HIDDEN_ABS);
  for (int l = 0; l <= model_config(c->m)->n_layer; l++) {
    char name[32];
    snprintf(name, sizeof name, "hidden.%d", l);
    d = case_worst(c->io, name, run_hidden_at(r, l), CASE_TOK * c->hidden);
    seen_hidden = d > seen_hidden ? d : seen_hidden;
    case_bound(c->name, name, d, HIDDEN_ABS);
  }
  run_free(r);
}

static void test_forward(void **state) {
  (void)state;
  for (int i = 0; i < CASE_N; i++) {
    struct golden_case c, lean;
    case_open(case_names[i], MODEL_TRAIN, &c);
    packed_and_hidden(&c);
    size_t bytes = (size_t)(CASE_TOK * c.vocab) * sizeof(float);
    struct packed p = {c.ids, NULL, {CASE_TOK, CASE_SEQ, c.start}};
    float *z = logits_of(&c, 0, &p);
    double d = case_worst(c.io, "logits_f64", z, CASE_TOK * c.vocab);
    seen_logits = d > seen_logits ? d : seen_logits;
    case_bound(c.name, "packed logits", d, LOGITS_ABS);
    /* other plans over the same operations: the same bits */
    static const int plans[] = {RUN_BACKWARD, RUN_BACKWARD | RUN_RECOMPUTE, RUN_HIDDEN_ALL, RUN_BACKWARD | RUN_HIDDEN_ALL};
    for (size_t f = 0; f < sizeof plans / sizeof plans[0]; f++) {
      float *other = logits_of(&c, plans[f], &p);
      assert_memory_equal(z, other, bytes);
      mem_free(other);
    }
    /* weights that stay in the file: the same bits */
    case_open(case_names[i], 0, &lean);
    float *zl = logits_of(&lean, 0, &p);
    assert_memory_equal(z, zl, bytes);
    mem_free(zl);
    case_close(&lean);
    /* single sequences: the same as packed */
    for (int s = 0; s < CASE_SEQ; s++) {
      int32_t n = c.start[s + 1] - c.start[s], start[2] = {0, n};
      struct packed one = {c.ids + c.start[s], NULL, {n, 1, start}};
      float *single = logits_of(&c, 0, &one);
      same_rows(z + c.start[s] * c.vocab, single, n * c.vocab);
      mem_free(single);
    }
    /* padded on the right: the real rows do not see the padding */
    int32_t padded[72], start[4] = {0, 24, 48, 72};
    memcpy(padded, case_tensor(c.io, "padded_ids", DT_I32, 72), sizeof padded);
    struct packed pad = {padded, NULL, {72, 3, start}};
    float *zp = logits_of(&c, 0, &pad);
    for (int s = 0; s < CASE_SEQ; s++) {
      same_rows(z + c.start[s] * c.vocab, zp + 24 * s * c.vocab, (c.start[s + 1] - c.start[s]) * c.vocab);
    }
    mem_free(zp);
    mem_free(z);
    case_close(&c);
  }
  print_message("observed: logits %.2g, hidden %.2g, final norm %.2g\n", seen_logits, seen_hidden, seen_final);
}

static void test_threads(void **state) {
  (void)state;
  for (int i = 0; i < CASE_N; i++) {
    struct golden_case c;
    case_open(case_names[i], 0, &c);
    struct packed p = {c.ids, NULL, {CASE_TOK, CASE_SEQ, c.start}};
    float *one = logits_of(&c, 0, &p);
    for (int threads = 2; threads <= 3; threads++) {
      MUST(pool_setup(threads, E));
      float *many = logits_of(&c, 0, &p);
      pool_close();
      assert_memory_equal(one, many, (size_t)(CASE_TOK * c.vocab) * sizeof(float));
      mem_free(many);
    }
    mem_free(one);
    case_close(&c);
  }
}

static void test_refuses(void **state) {
  (void)state;
  struct golden_case c;
  struct err e;
  struct run *r = NULL;
  const float *hidden;
  case_open("llama_tied", 0, &c);
  MUST(run_new(c.m, 10, 0, &r, E));
  int32_t start[2] = {0, 5}, bad[5] = {1, 2, 320, 4, 5};
  struct packed too_long = {c.ids, NULL, {CASE_TOK, CASE_SEQ, c.start}};
  assert_int_equal(run_forward(r, &too_long, &hidden, &e), STATUS_DATA);
  struct packed bad_id = {bad, NULL, {5, 1, start}};
  assert_int_equal(run_forward(r, &bad_id, &hidden, &e), STATUS_DATA);
  assert_non_null(strstr(e.msg, "320"));
  int32_t backwards[3] = {0, 5, 5};
  struct packed empty_seq = {c.ids, NULL, {5, 2, backwards}};
  assert_int_equal(run_forward(r, &empty_seq, &hidden, &e), STATUS_DATA);
  run_free(r);
  case_close(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward), cmocka_unit_test(test_threads), cmocka_unit_test(test_refuses)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
