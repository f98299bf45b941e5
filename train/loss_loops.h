/* SPDX-License-Identifier: Apache-2.0
 * The long loops of the losses: over one row of the vocabulary, compiled once an instruction set (loss_loops_*.c include
 * loss_loops_body.h) and picked at run time to match the kernels' table. Sums run in 16 lanes over blocks of 1,024 in
 * float32 and over blocks in float64, in one fixed order. The exponential is a polynomial of degree 6 after reduction by
 * ln 2: relative error below 1.2e-7 (tests/unit/loss_loops.c), exactly 0 below -87, also for -infinity; NaN stays NaN.
 * A log-sum-exp is carried as a double, because as a float its rounding alone (5e-7 at 10) would be a relative error of
 * every probability. inv_t = 1 / temperature. Pure and thread safe. */
#ifndef TRAIN_LOSS_LOOPS_H
#define TRAIN_LOSS_LOOPS_H
#include <stdint.h>

struct loss_loops {
  const char *isa; /* "avx512" "avx2" "generic" */
  /* log sum exp(z * inv_t); n > 0 */
  double (*lse)(int64_t n, const float *z, float inv_t);
  /* out = scale * exp(z * inv_t - lse); out may be z */
  void (*softmax)(int64_t n, const float *z, float inv_t, double lse, float scale, float *out);
  /* lp = z * inv_t - lse, p = exp(lp): building block of losses without a loop of their own; lp may be z */
  void (*logprob)(int64_t n, const float *z, float inv_t, double lse, float *lp, float *p);
  /* sum p (log p - log q); dz = scale * (q - p) unless dz is NULL; dz may be z */
  double (*fkl)(int64_t n, const float *z, const float *y, float inv_t, double z_lse, double y_lse, float scale, float *dz);
  /* out = 0 */
  void (*zero)(int64_t n, float *out);
  /* index of the greatest value, the lowest of equals */
  int64_t (*argmax)(int64_t n, const float *z);
};
extern const struct loss_loops loss_loops_generic, loss_loops_avx2, loss_loops_avx512;
/* By the name of struct kernels' isa; an unknown one gives the generic loops. */
const struct loss_loops *loss_loops_find(const char *isa);
#endif
