/* SPDX-License-Identifier: Apache-2.0
 * y = a + b, x *= s, y += bias: no sums, so any cut gives the same bits. */
#include "cpu.h"

enum { CHUNK = 32768 };

struct pair {
  const float *a, *b;
  float *out;
  float s;
  int64_t width;
};

static void add_range(void *ctx, int64_t begin, int64_t end) {
  const struct pair *p = ctx;
  const float *a = p->a, *b = p->b;
  float *out = p->out;
  for (int64_t i = begin; i < end; i++) {
    out[i] = a[i] + b[i];
  }
}

void cpu_add(KDEV, int64_t n, const float *a, const float *b, float *out) {
  struct pair p = {.a = a, .b = b, .out = out};
  cpu_for(n, CHUNK, add_range, &p);
}

static void scale_range(void *ctx, int64_t begin, int64_t end) {
  const struct pair *p = ctx;
  float *x = p->out, s = p->s;
  for (int64_t i = begin; i < end; i++) {
    x[i] *= s;
  }
}

void cpu_scale(KDEV, int64_t n, float s, float *x) {
  struct pair p = {.out = x, .s = s};
  cpu_for(n, CHUNK, scale_range, &p);
}

static void bias_rows(void *ctx, int64_t begin, int64_t end) {
  const struct pair *p = ctx;
  const float *bias = p->a;
  int64_t width = p->width;
  for (int64_t i = begin; i < end; i++) {
    float *y = p->out + i * width;
    for (int64_t c = 0; c < width; c++) {
      y[c] += bias[c];
    }
  }
}

void cpu_bias_forward(KDEV, int64_t n, int64_t width, const float *bias, float *y) {
  struct pair p = {.a = bias, .out = y, .width = width};
  cpu_for(n, cpu_row_chunk(width), bias_rows, &p);
}
