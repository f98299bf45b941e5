/* SPDX-License-Identifier: Apache-2.0
 * Kind `pairwise`: a judge compares a row's chosen and rejected answers twice, with the order swapped. Only a verdict that holds in
 * both orders is kept (chosen and rejected change places where it says so); ties and verdicts that follow the place are dropped. */
#include "label_judge.h"

struct verdicts {
  int v[2];
  size_t back;
};

static enum status pair_text(const struct label *l, struct span question, struct span a, struct span b, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(out, "Question:\n", e));
  TRY(buf_put(out, question.p, question.n, e));
  TRY(buf_puts(out, "\n\n[Answer A]\n", e));
  TRY(buf_put(out, a.p, a.n, e));
  TRY(buf_puts(out, "\n[End of A]\n\n[Answer B]\n", e));
  TRY(buf_put(out, b.p, b.n, e));
  TRY(buf_puts(out, "\n[End of B]\n\n", e));
  if (l->rubric.n > 0) {
    TRY(buf_puts(out, "Rubric:\n", e));
    TRY(buf_put(out, l->rubric.p, l->rubric.n, e));
    TRY(buf_puts(out, "\n\n", e));
  }
  TRY(buf_puts(out, "Which answer is better? Length and place do not count. Reply with \"[[A]]\", \"[[B]]\" or, if they are equally good, \"[[tie]]\".", e));
out:
  return st;
}

static enum status pairwise_begin(struct label *l, struct row *row, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  struct buf b = { 0 };
  struct verdicts *v = arena_calloc(row->a, 1, sizeof *v);
  if (v == NULL) {
    return err_nomem(e, sizeof *v);
  }
  r->kind = v;
  if (r->chosen.n == r->rejected.n && memcmp(r->chosen.p, r->rejected.p, r->chosen.n) == 0) {
    rows_drop(row, "equal answers");
    return STATUS_OK;
  }
  for (uint32_t order = 0; order < 2; order++) {
    buf_clear(&b);
    TRY(pair_text(l, r->prompt, order ? r->rejected : r->chosen, order ? r->chosen : r->rejected, &b, e));
    TRY(label_ask_text(l, row, order, "You compare two answers.", (struct span){ b.p, b.n }, 0, e));
  }
out:
  buf_free(&b);
  return st;
}

static const char *pairwise_wrong(const struct label *l, const struct row *row, const struct answer *a)
{
  (void)l;
  (void)row;
  return answer_verdict(a->content) == 0 ? "no clear verdict" : NULL;
}

static struct span pairwise_said(const struct label *l, const struct row *row, const struct answer *a)
{
  int v = answer_verdict(a->content);
  (void)l;
  (void)row;
  return v == 'A' ? (struct span){ "A", 1 } : v == 'B' ? (struct span){ "B", 1 } : v == 'T' ? (struct span){ "T", 1 } : (struct span){ NULL, 0 };
}

static enum status pairwise_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  struct label_row *r = label_of(row);
  struct verdicts *v = r->kind;
  const char *why;
  static const struct record_number one[] = { { "pairwise", 1 } };
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  int said = answer_verdict(a->content);
  if (said == 0) {
    return label_again(l, row, tag, q, a, "no clear verdict", e);
  }
  v->v[tag] = said == 'T' ? 'T' : (said == 'A') == (tag == 0) ? 'C' : 'R'; /* chosen, rejected or tie, whatever the order */
  if (++v->back < 2) {
    return STATUS_OK;
  }
  if (v->v[0] != v->v[1]) {
    rows_drop(row, v->v[0] == 'T' || v->v[1] == 'T' ? "tie in one order" : "verdict follows the order");
    return STATUS_OK;
  }
  if (v->v[0] == 'T') {
    rows_drop(row, "tie");
    return STATUS_OK;
  }
  int swap = v->v[0] == 'R';
  struct field_edit edits[2] = { { "chosen", swap ? r->rejected_raw : r->chosen_raw }, { "rejected", swap ? r->chosen_raw : r->rejected_raw } };
  return label_write(l, row, edits, 2, one, 1, a, e);
}

const struct kind kind_pairwise = {
  .name = "pairwise",
  .summary = "a judge compares chosen and rejected in both orders; only consistent verdicts are kept",
  .elicitation = "feedback",
  .input = INPUT_PAIR,
  .writes = "chosen, rejected (swapped where the judge says so), scores.pairwise",
  .begin = pairwise_begin,
  .answer = pairwise_take,
  .wrong = pairwise_wrong,
  .said = pairwise_said,
};
