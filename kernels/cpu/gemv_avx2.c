/* SPDX-License-Identifier: Apache-2.0
 * Product for few rows and decoding of stored weights for AVX2: tiles of 2 rows of weights by 2 of x, since each sum is two
 * registers. */
enum { GEMV_W = 2, GEMV_X = 2 };
#include "gemv_vec.h"

void cpu_gemv_use_avx2(struct cpu_isa *isa) { use_gemv(isa); }
