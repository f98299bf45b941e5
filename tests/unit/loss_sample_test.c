/* SPDX-License-Identifier: Apache-2.0
 * Random-sampling KD: the gradient of the loss `sample` on draws of targets_draw, averaged over many draws, is that of the
 * forward KL (q - p, here in double precision by the softmax itself), and its error falls as one over the root of their number;
 * the gradient on the teacher's top k, renormalised, stays off however many there are (sheet A11). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "kernel.h"
#include "loss.h"
#include "rng.h"
#include "shard_targets.h"

enum { VOCAB = 33, DRAWS = 50, KEPT = 8 };

static void softmax(const float *z, double *p, double *lse) {
  double sum = 0;
  for (int i = 0; i < VOCAB; i++) sum += exp((double)z[i]);
  for (int i = 0; i < VOCAB; i++) p[i] = exp((double)z[i]) / sum;
  *lse = log(sum);
}

/* Greatest difference of the mean gradient of `times` targets from q - p. */
static double off(const float *z, const float *y, int times, uint64_t seed) {
  double p[VOCAB], q[VOCAB], lse, none, mean[VOCAB] = { 0 }, worst = 0;
  char scratch[VOCAB * 8 + DRAWS * 8];
  int32_t id[DRAWS], count[DRAWS];
  softmax(y, p, &lse);
  softmax(z, q, &none);
  const struct loss_params plain = { .temperature = 1 };
  for (int n = 0; n < times; n++) {
    float lp[DRAWS], dz[VOCAB];
    int32_t sum = 0;
    targets_draw(y, (float)lse, VOCAB, seed, (uint64_t)n, DRAWS, scratch, id, count);
    for (int j = 0; j < DRAWS; j++) {
      assert_true(count[j] >= 0 && (j == 0 || count[j] <= count[j - 1]));
      lp[j] = count[j] > 0 ? logf((float)count[j] / DRAWS) : -INFINITY;
      sum += count[j];
    }
    assert_int_equal(sum, DRAWS);
    struct loss_position x = { .vocab = VOCAB, .z = z, .k = DRAWS, .top_id = id, .top_logprob = lp, .rest = -INFINITY, .grad_scale = 1, .dz = dz };
    (void)loss_find("sample")->position(loss_loops_find(kernels_cpu()->isa), &plain, &x);
    for (int i = 0; i < VOCAB; i++) mean[i] += (double)dz[i] / times;
  }
  for (int i = 0; i < VOCAB; i++) worst = fmax(worst, fabs(mean[i] - (q[i] - p[i])));
  return worst;
}

static void draws_are_unbiased_and_top_k_is_not(void **state) {
  (void)state;
  float z[VOCAB], y[VOCAB];
  struct rng r = { 3, 1, 0 };
  for (int i = 0; i < VOCAB; i++) z[i] = 2 * (float)rng_normal(&r), y[i] = 2 * (float)rng_normal(&r);
  double few = off(z, y, 100, 1), many = off(z, y, 40000, 2);
  printf("100 x %d draws: %.2g off; 40,000: %.2g\n", DRAWS, few, many);
  assert_true(many < 1e-3);     /* sqrt(0.25 / (50 * 40,000)) = 3.5e-4 is one deviation of the likeliest token; observed 4e-4 */
  assert_true(few > 5 * many);  /* 20 expected from the root, observed 18 */
  double p[VOCAB], q[VOCAB], none, kept = 0, worst = 0;
  float lp[KEPT], dz[VOCAB], rest;
  int32_t id[KEPT];
  softmax(y, p, &none);
  softmax(z, q, &none);
  kernels_cpu()->row_topk(NULL, 1, VOCAB, KEPT, y, id, lp, &rest);
  for (int j = 0; j < KEPT; j++) kept += exp((double)lp[j]);
  struct loss_position x = { .vocab = VOCAB, .z = z, .k = KEPT, .top_id = id, .top_logprob = lp, .rest = rest, .grad_scale = 1, .dz = dz };
  const struct loss_params plain = { .temperature = 1 };
  (void)loss_find("topk_renorm")->position(loss_loops_find(kernels_cpu()->isa), &plain, &x);
  for (int i = 0; i < VOCAB; i++) worst = fmax(worst, fabs((double)dz[i] - (q[i] - p[i])));
  printf("top %d of mass %.3f, renormalised: %.2g off for ever\n", KEPT, kept, worst);
  assert_true(worst > 20 * many);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(draws_are_unbiased_and_top_k_is_not) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
