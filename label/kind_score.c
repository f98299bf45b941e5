/* SPDX-License-Identifier: Apache-2.0
 * Kind `score`: a judge gives the row's answer a number for each aspect (UltraFeedback), by --rubric where there is one. Also what
 * self_judge and prefer ask. */
#include "label_judge.h"

static const char judge_system[] = "You are a strict judge of answers.";

/* "helpfulness" and "score" need different words; the rubric says the rest. */
enum status judge_text(const struct label *l, struct span question, struct span answer, const char *aspect, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "Question:\n", e));
  TRY(buf_put(b, question.p, question.n, e));
  TRY(buf_puts(b, "\n\nAnswer:\n", e));
  TRY(buf_put(b, answer.p, answer.n, e));
  TRY(buf_puts(b, "\n\n", e));
  if (l->rubric.n > 0) {
    TRY(buf_puts(b, "Rubric:\n", e));
    TRY(buf_put(b, l->rubric.p, l->rubric.n, e));
    TRY(buf_puts(b, "\n\n", e));
  }
  TRY(buf_printf(b, e, "Rate the %s of the answer from 1 (bad) to %lld (excellent). End with a line \"Score: N\".", aspect, (long long)l->o->scale));
out:
  return st;
}

enum status judge_ask(struct label *l, struct row *row, uint32_t tag, struct span question, struct span answer, const char *aspect, struct err *e)
{
  struct buf b = { 0 };
  enum status st = judge_text(l, question, answer, aspect, &b, e);
  if (st == STATUS_OK) {
    st = label_ask_text(l, row, tag, judge_system, (struct span){ b.p, b.n }, 0, e);
  }
  buf_free(&b);
  return st;
}

int judge_score(const struct label *l, struct span text, double *score)
{
  struct span rest = text, last = { NULL, 0 };
  while (rest.n > 0) { /* the line that was asked for wins over numbers in the reasons */
    struct span line = answer_bare(span_line(&rest));
    last = span_begins(line, "score") ? line : last;
  }
  return (last.p != NULL && answer_number(last, 1, (double)l->o->scale, score)) || answer_number(text, 1, (double)l->o->scale, score);
}

struct marks {
  struct record_number *mark;
  size_t n, done;
};

static enum status score_begin(struct label *l, struct row *row, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  struct marks *m = arena_calloc(row->a, 1, sizeof *m);
  size_t n = l->o->aspects.n ? l->o->aspects.n : 1;
  if (m == NULL || (m->mark = arena_calloc(row->a, n, sizeof *m->mark)) == NULL) {
    return err_nomem(e, n * sizeof *m->mark);
  }
  m->n = n;
  r->kind = m;
  for (size_t i = 0; i < n; i++) {
    m->mark[i].name = l->o->aspects.n ? l->o->aspects.item[i] : "judge";
    TRY(judge_ask(l, row, (uint32_t)i, r->user, r->answer, l->o->aspects.n ? m->mark[i].name : "quality", e));
  }
out:
  return st;
}

static enum status score_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  struct marks *m = label_of(row)->kind;
  const char *why;
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  if (!judge_score(l, a->content, &m->mark[tag].value)) {
    return label_again(l, row, tag, q, a, "no clear score", e);
  }
  if (++m->done < m->n) {
    return STATUS_OK;
  }
  double low = m->mark[0].value;
  for (size_t i = 1; i < m->n; i++) {
    low = m->mark[i].value < low ? m->mark[i].value : low;
  }
  if (low < l->o->min_score) {
    rows_drop(row, "score below --min-score");
    return STATUS_OK;
  }
  return label_write(l, row, NULL, 0, m->mark, m->n, a, e);
}

const struct kind kind_score = {
  .name = "score",
  .summary = "a judge scores the row's answer, for each of --aspects, by --rubric",
  .elicitation = "feedback",
  .input = INPUT_ANSWERED,
  .writes = "scores.judge or scores.ASPECT",
  .begin = score_begin,
  .answer = score_take,
};
