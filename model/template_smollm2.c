/* SPDX-License-Identifier: Apache-2.0
 * SmolLM2: ChatML with a system message of its own when there is none. */
#include "template_impl.h"

#define SMOLLM2_SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

static enum status render(struct render *r) {
  enum status st = STATUS_OK;
  if (r->n_messages && !render_role_is(r, 0, "system")) TRY(render_im(r, "system", (struct span){ SMOLLM2_SYSTEM, strlen(SMOLLM2_SYSTEM) }));
  st = render_chatml(r);
out:
  return st;
}

const struct chat_template template_smollm2 = { "smollm2", { 0x8d817c1e5d6e94d9u }, { "<|im_start|>", "<|im_end|>", NULL }, "<|im_end|>", 0, render };
