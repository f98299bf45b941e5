/* SPDX-License-Identifier: Apache-2.0
 * Kind `cot`: reasoning first, then the answer on a line of its own (Wei et al. 2022). The reasoning goes into `rationale`, only the
 * answer into the conversation; an output without the line is asked again. */
#include "label.h"

const char label_think[] = "\n\nThink step by step. Then write the final answer on a last line that begins with \"Answer:\".";

static enum status cot_begin(struct label *l, struct row *row, struct err *e)
{
  return label_ask(l, row, 0, label_think, 0, e);
}

static struct span cot_said(const struct label *l, const struct row *row, const struct answer *a)
{
  struct span reasoning, answer;
  (void)l;
  (void)row;
  return answer_final(a->content, &reasoning, &answer) ? answer : (struct span){ NULL, 0 };
}

static const char *cot_wrong(const struct label *l, const struct row *row, const struct answer *a)
{
  struct span reasoning, answer;
  (void)l;
  (void)row;
  if (!answer_final(a->content, &reasoning, &answer)) {
    return "no line begins with \"Answer:\"";
  }
  return reasoning.n == 0 && a->reasoning.n == 0 ? "there is no reasoning before the answer" : NULL;
}

static enum status cot_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  const char *why;
  struct span reasoning, answer;
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  why = cot_wrong(l, row, a);
  if (why != NULL) {
    return label_again(l, row, tag, q, a, why, e);
  }
  (void)answer_final(a->content, &reasoning, &answer);
  return label_write_answer(l, row, answer, reasoning.n > 0 ? reasoning : a->reasoning, NULL, 0, NULL, 0, a, e);
}

const struct kind kind_cot = {
  .name = "cot",
  .summary = "chain of thought: reasoning into rationale, the final answer into messages",
  .elicitation = "labeling",
  .input = INPUT_QUESTION,
  .writes = "messages, rationale",
  .begin = cot_begin,
  .answer = cot_take,
  .wrong = cot_wrong,
  .said = cot_said,
};
