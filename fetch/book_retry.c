/* SPDX-License-Identifier: Apache-2.0
 * Failed questions asked once more; see book_retry.h. The request goes out byte for byte as the book keeps it, under its old key: the
 * row's next run looks under that key. Everything else (journal, claims, money, limits) is the teacher's as in any stage. */
#include "book_retry.h"
#include <inttypes.h>
#include "book.h"
#include "json.h"
#include "log.h"
#include "teacher_dialect.h"

enum { TALLY_ROWS = 12, CHOICES_MAX = 128 };
struct tally { struct { char name[120]; size_t n; } row[TALLY_ROWS]; size_t n, others; };

struct retry {
  struct book *book;
  struct book_failed *list;
  size_t n, at;
  struct teacher *t;
  struct retry_one *spare, *made;
  struct tally reasons;      /* of those that failed again */
  size_t answered, waiting;  /* waiting: of a dry run */
};

/* One question of the list; lives until its answer came. */
struct retry_one {
  struct arena *a;
  unsigned char key[32];
  struct book_answer was;
  struct span identity;
  uint32_t ordinal;
  const char *reason;
  struct retry_one *next, *next_made; /* free ones; all ever made */
};

static void count(struct tally *t, struct span name)
{
  size_t i = 0, n = name.n < sizeof t->row[0].name - 1 ? name.n : sizeof t->row[0].name - 1;
  while (i < t->n && (strlen(t->row[i].name) != n || memcmp(t->row[i].name, name.p, n) != 0)) {
    i++;
  }
  if (i == TALLY_ROWS) {
    t->others++;
    return;
  }
  if (i == t->n) {
    memcpy(t->row[i].name, name.p, n);
    t->row[i].name[n] = '\0';
    t->n++;
  }
  t->row[i].n++;
}

static void tally_text(const struct tally *t, char *out, size_t cap)
{
  size_t n = 0;
  out[0] = '\0';
  for (size_t i = 0; i < t->n && n < cap; i++) {
    n += (size_t)snprintf(out + n, cap - n, "%s%s %zu", i ? ", " : "", t->row[i].name, t->row[i].n);
  }
  if (t->others > 0 && n < cap) {
    snprintf(out + n, cap - n, ", others %zu", t->others);
  }
}

static enum status new_one(struct retry *r, struct retry_one **out, struct err *e)
{
  struct retry_one *k = r->spare;
  if (k != NULL) {
    r->spare = k->next;
    arena_reset(k->a);
  } else {
    k = mem_calloc(1, sizeof *k);
    if (k == NULL || (k->a = arena_new(0)) == NULL) {
      mem_free(k);
      return err_nomem(e, sizeof *k);
    }
    k->next_made = r->made;
    r->made = k;
  }
  *out = k;
  return STATUS_OK;
}

static void keep_one(struct retry *r, struct retry_one *k)
{
  if (k != NULL) {
    k->next = r->spare;
    r->spare = k;
  }
}

static enum status load(struct retry *r, size_t i, struct retry_one **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *meta = NULL;
  struct retry_one *k = NULL;
  *out = NULL;
  TRY(new_one(r, &k, e));
  TRY(book_failed_at(r->book, r->list, i, k->key, k->a, &k->was, e));
  TRY(json_parse(k->was.meta, "meta of a failed question", &meta, e));
  struct span id = json_str(json_get(meta, "identity"));
  k->identity = (struct span){ arena_strndup(k->a, id.p ? id.p : "", id.n), id.n };
  k->reason = arena_printf(k->a, "%s", json_cstr(json_get(meta, "reason"), "unknown"));
  k->ordinal = (uint32_t)json_int(json_get(meta, "ordinal"), 0);
  st = k->identity.p && k->reason ? STATUS_OK : err_nomem(e, id.n);
out:
  json_free(meta);
  if (st != STATUS_OK) {
    keep_one(r, k);
  } else {
    *out = k;
  }
  return st;
}

/* The note names the sample that was asked; the key is that of its request, which may hold the samples before it (--choices). */
static int find_ordinal(const struct retry_one *k, uint32_t *ordinal)
{
  unsigned char key[32];
  for (uint32_t back = 0; back < CHOICES_MAX && back <= k->ordinal; back++) {
    *ordinal = k->ordinal - back;
    if (book_key(k->identity, k->was.body, *ordinal, key) && memcmp(key, k->key, sizeof key) == 0) {
      return 1;
    }
  }
  return 0;
}

/* What the engine must know of a request that it did not write: for the bound of its price, and how its answer is read. */
static enum status read_request(struct retry_one *k, struct question *q, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *j = NULL;
  struct span text;
  TRY(json_parse(k->was.body, "a failed question", &j, e));
  int64_t most = json_int(json_get(j, "max_tokens"), json_int(json_get(j, "max_completion_tokens"), 0)), n = json_int(json_get(j, "n"), 1);
  q->sampling.max_tokens = most;
  q->choices = n > 1 && n <= CHOICES_MAX ? (uint32_t)n : 0;
  if (json_bool(json_get(j, "echo"), 0) || json_get(j, "prompt_logprobs") != NULL) {
    text = json_str(json_get(j, "prompt"));
    q->kind = QUESTION_SCORE;
    q->text = (struct span){ arena_strndup(k->a, text.p ? text.p : "", text.n), text.n };
    st = q->text.p ? STATUS_OK : err_nomem(e, text.n);
  }
out:
  json_free(j);
  return st;
}

static enum status next_question(void *ctx, int wait, struct question *q, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct retry *r = ctx;
  struct retry_one *k = NULL;
  const char *identity = teacher_identity(r->t);
  uint32_t ordinal = 0;
  (void)wait; /* nothing here sleeps */
  *got = 0;
  while (r->at < r->n) {
    keep_one(r, k);
    k = NULL;
    TRY(load(r, r->at++, &k, e));
    if (!span_is(k->identity, identity)) {
      continue;
    }
    if (!find_ordinal(k, &ordinal)) {
      log_warn("a failed question is of a version of retort that kept too little of it: run its own command again");
      count(&r->reasons, (struct span){ "unknown sample", 14 });
      continue;
    }
    *q = (struct question){ .kind = QUESTION_ANSWER, .ordinal = ordinal, .body = k->was.body, .user = k };
    TRY(read_request(k, q, e));
    q->messages = k->was.body; /* all of its texts are looked at under --pii; nothing else reads them */
    *got = 1;
    return STATUS_OK;
  }
out:
  keep_one(r, k);
  return st;
}

static enum status got_answer(void *ctx, const struct question *q, const struct answer *a, struct err *e)
{
  struct retry *r = ctx;
  (void)e;
  if (a->failed == STATUS_OK) {
    r->answered++;
  } else if (a->failed == STATUS_STOPPED) {
    r->waiting++;
  } else {
    count(&r->reasons, (struct span){ a->reason, strlen(a->reason) });
  }
  keep_one(r, q->user);
  return STATUS_OK;
}

/* By whom the failed questions were asked, and why they failed. */
static enum status survey(struct retry *r, struct tally *who, struct tally *why, struct err *e)
{
  enum status st = STATUS_OK;
  for (size_t i = 0; i < r->n; i++) {
    struct retry_one *k = NULL;
    TRY(load(r, i, &k, e));
    count(who, k->identity);
    count(why, (struct span){ k->reason, strlen(k->reason) });
    keep_one(r, k);
  }
out:
  return st;
}

static enum status ask_teacher(struct retry *r, struct ctx *c, const struct teacher_options *o, size_t which, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher_options own = *o;
  uint64_t asked = 0, from_book = 0;
  if (o->pii != NULL && strcmp(o->pii, "mask") == 0) {
    own.pii = "refuse"; /* a masked request would be another question than the row asks */
  }
  TRY(teacher_open_one(&own, which, r->book, ctx_common(c)->accept_terms, &r->t, e));
  if (r->t->d->http == NULL) { /* local, replay, batch */
    st = err_set(e, STATUS_USAGE, "'%s' is not a server that answers at once: failed questions of other teachers are asked again by running their command again", teacher_name(r->t));
    goto out;
  }
  r->at = 0;
  st = teacher_run(r->t, next_question, got_answer, r, e);
  teacher_counts(r->t, &asked, &from_book);
  log_info("'%s': %" PRIu64 " questions asked again, %" PRIu64 " were answered meanwhile", teacher_name(r->t), asked, from_book);
out:
  teacher_close(r->t);
  r->t = NULL;
  return st;
}

enum status book_retry(struct ctx *c, const char *path, const struct teacher_options *o, struct err *e)
{
  enum status st = STATUS_OK;
  struct retry r = { 0 };
  struct tally who = { 0 }, why = { 0 };
  struct err closing = { 0 };
  char text[800];
  if (o->mix != NULL) {
    return err_set(e, STATUS_USAGE, "--mix: each teacher of 'retry' is asked its own questions; leave it out");
  }
  TRY(book_open(path, BOOK_READ, &r.book, e)); /* a wrong name must not make a book */
  TRY(book_failed_list(r.book, &r.list, &r.n, e));
  TRY(survey(&r, &who, &why, e));
  if (r.n == 0) {
    log_info("'%s': no question failed without having been answered since", path);
    goto out;
  }
  tally_text(&why, text, sizeof text);
  log_info("'%s': %zu failed questions without an answer (%s)", path, r.n, text);
  tally_text(&who, text, sizeof text);
  if (o->teachers.n == 0) {
    st = err_set(e, STATUS_USAGE, "no teacher: name with --teacher who is to be asked again; failed questions were put to: %s", text);
    goto out;
  }
  struct book *looked_at = r.book;
  r.book = NULL;
  TRY(book_close(looked_at, e));
  book_failed_free(r.list);
  r.list = NULL;
  TRY(book_open(path, BOOK_READ | BOOK_CREATE, &r.book, e));
  book_spender(r.book, "book");
  TRY(book_failed_list(r.book, &r.list, &r.n, e));
  for (size_t i = 0; i < o->teachers.n; i++) {
    TRY(ask_teacher(&r, c, o, i, e));
  }
  size_t failed = r.n - r.answered - r.waiting;
  tally_text(&r.reasons, text, sizeof text);
  if (r.answered > 0) {
    log_info("%zu failed questions have an answer now: run the command they belong to again, it finds them in the book", r.answered);
  }
  if (failed > 0 && r.waiting == 0) {
    st = err_set(e, STATUS_DATA, "'%s': %zu of %zu failed questions are still without an answer (%s)", path, failed, r.n, text[0] ? text : "they were put to other teachers");
  }
out:
  while (r.made != NULL) {
    struct retry_one *next = r.made->next_made;
    arena_free(r.made->a);
    mem_free(r.made);
    r.made = next;
  }
  book_failed_free(r.list);
  if (r.book != NULL && book_close(r.book, &closing) != STATUS_OK && st == STATUS_OK) {
    st = err_set(e, closing.code, "%s", closing.msg);
  }
  return st;
}
