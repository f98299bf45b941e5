/* SPDX-License-Identifier: Apache-2.0
 * What every loss of the table must hold, whatever it computes: its gradient is the derivative of its value, equal
 * distributions give zero where it promises that, a permuted vocabulary permutes the gradient, V = 151,936 in float32
 * agrees with a small twin, extremes stay finite. Values against goldens: tests/golden/loss_golden_test.c. */
#include "golden_file.h"
#include <math.h>
#include "kernel.h"
#include "loss.h"
#include "rng.h"

enum { V = 101, K = 9 };

struct row { float z[V], y[V], dz[V], lp[K]; int32_t id[K]; float rest; struct loss_position x; };

/* The k greatest of y at temperature t, with their exact remaining mass in float64. */
static void fill_topk(int64_t n, const float *y, double t, int k, int32_t *id, float *lp, float *rest) {
  double lse = 0, tail = 0, top = -INFINITY;
  for (int64_t i = 0; i < n; i++) {
    top = fmax(top, (double)y[i] / t);
  }
  for (int64_t i = 0; i < n; i++) {
    lse += exp((double)y[i] / t - top);
  }
  lse = top + log(lse);
  for (int j = 0; j < k; j++) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++) {
      int used = 0;
      for (int l = 0; l < j; l++) {
        used |= id[l] == i;
      }
      if (!used && (best < 0 || y[i] > y[best])) {
        best = i;
      }
    }
    id[j] = (int32_t)best;
    lp[j] = (float)((double)y[best] / t - lse);
  }
  for (int64_t i = 0; i < n; i++) {
    int used = 0;
    for (int l = 0; l < k; l++) {
      used |= id[l] == i;
    }
    tail += used ? 0 : exp((double)y[i] / t - lse);
  }
  *rest = tail > 0 ? (float)log(tail) : -INFINITY;
}

static void row_make(struct row *r, uint64_t seed, double t) {
  struct rng g = { seed, 2, 0 };
  memset(r, 0, sizeof *r);
  for (int i = 0; i < V; i++) {
    r->y[i] = (float)(2 * rng_normal(&g));
    r->z[i] = 0.5f * r->y[i] + (float)rng_normal(&g);
  }
  fill_topk(V, r->y, t, K, r->id, r->lp, &r->rest);
  r->x = (struct loss_position){ .vocab = V, .z = r->z, .y = r->y, .label = 17, .k = K, .top_id = r->id, .top_logprob = r->lp,
                                 .rest = r->rest, .grad_scale = 1, .dz = r->dz };
}

static const struct loss_loops *loops(void) {
  return loss_loops_find(kernels_cpu()->isa);
}

static void gradient_is_the_derivative(void **state) {
  (void)state;
  for (int l = 0; loss_table[l] != NULL; l++) {
    for (int t = 1; t <= 2; t++) {
      struct loss_params p = { .temperature = t, .t2 = t == 2, .beta = 0.5, .skew = 0.1, .alpha = 0.5 };
      struct row r;
      row_make(&r, 11, t);
      loss_table[l]->position(loops(), &p, &r.x);
      float dz[V];
      memcpy(dz, r.dz, sizeof dz);
      r.x.dz = NULL;
      for (int i = 0; i < V; i++) {
        float keep = r.z[i], h = 1.0f / 64;
        r.z[i] = keep + h;
        double up = loss_table[l]->position(loops(), &p, &r.x);
        r.z[i] = keep - h;
        double down = loss_table[l]->position(loops(), &p, &r.x);
        r.z[i] = keep;
        double want = (up - down) / (2 * (double)h);
        if (fabs(want - (double)dz[i]) > 1e-4) { /* truncation h^2/6 and rounding 1e-7/h; observed 3e-5 */
          fail_msg("%s T=%d [%d]: gradient %g, difference quotient %g", loss_table[l]->name, t, i, (double)dz[i], want);
        }
      }
    }
  }
}

static void equal_inputs_give_zero(void **state) {
  (void)state;
  struct loss_params p = { .temperature = 1, .beta = 0.5, .skew = 0.1, .alpha = 0.5 };
  int promised = 0;
  for (int l = 0; loss_table[l] != NULL; l++) {
    struct row r;
    row_make(&r, 12, 1);
    memcpy(r.z, r.y, sizeof r.z);
    double v = loss_table[l]->position(loops(), &p, &r.x);
    if ((loss_table[l]->needs & LOSS_ZERO) == 0) {
      continue;
    }
    promised++;
    assert_true(fabs(v) < 3e-7); /* observed 9e-8: the stored targets are rounded to float32 */
    for (int i = 0; i < V; i++) {
      assert_true(fabsf(r.dz[i]) < 1e-7f);
    }
  }
  assert_true(promised >= 4);
}

static void in_place_and_scale(void **state) {
  (void)state;
  struct loss_params p = { .temperature = 2, .beta = 0.5, .skew = 0.1, .alpha = 0.5 };
  for (int l = 0; loss_table[l] != NULL; l++) {
    struct row a, b;
    row_make(&a, 13, 2);
    row_make(&b, 13, 2);
    b.x.dz = b.z;
    a.x.grad_scale = b.x.grad_scale = 0.125f;
    double va = loss_table[l]->position(loops(), &p, &a.x), vb = loss_table[l]->position(loops(), &p, &b.x);
    assert_true(va == vb);
    assert_memory_equal(a.dz, b.z, sizeof a.dz);
    struct row c;
    row_make(&c, 13, 2);
    c.x.dz = NULL;
    assert_true(loss_table[l]->position(loops(), &p, &c.x) == va);
    row_make(&c, 13, 2);
    loss_table[l]->position(loops(), &p, &c.x);
    for (int i = 0; i < V; i++) {
      assert_true(fabsf(c.dz[i] * 0.125f - a.dz[i]) < 1e-8f);
    }
  }
}

static void permuted_vocabulary(void **state) {
  (void)state;
  struct loss_params p = { .temperature = 1, .beta = 0.5, .skew = 0.1, .alpha = 0.5 };
  uint64_t perm[V];
  struct rng g = { 5, 3, 0 };
  rng_permutation(&g, V, perm);
  for (int l = 0; loss_table[l] != NULL; l++) {
    struct row a, b;
    row_make(&a, 14, 1);
    row_make(&b, 14, 1);
    for (int i = 0; i < V; i++) {
      b.z[perm[i]] = a.z[i];
      b.y[perm[i]] = a.y[i];
    }
    for (int i = 0; i < K; i++) {
      b.id[i] = (int32_t)perm[a.id[i]];
    }
    b.x.label = (int32_t)perm[a.x.label];
    double va = loss_table[l]->position(loops(), &p, &a.x), vb = loss_table[l]->position(loops(), &p, &b.x);
    assert_true(fabs(va - vb) < 1e-6);
    for (int i = 0; i < V; i++) {
      assert_true(fabsf(a.dz[i] - b.dz[perm[i]]) < 1e-7f);
    }
  }
}

/* Adding one constant to all student logits changes nothing; the gradient sums to zero. At Qwen's vocabulary, where
 * sloppy float32 sums show. */
static void big_vocabulary(void **state) {
  (void)state;
  enum { B = 151936 };
  float *z = mem_alloc(B * sizeof *z), *y = mem_alloc(B * sizeof *y), *dz = mem_alloc(B * sizeof *dz);
  double *zd = mem_alloc(B * sizeof *zd), *yd = mem_alloc(B * sizeof *yd);
  struct rng g = { 6, 4, 0 };
  double zl = 0, yl = 0;
  for (int i = 0; i < B; i++) {
    y[i] = (float)(3 * rng_normal(&g));
    z[i] = 0.7f * y[i] + (float)rng_normal(&g);
    zl += exp((double)z[i]);
    yl += exp((double)y[i]);
  }
  zl = log(zl);
  yl = log(yl);
  double kl = 0, kept = 0, tail = 0;
  int32_t id[K];
  float lp[K], rest;
  fill_topk(B, y, 1, K, id, lp, &rest);
  for (int i = 0; i < B; i++) {
    zd[i] = (double)z[i] - zl;
    yd[i] = (double)y[i] - yl;
    kl += exp(yd[i]) * (yd[i] - zd[i]);
  }
  for (int i = 0; i < K; i++) {
    kept += exp(yd[id[i]]) * (yd[id[i]] - zd[id[i]]);
    tail += exp(zd[id[i]]);
  }
  struct loss_position x = { .vocab = B, .z = z, .y = y, .label = 151935, .k = K, .top_id = id, .top_logprob = lp, .rest = rest, .grad_scale = 1, .dz = dz };
  struct loss_params p = { .temperature = 1, .beta = 0.5, .skew = 0.1, .alpha = 0.5 };
  double ghost = kept + exp((double)rest) * ((double)rest - log1p(-tail));
  struct { const char *name; double value; } want[] = { { "fkl", kl }, { "ce", -zd[151935] }, { "topk", ghost }, { "topk_raw", kept } };
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    double got = loss_find(want[i].name)->position(loops(), &p, &x);
    print_message("%s at V = 151936: off by %.2g\n", want[i].name, got - want[i].value);
    assert_true(fabs(got - want[i].value) < 1e-6 * fmax(1, fabs(want[i].value))); /* observed 2e-7 */
    double sum = 0;
    for (int j = 0; j < B; j++) {
      double q = exp(zd[j]), g0 = i == 0 ? q - exp(yd[j]) : q - (j == 151935);
      sum += (double)dz[j];
      assert_true(i > 1 || fabs((double)dz[j] - g0) < 1e-7);
    }
    assert_true(fabs(sum) < 1e-5);
  }
  mem_free(z);
  mem_free(y);
  mem_free(dz);
  mem_free(zd);
  mem_free(yd);
}

static void extremes_stay_finite(void **state) {
  (void)state;
  struct loss_params p = { .temperature = 1, .beta = 0.5, .skew = 0.1, .alpha = 0.5 };
  for (int l = 0; loss_table[l] != NULL; l++) {
    struct row r;
    row_make(&r, 15, 1);
    for (int i = 0; i < V; i++) { /* opposite ramps: the student's tail underflows float32 */
      r.y[i] = 3.0f * (float)i - 150;
      r.z[i] = -r.y[i];
    }
    fill_topk(V, r.y, 1, K, r.id, r.lp, &r.rest);
    r.x.rest = r.rest;
    assert_true(isfinite(loss_table[l]->position(loops(), &p, &r.x)));
    for (int i = 0; i < V; i++) {
      assert_true(isfinite(r.dz[i]));
      r.z[i] = i == r.id[0] ? 300 : -300; /* all of the student's mass on K: its tail is e^-600 */
    }
    assert_true(isfinite(loss_table[l]->position(loops(), &p, &r.x)));
    for (int i = 0; i < V; i++) {
      assert_true(isfinite(r.dz[i]));
    }
  }
}

static void whole_vocabulary_kept(void **state) {
  (void)state;
  /* K = V: ghost is the full forward KL */
  struct loss_params p = { .temperature = 1 };
  struct row r;
  row_make(&r, 16, 1);
  int32_t id[V];
  float lp[V], rest, dz[V];
  fill_topk(V, r.y, 1, V, id, lp, &rest);
  assert_true(rest == -INFINITY);
  double full = loss_find("fkl")->position(loops(), &p, &r.x);
  memcpy(dz, r.dz, sizeof dz);
  r.x.k = V;
  r.x.top_id = id;
  r.x.top_logprob = lp;
  r.x.rest = rest;
  assert_true(fabs(loss_find("topk")->position(loops(), &p, &r.x) - full) < 1e-6);
  for (int i = 0; i < V; i++) {
    assert_true(fabsf(dz[i] - r.dz[i]) < 1e-7f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(gradient_is_the_derivative),
    cmocka_unit_test(equal_inputs_give_zero),
    cmocka_unit_test(in_place_and_scale),
    cmocka_unit_test(permuted_vocabulary),
    cmocka_unit_test(big_vocabulary),
    cmocka_unit_test(extremes_stay_finite),
    cmocka_unit_test(whole_vocabulary_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
