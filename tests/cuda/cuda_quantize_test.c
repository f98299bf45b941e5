/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/quantize.cu against kernels/cpu/quantize.c: the same bytes, also for zeros, ties, huge and tiny values. */
#include "cuda/rows.h"

static void encode(void **state) {
  static const enum dtype types[] = {DT_F32, DT_F16, DT_BF16, DT_Q8_0, DT_Q4_1};
  static const float odd[] = {0, -0.0f, 1, -1, 65504, 65519.9f, 65520, 1e30f, -1e30f, 6e-8f, 2.9e-8f, 1.00048828125f, 1.00390625f, 1e-40f, 127.5f, 0.5f};
  (void)state;
  for (int i = 0; i < 5; i++) {
    enum dtype t = types[i];
    for (int64_t blocks = 1; blocks < 300; blocks = blocks * 5 + 1) {
      int64_t n = 32 * blocks;
      float *x = host_filled(n, (uint32_t)(i + blocks));
      for (int64_t j = 0; j < n; j++) {
        int64_t b = j / 32;
        x[j] = b % 5 == 1 ? 0 : b % 5 == 2 ? odd[j % 16] : b % 5 == 3 ? 0.25f * (float)(j % 9) : x[j] * 3;
      }
      size_t bytes = dtype_bytes(t, n);
      unsigned char *want = host(bytes), *out = up_junk(bytes);
      kernels_cpu()->encode(NULL, t, n, x, want);
      K->encode(D, t, n, up_floats(x, n), out);
      SAME_BITS((unsigned char *)down(out, bytes), want, bytes);
      rows_done();
    }
  }
}

ROWS_MAIN(cmocka_unit_test(encode))
