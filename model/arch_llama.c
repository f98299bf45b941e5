/* SPDX-License-Identifier: Apache-2.0
 * Llama family (SmolLM2, Llama 2 and 3): plain decoder; Llama-3 rotary scaling is in the frequencies (rotary.c). */
#include "arch.h"

static void build(struct arch_builder *b) {
  const struct model_config *c = b->config;
  arch_decoder(b, c->qkv_bias ? ARCH_QKV_BIAS : 0u);
}

const struct arch arch_llama = {"llama", build};
