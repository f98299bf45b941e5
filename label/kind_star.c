/* SPDX-License-Identifier: Apache-2.0
 * Kind `star`: rationales that lead to the right answer (STaR, Zelikman et al. 2022). --samples chains of thought; the first whose final
 * answer equals the field --gold is kept. When none does, the gold answer is given as a hint once and the chain that reaches it is
 * kept (rationalisation), marked scores.hinted 1. */
#include "label_judge.h"

enum { TAG_HINT = 1000 };

struct star {
  struct samples *s;
  struct span gold;
};

static enum status star_open(struct label *l, struct err *e)
{
  if (l->o->gold == NULL) {
    return err_set(e, STATUS_USAGE, "--kind star needs --gold FIELD: where the right answer stands, such as meta.answer");
  }
  if (l->o->samples > 1) {
    samples_warm(l);
  }
  return STATUS_OK;
}

static enum status star_begin(struct label *l, struct row *row, struct err *e)
{
  enum status st = STATUS_OK;
  struct span raw;
  struct star *k = arena_calloc(row->a, 1, sizeof *k);
  if (k == NULL) {
    return err_nomem(e, sizeof *k);
  }
  label_of(row)->kind = k;
  TRY(record_path(&row->r, l->o->gold, row->a, &raw, e));
  if (span_type(raw) == 's') {
    TRY(span_string(raw, row->a, &k->gold, e));
  } else if (span_type(raw) == 'n') {
    k->gold = raw;
  }
  if (span_trim(k->gold).n == 0) {
    rows_drop(row, "no gold answer");
    return STATUS_OK;
  }
  st = samples_ask(l, row, label_think, &k->s, e);
out:
  return st;
}

static enum status ask_hint(struct label *l, struct row *row, const struct star *k, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(buf_puts(&b, "\n\n(Hint: the right answer is ", e));
  TRY(buf_put(&b, k->gold.p, k->gold.n, e));
  TRY(buf_puts(&b, ". Do not mention the hint.)", e));
  TRY(buf_puts(&b, label_think, e));
  st = label_ask(l, row, TAG_HINT, b.p, 0, e);
out:
  buf_free(&b);
  return st;
}

static enum status write_star(struct label *l, struct row *row, struct span final, struct span reasoning, double hinted, const struct answer *a, struct err *e)
{
  struct record_number mark[1] = { { "hinted", hinted } };
  return label_write_answer(l, row, final, reasoning, NULL, 0, mark, 1, a, e);
}

static enum status star_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct star *k = label_of(row)->kind;
  struct span reasoning, final;
  const char *why;
  int all;
  (void)q;
  if (tag == TAG_HINT) {
    if (!label_usable(l, row, a, &why)) {
      return label_refuse(row, a, why, e);
    }
    if (!answer_final(a->content, &reasoning, &final) || !answer_equal(final, k->gold) || reasoning.n == 0) {
      rows_drop(row, "gold answer missed");
      return STATUS_OK;
    }
    return write_star(l, row, final, reasoning, 1, a, e);
  }
  TRY(samples_take(l, row, k->s, tag, a, &all, e));
  if (!all) {
    return STATUS_OK;
  }
  for (size_t i = 0; i < k->s->n; i++) {
    struct span text = k->s->s[i].text;
    if (text.n > 0 && answer_final(text, &reasoning, &final) && reasoning.n > 0 && answer_equal(final, k->gold)) {
      return write_star(l, row, final, reasoning, 0, a, e);
    }
  }
  if (k->s->teacher_failed) {
    rows_fail(row, k->s->why);
    return STATUS_OK;
  }
  st = ask_hint(l, row, k, e);
out:
  return st;
}

const struct kind kind_star = {
  .name = "star",
  .summary = "chains of thought whose final answer equals --gold; else one with the answer as a hint",
  .elicitation = "self",
  .input = INPUT_QUESTION,
  .writes = "messages, rationale, scores.hinted",
  .open = star_open,
  .begin = star_begin,
  .answer = star_take,
};
