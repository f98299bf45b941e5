/* SPDX-License-Identifier: Apache-2.0
 * Kind `rank`: a judge orders a list. Rows with `passages` (retrieval, RankGPT): the passages by relevance to the question, written
 * back in that order. Other rows: --samples answers to the question, written as `ranking` (texts, best first) for list losses, with
 * the best and the worst as chosen and rejected. A permutation that leaves one out is asked again. */
#include "json.h"
#include "label_judge.h"

struct list {
  struct span *text;   /* what the judge sees */
  struct span *raw;    /* passages as they stand in the row */
  size_t n;
  struct samples *samples; /* NULL for passages */
};
enum { TAG_JUDGE = 1000 };

static enum status ask_judge(struct label *l, struct row *row, const struct list *k, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  struct buf b = { 0 };
  TRY(buf_puts(&b, k->samples ? "Question:\n" : "Query:\n", e));
  TRY(buf_put(&b, r->user.p, r->user.n, e));
  for (size_t i = 0; i < k->n; i++) {
    TRY(buf_printf(&b, e, "\n\n[%zu]\n", i + 1));
    TRY(buf_put(&b, k->text[i].p, k->text[i].n, e));
  }
  if (k->samples && l->rubric.n > 0) {
    TRY(buf_puts(&b, "\n\nRubric:\n", e));
    TRY(buf_put(&b, l->rubric.p, l->rubric.n, e));
  }
  TRY(buf_printf(&b, e, "\n\nRank the %zu %s, %s first. Reply with the numbers only, such as [2] > [1]%s, each exactly once.", k->n,
                 k->samples ? "answers" : "passages", k->samples ? "the best" : "the most relevant", k->n > 2 ? " > [3]" : ""));
  st = label_ask_text(l, row, TAG_JUDGE, k->samples ? "You rank answers." : "You rank passages by relevance to a query.", (struct span){ b.p, b.n }, 0, e);
out:
  buf_free(&b);
  return st;
}

static enum status read_passages(struct row *row, struct span passages, struct list *k, struct err *e)
{
  enum status st = STATUS_OK;
  struct span element;
  size_t n = 0;
  for (size_t at = 0; record_next_element(passages, &at, &element);) {
    n++;
  }
  k->text = arena_calloc(row->a, n + 1, sizeof *k->text);
  k->raw = arena_calloc(row->a, n + 1, sizeof *k->raw);
  if (k->text == NULL || k->raw == NULL) {
    return err_nomem(e, n * sizeof *k->text);
  }
  for (size_t at = 0; record_next_element(passages, &at, &element);) {
    struct record p;
    if (span_type(element) != '{') {
      return err_set(e, STATUS_DATA, "field 'passages' holds %s, expected objects {id, text}", record_type_name(element));
    }
    TRY(record_split(element, row->a, &p, e));
    TRY(record_string(&p, "text", row->a, &k->text[k->n], e));
    if (k->text[k->n].p == NULL) {
      return err_set(e, STATUS_DATA, "field 'passages': element %zu has no text", k->n);
    }
    k->raw[k->n++] = element;
  }
out:
  return st;
}

static enum status rank_open(struct label *l, struct err *e)
{
  (void)e;
  samples_warm(l);
  return STATUS_OK;
}

static enum status rank_begin(struct label *l, struct row *row, struct err *e)
{
  enum status st = STATUS_OK;
  struct span passages = record_get(&row->r, "passages");
  struct list *k = arena_calloc(row->a, 1, sizeof *k);
  if (k == NULL) {
    return err_nomem(e, sizeof *k);
  }
  label_of(row)->kind = k;
  if (span_type(passages) != '[') {
    return samples_ask(l, row, NULL, &k->samples, e);
  }
  TRY(read_passages(row, passages, k, e));
  if (k->n < 2) {
    rows_drop(row, "nothing to rank");
    return STATUS_OK;
  }
  st = ask_judge(l, row, k, e);
out:
  return st;
}

/* Different answers only: the judge cannot order twins. */
static enum status gather_texts(struct row *row, struct list *k, struct err *e)
{
  struct samples *s = k->samples;
  k->text = arena_calloc(row->a, s->n, sizeof *k->text);
  if (k->text == NULL) {
    return err_nomem(e, s->n * sizeof *k->text);
  }
  for (size_t i = 0; i < s->n; i++) {
    int twin = s->s[i].text.n == 0;
    for (size_t j = 0; j < k->n && !twin; j++) {
      twin = answer_equal(k->text[j], s->s[i].text);
    }
    if (!twin) {
      k->text[k->n++] = s->s[i].text;
    }
  }
  return STATUS_OK;
}

static enum status write_passages(struct label *l, struct row *row, const struct list *k, const size_t *order, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(buf_putc(&b, '[', e));
  for (size_t i = 0; i < k->n; i++) {
    TRY(buf_puts(&b, i ? "," : "", e));
    TRY(buf_put(&b, k->raw[order[i]].p, k->raw[order[i]].n, e));
  }
  TRY(buf_putc(&b, ']', e));
  struct field_edit edits[1] = { { "passages", { b.p, b.n } } };
  st = label_write(l, row, edits, 1, NULL, 0, a, e);
out:
  buf_free(&b);
  return st;
}

static enum status write_answers(struct label *l, struct row *row, const struct list *k, const size_t *order, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  struct buf b = { 0 };
  struct span chosen, rejected;
  TRY(buf_putc(&b, '[', e));
  for (size_t i = 0; i < k->n; i++) {
    TRY(buf_puts(&b, i ? "," : "", e));
    TRY(json_put_string(&b, k->text[order[i]], e));
  }
  TRY(buf_putc(&b, ']', e));
  TRY(label_reply(row, k->text[order[0]], &chosen, e));
  TRY(label_reply(row, k->text[order[k->n - 1]], &rejected, e));
  struct field_edit edits[5] = { { "messages", { NULL, 0 } }, { "prompt", r->messages }, { "chosen", chosen }, { "rejected", rejected }, { "ranking", { b.p, b.n } } };
  st = label_write(l, row, edits, 5, NULL, 0, a, e);
out:
  buf_free(&b);
  return st;
}

static enum status rank_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct list *k = label_of(row)->kind;
  const char *why;
  int all;
  if (tag != TAG_JUDGE) {
    TRY(samples_take(l, row, k->samples, tag, a, &all, e));
    if (!all) {
      return STATUS_OK;
    }
    TRY(gather_texts(row, k, e));
    if (k->n < 2) {
      if (k->samples->teacher_failed) {
        rows_fail(row, k->samples->why);
      } else {
        rows_drop(row, "fewer than two different answers");
      }
      return STATUS_OK;
    }
    return ask_judge(l, row, k, e);
  }
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  size_t *order = arena_calloc(row->a, k->n, sizeof *order);
  if (order == NULL) {
    return err_nomem(e, k->n * sizeof *order);
  }
  if (!answer_ranking(a->content, k->n, order)) {
    return label_again(l, row, tag, q, a, "not every number exactly once", e);
  }
  st = k->samples ? write_answers(l, row, k, order, a, e) : write_passages(l, row, k, order, a, e);
out:
  return st;
}

const struct kind kind_rank = {
  .name = "rank",
  .summary = "a judge orders the row's passages, or --samples answers of the teacher",
  .elicitation = "feedback",
  .input = INPUT_QUESTION,
  .writes = "passages in order; or prompt, chosen, rejected, ranking",
  .open = rank_open,
  .begin = rank_begin,
  .answer = rank_take,
};
