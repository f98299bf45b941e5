/* SPDX-License-Identifier: Apache-2.0
 * The CPU table: plain functions in every slot, overridden by what the processor can do. Chosen once, at first use. */
#include "cpu.h"

static struct kernels table = {
    .name = "cpu",
    .isa = "generic",
    .gemm_nt = cpu_gemm_nt,
    .gemm_nn = cpu_gemm_nn,
    .gemm_tn = cpu_gemm_tn,
    .gemv = cpu_gemv,
    .bias_forward = cpu_bias_forward,
    .bias_backward = cpu_bias_backward,
    .embed_forward = cpu_embed_forward,
    .embed_backward = cpu_embed_backward,
    .rmsnorm_forward = cpu_rmsnorm_forward,
    .rmsnorm_backward = cpu_rmsnorm_backward,
    .rope = cpu_rope,
    .attention_forward = cpu_attention_forward,
    .attention_backward = cpu_attention_backward,
    .attention_backward_scratch_bytes = cpu_attention_backward_scratch_bytes,
    .attention_decode = cpu_attention_decode,
    .swiglu_forward = cpu_swiglu_forward,
    .swiglu_backward = cpu_swiglu_backward,
    .add = cpu_add,
    .scale = cpu_scale,
    .sum_squares = cpu_sum_squares,
    .row_lse = cpu_row_lse,
    .row_topk = cpu_row_topk,
    .adamw = cpu_adamw,
    .decode = cpu_decode,
    .encode = cpu_encode,
    .rows = cpu_rows,
};

const struct kernels *kernels_cpu(void) { return &table; }
