/* SPDX-License-Identifier: Apache-2.0
 * sample_token against a plain double-precision reference: sort everything, softmax everything, cut, walk. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "decode.h"
#include "rng.h"

enum { VOCAB = 300 };
struct entry { double z, p; int32_t id; };

static int by_logit(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  return x->z > y->z ? -1 : x->z < y->z ? 1 : x->id - y->id;
}

/* Hugging Face: penalty, temperature, top k, top p (smallest set whose mass reaches p), min p; each on what is left. Returns
 * the distribution left over, in p[] by token. */
static void reference(const struct sampling *s, const float *logits, const int32_t *seen, size_t n_seen, double p[VOCAB]) {
  struct entry e[VOCAB];
  int n = VOCAB;
  for (int i = 0; i < VOCAB; i++) {
    e[i] = (struct entry){logits[i], 0, i};
    p[i] = 0;
  }
  for (int i = 0; i < VOCAB; i++) {
    int found = 0;
    for (size_t j = 0; j < n_seen; j++) {
      found |= seen[j] == i;
    }
    e[i].z = found ? (e[i].z > 0 ? e[i].z / s->repetition_penalty : e[i].z * s->repetition_penalty) : e[i].z;
    e[i].z /= s->temperature;
  }
  qsort(e, VOCAB, sizeof *e, by_logit);
  n = s->top_k > 0 && s->top_k < n ? (int)s->top_k : n;
  for (int pass = 0; pass < 3; pass++) {
    double sum = 0, mass = 0;
    int keep = 0;
    for (int i = 0; i < n; i++) {
      sum += exp(e[i].z - e[0].z);
    }
    for (int i = 0; i < n; i++) {
      e[i].p = exp(e[i].z - e[0].z) / sum;
    }
    if (pass == 0 && s->top_p < 1) {
      while (keep < n && mass < s->top_p) {
        mass += e[keep++].p;
      }
      n = keep;
    }
    if (pass == 1 && s->min_p > 0) {
      while (keep < n && e[keep].p >= s->min_p * e[0].p) {
        keep++;
      }
      n = keep;
    }
  }
  for (int i = 0; i < n; i++) {
    p[e[i].id] = e[i].p;
  }
}

static void test_distribution(void **state) {
  (void)state;
  static const struct sampling cases[] = {
    {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
    {.temperature = 0.7, .top_p = 1, .repetition_penalty = 1, .top_k = 5},
    {.temperature = 1.3, .top_p = 0.8, .repetition_penalty = 1},
    {.temperature = 1, .top_p = 0.9, .repetition_penalty = 1.3, .top_k = 40},
    {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .min_p = 0.1},
    {.temperature = 0.9, .top_p = 0.95, .repetition_penalty = 1.1, .top_k = 100, .min_p = 0.05},
    {.temperature = 1, .top_p = 0.01, .repetition_penalty = 1},
  };
  enum { DRAWS = 20000 };
  int32_t seen[] = {3, 17, 17, 250, 3};
  void *w = mem_alloc(sample_scratch_bytes(VOCAB));
  assert_non_null(w);
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    struct rng r = {7, c, 0};
    float z[VOCAB], before[VOCAB];
    double p[VOCAB];
    int count[VOCAB] = {0};
    for (int i = 0; i < VOCAB; i++) {
      z[i] = (float)(3 * rng_normal(&r));
    }
    memcpy(before, z, sizeof z);
    reference(&cases[c], z, seen, 5, p);
    /* an even grid over [0, 1) instead of random draws: each token's share is exact to one grid step */
    for (int i = 0; i < DRAWS; i++) {
      count[sample_token(&cases[c], z, VOCAB, seen, 5, (i + 0.5) / DRAWS, w)]++;
    }
    assert_memory_equal(z, before, sizeof z);
    for (int i = 0; i < VOCAB; i++) {
      double off = fabs((double)count[i] / DRAWS - p[i]);
      if (off > 1.1 / DRAWS) { /* observed at most 1.0 / DRAWS */
        print_message("case %zu token %d: %g, expected %g\n", c, i, (double)count[i] / DRAWS, p[i]);
        fail();
      }
    }
  }
  mem_free(w);
}

static void test_edges(void **state) {
  (void)state;
  char w[4096];
  assert_true(sample_scratch_bytes(4) <= sizeof w);
  struct sampling greedy = {.temperature = 0, .top_p = 1, .repetition_penalty = 1};
  struct sampling hot = {.temperature = 5, .top_p = 1, .repetition_penalty = 1};
  float tie[4] = {1, 2, 2, 0}, nan_first[4] = {NAN, 1, 3, 2}, inf[4] = {0, INFINITY, 1, 2};
  assert_int_equal(sample_token(&greedy, tie, 4, NULL, 0, 0.9, w), 1);
  assert_int_equal(sample_token(&greedy, nan_first, 4, NULL, 0, 0.9, w), 2);
  assert_int_equal(sample_token(&hot, inf, 4, NULL, 0, 0.9, w), 1);
  /* the ends of [0, 1) */
  assert_int_equal(sample_token(&hot, tie, 4, NULL, 0, 0, w), 0);
  assert_int_equal(sample_token(&hot, tie, 4, NULL, 0, 0.99999999999999989, w), 3);
  /* ids out of range in the history are left alone */
  int32_t seen[] = {-1, 4, 2000000000};
  struct sampling pen = {.temperature = 0, .top_p = 1, .repetition_penalty = 2};
  assert_int_equal(sample_token(&pen, tie, 4, seen, 3, 0, w), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_distribution), cmocka_unit_test(test_edges)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
