/* SPDX-License-Identifier: Apache-2.0
 * Kind `pot`: program of thought (Chen et al. 2022): the teacher answers with a program that prints the answer. It is parsed (one
 * fenced block, brackets and strings close, something is printed) and kept; it is never run here. */
#include "label.h"

static enum status pot_begin(struct label *l, struct row *row, struct err *e)
{
  return label_ask(l, row, 0, "\n\nWrite a Python program that computes the answer and prints it. Reply with one ```python block only.", 0, e);
}

static int has(struct span s, const char *word)
{
  return memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static const char *pot_wrong(const struct label *l, const struct row *row, const struct answer *a)
{
  struct span language = { NULL, 0 }, code = answer_code(a->content, &language);
  (void)l;
  (void)row;
  return code.n == 0 ? "no closed ``` block"
         : language.n > 0 && !span_begins(language, "py") ? "the block is not Python"
         : !answer_balanced(code) ? "brackets or strings of the program do not close"
         : !has(code, "print(") ? "the program prints nothing" : NULL;
}

static enum status pot_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  const char *why;
  struct span language = { NULL, 0 }, code;
  struct buf b = { 0 };
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  why = pot_wrong(l, row, a);
  if (why != NULL) {
    return label_again(l, row, tag, q, a, why, e);
  }
  code = answer_code(a->content, &language);
  TRY(buf_puts(&b, "```python\n", e));
  TRY(buf_put(&b, code.p, code.n, e));
  TRY(buf_puts(&b, "\n```", e));
  st = label_write_answer(l, row, (struct span){ b.p, b.n }, (struct span){ NULL, 0 }, NULL, 0, NULL, 0, a, e);
out:
  buf_free(&b);
  return st;
}

const struct kind kind_pot = {
  .name = "pot",
  .summary = "program of thought: a Python program that prints the answer (parsed, never run)",
  .elicitation = "labeling",
  .input = INPUT_QUESTION,
  .writes = "messages",
  .begin = pot_begin,
  .answer = pot_take,
  .wrong = pot_wrong,
};
