/* SPDX-License-Identifier: Apache-2.0
 * Stored weights to float32, in ggml's block layouts (ggml-common.h):
 *   Q4_0 {f16 d; u8 qs[16]}                       x = d * (q - 8); low nibbles are values 0..15, high ones 16..31
 *   Q4_1 {f16 d, m; u8 qs[16]}                    x = d * q + m
 *   Q8_0 {f16 d; i8 qs[32]}                       x = d * q
 *   Q4_K {f16 d, dmin; u8 scales[12]; u8 qs[128]} x = d * sc * q - dmin * m, 6-bit sc and m for each 32 values
 *   Q6_K {u8 ql[128]; u8 qh[64]; i8 scales[16]; f16 d} x = d * sc * (q - 32), sc for each 16 values
 * Blocks lie at any byte address. */
#include <string.h>

#include "cpu.h"
#include "half.h"

enum { CHUNK = 32768 };

static void block_q4_0(const unsigned char *b, float *y) {
  float d = half_from_f16(half_load(b));
  for (int i = 0; i < 16; i++) {
    y[i] = d * (float)((b[2 + i] & 15) - 8);
    y[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
  }
}

static void block_q4_1(const unsigned char *b, float *y) {
  float d = half_from_f16(half_load(b)), m = half_from_f16(half_load(b + 2));
  for (int i = 0; i < 16; i++) {
    y[i] = d * (float)(b[4 + i] & 15) + m;
    y[i + 16] = d * (float)(b[4 + i] >> 4) + m;
  }
}

static void block_q8_0(const unsigned char *b, float *y) {
  float d = half_from_f16(half_load(b));
  for (int i = 0; i < 32; i++) {
    y[i] = d * (float)(signed char)b[2 + i];
  }
}

/* Scale and minimum of group j: six bits each, those of groups 4..7 split between a nibble and two high bits. */
void cpu_group_q4_k(const unsigned char *s, int j, int *scale, int *min) {
  if (j < 4) {
    *scale = s[j] & 63;
    *min = s[j + 4] & 63;
  } else {
    *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
    *min = s[j + 4] >> 4 | s[j] >> 6 << 4;
  }
}

static void block_q4_k(const unsigned char *b, float *y) {
  float d = half_from_f16(half_load(b)), dmin = half_from_f16(half_load(b + 2));
  for (int j = 0; j < 8; j++) {
    const unsigned char *q = b + 16 + j / 2 * 32;
    int scale, min, shift = j % 2 * 4;
    cpu_group_q4_k(b + 4, j, &scale, &min);
    float ds = d * (float)scale, m = dmin * (float)min;
    for (int i = 0; i < 32; i++) {
      y[j * 32 + i] = ds * (float)(q[i] >> shift & 15) - m;
    }
  }
}

static void block_q6_k(const unsigned char *b, float *y) {
  float d = half_from_f16(half_load(b + 208));
  for (int half = 0; half < 2; half++) {
    const unsigned char *ql = b + half * 64, *qh = b + 128 + half * 32, *sc = b + 192 + half * 8;
    for (int part = 0; part < 4; part++) {
      const unsigned char *low = ql + part % 2 * 32;
      int shift = part / 2 * 4;
      for (int i = 0; i < 32; i++) {
        int q = ((low[i] >> shift & 15) | (qh[i] >> 2 * part & 3) << 4) - 32;
        y[half * 128 + part * 32 + i] = d * (float)(signed char)sc[part * 2 + i / 16] * (float)q;
      }
    }
  }
}

void cpu_decode_span(enum dtype t, int64_t n, const void *src, float *dst) {
  static void (*const block[DT_COUNT])(const unsigned char *, float *) = {
      [DT_Q4_0] = block_q4_0, [DT_Q4_1] = block_q4_1, [DT_Q8_0] = block_q8_0, [DT_Q4_K] = block_q4_k, [DT_Q6_K] = block_q6_k};
  const unsigned char *b = src;
  switch ((int)t) {
  case DT_F32: memcpy(dst, src, (size_t)n * sizeof(float)); return;
  case DT_F16:
    for (int64_t i = 0; i < n; i++) {
      dst[i] = half_from_f16(half_load(b + 2 * i));
    }
    return;
  case DT_BF16:
    for (int64_t i = 0; i < n; i++) {
      dst[i] = half_from_bf16(half_load(b + 2 * i));
    }
    return;
  default: break;
  }
  if (block[t]) {
    int64_t width = dtype_block(t);
    size_t bytes = dtype_bytes(t, width);
    for (int64_t i = 0; i < n; i += width, b += bytes) {
      block[t](b, dst + i);
    }
  }
}

struct job {
  enum dtype t;
  const unsigned char *src;
  float *dst;
};

static void decode_range(void *ctx, int64_t begin, int64_t end) {
  const struct job *p = ctx;
  cpu_isa.decode_span(p->t, end - begin, p->src + dtype_bytes(p->t, begin), p->dst + begin);
}

void cpu_decode(KDEV, enum dtype t, int64_t n, const void *src, float *dst) {
  struct job p = {t, src, dst};
  cpu_for(n, CHUNK, decode_range, &p);
}
