/* SPDX-License-Identifier: Apache-2.0
 * RMSNorm (Zhang & Sennrich 2019): out = x * rstd * gamma, rstd = 1 / sqrt(mean(x^2) + eps), and its gradient
 *   dx = rstd * (g - xhat * mean(g * xhat)),  g = dout * gamma,  xhat = x * rstd;  dgamma = column sums of dout * xhat.
 * Row sums run in double over 16 lanes; dgamma over rows ascending inside a block of columns. */
#include <math.h>

#include "cpu.h"

enum { COLUMNS = 32, LANES = 16 };

struct norm {
  const float *x, *gamma, *dout, *in_rstd;
  float *out, *rstd, *dx, *dgamma;
  float eps;
  int accumulate;
  int64_t n, width;
};

static double lanes_sum(const double *lane) {
  double s[LANES / 2];
  for (int l = 0; l < LANES / 2; l++) {
    s[l] = lane[l] + lane[l + LANES / 2];
  }
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void forward_rows(void *ctx, int64_t begin, int64_t end) {
  const struct norm *p = ctx;
  const float *gamma = p->gamma;
  int64_t width = p->width;
  for (int64_t i = begin; i < end; i++) {
    const float *x = p->x + i * width;
    float *out = p->out + i * width;
    double lane[LANES] = {0};
    int64_t c = 0;
    for (; c + LANES <= width; c += LANES) {
      for (int l = 0; l < LANES; l++) {
        lane[l] += (double)x[c + l] * (double)x[c + l];
      }
    }
    for (; c < width; c++) {
      lane[c % LANES] += (double)x[c] * (double)x[c];
    }
    float r = (float)(1.0 / sqrt(lanes_sum(lane) / (double)width + (double)p->eps));
    for (c = 0; c < width; c++) {
      out[c] = x[c] * r * gamma[c];
    }
    if (p->rstd) {
      p->rstd[i] = r;
    }
  }
}

void cpu_rmsnorm_forward(KDEV, int64_t n, int64_t width, const float *x, const float *gamma, float eps, float *out, float *rstd) {
  struct norm p = {.x = x, .gamma = gamma, .eps = eps, .out = out, .rstd = rstd, .n = n, .width = width};
  cpu_for(n, cpu_row_chunk(width), forward_rows, &p);
}

static void backward_rows(void *ctx, int64_t begin, int64_t end) {
  const struct norm *p = ctx;
  const float *gamma = p->gamma;
  int64_t width = p->width;
  for (int64_t i = begin; i < end; i++) {
    const float *x = p->x + i * width, *dout = p->dout + i * width;
    float *dx = p->dx + i * width, r = p->in_rstd[i];
    double lane[LANES] = {0};
    int64_t c = 0;
    for (; c + LANES <= width; c += LANES) {
      for (int l = 0; l < LANES; l++) {
        lane[l] += (double)(dout[c + l] * gamma[c + l]) * (double)x[c + l];
      }
    }
    for (; c < width; c++) {
      lane[c % LANES] += (double)(dout[c] * gamma[c]) * (double)x[c];
    }
    float mean = (float)(lanes_sum(lane) * (double)r * (double)r / (double)width);
    if (p->accumulate) {
      for (c = 0; c < width; c++) {
        dx[c] += r * (dout[c] * gamma[c] - x[c] * mean);
      }
    } else {
      for (c = 0; c < width; c++) {
        dx[c] = r * (dout[c] * gamma[c] - x[c] * mean);
      }
    }
  }
}

static void gamma_columns(void *ctx, int64_t begin, int64_t end) {
  const struct norm *p = ctx;
  double sum[COLUMNS] = {0};
  for (int64_t i = 0; i < p->n; i++) {
    const float *x = p->x + i * p->width, *dout = p->dout + i * p->width;
    float r = p->in_rstd[i];
    for (int64_t c = begin; c < end; c++) {
      sum[c - begin] += (double)(dout[c] * (x[c] * r));
    }
  }
  for (int64_t c = begin; c < end; c++) {
    p->dgamma[c] = (float)((double)p->dgamma[c] + sum[c - begin]);
  }
}

void cpu_rmsnorm_backward(KDEV, int64_t n, int64_t width, const float *x, const float *gamma, const float *rstd, const float *dout,
                          float *dx, int accumulate_dx, float *dgamma) {
  struct norm p = {.x = x, .gamma = gamma, .dout = dout, .in_rstd = rstd, .dx = dx, .dgamma = dgamma, .accumulate = accumulate_dx,
                   .n = n, .width = width};
  if (dgamma) { /* first: dx may overwrite dout */
    cpu_for(width, COLUMNS, gamma_columns, &p);
  }
  cpu_for(n, cpu_row_chunk(width), backward_rows, &p);
}
