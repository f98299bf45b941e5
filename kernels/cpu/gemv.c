/* SPDX-License-Identifier: Apache-2.0
 * y(m,n) = x(m,k) w(n,k)^T for decoding, weights in their stored type. Order of every sum, for any m: 16 lanes, lane l adds
 * the products of k = l, l + 16, ... ascending; then lanes l and l + 8, l + 4, l + 2, l + 1. Eight rows of weights are decoded
 * a chunk of k at a time into scratch that stays in the first cache and are multiplied with all rows of x. */
#include <string.h>

#include "cpu.h"
#include "pool.h"

enum { ROWS = 8, CHUNK = 768, GROUP = 64, LANES = 16 };

struct product {
  int64_t m, n, k, ldx, ldy, chunk;
  const float *x;
  enum dtype type;
  const unsigned char *w;
  float *y;
};

static _Thread_local float decoded[ROWS * CHUNK] __attribute__((aligned(64)));
static _Thread_local float lanes[ROWS * GROUP * LANES] __attribute__((aligned(64)));

/* Weights [c, c + span) of rows r .. r + 7 as float32; past the last row the last one again (its sums are not stored). */
static void weight_rows(const struct product *p, int64_t r, int64_t c, int64_t span, const float **w) {
  size_t row_bytes = dtype_bytes(p->type, p->k);
  for (int64_t i = 0; i < ROWS; i++) {
    const unsigned char *from = p->w + (size_t)cpu_min(r + i, p->n - 1) * row_bytes + dtype_bytes(p->type, c);
    if (p->type == DT_F32 && (uintptr_t)from % sizeof(float) == 0) {
      w[i] = (const float *)(const void *)from;
    } else if (r + i < p->n || i == 0) {
      cpu_isa.decode_span(p->type, span, from, decoded + i * CHUNK);
      w[i] = decoded + i * CHUNK;
    } else {
      w[i] = w[i - 1];
    }
  }
}

static void rows_range(void *ctx, int64_t begin, int64_t end) {
  const struct product *p = ctx;
  const float *w[ROWS];
  for (int64_t r = begin; r < end; r += ROWS) {
    for (int64_t i0 = 0; i0 < p->m; i0 += GROUP) {
      int64_t group = cpu_min(GROUP, p->m - i0);
      for (int64_t c = 0; c < p->k; c += p->chunk) {
        int64_t span = cpu_min(p->chunk, p->k - c);
        weight_rows(p, r, c, span, w);
        cpu_isa.gemv_tile(group, span, w, p->x + i0 * p->ldx + c, p->ldx, lanes, GROUP * LANES, c == 0);
      }
      for (int64_t i = 0; i < group; i++) {
        for (int64_t row = r; row < cpu_min(r + ROWS, end); row++) {
          p->y[(i0 + i) * p->ldy + row] = cpu_isa.lanes_sum(lanes + ((row - r) * GROUP + i) * LANES);
        }
      }
    }
  }
}

void cpu_gemv(KDEV, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, enum dtype wtype, const void *w, float *y, int64_t ldy) {
  struct product p = {m, n, k, ldx, ldy, 0, x, wtype, w, y};
  int64_t parts = (k + CHUNK - 1) / CHUNK, unit = dtype_block(wtype) > LANES ? dtype_block(wtype) : LANES;
  int64_t step = (n + 8 * pool_threads() - 1) / (8 * pool_threads()); /* the cut is free: no sum crosses rows of w */
  if (m <= 0 || n <= 0) {
    return;
  }
  p.chunk = parts > 0 ? ((k + parts - 1) / parts + unit - 1) / unit * unit : unit;
  step = (step + ROWS - 1) / ROWS * ROWS;
  cpu_for(n, step < 2 * ROWS ? 2 * ROWS : step > 256 ? 256 : step, rows_range, &p);
}

/* ---- generic pieces ---- */

static void gemv_tile(int64_t m, int64_t k, const float *const *w, const float *x, int64_t ldx, float *sums, int64_t ld_sums, int first) {
  for (int64_t j = 0; j < m; j++) {
    for (int i = 0; i < ROWS; i++) {
      float *lane = sums + i * ld_sums + j * LANES;
      const float *a = x + j * ldx, *b = w[i];
      int64_t c = 0;
      if (first) {
        memset(lane, 0, LANES * sizeof *lane);
      }
      for (; c + LANES <= k; c += LANES) {
        for (int l = 0; l < LANES; l++) {
          lane[l] += a[c + l] * b[c + l];
        }
      }
      for (; c < k; c++) {
        lane[c % LANES] += a[c] * b[c];
      }
    }
  }
}

static float lanes_sum(const float *lane) {
  float s[LANES];
  memcpy(s, lane, sizeof s);
  for (int half = LANES / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; l++) {
      s[l] += s[l + half];
    }
  }
  return s[0];
}

void cpu_gemv_use_generic(struct cpu_isa *isa) {
  isa->gemv_tile = gemv_tile;
  isa->lanes_sum = lanes_sum;
  isa->decode_span = cpu_decode_span;
}
