/* SPDX-License-Identifier: Apache-2.0
 * Mistral: the Llama list; its sliding window is in the attention's shape (model_config.window). */
#include "arch.h"

static void build(struct arch_builder *b) {
  arch_decoder(b, 0);
}

const struct arch arch_mistral = {"mistral", build};
