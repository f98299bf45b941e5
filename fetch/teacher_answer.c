/* SPDX-License-Identifier: Apache-2.0
 * What the dialects share about answers; see teacher_answer.h. */
#include "teacher_answer.h"
#include <math.h>
#include "record.h"

const struct teacher *teacher_of(const struct teacher *t, const struct answer *a)
{
  return a->by ? a->by : t;
}

void teacher_judge_by(struct teacher *t, const struct teacher_judgement *j)
{
  t->judgement = *j;
}

size_t teacher_parts(const struct teacher *t)
{
  return t->d == &dialect_mix && strcmp(t->o.mix, "all") == 0 ? t->o.teachers.n : 1;
}

static enum status keep_text(struct span *s, struct arena *a, struct err *e)
{
  char *copy = s->p ? arena_strndup(a, s->p, s->n) : NULL;
  if (s->p != NULL && copy == NULL) {
    return err_nomem(e, s->n);
  }
  s->p = copy;
  return STATUS_OK;
}

enum status teacher_copy_answer(const struct answer *from, struct arena *a, struct answer *to, struct err *e)
{
  enum status st = STATUS_OK;
  *to = *from;
  struct span *const text[] = { &to->content, &to->reasoning, &to->tool_calls, &to->sampling_json };
  for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
    TRY(keep_text(text[i], a, e));
  }
  if (from->reason != NULL) { /* may lie in the question's memory */
    to->reason = arena_strndup(a, from->reason, strlen(from->reason));
    if (to->reason == NULL) {
      st = err_nomem(e, strlen(from->reason));
      goto out;
    }
  }
  if (from->vector != NULL) {
    float *v = arena_alloc(a, from->n_vector * sizeof *v);
    if (v == NULL) {
      st = err_nomem(e, from->n_vector * sizeof *v);
      goto out;
    }
    memcpy(v, from->vector, from->n_vector * sizeof *v);
    to->vector = v;
  }
  st = token_logprobs_copy(&from->logprobs, a, &to->logprobs, e);
out:
  return st;
}

void answer_score(struct answer *a, const char *name, double value)
{
  size_t i = 0;
  while (i < a->n_scores && strcmp(a->score[i].name, name) != 0) {
    i++;
  }
  if (i < ANSWER_SCORES) {
    a->score[i] = (struct record_number){ name, value };
    a->n_scores += i == a->n_scores;
  }
}

const struct record_number *answer_score_find(const struct answer *a, const char *name)
{
  for (size_t i = 0; i < a->n_scores; i++) {
    if (strcmp(a->score[i].name, name) == 0) {
      return &a->score[i];
    }
  }
  return NULL;
}

/* ---- reading servers' answers ---- */

enum status content_text(const struct json *content, struct buf *out, int *has, struct err *e)
{
  enum status st = STATUS_OK;
  *has = json_type(content) == JSON_STRING || json_type(content) == JSON_ARRAY;
  if (json_type(content) == JSON_STRING) {
    return buf_put(out, json_str(content).p ? json_str(content).p : "", json_str(content).n, e);
  }
  for (size_t i = 0; i < json_size(content) && json_type(content) == JSON_ARRAY; i++) {
    const struct json *part = json_at(content, i), *text = json_get(part, "text");
    if (json_type(part) != JSON_OBJECT) {
      return err_set(e, STATUS_DATA, "content[%zu]: expected an object with type and text", i);
    }
    if (strcmp(json_cstr(json_get(part, "type"), ""), "text") == 0 && json_type(text) == JSON_STRING) {
      TRY(buf_put(out, json_str(text).p ? json_str(text).p : "", json_str(text).n, e));
    }
  }
out:
  return st;
}

enum status answer_keep(struct arena *a, const char *p, size_t n, struct span *out, struct err *e)
{
  char *copy = arena_strndup(a, p ? p : "", n);
  if (copy == NULL) {
    return err_nomem(e, n);
  }
  *out = (struct span){ copy, n };
  return STATUS_OK;
}

static uint64_t count_at(const struct json *j, int *known)
{
  int64_t v = json_int(j, -1);
  *known &= v >= 0 && v < (int64_t)1 << 40;
  return v >= 0 && v < (int64_t)1 << 40 ? (uint64_t)v : 0;
}

struct usage openai_usage(const struct json *root)
{
  const struct json *u = json_get(root, "usage"), *out = json_get(u, "completion_tokens");
  int known = 1, ignore = 1;
  struct usage n = { .in_tok = count_at(json_get(u, "prompt_tokens"), &known) };
  n.out_tok = json_type(out) <= JSON_NULL ? 0 : count_at(out, &known); /* embeddings have none */
  n.cached_tok = count_at(json_path(u, "prompt_tokens_details.cached_tokens"), &ignore);
  n.cached_tok = n.cached_tok < n.in_tok ? n.cached_tok : n.in_tok;
  n.known = known;
  return known ? n : (struct usage){ 0 };
}

const struct json *openai_choice(const struct json *root, const struct question *q)
{
  const struct json *all = json_get(root, "choices");
  for (size_t i = 0; i < json_size(all) && json_type(all) == JSON_ARRAY; i++) {
    const struct json *c = json_at(all, i);
    if (json_int(json_get(c, "index"), (int64_t)i) == (int64_t)q->choice) {
      return c;
    }
  }
  return NULL;
}

const char *openai_finish(const struct json *choice)
{
  static const struct { const char *theirs, *ours; } row[] = { { "length", "length" }, { "content_filter", "content_filter" },
    { "tool_calls", "tool_calls" }, { "function_call", "tool_calls" }, { "refusal", "refusal" } };
  const char *finish = json_cstr(json_get(choice, "finish_reason"), "stop");
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    if (strcmp(finish, row[i].theirs) == 0) {
      return row[i].ours;
    }
  }
  return "stop";
}

/* ---- sending ---- */

enum status request_members(const char *text, struct arena *a, struct span *out, struct err *e)
{
  enum status st = STATUS_OK;
  static const char *const own[] = { "model", "messages", "prompt", "input", "system", "stream", "n", "temperature", "max_tokens", "max_completion_tokens",
    "seed", "top_p", "top_k", "min_p", "repetition_penalty", "stop", "stop_sequences", "tools", "logprobs", "top_logprobs", "echo", "prompt_logprobs" };
  struct record r;
  struct buf b = { 0 };
  *out = (struct span){ "", 0 };
  if (text == NULL) {
    return STATUS_OK;
  }
  st = record_split((struct span){ text, strlen(text) }, a, &r, e);
  if (st != STATUS_OK) {
    err_prefix(e, "'--request'");
    return st == STATUS_DATA ? err_set(e, STATUS_USAGE, "'--request %s': %s", text, "expected a JSON object, such as {\"reasoning_effort\":\"low\"}") : st;
  }
  for (size_t i = 0; i < r.n_fields; i++) {
    for (size_t k = 0; k < sizeof own / sizeof *own; k++) {
      if (span_key_is(r.field[i].key, own[k])) {
        st = err_set(e, STATUS_USAGE, "'--request': '%s' is set by retort itself or has an option of its own", own[k]);
        goto out;
      }
    }
    TRY(buf_puts(&b, ",\"", e));
    TRY(buf_put(&b, r.field[i].key.p, r.field[i].key.n, e));
    TRY(buf_puts(&b, "\":", e));
    TRY(buf_put(&b, r.field[i].value.p, r.field[i].value.n, e));
  }
  st = answer_keep(a, b.p, b.n, out, e);
out:
  buf_free(&b);
  return st;
}

/* ---- after parsing ---- */

/* Reasoning models behind a server that does not part it: "<think>...</think>answer". */
static void part_thinking(struct answer *a)
{
  static const char open[] = "<think>", close[] = "</think>";
  size_t skip = 0, n_open = sizeof open - 1, n_close = sizeof close - 1;
  struct span c = a->content;
  while (skip < c.n && strchr(" \t\r\n", c.p[skip]) != NULL && c.p[skip] != '\0') {
    skip++;
  }
  if (a->reasoning.n > 0 || c.n - skip < n_open || memcmp(c.p + skip, open, n_open) != 0) {
    return;
  }
  const char *from = c.p + skip + n_open, *end = memmem(from, (size_t)(c.p + c.n - from), close, n_close);
  const char *after = end ? end + n_close : c.p + c.n;
  end = end ? end : c.p + c.n; /* cut while it was thinking: there is no answer */
  while (from < end && strchr(" \t\r\n", *from) != NULL) {
    from++;
  }
  while (end > from && strchr(" \t\r\n", end[-1]) != NULL) {
    end--;
  }
  while (after < c.p + c.n && strchr(" \t\r\n", *after) != NULL) {
    after++;
  }
  a->reasoning = (struct span){ from, (size_t)(end - from) };
  a->content = (struct span){ after, (size_t)(c.p + c.n - after) };
}

enum status answer_finish(struct answer *a, struct err *e)
{
  (void)e;
  if (a->content.n > 0) {
    part_thinking(a);
  }
  double mean = token_logprobs_mean(&a->logprobs);
  if (!isnan(mean)) {
    answer_score(a, "logprob", mean);
  }
  return STATUS_OK;
}
