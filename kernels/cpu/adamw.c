/* SPDX-License-Identifier: Apache-2.0
 * AdamW (Loshchilov & Hutter 2019) on one tensor: decoupled decay before the update, bias-corrected moments, as
 * torch.optim.AdamW computes it. Elementwise, so any cut gives the same bits. */
#include <math.h>

#include "cpu.h"

enum { CHUNK = 16384 };

struct adamw {
  float *p, *mom, *var;
  const float *grad;
  float decay, beta1, beta2, one_minus_beta1, one_minus_beta2, eps, grad_scale, step_size, inv_sqrt_correction2;
};

static void adamw_range(void *ctx, int64_t begin, int64_t end) {
  const struct adamw *a = ctx;
  float *p = a->p, *mom = a->mom, *var = a->var;
  const float *grad = a->grad;
  float b1 = a->beta1, b2 = a->beta2, c1 = a->one_minus_beta1, c2 = a->one_minus_beta2;
  float decay = a->decay, eps = a->eps, gs = a->grad_scale, step_size = a->step_size, inv = a->inv_sqrt_correction2;
  for (int64_t i = begin; i < end; i++) {
    float g = grad[i] * gs;
    float m = b1 * mom[i] + c1 * g;
    float v = b2 * var[i] + c2 * g * g;
    mom[i] = m;
    var[i] = v;
    p[i] = p[i] * decay - step_size * m / (sqrtf(v) * inv + eps);
  }
}

void cpu_adamw(KDEV, int64_t n, float *p, const float *grad, float *mom, float *var, double lr, double beta1, double beta2, double eps,
               double weight_decay, double grad_scale, int64_t step) {
  double c1 = 1.0 - pow(beta1, (double)step), c2 = 1.0 - pow(beta2, (double)step);
  struct adamw a = {.p = p, .mom = mom, .var = var, .grad = grad};
  a.beta1 = (float)beta1;
  a.beta2 = (float)beta2;
  a.one_minus_beta1 = (float)(1.0 - beta1); /* in double: 1 - 0.999f is off by 1e-5 */
  a.one_minus_beta2 = (float)(1.0 - beta2);
  a.eps = (float)eps;
  a.grad_scale = (float)grad_scale;
  a.decay = (float)(1.0 - lr * weight_decay);
  a.step_size = (float)(lr / c1);
  a.inv_sqrt_correction2 = (float)(1.0 / sqrt(c2));
  cpu_for(n, CHUNK, adamw_range, &a);
}
