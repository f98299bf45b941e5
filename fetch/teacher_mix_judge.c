/* SPDX-License-Identifier: Apache-2.0
 * --mix cascade:judge:MIN: a teacher says how good an answer is before the next one is asked. The judge is the member with the label
 * "judge" (-t judge=T), else the one who answered. Its judgements are journal entries like any other answer. */
#include "answer_parse.h"
#include "json.h"
#include "log.h"
#include "teacher_mix.h"

#define JUDGE_SCALE 10
#define JUDGE_TOKENS 256

static int has_judge(const struct mix *m)
{
  const char *label = m->n > 0 ? m->member[m->n - 1]->label : NULL;
  return m->judged && label != NULL && strcmp(label, "judge") == 0;
}

size_t mix_askable(const struct mix *m)
{
  return m->n - (size_t)has_judge(m);
}

size_t mix_judge_of(const struct mix *m, const struct mix_slot *s)
{
  return has_judge(m) ? m->n - 1 : (size_t)s->judge;
}

/* The text of the last user turn. */
static enum status last_user(struct span messages, struct arena *a, struct span *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *m = NULL;
  *out = (struct span){ "", 0 };
  TRY(json_parse(messages, "messages", &m, e));
  for (size_t i = json_size(m); i-- > 0;) {
    if (strcmp(json_cstr(json_get(json_at(m, i), "role"), ""), "user") == 0) {
      struct span text = json_str(json_get(json_at(m, i), "content"));
      char *copy = arena_strndup(a, text.p ? text.p : "", text.n);
      st = copy ? STATUS_OK : err_nomem(e, text.n);
      *out = (struct span){ copy ? copy : "", copy ? text.n : 0 };
      break;
    }
  }
out:
  json_free(m);
  return st;
}

enum status mix_judge_ask(struct mix *m, struct mix_slot *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct span user = s->q.text;
  struct buf text = { 0 }, b = { 0 };
  if (s->q.messages.p != NULL) {
    TRY(last_user(s->q.messages, s->a, &user, e));
  }
  TRY(judge_put(user, s->answer[s->judge].content, (struct span){ NULL, 0 }, "quality", JUDGE_SCALE, &text, e));
  TRY(buf_putc(&b, '[', e));
  TRY(message_put(&b, "system", (struct span){ judge_system, strlen(judge_system) }, e));
  TRY(message_put(&b, "user", (struct span){ text.p, text.n }, e));
  TRY(buf_putc(&b, ']', e));
  char *copy = arena_strndup(s->a, b.p, b.n);
  if (copy == NULL) {
    st = err_nomem(e, b.n);
    goto out;
  }
  s->judge_q = (struct question){ .messages = { copy, b.n }, .sampling = teacher_sampling(&m->t->o), .row = s->q.row };
  s->judge_q.sampling.temperature = 0;
  s->judge_q.sampling.max_tokens = JUDGE_TOKENS;
  s->judge_q.sampling.top_logprobs = 0;
  s->judge_q.sampling.n_stop = 0;
out:
  buf_free(&text);
  buf_free(&b);
  return st;
}

void mix_judge_take(struct mix_slot *s, const struct answer *a)
{
  double score = 0;
  if (a->failed == STATUS_STOPPED) { /* comes in a later run: so does what depends on it */
    s->answer[s->judge].failed = STATUS_STOPPED;
    return;
  }
  if (a->failed != STATUS_OK || !judge_read(a->content, JUDGE_SCALE, &score)) {
    log_debug("the judge gave no clear score: the next teacher is asked");
    score = 0;
  }
  answer_score(&s->answer[s->judge], "judge", score);
}
