/* SPDX-License-Identifier: Apache-2.0
 * Kind `context`: context distillation (Askell et al. 2021, Self-Align): the teacher answers under --system and the row's own system
 * turn, the row keeps neither, so that the student learns to behave so without being told. */
#include "json.h"
#include "label.h"

static enum status context_open(struct label *l, struct err *e)
{
  if (l->o->system == NULL) {
    return err_set(e, STATUS_USAGE, "--kind context needs --system TEXT: what the student shall do without being told");
  }
  return STATUS_OK;
}

static enum status context_begin(struct label *l, struct row *row, struct err *e)
{
  return label_ask(l, row, 0, NULL, 0, e);
}

static enum status context_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  struct json *m = NULL;
  struct buf b = { 0 };
  const char *why;
  (void)tag;
  (void)q;
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  TRY(json_parse(r->messages, "messages", &m, e));
  TRY(buf_putc(&b, '[', e));
  for (size_t i = 0; i < json_size(m); i++) {
    if (strcmp(json_cstr(json_get(json_at(m, i), "role"), ""), "system") != 0) {
      TRY(buf_puts(&b, b.n > 1 ? "," : "", e));
      TRY(json_put(&b, json_at(m, i), e));
    }
  }
  TRY(buf_putc(&b, ']', e));
  TRY(label_copy(row, (struct span){ b.p, b.n }, &r->messages, e));
  st = label_write_answer(l, row, a->content, a->reasoning, NULL, 0, NULL, 0, a, e);
out:
  json_free(m);
  buf_free(&b);
  return st;
}

const struct kind kind_context = {
  .name = "context",
  .summary = "context distillation: asked under --system, kept without any system turn",
  .elicitation = "self",
  .input = INPUT_QUESTION,
  .writes = "messages without system turns, rationale",
  .open = context_open,
  .parts = 1,
  .tool_calls = 1,
  .begin = context_begin,
  .answer = context_take,
};
