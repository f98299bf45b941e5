/* SPDX-License-Identifier: Apache-2.0
 * Product for few rows and decoding of stored weights for AVX-512: tiles of 4 rows of weights by 4 of x (16 sums). */
enum { GEMV_W = 4, GEMV_X = 4 };
#include "gemv_vec.h"

void cpu_gemv_use_avx512(struct cpu_isa *isa) { use_gemv(isa); }
