/* SPDX-License-Identifier: Apache-2.0
 * What the dialects share about answers: copies, scores, and reading what servers of the OpenAI family send. All results are arena
 * memory or belong to the document; everything read here comes from outside and is checked. */
#ifndef FETCH_TEACHER_ANSWER_H
#define FETCH_TEACHER_ANSWER_H
#include "json.h"
#include "teacher_dialect.h"

/* A copy of an answer whose texts live in a. */
MUST_USE enum status teacher_copy_answer(const struct answer *from, struct arena *a, struct answer *to, struct err *e);
/* n bytes as a span in a. */
MUST_USE enum status answer_keep(struct arena *a, const char *p, size_t n, struct span *out, struct err *e);
/* Appends the text of a message's content: a string, or the text parts of an array. *has = 0 when it is neither. */
MUST_USE enum status content_text(const struct json *content, struct buf *out, int *has, struct err *e);
/* What every dialect's answer goes through after parse: "<think>" at its beginning becomes reasoning, the mean of the
 * log-probabilities becomes the score "logprob". */
MUST_USE enum status answer_finish(struct answer *a, struct err *e);

/* The OpenAI family: usage, the choice that q wants (NULL: not there), finish_reason in our words. */
struct usage openai_usage(const struct json *root);
const struct json *openai_choice(const struct json *root, const struct question *q);
const char *openai_finish(const struct json *choice);

/* --request JSON as raw members with a comma in front of each; {"",0} for NULL. Refuses what has an option of its own. */
MUST_USE enum status request_members(const char *text, struct arena *a, struct span *out, struct err *e);
#endif
