/* SPDX-License-Identifier: Apache-2.0
 * Kind `prefer`: best of n. The teacher answers --samples times and scores each answer; the best becomes chosen, the worst rejected,
 * when --margin lies between them. */
#include "label_judge.h"

enum { TAG_SCORE = 1000 };

static enum status prefer_open(struct label *l, struct err *e)
{
  if (l->o->samples < 2) {
    return err_set(e, STATUS_USAGE, "'--samples %lld': --kind prefer compares at least 2", (long long)l->o->samples);
  }
  samples_warm(l);
  return STATUS_OK;
}

static enum status prefer_begin(struct label *l, struct row *row, struct err *e)
{
  struct samples *s = NULL;
  enum status st = samples_ask(l, row, NULL, &s, e);
  label_of(row)->kind = s;
  return st;
}

static enum status write_pair(struct label *l, struct row *row, const struct samples *s, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  const struct sample *best = NULL, *worst = NULL;
  struct span chosen, rejected;
  for (size_t i = 0; i < s->n; i++) {
    const struct sample *k = &s->s[i];
    if (k->scored) {
      best = best == NULL || k->score > best->score ? k : best;
      worst = worst == NULL || k->score <= worst->score ? k : worst;
    }
  }
  if (best == NULL || best == worst) {
    rows_drop(row, s->teacher_failed ? "too few answers came" : "fewer than two scored answers");
    return STATUS_OK;
  }
  if (best->score - worst->score < l->o->margin || answer_equal(best->text, worst->text)) {
    rows_drop(row, "margin too small");
    return STATUS_OK;
  }
  struct record_number scores[2] = { { "chosen", best->score }, { "rejected", worst->score } };
  TRY(label_reply(row, best->text, &chosen, e));
  TRY(label_reply(row, worst->text, &rejected, e));
  struct field_edit edits[4] = { { "messages", { NULL, 0 } }, { "prompt", label_of(row)->messages }, { "chosen", chosen }, { "rejected", rejected } };
  st = label_write(l, row, edits, 4, scores, 2, a, e);
out:
  return st;
}

static enum status prefer_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct samples *s = label_of(row)->kind;
  const char *why;
  int all;
  (void)q;
  if (tag < TAG_SCORE) {
    TRY(samples_take(l, row, s, tag, a, &all, e));
    for (size_t i = 0; all && i < s->n; i++) {
      if (s->s[i].text.n > 0) {
        TRY(judge_ask(l, row, TAG_SCORE + (uint32_t)i, label_of(row)->user, s->s[i].text, "quality", e));
        s->judged++;
      }
    }
    if (all && s->judged == 0) {
      if (s->teacher_failed) {
        rows_fail(row, s->why);
      } else {
        rows_drop(row, s->why);
      }
    }
    return STATUS_OK;
  }
  struct sample *k = &s->s[tag - TAG_SCORE];
  k->scored = label_usable(l, row, a, &why) && judge_score(l, a->content, &k->score);
  if (--s->judged == 0) {
    st = write_pair(l, row, s, a, e);
  }
out:
  return st;
}

const struct kind kind_prefer = {
  .name = "prefer",
  .summary = "best of --samples answers by the teacher's own scores: a preference pair",
  .elicitation = "feedback",
  .input = INPUT_QUESTION,
  .writes = "prompt, chosen, rejected, scores.chosen, scores.rejected",
  .open = prefer_open,
  .begin = prefer_begin,
  .answer = prefer_take,
};
