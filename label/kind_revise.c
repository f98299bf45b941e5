/* SPDX-License-Identifier: Apache-2.0
 * Kind `revise`: the teacher criticises the row's answer (by --rubric: a constitution works) and then rewrites it. The revision takes the answer's
 * place and the critique becomes the rationale; with --pairs the row becomes a preference of the revision over the answer. */
#include "label_judge.h"

enum { TAG_CRITIQUE, TAG_REVISION };

static enum status put_case(const struct label *l, const struct label_row *r, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "Question:\n", e));
  TRY(buf_put(b, r->user.p, r->user.n, e));
  TRY(buf_puts(b, "\n\nAnswer:\n", e));
  TRY(buf_put(b, r->answer.p, r->answer.n, e));
  if (l->rubric.n > 0) {
    TRY(buf_puts(b, "\n\nPrinciples:\n", e));
    TRY(buf_put(b, l->rubric.p, l->rubric.n, e));
  }
out:
  return st;
}

static enum status revise_begin(struct label *l, struct row *row, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(put_case(l, label_of(row), &b, e));
  TRY(buf_puts(&b, "\n\nCriticise the answer: what is wrong, missing or against the principles? Be brief. Do not rewrite it.", e));
  st = label_ask_text(l, row, TAG_CRITIQUE, "You criticise answers.", (struct span){ b.p, b.n }, 0, e);
out:
  buf_free(&b);
  return st;
}

static enum status take_critique(struct label *l, struct row *row, struct span critique, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct span *kept = arena_calloc(row->a, 1, sizeof *kept);
  if (kept == NULL) {
    return err_nomem(e, sizeof *kept);
  }
  TRY(label_copy(row, span_trim(critique), kept, e));
  label_of(row)->kind = kept;
  TRY(put_case(l, label_of(row), &b, e));
  TRY(buf_puts(&b, "\n\nCritique:\n", e));
  TRY(buf_put(&b, kept->p, kept->n, e));
  TRY(buf_puts(&b, "\n\nRewrite the answer so that the critique no longer applies. Reply with the new answer only.", e));
  st = label_ask_text(l, row, TAG_REVISION, "You improve answers.", (struct span){ b.p, b.n }, 0, e);
out:
  buf_free(&b);
  return st;
}

static enum status revise_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  const char *why;
  struct span chosen, rejected;
  struct buf critique = { 0 };
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  if (tag == TAG_CRITIQUE) {
    return take_critique(l, row, a->content, e);
  }
  struct span revised = span_trim(a->content);
  if (answer_equal(revised, r->answer)) {
    return label_again(l, row, tag, q, a, "the answer was not changed", e);
  }
  const struct span *kept = r->kind;
  if (!l->o->pairs) {
    return label_write_answer(l, row, revised, *kept, NULL, 0, NULL, 0, a, e);
  }
  TRY(label_reply(row, revised, &chosen, e));
  TRY(label_reply(row, r->answer, &rejected, e));
  TRY(json_put_string(&critique, *kept, e));
  struct field_edit edits[5] = { { "messages", { NULL, 0 } }, { "prompt", r->messages }, { "chosen", chosen }, { "rejected", rejected },
                                 { "rationale", { critique.p, critique.n } } };
  st = label_write(l, row, edits, 5, NULL, 0, a, e);
out:
  buf_free(&critique);
  return st;
}

const struct kind kind_revise = {
  .name = "revise",
  .summary = "critique of the row's answer, then a revision; with --pairs a preference",
  .elicitation = "feedback",
  .input = INPUT_ANSWERED,
  .writes = "messages, rationale; with --pairs prompt, chosen, rejected, rationale",
  .begin = revise_begin,
  .answer = revise_take,
};
