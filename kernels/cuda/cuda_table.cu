/* SPDX-License-Identifier: Apache-2.0
 * The CUDA table: one row for each of kernel.h (tests/lint.sh compares the two). */
#include "cuda_dev.h"



#define ROW(name) table.name = cuda_##name

extern "C" const struct kernels *cuda_table(void) {
  static struct kernels table;
  table.name = "cuda";
  table.isa = "sm"; /* the device's own stands in struct kdev_about */
  table.on_device = 1;
  ROW(block_new);
  ROW(block_free);
  ROW(upload);
  ROW(download);
  ROW(copy);
  ROW(zero);
  ROW(failed);
  ROW(lane);
  ROW(lane_wait);
  ROW(gather_rows);
  ROW(scatter_rows);
  ROW(kv_store);
  ROW(gemm_nt);
  ROW(gemm_nn);
  ROW(gemm_tn);
  ROW(gemv);
  ROW(bias_forward);
  ROW(bias_backward);
  ROW(embed_forward);
  ROW(embed_backward);
  ROW(rmsnorm_forward);
  ROW(rmsnorm_backward);
  ROW(rotary_table);
  ROW(rope);
  ROW(attention_forward);
  ROW(attention_backward);
  ROW(attention_backward_scratch_bytes);
  ROW(attention_decode);
  ROW(swiglu_forward);
  ROW(swiglu_backward);
  ROW(add);
  ROW(scale);
  ROW(sum_squares);
  ROW(row_lse);
  ROW(row_topk);
  ROW(adamw);
  ROW(decode);
  ROW(encode);
  ROW(loss_rows);
  ROW(reduce_ranks);
  return &table;
}
