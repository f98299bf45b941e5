/* SPDX-License-Identifier: Apache-2.0
 * Teachers, whatever their dialect (opened in teacher_open.c): the journal, and the window that gives answers back in the order
 * of the questions. An answer is committed to the book before it is passed on. */
#include "teacher.h"
#include "hash.h"
#include "log.h"
#include "stop.h"
#include "teacher_dialect.h"
#include "weights.h"

#define WINDOW_ROWS 4096
#define WINDOW_BYTES ((size_t)32 << 20)

enum { ASK_FLIGHT, ASK_PUT, ASK_READY, ASK_FOLLOWS };

static void ask_free(struct ask *k)
{
  if (k != NULL) {
    buf_free(&k->body);
    arena_free(k->a);
    mem_free(k);
  }
}

static void drop_window(struct teacher *t)
{
  for (; t->ring_n > 0; t->ring_n--) {
    ask_free(t->ring[t->ring_head]);
    t->ring_head = (t->ring_head + 1) % t->ring_cap;
  }
  while (t->spare != NULL) {
    struct ask *next = t->spare->leader;
    ask_free(t->spare);
    t->spare = next;
  }
  mem_free(t->ring);
  t->ring = NULL;
  t->window_bytes = 0;
}

void teacher_close(struct teacher *t)
{
  if (t == NULL) {
    return;
  }
  drop_window(t);
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
                            .stop = o->stop.item, .n_stop = o->stop.n };
}

uint64_t teacher_seed(uint64_t seed, struct span messages, uint32_t ordinal)
{
  return xxh3_seed(messages.p, messages.n, seed * 0x9e3779b97f4a7c15u + ordinal) & 0x7fffffff;
}

enum status teacher_put_parameters(const struct sampling *s, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(out, ",\"temperature\":", e));
  TRY(json_put_num(out, s->temperature, e));
  TRY(buf_printf(out, e, ",\"max_tokens\":%lld,\"seed\":%llu", (long long)s->max_tokens, (unsigned long long)s->seed));
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

enum status teacher_put_sampling(const struct sampling *s, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  size_t at = out->n;
  TRY(teacher_put_parameters(s, out, e));
  out->p[at] = '{'; /* in place of the first comma */
  TRY(buf_putc(out, '}', e));
out:
  return st;
}

/* ---- the window ---- */

static struct ask *window_at(const struct teacher *t, size_t i)
{
  return t->ring[(t->ring_head + i) % t->ring_cap];
}

static enum status new_ask(struct teacher *t, struct ask **out, struct err *e)
{
  struct ask *k = t->spare;
  if (k != NULL) {
    t->spare = k->leader;
    struct arena *a = k->a;
    struct buf body = k->body;
    *k = (struct ask){ .a = a, .body = body };
    buf_clear(&k->body);
    arena_reset(a);
  } else {
    k = mem_calloc(1, sizeof *k);
    if (k == NULL || (k->a = arena_new(0)) == NULL) {
      ask_free(k);
      return err_nomem(e, sizeof *k);
    }
  }
  *out = k;
  return STATUS_OK;
}

static void keep_spare(struct teacher *t, struct ask *k)
{
  if (k->body.cap > 65536) {
    ask_free(k);
    return;
  }
  k->leader = t->spare;
  t->spare = k;
}

static size_t ask_bytes(const struct ask *k)
{
  return k->body.n + k->answer.n + sizeof *k;
}

/* Takes journal bytes as the answer of k; they are parsed from a copy in k's arena. */
static enum status take_answer(struct teacher *t, struct ask *k, struct span answer, int from_book, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  char *copy = arena_strndup(k->a, answer.p, answer.n);
  if (copy == NULL) {
    return err_nomem(e, answer.n);
  }
  struct span own = { copy, answer.n };
  k->out = (struct answer){ 0 };
  TRY(t->body_of->parse(t, own, &k->q, k->a, &k->out, e));
  TRY(teacher_put_sampling(&k->q.sampling, &b, e));
  char *sampling = arena_strndup(k->a, b.p, b.n);
  if (sampling == NULL) {
    st = err_nomem(e, b.n);
    goto out;
  }
  k->out.sampling_json = (struct span){ sampling, b.n };
  k->out.from_book = from_book;
  t->window_bytes += own.n;
  k->answer = own;
out:
  buf_free(&b);
  return st;
}

/* A question that is in the window already is not asked twice: the younger one waits for the older one. */
static enum status follow_same(struct teacher *t, struct ask *k, int *followed, struct err *e)
{
  enum status st = STATUS_OK;
  *followed = 0;
  for (size_t i = 0; i + 1 < t->ring_n && !*followed; i++) {
    struct ask *older = window_at(t, i);
    if (memcmp(older->key, k->key, 32) != 0 || older->state == ASK_FOLLOWS || older->body.n != k->body.n ||
        memcmp(older->body.p, k->body.p, k->body.n) != 0) {
      continue;
    }
    *followed = 1;
    if (older->state == ASK_FLIGHT || older->state == ASK_PUT) {
      k->state = ASK_FOLLOWS;
      k->leader = older;
      older->followers++;
    } else if (older->out.failed != STATUS_OK) {
      k->out = (struct answer){ .failed = older->out.failed, .reason = older->out.reason, .finish = "" };
      k->state = ASK_READY;
    } else {
      TRY(take_answer(t, k, older->answer, 1, e));
      k->state = ASK_READY;
    }
  }
out:
  return st;
}

static enum status look_up(struct teacher *t, struct ask *k, int *found, struct err *e)
{
  enum status st = STATUS_OK;
  struct book_answer ans;
  struct err own = { 0 };
  *found = 0;
  if (t->book == NULL) {
    return STATUS_OK;
  }
  TRY(book_find(t->book, k->key, (struct span){ k->body.p, k->body.n }, k->a, &ans, found, e));
  if (*found) {
    st = take_answer(t, k, ans.answer, 1, &own);
    if (st == STATUS_DATA) { /* recorded by another version: ask again */
      log_warn("the book holds an answer that cannot be read (%s); it is asked again", own.msg);
      *found = 0;
      return STATUS_OK;
    }
    if (st != STATUS_OK) {
      return err_set(e, st, "%s", own.msg);
    }
    k->state = ASK_READY;
    t->from_book++;
  }
out:
  return st;
}

enum status teacher_pull(struct teacher *t, int wait, struct ask **out, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  *got = 0;
  while (!t->ended) {
    int have = 0, found = 0;
    struct ask *k = NULL;
    if (t->ring_n == t->ring_cap || (t->ring_n > 0 && t->window_bytes > WINDOW_BYTES)) {
      *got = -1;
      return STATUS_OK;
    }
    TRY(new_ask(t, &k, e));
    st = t->next(t->ctx, wait, &k->q, &have, e);
    if (st == STATUS_OK && have == 1) {
      st = t->body_of->body(t, &k->q, &k->body, e);
    }
    if (st != STATUS_OK || have != 1) {
      keep_spare(t, k);
      t->ended = st == STATUS_OK && have == 0;
      *got = have;
      return st;
    }
    book_key((struct span){ t->identity, strlen(t->identity) }, (struct span){ k->body.p, k->body.n }, k->q.ordinal, k->key);
    t->ring[(t->ring_head + t->ring_n++) % t->ring_cap] = k;
    t->window_bytes += ask_bytes(k);
    TRY(follow_same(t, k, &found, e));
    if (!found) {
      TRY(look_up(t, k, &found, e));
    }
    if (!found) {
      k->state = ASK_FLIGHT;
      t->asked++;
      *out = k;
      *got = 1;
      return STATUS_OK;
    }
    wait = 0; /* something can be passed on: the caller gets a turn before we sleep on input */
  }
out:
  return st;
}

enum status teacher_take(struct teacher *t, struct ask *k, struct span answer, struct err *e)
{
  return take_answer(t, k, answer, 0, e);
}

enum status teacher_keep(struct teacher *t, struct ask *k, struct span meta, struct err *e)
{
  if (t->book != NULL) {
    struct book_answer ans = { { k->body.p, k->body.n }, k->answer, meta };
    enum status st = book_put(t->book, k->key, &ans, e);
    if (st != STATUS_OK) {
      return st == STATUS_DATA ? err_set(e, STATUS_IO, "the book could not take an answer") : st;
    }
    t->uncommitted++;
  }
  k->state = ASK_PUT;
  return STATUS_OK;
}

enum status teacher_answered(struct teacher *t, struct ask *k, struct span answer, struct span meta, struct err *e)
{
  enum status st = teacher_take(t, k, answer, e);
  return st == STATUS_OK ? teacher_keep(t, k, meta, e) : st;
}

void teacher_failed(struct teacher *t, struct ask *k, enum status why, const char *reason)
{
  (void)t;
  k->out = (struct answer){ .failed = why, .reason = reason, .finish = "" };
  k->state = ASK_PUT;
}

static enum status wake_followers(struct teacher *t, struct ask *leader, struct err *e)
{
  enum status st = STATUS_OK;
  for (size_t i = 0; i < t->ring_n && leader->followers > 0; i++) {
    struct ask *k = window_at(t, i);
    if (k->state != ASK_FOLLOWS || k->leader != leader) {
      continue;
    }
    leader->followers--;
    k->leader = NULL;
    k->state = ASK_READY;
    if (leader->out.failed != STATUS_OK) {
      k->out = (struct answer){ .failed = leader->out.failed, .reason = leader->out.reason, .finish = "" };
    } else {
      TRY(take_answer(t, k, leader->answer, 1, e));
      t->from_book++;
    }
  }
out:
  return st;
}

enum status teacher_turn(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  if (t->uncommitted > 0) {
    TRY(book_commit(t->book, e));
    t->uncommitted = 0;
  }
  for (size_t i = 0; i < t->ring_n; i++) {
    struct ask *k = window_at(t, i);
    if (k->state == ASK_PUT) {
      k->state = ASK_READY;
      TRY(wake_followers(t, k, e));
    }
  }
  while (t->ring_n > 0 && window_at(t, 0)->state == ASK_READY) {
    struct ask *k = window_at(t, 0);
    TRY(t->done(t->ctx, &k->q, &k->out, e));
    t->ring_head = (t->ring_head + 1) % t->ring_cap;
    t->ring_n--;
    size_t bytes = ask_bytes(k);
    t->window_bytes -= bytes < t->window_bytes ? bytes : t->window_bytes;
    keep_spare(t, k);
  }
out:
  return st;
}

enum status teacher_run(struct teacher *t, question_next next, answer_done done, void *ctx, struct err *e)
{
  enum status st = STATUS_OK;
  struct err own = { 0 };
  t->next = next;
  t->done = done;
  t->ctx = ctx;
  t->ended = t->uncommitted = 0;
  t->ring_n = t->ring_head = 0;
  t->ring_cap = WINDOW_ROWS;
  t->ring = mem_calloc(t->ring_cap, sizeof *t->ring);
  if (t->ring == NULL) {
    return err_nomem(e, t->ring_cap * sizeof *t->ring);
  }
  st = t->d->run(t, e);
  if (st == STATUS_OK) {
    st = teacher_turn(t, e);
  } else if (t->uncommitted > 0 && book_commit(t->book, &own) != STATUS_OK) { /* what was paid for is kept, whatever went wrong */
    log_error("answers of the last moment could not be kept: %s", own.msg);
  }
  drop_window(t);
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
  struct span *const text[] = { &to->content, &to->reasoning, &to->sampling_json };
  for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
    TRY(keep_text(text[i], a, e));
  }
  if (from->reason != NULL) { /* may lie in the question's memory */
    to->reason = arena_strndup(a, from->reason, strlen(from->reason));
    st = to->reason ? STATUS_OK : err_nomem(e, strlen(from->reason));
  }
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
