/* SPDX-License-Identifier: Apache-2.0
 * Kind `vote`: --samples answers, the one that most of them agree on (self-consistency, Wang et al. 2022; LMSI). With --think each
 * reasons first and the lines "Answer:" are compared; scores.agreement is the winner's share of all samples asked. */
#include "label_judge.h"

static enum status vote_open(struct label *l, struct err *e)
{
  if (l->o->samples < 2) {
    return err_set(e, STATUS_USAGE, "'--samples %lld': a vote takes at least 2", (long long)l->o->samples);
  }
  samples_warm(l);
  return STATUS_OK;
}

static enum status vote_begin(struct label *l, struct row *row, struct err *e)
{
  struct samples *s = NULL;
  enum status st = samples_ask(l, row, l->o->think ? label_think : NULL, &s, e);
  label_of(row)->kind = s;
  return st;
}

static void find_finals(const struct label *l, struct samples *s)
{
  for (size_t i = 0; i < s->n; i++) {
    struct sample *k = &s->s[i];
    if (!l->o->think) {
      k->final = k->text;
    } else if (!answer_final(k->text, &k->reasoning, &k->final)) {
      k->final = (struct span){ NULL, 0 };
    }
  }
}

static enum status vote_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct samples *s = label_of(row)->kind;
  int all;
  (void)q;
  TRY(samples_take(l, row, s, tag, a, &all, e));
  if (!all) {
    return STATUS_OK;
  }
  find_finals(l, s);
  size_t best = SIZE_MAX, best_votes = 0, tie = 0;
  for (size_t i = 0; i < s->n; i++) {
    size_t votes = 0, first = i;
    for (size_t j = 0; s->s[i].final.n > 0 && j < s->n; j++) {
      if (s->s[j].final.n > 0 && answer_equal(s->s[i].final, s->s[j].final)) {
        first = j < first ? j : first;
        votes++;
      }
    }
    if (votes == 0 || first != i) {
      continue;
    }
    tie = votes == best_votes ? 1 : votes > best_votes ? 0 : tie;
    if (votes > best_votes) {
      best = i;
      best_votes = votes;
    }
  }
  if (best == SIZE_MAX) {
    if (s->teacher_failed) {
      rows_fail(row, s->why);
    } else {
      rows_drop(row, s->why ? s->why : "no final answer");
    }
    return STATUS_OK;
  }
  struct record_number share[1] = { { "agreement", (double)best_votes / (double)s->n } };
  if (tie) {
    rows_drop(row, "vote tied");
    return STATUS_OK;
  }
  if (share[0].value < l->o->min_agree) {
    rows_drop(row, "agreement below --min-agree");
    return STATUS_OK;
  }
  st = label_write_answer(l, row, s->s[best].final, s->s[best].reasoning, NULL, 0, share, 1, a, e);
out:
  return st;
}

const struct kind kind_vote = {
  .name = "vote",
  .summary = "the answer most of --samples agree on; with --think over their final answers",
  .elicitation = "self",
  .input = INPUT_QUESTION,
  .writes = "messages, rationale, scores.agreement",
  .open = vote_open,
  .begin = vote_begin,
  .answer = vote_take,
};
