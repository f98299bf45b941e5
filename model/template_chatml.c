/* SPDX-License-Identifier: Apache-2.0
 * ChatML: every message in <|im_start|>ROLE ... <|im_end|>. */
#include "template_impl.h"

enum status render_chatml(struct render *r) {
  enum status st = STATUS_OK;
  struct span content;
  for (size_t i = 0; i < r->n_messages; i++) {
    TRY(render_content(r, i, &content));
    TRY(render_im(r, render_role(r, i), content));
  }
  if (r->generate) TRY(render_puts(r, "<|im_start|>assistant\n"));
out:
  return st;
}

const struct chat_template template_chatml = { "chatml", { 0xac2f7ac5b3905062u }, { "<|im_start|>", "<|im_end|>", NULL }, "<|im_end|>", 0, render_chatml };
