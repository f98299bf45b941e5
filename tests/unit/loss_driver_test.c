/* SPDX-License-Identifier: Apache-2.0
 * The fused projection and loss against float64 logits written out in full: value, gradient to hidden states and head, with
 * masked rows that hold NaN (they must never be read), over several chunks, bitwise over 1, 2 and 3 threads. */
#include "golden_file.h"
#include <math.h>
#include "loss_driver.h"
#include "pool.h"
#include "rng.h"

enum { V = 211, D = 24, TD = 40, TOKENS = 900, K = 5 };

struct data {
  float hidden[TOKENS * D], t_hidden[TOKENS * TD], head[V * D], t_head[V * TD], weight[TOKENS], top_logprob[TOKENS * K], rest[TOKENS];
  int32_t row[TOKENS], label[TOKENS], top_id[TOKENS * K];
  int64_t n;
  double z[V], y[V], dhidden[TOKENS * D], dhead[V * D], loss, ce, agree;
};
static struct data *t;

static void random_fill(struct rng *r, float *x, int64_t n, double scale) {
  for (int64_t i = 0; i < n; i++) {
    x[i] = (float)(scale * rng_normal(r));
  }
}

static double log_sum(const double *z) {
  double top = -INFINITY, s = 0;
  for (int i = 0; i < V; i++) {
    top = fmax(top, z[i]);
  }
  for (int i = 0; i < V; i++) {
    s += exp(z[i] - top);
  }
  return top + log(s);
}

static void project(const float *x, const float *head, int width, double *out) {
  for (int v = 0; v < V; v++) {
    out[v] = 0;
    for (int j = 0; j < width; j++) {
      out[v] += (double)x[j] * (double)head[v * width + j];
    }
  }
}

static int best(const double *z) {
  int b = 0;
  for (int v = 1; v < V; v++) {
    b = z[v] > z[b] ? v : b;
  }
  return b;
}

/* Forward KL in float64, and the stored targets that belong to it. */
static void reference(void) {
  double weights = 0;
  for (int64_t i = 0; i < t->n; i++) {
    weights += (double)t->weight[i];
  }
  for (int64_t i = 0; i < t->n; i++) {
    const float *x = t->hidden + t->row[i] * D;
    double dz[V], scale = (double)t->weight[i] / weights;
    project(x, t->head, D, t->z);
    project(t->t_hidden + t->row[i] * TD, t->t_head, TD, t->y);
    double zl = log_sum(t->z), yl = log_sum(t->y), mass = 0;
    t->ce += (double)t->weight[i] * (zl - t->z[t->label[i]]);
    t->agree += (double)t->weight[i] * (best(t->z) == best(t->y));
    for (int v = 0; v < V; v++) {
      double p = exp(t->y[v] - yl), q = exp(t->z[v] - zl);
      t->loss += scale * p * ((t->y[v] - yl) - (t->z[v] - zl));
      dz[v] = scale * (q - p);
    }
    for (int v = 0; v < V; v++) {
      for (int j = 0; j < D; j++) {
        t->dhidden[t->row[i] * D + j] += dz[v] * (double)t->head[v * D + j];
        t->dhead[v * D + j] += dz[v] * (double)x[j];
      }
    }
    for (int k = 0; k < K; k++) {
      int b = best(t->y);
      t->top_id[i * K + k] = b;
      t->top_logprob[i * K + k] = (float)(t->y[b] - yl);
      mass += exp(t->y[b] - yl);
      t->y[b] = -1e9;
    }
    t->rest[i] = (float)log1p(-mass);
  }
}

static int setup(void **state) {
  (void)state;
  struct rng r = { 3, 9, 0 };
  t = mem_calloc(1, sizeof *t);
  random_fill(&r, t->hidden, TOKENS * D, 1);
  random_fill(&r, t->t_hidden, TOKENS * TD, 1);
  random_fill(&r, t->head, V * D, 0.4);
  random_fill(&r, t->t_head, V * TD, 0.4);
  for (int i = 0; i < TOKENS; i++) {
    if (rng_below(&r, 3) == 0) {
      t->hidden[i * D] = t->t_hidden[i * TD + 1] = NAN; /* outside the mask */
      continue;
    }
    t->row[t->n] = i;
    t->weight[t->n] = (float)(1 + rng_below(&r, 3)) / 2;
    t->label[t->n++] = (int32_t)rng_below(&r, V);
  }
  assert_true(t->n > 520); /* three chunks */
  reference();
  return 0;
}

static struct loss_work work(float *dhidden, float *dhead) {
  double weights = 0;
  for (int64_t i = 0; i < t->n; i++) {
    weights += (double)t->weight[i];
  }
  struct loss_work w = { .loss = loss_find("fkl"), .params = { .temperature = 1 }, .want = LOSS_WANT_CE | LOSS_WANT_KL | LOSS_WANT_AGREE,
                         .vocab = V, .n = t->n, .row = t->row, .label = t->label, .weight = t->weight, .hidden = t->hidden, .head = t->head,
                         .width = D, .t_hidden = t->t_hidden, .t_row = t->row, .t_head = t->t_head, .t_width = TD,
                         .grad_scale = 1 / weights, .dhidden = dhidden, .dhead = dhead };
  return w;
}

static void matches_full_logits(void **state) {
  (void)state;
  struct err e;
  struct loss_driver *d = NULL;
  struct loss_sums s, *each = mem_calloc(TOKENS, sizeof *each);
  float *dhidden = mem_calloc(TOKENS * D, sizeof *dhidden), *dhead = mem_calloc(V * D, sizeof *dhead);
  assert_int_equal(loss_driver_new(device_in_use(), V, D, TD, &d, &e), STATUS_OK);
  struct loss_work w = work(dhidden, dhead);
  assert_int_equal(loss_driver_run(d, &w, &s, each, &e), STATUS_OK);
  assert_int_equal(s.n, t->n);
  assert_true(fabs(s.loss / s.weight - t->loss) < 2e-6); /* observed 1e-8 */
  assert_true(s.kl == s.loss);
  assert_true(fabs(s.ce - t->ce) < 1e-6 * t->ce);
  assert_true(s.agree == t->agree);
  double a = 0, b = 0, sum = 0;
  for (int i = 0; i < TOKENS * D; i++) {
    a = fmax(a, fabs((double)dhidden[i] - t->dhidden[i]));
  }
  for (int i = 0; i < V * D; i++) {
    b = fmax(b, fabs((double)dhead[i] - t->dhead[i]));
  }
  print_message("off: dhidden %.1e, dhead %.1e\n", a, b);
  assert_true(a < 2e-8); /* observed 1.8e-9, values up to 1e-3 */
  assert_true(b < 1e-7); /* observed 7e-9, values up to 5e-2 */
  for (int64_t i = 0; i < t->n; i++) {
    sum += each[i].loss;
  }
  assert_true(sum == s.loss);
  /* the same through stored targets: the ghost's value is a lower bound of the KL */
  w.t_hidden = NULL;
  w.loss = loss_find("topk");
  w.k = K;
  w.top_id = t->top_id;
  w.top_logprob = t->top_logprob;
  w.rest = t->rest;
  struct loss_sums g;
  assert_int_equal(loss_driver_run(d, &w, &g, NULL, &e), STATUS_OK);
  assert_true(g.loss > 0 && g.loss < s.loss && g.agree == s.agree);
  w.n = 0;
  assert_int_equal(loss_driver_run(d, &w, &g, NULL, &e), STATUS_OK);
  assert_true(g.loss == 0 && g.n == 0);
  loss_driver_free(d);
  mem_free(dhidden);
  mem_free(dhead);
  mem_free(each);
}

static void same_bits_at_any_thread_count(void **state) {
  (void)state;
  struct err e;
  float *dhidden[3], *dhead[3];
  struct loss_sums s[3];
  for (int i = 0; i < 3; i++) {
    struct loss_driver *d = NULL;
    dhidden[i] = mem_calloc(TOKENS * D, sizeof **dhidden);
    dhead[i] = mem_calloc(V * D, sizeof **dhead);
    pool_close();
    assert_int_equal(pool_setup(i + 1, &e), STATUS_OK);
    assert_int_equal(loss_driver_new(device_in_use(), V, D, TD, &d, &e), STATUS_OK);
    struct loss_work w = work(dhidden[i], dhead[i]);
    assert_int_equal(loss_driver_run(d, &w, &s[i], NULL, &e), STATUS_OK);
    loss_driver_free(d);
    assert_memory_equal(&s[i], &s[0], sizeof s[0]);
    assert_memory_equal(dhidden[i], dhidden[0], TOKENS * D * sizeof(float));
    assert_memory_equal(dhead[i], dhead[0], V * D * sizeof(float));
  }
  for (int i = 0; i < 3; i++) {
    mem_free(dhidden[i]);
    mem_free(dhead[i]);
  }
  pool_close();
}

static int teardown(void **state) {
  (void)state;
  mem_free(t);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(matches_full_logits), cmocka_unit_test(same_bits_at_any_thread_count) };
  return cmocka_run_group_tests(tests, setup, teardown);
}
