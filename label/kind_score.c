/* SPDX-License-Identifier: Apache-2.0
 * Kind `score`: a judge gives the row's answer a number for each aspect (UltraFeedback), by --rubric where there is one. Also what
 * self_judge and prefer ask. */
#include "label_judge.h"

enum status judge_ask(struct label *l, struct row *row, uint32_t tag, struct span question, struct span answer, const char *aspect, struct err *e)
{
  struct buf b = { 0 };
  enum status st = judge_put(question, answer, l->rubric, aspect, l->o->scale, &b, e);
  if (st == STATUS_OK) {
    st = label_ask_text(l, row, tag, judge_system, (struct span){ b.p, b.n }, 0, e);
  }
  buf_free(&b);
  return st;
}

int judge_score(const struct label *l, struct span text, double *score)
{
  return judge_read(text, (double)l->o->scale, score);
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

static const char *score_wrong(const struct label *l, const struct row *row, const struct answer *a)
{
  double v;
  (void)row;
  return judge_score(l, a->content, &v) ? NULL : "no clear score";
}

static enum status score_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  struct marks *m = label_of(row)->kind;
  const char *why;
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  why = score_wrong(l, row, a);
  if (why != NULL) {
    return label_again(l, row, tag, q, a, why, e);
  }
  (void)judge_score(l, a->content, &m->mark[tag].value);
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
  .wrong = score_wrong,
};
