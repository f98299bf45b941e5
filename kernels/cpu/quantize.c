/* SPDX-License-Identifier: Apache-2.0
 * Float32 to stored types, rounding as ggml's reference quantisers do (ggml-quants.c, quantize_row_*_ref): Q8_0 with
 * d = max|x| / 127, Q4_1 with d = (max - min) / 15 and m = min; the codes use the scale before it is rounded to f16. */
#include <math.h>
#include <string.h>

#include "cpu.h"
#include "half.h"

enum { CHUNK = 32768, BLOCK = 32 };

static void store_half(unsigned char *p, float f) {
  uint16_t h = half_to_f16(f);
  p[0] = (unsigned char)(h & 255);
  p[1] = (unsigned char)(h >> 8);
}

/* To a code in [lo, hi]; NaN (a weight that is not finite) to lo, since converting it would be undefined. */
static int code(float x, float lo, float hi) { return (int)(x >= hi ? hi : x >= lo ? x : lo); }

static void block_q8_0(const float *x, unsigned char *b) {
  float most = 0;
  for (int i = 0; i < BLOCK; i++) {
    most = fmaxf(most, fabsf(x[i]));
  }
  float d = most / 127.0f, inv = d > 0 ? 1.0f / d : 0.0f;
  store_half(b, d);
  for (int i = 0; i < BLOCK; i++) {
    b[2 + i] = (unsigned char)(signed char)code(roundf(x[i] * inv), -127, 127);
  }
}

static void block_q4_1(const float *x, unsigned char *b) {
  float min = x[0], max = x[0];
  for (int i = 1; i < BLOCK; i++) {
    min = fminf(min, x[i]);
    max = fmaxf(max, x[i]);
  }
  float d = (max - min) / 15.0f, inv = d > 0 ? 1.0f / d : 0.0f;
  store_half(b, d);
  store_half(b + 2, min);
  for (int i = 0; i < BLOCK / 2; i++) {
    int lo = code((x[i] - min) * inv + 0.5f, 0, 15), hi = code((x[i + 16] - min) * inv + 0.5f, 0, 15);
    b[4 + i] = (unsigned char)(lo | hi << 4);
  }
}

struct job {
  enum dtype t;
  const float *src;
  unsigned char *dst;
};

static void encode_range(void *ctx, int64_t begin, int64_t end) {
  const struct job *p = ctx;
  unsigned char *out = p->dst + dtype_bytes(p->t, begin);
  switch ((int)p->t) {
  case DT_F32: memcpy(out, p->src + begin, (size_t)(end - begin) * sizeof(float)); break;
  case DT_F16:
    for (int64_t i = begin; i < end; i++, out += 2) {
      store_half(out, p->src[i]);
    }
    break;
  case DT_BF16:
    for (int64_t i = begin; i < end; i++, out += 2) {
      uint16_t h = half_to_bf16(p->src[i]);
      out[0] = (unsigned char)(h & 255);
      out[1] = (unsigned char)(h >> 8);
    }
    break;
  case DT_Q8_0:
    for (int64_t i = begin; i < end; i += BLOCK, out += 34) {
      block_q8_0(p->src + i, out);
    }
    break;
  case DT_Q4_1:
    for (int64_t i = begin; i < end; i += BLOCK, out += 20) {
      block_q4_1(p->src + i, out);
    }
    break;
  default: break;
  }
}

void cpu_encode(KDEV, enum dtype t, int64_t n, const float *src, void *dst) {
  struct job p = {t, src, dst};
  cpu_for(n, CHUNK, encode_range, &p);
}
