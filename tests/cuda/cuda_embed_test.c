/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/embed.cu against kernels/cpu/embed.c: the same bits (rows of a token are added in the order of tokens). */
#include "cuda/rows.h"

enum { VOCAB = 40, N = 300 };

static int32_t *some_ids(void) {
  int32_t *ids = host(N * sizeof *ids);
  for (int i = 0; i < N; i++) {
    ids[i] = i % 7 == 0 ? VOCAB - 1 : i * 13 % 29; /* one very often, some never */
  }
  return ids;
}

static void embed_forward(void **state) {
  static const struct { enum dtype type; int64_t width; } cases[] = {{DT_F32, 33},   {DT_F32, 200},  {DT_F16, 130},  {DT_BF16, 129}, {DT_Q8_0, 160},
                                                                     {DT_Q4_1, 192}, {DT_Q4_0, 64}, {DT_Q4_K, 512}, {DT_Q6_K, 256}};
  int32_t *ids = some_ids();
  rows_n--; /* kept over the cases */
  (void)state;
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    enum dtype t = cases[c].type;
    int64_t width = cases[c].width;
    size_t bytes = dtype_bytes(t, VOCAB * width);
    unsigned char *table = host(bytes);
    for (size_t i = 0; i < bytes; i++) { /* any bits are a valid table, but halves and floats must not be NaN */
      table[i] = (unsigned char)(i * 37 % 61);
    }
    float *want = host_floats(N * width), *out = junk_floats(N * width);
    kernels_cpu()->embed_forward(NULL, N, width, ids, t, table, want);
    K->embed_forward(D, N, width, up(ids, N * sizeof *ids), t, up(table, bytes), out);
    SAME_BITS(down_floats(out, N * width), want, N * width);
    rows_done();
  }
  mem_free(ids);
}

static void embed_backward(void **state) {
  static const int64_t widths[] = {1, 33, 128, 200};
  (void)state;
  for (int w = 0; w < 4; w++) {
    int64_t width = widths[w];
    int32_t *ids = some_ids(), *dids = up(ids, N * sizeof *ids);
    float *dout = host_filled(N * width, 1), *dtable = host_filled(VOCAB * width, 2), *gout = up_floats(dout, N * width), *gtable = up_floats(dtable, VOCAB * width);
    kernels_cpu()->embed_backward(NULL, N, width, ids, dout, dtable); /* adds to what is there */
    K->embed_backward(D, N, width, dids, gout, gtable);
    SAME_BITS(down_floats(gtable, VOCAB * width), dtable, VOCAB * width);
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(embed_forward), cmocka_unit_test(embed_backward))
