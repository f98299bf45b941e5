/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/dequant.cu and stored.cuh against kernels/cpu/dequant.c: the same bits for every type. */
#include "cuda/stored_data.h"

static void decode(void **state) {
  (void)state;
  for (int i = 0; i < N_STORED; i++) {
    enum dtype t = stored_types[i];
    for (int64_t blocks = 1; blocks < 20; blocks += 6) {
      int64_t n = blocks * (dtype_block(t) == 1 ? 37 : dtype_block(t));
      unsigned char *from = stored_data(t, n, (uint32_t)(10 * i + blocks));
      float *want = host_floats(n), *out = junk_floats(n);
      kernels_cpu()->decode(NULL, t, n, from, want);
      K->decode(D, t, n, up(from, dtype_bytes(t, n)), out);
      SAME_BITS(down_floats(out, n), want, n);
      rows_done();
    }
  }
}

ROWS_MAIN(cmocka_unit_test(decode))
