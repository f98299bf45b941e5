/* SPDX-License-Identifier: Apache-2.0
 * y(m,n) = x(m,k) w(n,k)^T for decoding, weights in their stored type. Order of every sum, for any m: 16 lanes, lane l
 * adds the products k = l, l + 16, ... ascending; then lanes l and l + 8, l + 4, l + 2, l + 1. A row of weights is decoded
 * once, 256 values at a time, and multiplied with all rows of x. */
#include <string.h>

#include "cpu.h"

enum { LANES = 16, SPAN = 256, GROUP = 16, CHUNK = 32 };

struct product {
  int64_t m, n, k, ldx, ldy;
  const float *x;
  enum dtype type;
  const unsigned char *w;
  float *y;
};

static float lanes_sum(float *s) {
  for (int half = LANES / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; l++) {
      s[l] += s[l + half];
    }
  }
  return s[0];
}

static void rows_of_weights(void *ctx, int64_t begin, int64_t end) {
  const struct product *p = ctx;
  float w[SPAN], lane[GROUP][LANES];
  size_t row_bytes = dtype_bytes(p->type, p->k);
  for (int64_t r = begin; r < end; r++) {
    for (int64_t i0 = 0; i0 < p->m; i0 += GROUP) {
      int64_t group = cpu_min(GROUP, p->m - i0);
      memset(lane, 0, sizeof lane);
      for (int64_t c = 0; c < p->k; c += SPAN) {
        int64_t span = cpu_min(SPAN, p->k - c);
        cpu_decode_span(p->type, span, p->w + (size_t)r * row_bytes + dtype_bytes(p->type, c), w);
        for (int64_t i = 0; i < group; i++) {
          const float *x = p->x + (i0 + i) * p->ldx + c;
          int64_t j = 0;
          for (; j + LANES <= span; j += LANES) {
            for (int l = 0; l < LANES; l++) {
              lane[i][l] += x[j + l] * w[j + l];
            }
          }
          for (; j < span; j++) {
            lane[i][j % LANES] += x[j] * w[j];
          }
        }
      }
      for (int64_t i = 0; i < group; i++) {
        p->y[(i0 + i) * p->ldy + r] = lanes_sum(lane[i]);
      }
    }
  }
}

void cpu_gemv(KDEV, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, enum dtype wtype, const void *w, float *y, int64_t ldy) {
  struct product p = {m, n, k, ldx, ldy, x, wtype, w, y};
  cpu_for(n, CHUNK, rows_of_weights, &p);
}
