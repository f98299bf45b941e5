/* SPDX-License-Identifier: Apache-2.0
 * What stages ask of a teacher whatever its dialect (opened in teacher_open.c; teacher_window.c has the questions on their way):
 * names, sampling, scores, and the record's teacher field. */
#include "teacher.h"
#include "hash.h"
#include "log.h"
#include "stop.h"
#include "teacher_dialect.h"
#include "teacher_pii.h"
#include "weights.h"

void teacher_close(struct teacher *t)
{
  if (t == NULL) {
    return;
  }
  teacher_window_drop(t);
  pii_free(t->pii);
  if (t->d != NULL) {
    t->d->close(t);
  }
  arena_free(t->a);
  mem_free(t);
}

const char *teacher_name(const struct teacher *t)
{
  return t->name;
}

const char *teacher_identity(const struct teacher *t)
{
  return t->identity;
}

const char *teacher_terms(const struct teacher *t)
{
  return t->terms;
}

void teacher_counts(const struct teacher *t, uint64_t *asked, uint64_t *from_book)
{
  *asked = t->asked;
  *from_book = t->from_book;
}

struct sampling teacher_sampling(const struct teacher_options *o)
{
  return (struct sampling){ .temperature = o->temperature, .top_k = o->top_k, .top_p = o->top_p, .min_p = o->min_p,
                            .repetition_penalty = o->repetition_penalty, .max_tokens = o->max_tokens, .seed = (uint64_t)o->seed,
                            .stop = o->stop.item, .n_stop = o->stop.n, .top_logprobs = o->logprobs };
}

uint64_t teacher_seed(uint64_t seed, struct span messages, uint32_t ordinal)
{
  return xxh3_seed(messages.p, messages.n, seed * 0x9e3779b97f4a7c15u + ordinal) & 0x7fffffff;
}

enum status teacher_put_parameters(const struct sampling *s, const char *limit, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(out, ",\"temperature\":", e));
  TRY(json_put_num(out, s->temperature, e));
  TRY(buf_printf(out, e, ",\"%s\":%lld,\"seed\":%llu", limit, (long long)s->max_tokens, (unsigned long long)s->seed));
  if (s->top_p < 1) {
    TRY(buf_puts(out, ",\"top_p\":", e));
    TRY(json_put_num(out, s->top_p, e));
  }
  if (s->top_k > 0) {
    TRY(buf_printf(out, e, ",\"top_k\":%lld", (long long)s->top_k));
  }
  if (s->min_p > 0) {
    TRY(buf_puts(out, ",\"min_p\":", e));
    TRY(json_put_num(out, s->min_p, e));
  }
  if (s->repetition_penalty > 0 && (s->repetition_penalty < 1 || s->repetition_penalty > 1)) {
    TRY(buf_puts(out, ",\"repetition_penalty\":", e));
    TRY(json_put_num(out, s->repetition_penalty, e));
  }
  for (size_t i = 0; i < s->n_stop; i++) {
    TRY(buf_puts(out, i ? "," : ",\"stop\":[", e));
    TRY(json_put_cstr(out, s->stop[i], e));
  }
  TRY(buf_puts(out, s->n_stop ? "]" : "", e));
out:
  return st;
}

uint32_t teacher_group_choices(const struct teacher *t, struct question *q)
{
  uint32_t n = (uint32_t)t->o.choices, first = n > 1 ? q->ordinal / n * n : q->ordinal;
  q->choice = q->choices = 0;
  if (n <= 1 || q->samples <= 1 || q->ordinal >= q->samples || !t->body_of->choices || q->kind != QUESTION_ANSWER) {
    return q->ordinal;
  }
  q->choice = q->ordinal - first;
  q->choices = q->samples - first < n ? q->samples - first : n;
  if (q->sampling.temperature > 0) {
    q->sampling.seed = teacher_seed((uint64_t)t->o.seed, q->messages, first);
  }
  return first;
}

enum status teacher_put_sampling(const struct sampling *s, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  size_t at = out->n;
  TRY(teacher_put_parameters(s, "max_tokens", out, e));
  out->p[at] = '{'; /* in place of the first comma */
  TRY(buf_putc(out, '}', e));
out:
  return st;
}

static enum status put_member(struct buf *out, const char *key, struct span value, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_printf(out, e, "%s\"%s\":", out->p[out->n - 1] == '{' ? "" : ",", key));
  TRY(json_put_string(out, value, e));
out:
  return st;
}

enum status teacher_field(const struct teacher *t, const struct answer *a, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  t = teacher_of(t, a);
  TRY(buf_putc(out, '{', e));
  TRY(put_member(out, "name", (struct span){ t->name, strlen(t->name) }, e));
  TRY(put_member(out, "identity", (struct span){ t->identity, strlen(t->identity) }, e));
  TRY(put_member(out, "sampling", a->sampling_json, e));
  TRY(put_member(out, "terms", (struct span){ t->terms, strlen(t->terms) }, e));
  TRY(put_member(out, "finish", (struct span){ a->finish, strlen(a->finish) }, e));
  char key[65];
  hash_hex(a->key, sizeof a->key, key);
  TRY(put_member(out, "key", (struct span){ key, 64 }, e));
  TRY(buf_putc(out, '}', e));
out:
  return st;
}

enum status teacher_terms_gate(const struct weights *w, const char *stated, const char *accept, struct arena *a, const char **terms,
                               struct err *e)
{
  struct terms_subject s = { .label = weights_path(w) };
  struct span v;
  const char *notice = NULL, *slash = strrchr(s.label, '/');
  s.file = slash ? slash + 1 : s.label;
  if (gguf_str(w, "general.license", &v)) {
    s.licence = arena_strndup(a, v.p, v.n);
  }
  if (gguf_str(w, "general.basename", &v) || gguf_str(w, "general.name", &v)) {
    s.name = arena_strndup(a, v.p, v.n);
  }
  enum status st = terms_gate(&s, stated, accept, a, terms, &notice, e);
  if (st == STATUS_OK) {
    log_info("%s", notice);
  }
  return st;
}
