/* SPDX-License-Identifier: Apache-2.0
 * Storage types. Used by every back end (plugins compile it too) and by readers of weight files; no tensor work here. */
#include "kernel.h"

static const struct {
  const char *name;
  int16_t block; /* values a block */
  int16_t bytes; /* bytes a block */
} types[DT_COUNT] = {
    [DT_F32] = {"F32", 1, 4},      [DT_F16] = {"F16", 1, 2},      [DT_BF16] = {"BF16", 1, 2},    [DT_Q4_0] = {"Q4_0", 32, 18},
    [DT_Q4_1] = {"Q4_1", 32, 20},  [DT_Q8_0] = {"Q8_0", 32, 34},  [DT_Q4_K] = {"Q4_K", 256, 144}, [DT_Q6_K] = {"Q6_K", 256, 210},
    [DT_I32] = {"I32", 1, 4},      [DT_I64] = {"I64", 1, 8},      [DT_U8] = {"U8", 1, 1},        [DT_F64] = {"F64", 1, 8},
};

int64_t dtype_block(enum dtype t) { return types[t].block; }

size_t dtype_bytes(enum dtype t, int64_t n) { return (size_t)(n / types[t].block) * (size_t)types[t].bytes; }

const char *dtype_name(enum dtype t) { return types[t].name; }
