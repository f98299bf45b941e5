/* SPDX-License-Identifier: Apache-2.0
 * Mistral: [INST] user [/INST] answer</s>, in strict turns. */
#include "template_impl.h"

static enum status render(struct render *r) {
  enum status st = STATUS_OK;
  struct span content;
  TRY(render_puts(r, "<s>"));
  for (size_t i = 0; i < r->n_messages; i++) {
    if (render_role_is(r, i, "user") != (i % 2 == 0))
      return err_set(r->e, STATUS_DATA, "message %zu: Conversation roles must alternate user/assistant/user/assistant/... (template mistral)", i);
    TRY(render_content(r, i, &content));
    if (render_role_is(r, i, "user")) {
      TRY(render_puts(r, "[INST] "));
      TRY(render_put(r, content));
      TRY(render_puts(r, " [/INST]"));
    } else if (render_role_is(r, i, "assistant")) {
      size_t from = r->out->n;
      TRY(render_put(r, content));
      TRY(render_puts(r, "</s>"));
      TRY(render_mark(r, from));
      TRY(render_puts(r, " "));
    } else {
      return err_set(r->e, STATUS_DATA, "message %zu: Only user and assistant roles are supported! (template mistral)", i);
    }
  }
out:
  return st;
}

const struct chat_template template_mistral = { "mistral", { 0xc587690ee348198eu }, { "<s>", "</s>", NULL }, "</s>", 0, render };
