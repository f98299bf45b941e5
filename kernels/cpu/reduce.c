/* SPDX-License-Identifier: Apache-2.0
 * Sums over rows and over whole tensors, in double and in a fixed order: rows ascending inside a block of columns, or
 * partial sums of fixed chunks added in order. */
#include "cpu.h"

enum { COLUMNS = 32, PARTIALS = 1024, CHUNK = 32768 };

struct columns {
  const float *dy;
  float *dbias;
  int64_t n, width;
};

static void bias_columns(void *ctx, int64_t begin, int64_t end) {
  const struct columns *p = ctx;
  double sum[COLUMNS] = {0};
  for (int64_t i = 0; i < p->n; i++) {
    const float *row = p->dy + i * p->width;
    for (int64_t c = begin; c < end; c++) {
      sum[c - begin] += (double)row[c];
    }
  }
  for (int64_t c = begin; c < end; c++) {
    p->dbias[c] = (float)((double)p->dbias[c] + sum[c - begin]);
  }
}

void cpu_bias_backward(KDEV, int64_t n, int64_t width, const float *dy, float *dbias) {
  struct columns p = {dy, dbias, n, width};
  cpu_for(width, COLUMNS, bias_columns, &p);
}

struct squares {
  const float *x;
  double partial[PARTIALS];
  int64_t chunk;
};

static void squares_range(void *ctx, int64_t begin, int64_t end) {
  struct squares *p = ctx;
  double lane[8] = {0}; /* eight running sums, so that the compiler may use vectors without changing the order */
  const float *x = p->x;
  int64_t i = begin;
  for (; i + 8 <= end; i += 8) {
    for (int l = 0; l < 8; l++) {
      lane[l] += (double)x[i + l] * (double)x[i + l];
    }
  }
  for (; i < end; i++) {
    lane[0] += (double)x[i] * (double)x[i];
  }
  p->partial[begin / p->chunk] = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

double cpu_sum_squares(KDEV, int64_t n, const float *x) {
  struct squares p = {.x = x, .chunk = CHUNK};
  double sum = 0;
  while (n > p.chunk * PARTIALS) {
    p.chunk *= 2;
  }
  cpu_for(n, p.chunk, squares_range, &p);
  for (int64_t i = 0; i * p.chunk < n; i++) {
    sum += p.partial[i];
  }
  return sum;
}
