/* SPDX-License-Identifier: Apache-2.0
 * Qwen3: RMS norm over each head of q and k before the rotation; biases only where the configuration has them. */
#include "arch.h"

static void build(struct arch_builder *b) {
  const struct model_config *c = b->config;
  arch_decoder(b, ARCH_QK_NORM | (c->qkv_bias ? ARCH_QKV_BIAS : 0u));
}

const struct arch arch_qwen3 = {"qwen3", build};
