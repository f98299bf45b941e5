/* SPDX-License-Identifier: Apache-2.0
 * Kind `answer`: the teacher's answer as it came, zero-shot or (--demos) few-shot; its reasoning, when it gives one, as rationale. */
#include "label.h"

static enum status answer_begin(struct label *l, struct row *row, struct err *e)
{
  return label_ask(l, row, 0, NULL, 0, e);
}

static enum status answer_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  const char *why;
  (void)tag;
  (void)q;
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  return label_write_answer(l, row, a->content, a->reasoning, NULL, 0, NULL, 0, a, e);
}

const struct kind kind_answer = {
  .name = "answer",
  .summary = "the teacher's answer; few-shot with --demos",
  .elicitation = "labeling",
  .input = INPUT_QUESTION,
  .writes = "messages, rationale (a reasoning teacher's)",
  .parts = 1,
  .tool_calls = 1,
  .begin = answer_begin,
  .answer = answer_take,
};
