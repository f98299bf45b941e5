/* SPDX-License-Identifier: Apache-2.0
 * Kind `self_judge`: the teacher answers, then scores its own answer (self-rewarding); answers below --min-score are dropped. */
#include "label_judge.h"

enum { TAG_ANSWER, TAG_SCORE };

struct own {
  struct span text, reasoning;
};

static enum status self_begin(struct label *l, struct row *row, struct err *e)
{
  return label_ask(l, row, TAG_ANSWER, NULL, 0, e);
}

static enum status self_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  const char *why;
  struct record_number score[1] = { { "self", 0 } };
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  if (tag == TAG_ANSWER) {
    struct own *o = arena_calloc(row->a, 1, sizeof *o);
    if (o == NULL) {
      return err_nomem(e, sizeof *o);
    }
    label_of(row)->kind = o;
    TRY(label_copy(row, a->content, &o->text, e));
    TRY(label_copy(row, a->reasoning, &o->reasoning, e));
    return judge_ask(l, row, TAG_SCORE, label_of(row)->user, o->text, "quality", e);
  }
  if (!judge_score(l, a->content, &score[0].value)) {
    return label_again(l, row, tag, q, a, "no clear score", e);
  }
  if (score[0].value < l->o->min_score) {
    rows_drop(row, "score below --min-score");
    return STATUS_OK;
  }
  const struct own *o = label_of(row)->kind;
  st = label_write_answer(l, row, o->text, o->reasoning, NULL, 0, score, 1, a, e);
out:
  return st;
}

const struct kind kind_self_judge = {
  .name = "self_judge",
  .summary = "answer, then the teacher's own score of it; --min-score drops the weak ones",
  .elicitation = "self",
  .input = INPUT_QUESTION,
  .writes = "messages, scores.self",
  .begin = self_begin,
  .answer = self_take,
};
