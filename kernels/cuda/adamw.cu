/* SPDX-License-Identifier: Apache-2.0
 * AdamW on one tensor, elementwise: the same bits as kernels/cpu/adamw.c. */
#include <math.h>

#include "cuda_dev.h"

enum { THREADS = 256 };

struct adamw {
  float decay, beta1, beta2, one_minus_beta1, one_minus_beta2, eps, grad_scale, step_size, inv_sqrt_correction2;
};

static __global__ void adamw_kernel(int64_t n, float *p, const float *grad, float *mom, float *var, struct adamw a) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (i < n) {
    float g = grad[i] * a.grad_scale;
    float m = a.beta1 * mom[i] + a.one_minus_beta1 * g;
    float v = a.beta2 * var[i] + a.one_minus_beta2 * g * g;
    mom[i] = m;
    var[i] = v;
    p[i] = p[i] * a.decay - a.step_size * m / (sqrtf(v) * a.inv_sqrt_correction2 + a.eps);
  }
}

/* ---- launcher ---- */

void cuda_adamw(struct kdev *d, int64_t n, float *p, const float *grad, float *mom, float *var, double lr, double beta1, double beta2,
                double eps, double weight_decay, double grad_scale, int64_t step) {
  double c1 = 1.0 - pow(beta1, static_cast<double>(step)), c2 = 1.0 - pow(beta2, static_cast<double>(step));
  struct adamw a;
  cuda_bf16_changed(d, p, static_cast<size_t>(n) * sizeof *p);
  a.beta1 = static_cast<float>(beta1);
  a.beta2 = static_cast<float>(beta2);
  a.one_minus_beta1 = static_cast<float>(1.0 - beta1); /* in double: 1 - 0.999f is off by 1e-5 */
  a.one_minus_beta2 = static_cast<float>(1.0 - beta2);
  a.eps = static_cast<float>(eps);
  a.grad_scale = static_cast<float>(grad_scale);
  a.decay = static_cast<float>(1.0 - lr * weight_decay);
  a.step_size = static_cast<float>(lr / c1);
  a.inv_sqrt_correction2 = static_cast<float>(1.0 / sqrt(c2));
  CUDA_RUN(d, adamw_kernel, dim3(cuda_blocks(n, THREADS)), dim3(THREADS), 0, n, p, grad, mom, var, a);
}
