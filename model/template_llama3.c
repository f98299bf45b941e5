/* SPDX-License-Identifier: Apache-2.0
 * Llama 3: header of the role, trimmed content, <|eot_id|>. */
#include "template_impl.h"
#include "tokenizer_utf8.h"

/* Python's str.strip(): Unicode white space and U+001C to U+001F. */
static int strips(uint32_t c) { return utf8_is_space(c) || (c >= 0x1c && c <= 0x1f); }

static struct span trim(struct span s) {
  int len;
  while (s.n && strips(utf8_decode(s.p, &len))) s.p += len, s.n -= (size_t)len;
  while (s.n) {
    size_t k = s.n - 1;
    while (k > 0 && ((unsigned char)s.p[k] & 0xc0) == 0x80) k--;
    if (!strips(utf8_decode(s.p + k, &len))) break;
    s.n = k;
  }
  return s;
}

static enum status render(struct render *r) {
  enum status st = STATUS_OK;
  struct span content;
  for (size_t i = 0; i < r->n_messages; i++) {
    TRY(render_content(r, i, &content));
    TRY(render_puts(r, i ? "<|start_header_id|>" : "<|begin_of_text|><|start_header_id|>"));
    TRY(render_put(r, (struct span){ render_role(r, i), strlen(render_role(r, i)) }));
    TRY(render_puts(r, "<|end_header_id|>\n\n"));
    size_t from = r->out->n;
    TRY(render_put(r, trim(content)));
    TRY(render_puts(r, "<|eot_id|>"));
    if (render_role_is(r, i, "assistant")) TRY(render_mark(r, from));
  }
  if (r->generate) TRY(render_puts(r, "<|start_header_id|>assistant<|end_header_id|>\n\n"));
out:
  return st;
}

const struct chat_template template_llama3 = { "llama3", { 0x1730b0da3c0f3d4fu }, { "<|begin_of_text|>", "<|start_header_id|>", "<|eot_id|>", NULL }, "<|eot_id|>", 0, render };
