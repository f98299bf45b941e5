/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/attention_backward.cu against kernels/cpu/attention_backward.c. RETORT_CUDA_WORK is so small that queries come in
 * several blocks. */
#include "cuda/attention_shapes.h"

static void attention_backward(void **state) {
  (void)state;
  for (int i = 0; i < N_SHAPES; i++) {
    int32_t start[7];
    struct seqs s;
    struct attn_shape a;
    shape_of(&shapes[i], start, &s, &a);
    int64_t n = s.n_tok, ldq = a.n_head * a.head_dim + 3, ldkv = a.n_kv_head * a.head_dim + 5, ldo = a.n_head * a.head_dim + 1;
    float *q = host_filled(n * ldq, 1), *k = host_filled(n * ldkv, 2), *v = host_filled(n * ldkv, 3), *dout = host_filled(n * ldo, 4);
    float *out = host_filled(n * ldo, 5), *lse = host_floats(n * a.n_head), *dq = host_filled(n * ldq, 6), *dk = host_filled(n * ldkv, 7), *dv = host_filled(n * ldkv, 8);
    void *scratch = host(kernels_cpu()->attention_backward_scratch_bytes(&s, &a));
    for (int64_t j = 0; j < n * ldq; j++) {
      q[j] *= i % 2 ? 12 : 2;
    }
    kernels_cpu()->attention_forward(NULL, &s, &a, q, ldq, k, v, ldkv, out, ldo, lse);
    float *gq = up_floats(dq, n * ldq), *gk = up_floats(dk, n * ldkv), *gv = up_floats(dv, n * ldkv);
    kernels_cpu()->attention_backward(NULL, &s, &a, q, ldq, k, v, ldkv, out, dout, ldo, lse, dq, dk, dv, scratch);
    float *cq = up_floats(q, n * ldq), *ck = up_floats(k, n * ldkv), *cv = up_floats(v, n * ldkv), *co = up_floats(out, n * ldo), *cd = up_floats(dout, n * ldo);
    float *cl = up_floats(lse, n * a.n_head);
    void *room = up_junk(K->attention_backward_scratch_bytes(&s, &a));
    for (int twice = 0; twice < 2; twice++) { /* stored, not added to */
      K->attention_backward(D, &s, &a, cq, ldq, ck, cv, ldkv, co, cd, ldo, cl, gq, gk, gv, room);
      CLOSE(down_floats(gq, n * ldq), dq, n * ldq, 1, 4e-6);   /* observed 4.0e-7 */
      CLOSE(down_floats(gk, n * ldkv), dk, n * ldkv, 4, 4e-6); /* observed 7.9e-7 */
      CLOSE(down_floats(gv, n * ldkv), dv, n * ldkv, 4, 4e-6); /* observed 6.8e-7 */
    }
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(attention_backward))
