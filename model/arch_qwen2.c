/* SPDX-License-Identifier: Apache-2.0
 * Qwen2 and Qwen2.5: biases on q, k and v. */
#include "arch.h"

static void build(struct arch_builder *b) {
  arch_decoder(b, ARCH_QKV_BIAS);
}

const struct arch arch_qwen2 = {"qwen2", build};
