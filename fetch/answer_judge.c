/* SPDX-License-Identifier: Apache-2.0
 * Asking for a score and reading it; see answer_parse.h. */
#include "answer_parse.h"

const char judge_system[] = "You are a strict judge of answers.";

/* "helpfulness" and "score" need different words; the rubric says the rest. */
enum status judge_put(struct span question, struct span answer, struct span rubric, const char *aspect, int64_t scale, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "Question:\n", e));
  TRY(buf_put(b, question.p, question.n, e));
  TRY(buf_puts(b, "\n\nAnswer:\n", e));
  TRY(buf_put(b, answer.p, answer.n, e));
  TRY(buf_puts(b, "\n\n", e));
  if (rubric.n > 0) {
    TRY(buf_puts(b, "Rubric:\n", e));
    TRY(buf_put(b, rubric.p, rubric.n, e));
    TRY(buf_puts(b, "\n\n", e));
  }
  TRY(buf_printf(b, e, "Rate the %s of the answer from 1 (bad) to %lld (excellent). End with a line \"Score: N\".", aspect, (long long)scale));
out:
  return st;
}

int judge_read(struct span text, double scale, double *score)
{
  struct span rest = text, last = { NULL, 0 };
  while (rest.n > 0) { /* the line that was asked for wins over numbers in the reasons */
    struct span line = answer_bare(span_line(&rest));
    last = span_begins(line, "score") ? line : last;
  }
  return (last.p != NULL && answer_number(last, 1, scale, score)) || answer_number(text, 1, scale, score);
}
