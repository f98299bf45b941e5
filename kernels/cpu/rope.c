/* SPDX-License-Identifier: Apache-2.0
 * Rotary embedding, half-split as Hugging Face stores it (Su et al. 2021): pairs (x[c], x[c + dh/2]). The inverse turns the
 * other way, which is the backward pass. An odd head_dim leaves its last value alone. */
#include <math.h>

#include "cpu.h"

struct table {
  const int32_t *positions;
  const double *inv_freq;
  float *cos_sin;
  int32_t half;
};

static void table_rows(void *ctx, int64_t begin, int64_t end) {
  const struct table *p = ctx;
  int32_t half = p->half;
  for (int64_t i = begin; i < end; i++) {
    float *row = p->cos_sin + i * 2 * half;
    for (int32_t j = 0; j < half; j++) {
      double angle = p->positions[i] * p->inv_freq[j];
      row[j] = (float)cos(angle);
      row[half + j] = (float)sin(angle);
    }
  }
}

void cpu_rotary_table(KDEV, int64_t n, int32_t head_dim, const int32_t *positions, const double *inv_freq, float *cos_sin) {
  struct table p = {positions, inv_freq, cos_sin, head_dim / 2};
  cpu_for(n, cpu_row_chunk((int64_t)head_dim * 16), table_rows, &p);
}

struct rotation {
  const float *cos_sin;
  float *x;
  int64_t ldx;
  int32_t heads, head_dim;
  float sign;
};

static void rope_rows(void *ctx, int64_t begin, int64_t end) {
  const struct rotation *p = ctx;
  int32_t half = p->head_dim / 2;
  float sign = p->sign;
  for (int64_t i = begin; i < end; i++) {
    const float *cs = p->cos_sin + i * p->head_dim, *sn = cs + half;
    for (int32_t h = 0; h < p->heads; h++) {
      float *a = p->x + i * p->ldx + (int64_t)h * p->head_dim, *b = a + half;
      for (int32_t c = 0; c < half; c++) {
        float s = sn[c] * sign, a0 = a[c], b0 = b[c];
        a[c] = a0 * cs[c] - b0 * s;
        b[c] = b0 * cs[c] + a0 * s;
      }
    }
  }
}

void cpu_rope(KDEV, int64_t n, int32_t heads, int32_t head_dim, const float *cos_sin, float *x, int64_t ldx, int inverse) {
  struct rotation p = {cos_sin, x, ldx, heads, head_dim, inverse ? -1.0f : 1.0f};
  cpu_for(n, cpu_row_chunk((int64_t)heads * head_dim), rope_rows, &p);
}
