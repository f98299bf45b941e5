/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/move.cu and memory.cu against the CPU's: rows gathered and scattered, keys and values stored, blocks, copies. */
#include "cuda/rows.h"

static void gather_scatter_rows(void **state) {
  static const int64_t widths[] = {1, 31, 128, 300};
  enum { ROWS = 50, N = 17 };
  (void)state;
  for (int w = 0; w < 4; w++) {
    int64_t width = widths[w];
    int32_t row[N];
    for (int i = 0; i < N; i++) {
      row[i] = (i * 11 + 3) % ROWS;
    }
    float *from = host_filled(ROWS * width, 1), *want = host_floats(N * width), *to = junk_floats(N * width);
    int32_t *drow = up(row, sizeof row);
    kernels_cpu()->gather_rows(NULL, N, width, row, from, want);
    K->gather_rows(D, N, width, drow, up_floats(from, ROWS * width), to);
    SAME_BITS(down_floats(to, N * width), want, N * width);
    float *back = host_filled(ROWS * width, 2), *dback = up_floats(back, ROWS * width);
    kernels_cpu()->scatter_rows(NULL, N, width, row, want, back);
    K->scatter_rows(D, N, width, drow, to, dback);
    SAME_BITS(down_floats(dback, ROWS * width), back, ROWS * width);
    rows_done();
  }
}

static void kv_store(void **state) {
  static const int64_t widths[] = {4, 130, 513};
  enum { SEQS = 3 };
  static const int32_t start[SEQS + 1] = {0, 5, 6, 13}, len[SEQS] = {9, 1, 7}; /* new rows included; the last two are new as a whole */
  (void)state;
  for (int w = 0; w < 3; w++) {
    int64_t width = widths[w], n = start[SEQS];
    struct seqs s = {(int32_t)n, SEQS, start};
    struct kv_view cpu[SEQS], gpu[SEQS];
    float *k = host_filled(n * width, 1), *v = host_filled(n * width, 2);
    for (int i = 0; i < SEQS; i++) {
      int64_t all = len[i] * width;
      cpu[i] = (struct kv_view){host_filled(all, 3), host_filled(all, 4), len[i]};
      gpu[i] = (struct kv_view){up_floats(cpu[i].k, all), up_floats(cpu[i].v, all), len[i]};
    }
    kernels_cpu()->kv_store(NULL, &s, width, cpu, k, v);
    K->kv_store(D, &s, width, gpu, up_floats(k, n * width), up_floats(v, n * width));
    for (int i = 0; i < SEQS; i++) {
      SAME_BITS(down_floats(gpu[i].k, len[i] * width), cpu[i].k, len[i] * width);
      SAME_BITS(down_floats(gpu[i].v, len[i] * width), cpu[i].v, len[i] * width);
    }
    rows_done();
  }
}

/* Bigger than the staging buffers, at odd offsets; blocks are zero at first. */
static void block_new_upload_download_copy_zero(void **state) {
  enum { BYTES = (16 << 20) + 12345 };
  struct err e;
  void *p;
  unsigned char *x = host(BYTES);
  (void)state;
  for (int i = 0; i < BYTES; i++) {
    x[i] = (unsigned char)(i * 2654435761u >> 13);
  }
  assert_int_equal(device_block(dev, BYTES, "test", &p, &e), STATUS_OK);
  unsigned char *zero = down(p, BYTES);
  for (int i = 0; i < BYTES; i += 4099) {
    assert_int_equal(zero[i], 0);
  }
  K->upload(D, (char *)p + 3, x + 3, BYTES - 3);
  K->upload(D, p, x, 3);
  SAME_BITS((unsigned char *)down(p, BYTES), x, BYTES);
  K->copy(D, (char *)p + 5000, p, 4001);
  memcpy(x + 5000, x, 4001);
  K->zero(D, (char *)p + 7, 1000);
  memset(x + 7, 0, 1000);
  SAME_BITS((unsigned char *)down(p, 20000), x, 20000);
  device_block_free(dev, p, BYTES);
  rows_done();
}

/* Work of one lane is seen by the other once it waited; the host sees both. */
static void lane_wait(void **state) {
  enum { N = 5000 };
  float *x = host_filled(N, 1), *dx = up_floats(x, N), *dy = junk_floats(N);
  (void)state;
  for (int round = 0; round < 6; round++) {
    K->lane(D, 0);
    if (round > 0) {
      K->lane_wait(D, 1);
    }
    K->scale(D, N, 2, dx);
    K->lane(D, 1);
    K->lane_wait(D, 0);
    K->add(D, N, dx, dx, dy);
    kernels_cpu()->scale(NULL, N, 2, x);
  }
  struct err e; /* a new block is ready for both lanes at once */
  void *p = NULL;
  assert_int_equal(device_block(dev, N * sizeof *x, "test", &p, &e), STATUS_OK);
  K->lane(D, 1);
  K->copy(D, p, dx, N * sizeof *x);
  device_block_free(dev, p, N * sizeof *x);
  K->lane(D, 0);
  K->lane_wait(D, 1);
  kernels_cpu()->scale(NULL, N, 2, x);
  SAME_BITS(down_floats(dy, N), x, N);
  rows_done();
}

ROWS_MAIN(cmocka_unit_test(gather_scatter_rows), cmocka_unit_test(kv_store), cmocka_unit_test(block_new_upload_download_copy_zero), cmocka_unit_test(lane_wait))
