/* SPDX-License-Identifier: Apache-2.0
 * Spans with exp, compiled for AVX2. */
#include "spans_vec.h"

void cpu_spans_use_avx2(struct cpu_isa *isa) { use_spans(isa); }
