/* SPDX-License-Identifier: Apache-2.0
 * The CPU table: plain functions in every slot, overridden by what the processor can do. Chosen once, at first use. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

static struct kernels table = {
    .name = "cpu",
    .isa = "generic",
    .block_new = cpu_block_new,
    .block_free = cpu_block_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .failed = cpu_failed,
    .lane = cpu_lane,
    .lane_wait = cpu_lane,
    .gather_rows = cpu_gather_rows,
    .scatter_rows = cpu_scatter_rows,
    .kv_store = cpu_kv_store,
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
    .rotary_table = cpu_rotary_table,
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

struct cpu_isa cpu_isa;

#if defined(__x86_64__)
static int has_avx2(void) {
  unsigned a, b, c = 0, d; /* clang 14's __builtin_cpu_supports does not know f16c */
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif

static int has_generic(void) { return 1; }

static void use_generic(void) {
  cpu_gemm_use_generic(&cpu_isa);
  cpu_spans_use_generic(&cpu_isa);
  cpu_gemv_use_generic(&cpu_isa);
}

#if defined(__x86_64__)
static void use_avx2(void) {
  cpu_gemm_use_avx2(&cpu_isa);
  cpu_spans_use_avx2(&cpu_isa);
  cpu_gemv_use_avx2(&cpu_isa);
}

static void use_avx512(void) {
  cpu_gemm_use_avx512(&cpu_isa);
  cpu_spans_use_avx512(&cpu_isa);
  cpu_gemv_use_avx512(&cpu_isa);
}
#endif

/* From the plainest to the fastest; a processor that has one has all before it. */
static const struct variant {
  const char *name;
  int (*has)(void);
  void (*use)(void);
} variants[] = {
    {"generic", has_generic, use_generic},
#if defined(__x86_64__)
    {"avx2", has_avx2, use_avx2},
    {"avx512", has_avx512, use_avx512},
#endif
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

int kernels_cpu_select(const char *isa) {
  int last = 0;
  while (last + 1 < N_VARIANTS && variants[last + 1].has() && (isa == NULL || strcmp(variants[last].name, isa) != 0)) {
    last++;
  }
  for (int i = 0; i <= last; i++) {
    variants[i].use();
  }
  table.exp_span = cpu_isa.exp_store;
  cpu_isa.name = table.isa = variants[last].name;
  return isa == NULL || strcmp(table.isa, isa) == 0;
}

static void select_once(void) { kernels_cpu_select(getenv("RETORT_ISA")); }

const struct kernels *kernels_cpu(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, select_once);
  return &table;
}
