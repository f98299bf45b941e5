/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/attention_decode.cu against kernels/cpu/attention.c: one or several last queries of each stream, and the same bits
 * for a stream alone. */
#include "cuda/attention_shapes.h"

static void attention_decode(void **state) {
  (void)state;
  for (int i = 0; i < N_SHAPES; i++) {
    int32_t start[7], full[7];
    struct seqs all, s;
    struct attn_shape a;
    struct kv_view cpu[6], gpu[6];
    shape_of(&shapes[i], full, &all, &a);
    start[0] = 0;
    for (int j = 0; j < all.n_seq; j++) { /* the first stream asks its whole prompt, the others their last tokens */
      int32_t len = full[j + 1] - full[j];
      start[j + 1] = start[j] + (j == 0 && len < 80 ? len : len < 3 ? len : 3);
    }
    s = (struct seqs){start[all.n_seq], all.n_seq, start};
    int64_t n = s.n_tok, wq = a.n_head * a.head_dim, wk = a.n_kv_head * a.head_dim;
    float *q = host_filled(n * wq, 1), *want = host_floats(n * wq), *out = junk_floats(n * wq), *dq;
    for (int64_t j = 0; j < n * wq; j++) {
      q[j] *= i % 2 ? 20 : 2;
    }
    dq = up_floats(q, n * wq);
    for (int j = 0; j < s.n_seq; j++) {
      int32_t len = full[j + 1] - full[j];
      cpu[j] = (struct kv_view){host_filled(len * wk, 2 + (uint32_t)j), host_filled(len * wk, 12 + (uint32_t)j), len};
      gpu[j] = (struct kv_view){up_floats(cpu[j].k, len * wk), up_floats(cpu[j].v, len * wk), len};
    }
    kernels_cpu()->attention_decode(NULL, &s, &a, q, cpu, want);
    K->attention_decode(D, &s, &a, dq, gpu, out);
    float *got = down_floats(out, n * wq);
    CLOSE(got, want, n * wq, 1, 4e-6); /* observed 8.5e-7 */
    int32_t last = s.n_seq - 1, alone[2] = {0, start[last + 1] - start[last]};
    struct seqs one = {alone[1], 1, alone};
    float *part = junk_floats(alone[1] * wq);
    K->attention_decode(D, &one, &a, dq + start[last] * wq, &gpu[last], part);
    SAME_BITS(down_floats(part, alone[1] * wq), got + start[last] * wq, alone[1] * wq);
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(attention_decode))
