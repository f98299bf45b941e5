/* SPDX-License-Identifier: Apache-2.0
 * Body of the losses' loops: included by loss_loops.c, loss_loops_avx2.c and loss_loops_avx512.c, which define
 * LOSS_LOOPS (the name of the table) and LOSS_ISA. Vectors of 16 floats are GCC's and clang's own; where a processor
 * has narrower ones the compiler splits them, so the order of every sum is the same everywhere. */
#include <math.h>
#include <string.h>
#include "loss_loops.h"

#define LANES 16
#define BLOCK 1024
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float x) {
  return (vf){ x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x };
}

INLINE vf load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* The last n < 16 values, filled up. */
INLINE vf load_part(const float *p, int64_t n, float fill) {
  vf v = splat(fill);
  memcpy(&v, p, (size_t)n * sizeof *p);
  return v;
}

INLINE void store(float *p, vf v) {
  memcpy(p, &v, sizeof v);
}

INLINE vf choose(vi mask, vf a, vf b) {
  return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

INLINE vf vexp(vf x) {
  const vf magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer held in the low bits */
  vi low = x < splat(-87.0f);
  vf c = choose(x > splat(88.5f), splat(88.5f), x);
  c = choose(low, splat(-87.0f), c);
  vf t = c * splat(1.44269504088896341f) + magic;
  vf n = t - magic;
  vf r = (c - n * splat(0.693359375f)) - n * splat(-2.12194440e-4f);
  vf p = splat(1.9875691500e-4f);
  p = p * r + splat(1.3981999507e-3f);
  p = p * r + splat(8.3334519073e-3f);
  p = p * r + splat(4.1665795894e-2f);
  p = p * r + splat(1.6666665459e-1f);
  p = p * r + splat(5.0000001201e-1f);
  p = (p * r) * r + r + splat(1.0f);
  vi shift = ((vi)t << 23) + (127 << 23); /* the magic number's own bits leave at the top */
  return choose(low, splat(0.0f), p * (vf)shift);
}

INLINE double lanes_sum(vf v) {
  double s = 0;
  for (int i = 0; i < LANES; i++) {
    s += (double)v[i];
  }
  return s;
}

/* lse as two floats, so that z - lse keeps its digits. */
INLINE vf centred(vf z, vf inv_t, vf hi, vf lo) {
  return (z * inv_t - hi) - lo;
}

static double block_lse(int64_t n, const float *z, float inv_t, double *top) {
  vf best = splat(-INFINITY), t = splat(inv_t), sum = splat(0);
  int64_t i = 0, whole = n - n % LANES;
  for (; i < whole; i += LANES) {
    vf x = load(z + i);
    best = choose(best < x, x, best);
  }
  if (i < n) {
    vf x = load_part(z + i, n - i, -INFINITY);
    best = choose(best < x, x, best);
  }
  float m = best[0];
  for (int l = 1; l < LANES; l++) {
    m = best[l] > m ? best[l] : m;
  }
  *top = m;
  vf mt = splat(m * inv_t);
  if (m == -INFINITY) {
    mt = splat(0);
  }
  for (i = 0; i < whole; i += LANES) {
    sum += vexp(load(z + i) * t - mt);
  }
  if (i < n) {
    sum += vexp(load_part(z + i, n - i, -INFINITY) * t - mt);
  }
  return lanes_sum(sum);
}

static double row_lse(int64_t n, const float *z, float inv_t) {
  double top = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; i += BLOCK) {
    double m, s = block_lse(n - i < BLOCK ? n - i : BLOCK, z + i, inv_t, &m);
    m = (double)((float)m * inv_t);
    if (m > top) {
      sum = sum * exp(top - m) + s;
      top = m;
    } else if (m > -INFINITY) {
      sum += s * exp(m - top);
    } else {
      sum += s; /* all -infinity: 0; NaN: stays */
    }
  }
  return top + log(sum);
}

static void row_softmax(int64_t n, const float *z, float inv_t, double lse, float scale, float *out) {
  vf t = splat(inv_t), s = splat(scale), hi = splat((float)lse), lo = splat((float)(lse - (double)(float)lse));
  int64_t i = 0, whole = n - n % LANES;
  for (; i < whole; i += LANES) {
    store(out + i, s * vexp(centred(load(z + i), t, hi, lo)));
  }
  if (i < n) {
    vf q = s * vexp(centred(load_part(z + i, n - i, 0), t, hi, lo));
    memcpy(out + i, &q, (size_t)(n - i) * sizeof *out);
  }
}

static void row_logprob(int64_t n, const float *z, float inv_t, double lse, float *lp, float *p) {
  vf t = splat(inv_t), hi = splat((float)lse), lo = splat((float)(lse - (double)(float)lse));
  int64_t i = 0, whole = n - n % LANES;
  for (; i < whole; i += LANES) {
    vf d = centred(load(z + i), t, hi, lo);
    store(lp + i, d);
    store(p + i, vexp(d));
  }
  if (i < n) {
    vf d = centred(load_part(z + i, n - i, 0), t, hi, lo), e = vexp(d);
    memcpy(lp + i, &d, (size_t)(n - i) * sizeof *lp);
    memcpy(p + i, &e, (size_t)(n - i) * sizeof *p);
  }
}

static double row_fkl(int64_t n, const float *z, const float *y, float inv_t, double z_lse, double y_lse, float scale, float *dz) {
  vf t = splat(inv_t), s = splat(scale);
  vf zh = splat((float)z_lse), zl = splat((float)(z_lse - (double)(float)z_lse));
  vf yh = splat((float)y_lse), yl = splat((float)(y_lse - (double)(float)y_lse));
  double value = 0;
  for (int64_t b = 0; b < n; b += BLOCK) {
    int64_t end = n - b < BLOCK ? n : b + BLOCK, i = b, whole = end - (end - b) % LANES;
    vf sum = splat(0);
    for (; i < end; i += LANES) {
      int part = i >= whole;
      vf lq = centred(part ? load_part(z + i, end - i, -INFINITY) : load(z + i), t, zh, zl);
      vf lp = centred(part ? load_part(y + i, end - i, -INFINITY) : load(y + i), t, yh, yl);
      vf q = vexp(lq), p = vexp(lp);
      sum += choose(p == splat(0), splat(0), p * (lp - lq)); /* p = 0: the limit is 0, whatever q is */
      if (dz != NULL) {
        vf g = s * (q - p);
        memcpy(dz + i, &g, (size_t)(part ? end - i : LANES) * sizeof *dz);
      }
    }
    value += lanes_sum(sum);
  }
  return value;
}

static void row_zero(int64_t n, float *out) { memset(out, 0, (size_t)n * sizeof *out); }

static int64_t row_argmax(int64_t n, const float *z) {
  vf best = splat(-INFINITY);
  int64_t i = 0, whole = n - n % LANES;
  for (; i < whole; i += LANES) {
    vf x = load(z + i);
    best = choose(best < x, x, best);
  }
  float m = -INFINITY;
  for (int l = 0; l < LANES; l++) {
    m = best[l] > m ? best[l] : m;
  }
  for (; i < n; i++) {
    m = z[i] > m ? z[i] : m;
  }
  for (i = 0; i < n; i++) {
    if (z[i] == m) {
      return i;
    }
  }
  return 0; /* all NaN */
}

const struct loss_loops LOSS_LOOPS = { LOSS_ISA, row_lse, row_softmax, row_logprob, row_fkl, row_zero, row_argmax };
