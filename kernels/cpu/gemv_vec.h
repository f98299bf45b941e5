/* SPDX-License-Identifier: Apache-2.0
 * Tiles of the product for few rows, in vectors: the body of gemv_avx2.c and gemv_avx512.c. A tile is up to 8 rows of weights
 * by up to 4 rows of x; each of its sums has 16 lanes (cpu.h, gemv_tile) that live in registers and are kept in `lanes`
 * between chunks of k, so neither the chunk nor the tile changes a result. */
#include "dequant_vec.h"

enum { VECTORS = 16 / VL };

static inline __attribute__((always_inline)) void tile(int n_w, int n_x, int64_t k, const float *const *w, const float *x, int64_t ldx,
                                                       float *lanes, int64_t ld_lanes, int first) {
  vf acc[8][4][VECTORS];
  UNROLL
  for (int i = 0; i < n_w; i++) {
    UNROLL
    for (int j = 0; j < n_x; j++) {
      UNROLL
      for (int l = 0; l < VECTORS; l++) {
        acc[i][j][l] = first ? v_zero() : v_load(lanes + i * ld_lanes + j * 16 + l * VL);
      }
    }
  }
  int64_t c = 0;
  for (; c + 16 <= k; c += 16) {
    UNROLL
    for (int l = 0; l < VECTORS; l++) {
      vf xs[4];
      UNROLL
      for (int j = 0; j < n_x; j++) {
        xs[j] = v_load(x + j * ldx + c + l * VL);
      }
      UNROLL
      for (int i = 0; i < n_w; i++) {
        vf ws = v_load(w[i] + c + l * VL);
        UNROLL
        for (int j = 0; j < n_x; j++) {
          acc[i][j][l] = v_fma(xs[j], ws, acc[i][j][l]);
        }
      }
    }
  }
  if (c < k) { /* last values of the row: absent lanes add 0 * 0 */
    UNROLL
    for (int l = 0; l < VECTORS; l++) {
      int64_t n = k - c - l * VL;
      if (n <= 0) {
        continue;
      }
      UNROLL
      for (int j = 0; j < n_x; j++) {
        const float *xp = x + j * ldx + c + l * VL;
        vf xs = n >= VL ? v_load(xp) : v_load_head(xp, n, 0);
        UNROLL
        for (int i = 0; i < n_w; i++) {
          const float *wp = w[i] + c + l * VL;
          acc[i][j][l] = v_fma(xs, n >= VL ? v_load(wp) : v_load_head(wp, n, 0), acc[i][j][l]);
        }
      }
    }
  }
  UNROLL
  for (int i = 0; i < n_w; i++) {
    UNROLL
    for (int j = 0; j < n_x; j++) {
      UNROLL
      for (int l = 0; l < VECTORS; l++) {
        v_store(lanes + i * ld_lanes + j * 16 + l * VL, acc[i][j][l]);
      }
    }
  }
}

static void gemv_tile(int64_t m, int64_t k, const float *const *w, const float *x, int64_t ldx, float *lanes, int64_t ld_lanes, int first) {
  int64_t j = 0;
  for (; j + GEMV_X <= m; j += GEMV_X) {
    for (int i = 0; i < 8; i += GEMV_W) {
      tile(GEMV_W, GEMV_X, k, w + i, x + j * ldx, ldx, lanes + i * ld_lanes + j * 16, ld_lanes, first);
    }
  }
  for (; j + 2 <= m; j += 2) {
    for (int i = 0; i < 8; i += GEMV_W) {
      tile(GEMV_W, 2, k, w + i, x + j * ldx, ldx, lanes + i * ld_lanes + j * 16, ld_lanes, first);
    }
  }
  for (; j < m; j++) {
    for (int i = 0; i < 8; i += 4) {
      tile(4, 1, k, w + i, x + j * ldx, ldx, lanes + i * ld_lanes + j * 16, ld_lanes, first);
    }
  }
}

/* lanes l and l + 8, l + 4, l + 2, l + 1 */
static float lanes_sum(const float *lanes) {
#ifdef __AVX512F__
  return v_sum(v_load(lanes));
#else
  return v_sum(v_add(v_load(lanes), v_load(lanes + VL)));
#endif
}

static void use_gemv(struct cpu_isa *isa) {
  isa->gemv_tile = gemv_tile;
  isa->lanes_sum = lanes_sum;
  isa->decode_span = decode_span;
}
