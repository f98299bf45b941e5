/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/attention.cu against kernels/cpu/attention.c. RETORT_CUDA_WORK is so small that queries come in several blocks. */
#include "cuda/attention_shapes.h"

static void attention_forward(void **state) {
  (void)state;
  for (int i = 0; i < N_SHAPES; i++) {
    int32_t start[7];
    struct seqs s;
    struct attn_shape a;
    shape_of(&shapes[i], start, &s, &a);
    int64_t n = s.n_tok, wq = a.n_head * a.head_dim, wk = a.n_kv_head * a.head_dim, ldq = wq + 3, ldkv = wk + 5, ldo = wq + 1;
    float *q = host_filled(n * ldq, 1), *k = host_filled(n * ldkv, 2), *v = host_filled(n * ldkv, 3), *out = host_filled(n * ldo, 4), *lse = host_floats(n * a.n_head);
    for (int64_t j = 0; j < n * ldq; j++) {
      q[j] *= i % 2 ? 2 : 20; /* flat and sharp */
    }
    float *dq = up_floats(q, n * ldq), *dk = up_floats(k, n * ldkv), *dv = up_floats(v, n * ldkv), *dout = up_floats(out, n * ldo), *dl = junk_floats(n * a.n_head);
    kernels_cpu()->attention_forward(NULL, &s, &a, q, ldq, k, v, ldkv, out, ldo, lse);
    K->attention_forward(D, &s, &a, dq, ldq, dk, dv, ldkv, dout, ldo, dl);
    float *got = down_floats(dout, n * ldo);
    CLOSE(got, out, n * ldo, 1, 4e-6); /* observed 1.2e-6: scores of up to 40 in another order of sums */
    CLOSE(down_floats(dl, n * a.n_head), lse, n * a.n_head, 1, 2e-6); /* observed 5.2e-7 */
    K->attention_forward(D, &s, &a, dq, ldq, dk, dv, ldkv, dout, ldo, NULL);
    SAME_BITS(down_floats(dout, n * ldo), got, n * ldo);
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(attention_forward))
