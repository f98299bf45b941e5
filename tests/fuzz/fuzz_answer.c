/* SPDX-License-Identifier: Apache-2.0
 * What servers answer, through every dialect's parser, and messages of rows through every dialect's request. What a parser accepts
 * must keep the promises of struct answer, and must survive a copy; what a dialect sends must be JSON. */
#include <math.h>
#include <stdint.h>
#include "teacher_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int good)
{
  if (!good) {
    abort();
  }
}

static int is_utf8(struct span s)
{
  for (size_t i = 0, n; i < s.n; i += n) {
    if ((n = utf8_length(s.p + i, s.n - i)) == 0) {
      return 0;
    }
  }
  return 1;
}

static void check(const struct answer *a, struct arena *arena)
{
  static const char *const finish[] = { "stop", "length", "tool_calls", "content_filter", "refusal" };
  struct answer copy;
  struct buf b = { 0 };
  struct err e;
  int known = 0;
  if (a->failed != STATUS_OK) {
    want(a->reason != NULL);
    return;
  }
  for (size_t i = 0; i < sizeof finish / sizeof *finish; i++) {
    known |= strcmp(a->finish, finish[i]) == 0;
  }
  want(known && a->content.p != NULL && is_utf8(a->content) && is_utf8(a->reasoning));
  want(a->tool_calls.n == 0 || (span_type(a->tool_calls) == '[' && span_check_json(a->tool_calls, &e) == STATUS_OK));
  want(!a->usage.known || (a->usage.in_tok < (uint64_t)1 << 43 && a->usage.out_tok < (uint64_t)1 << 43 && a->usage.cached_tok <= a->usage.in_tok));
  for (size_t i = 0; i < a->logprobs.n; i++) {
    const struct token_logprob *k = &a->logprobs.tok[i];
    want(isnan(k->logprob) || k->logprob <= 0.01);
    want(k->id >= -1 && k->n_top < 1u << 24);
  }
  for (size_t i = 0; i < a->n_vector; i++) {
    want(isfinite(a->vector[i]));
  }
  want(teacher_copy_answer(a, arena, &copy, &e) == STATUS_OK);
  want(copy.content.n == a->content.n && memcmp(copy.content.p, a->content.p, a->content.n) == 0 && copy.logprobs.n == a->logprobs.n);
  want(token_logprobs_put(&copy.logprobs, &b, &e) == STATUS_OK && span_check_json((struct span){ b.p, b.n }, &e) == STATUS_OK);
  buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const struct dialect *const all[] = { &dialect_openai, &dialect_anthropic, &dialect_completions, &dialect_vllm, &dialect_embeddings };
  struct span text = { (const char *)data, size };
  struct err e;
  struct arena *a = arena_new((size_t)1 << 28);
  for (size_t i = 0; a != NULL && i < 2 * sizeof all / sizeof *all; i++) {
    const struct dialect *d = all[i / 2];
    char name[] = "t", identity[] = "openai:https://api.openai.com/v1#t", row[] = "chatml";
    struct teacher t = { .d = d, .body_of = d, .name = name, .identity = identity, .model = name, .template_name = row };
    struct question q = { .kind = i % 2 ? QUESTION_SCORE : QUESTION_ANSWER, .text = { "the law of the place", 20 }, .choice = i % 2 };
    struct answer out = { 0 };
    struct buf body = { 0 };
    arena_reset(a);
    if (d->parse(&t, text, &q, a, &out, &e) == STATUS_OK && answer_finish(&out, &e) == STATUS_OK) {
      check(&out, a);
    }
    /* the same bytes as the messages of a row (the stage checked that they are JSON) */
    q = (struct question){ .messages = text, .tools = text, .sampling = { .max_tokens = 9, .top_p = 1 } };
    if (span_check_json(text, &e) == STATUS_OK && d->body(&t, &q, &body, &e) == STATUS_OK) {
      want(span_check_json((struct span){ body.p, body.n }, &e) == STATUS_OK);
    }
    buf_free(&body);
  }
  arena_free(a);
  return 0;
}
