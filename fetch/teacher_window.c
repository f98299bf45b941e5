/* SPDX-License-Identifier: Apache-2.0
 * The window of questions on their way: journal first, then a claim (so that no other process of the book asks the same), then the
 * dialect; answers go on in the order of the questions, each only after it was committed to the book. */
#include <time.h>
#include "hash.h"
#include "log.h"
#include "teacher_answer.h"
#include "teacher_control.h"
#include "teacher_pii.h"

#define WINDOW_ROWS 2048 /* at least: with a stuck row all of them are held, some 8 KB each (tests/bench/teacher_memory.sh) */
#define WINDOW_BYTES ((size_t)32 << 20)
#define BUCKETS 8192         /* of the window's keys; a power of two */
#define CLAIMS_AT_ONCE 64
#define ELSEWHERE_EVERY 0.25 /* seconds between looks at questions that other processes are asking */
#define TELL_AFTER 10.0      /* seconds of waiting for another process before it is said */

/* NEW: pulled. OURS: claimed, to be handed out. ELSEWHERE: another process asks it. PUT: answered, not yet committed. */
enum { ASK_NEW, ASK_OURS, ASK_ELSEWHERE, ASK_FLIGHT, ASK_PUT, ASK_READY, ASK_FOLLOWS };

static void ask_free(struct ask *k)
{
  if (k != NULL) {
    buf_free(&k->body);
    arena_free(k->a);
    mem_free(k);
  }
}

void teacher_window_drop(struct teacher *t)
{
  for (; t->ring_n > 0; t->ring_n--) {
    ask_free(t->ring[t->ring_head]);
    t->ring_head = (t->ring_head + 1) % t->ring_cap;
  }
  while (t->spare != NULL) {
    struct ask *next = t->spare->next;
    ask_free(t->spare);
    t->spare = next;
  }
  mem_free(t->ring);
  mem_free(t->bucket);
  t->ring = NULL;
  t->bucket = NULL;
  t->hand = t->hand_last = t->put = NULL;
  t->window_bytes = 0;
}

static struct ask *window_at(const struct teacher *t, size_t i)
{
  return t->ring[(t->ring_head + i) % t->ring_cap];
}

static enum status new_ask(struct teacher *t, struct ask **out, struct err *e)
{
  struct ask *k = t->spare;
  if (k != NULL) {
    t->spare = k->next;
    struct arena *a = k->a;
    struct buf body = k->body;
    *k = (struct ask){ .a = a, .body = body };
    buf_clear(&k->body);
    arena_reset(a);
  } else {
    k = mem_calloc(1, sizeof *k);
    if (k == NULL || (k->a = arena_new_small(512)) == NULL) {
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
  k->next = t->spare;
  t->spare = k;
}

static size_t ask_bytes(const struct ask *k)
{
  return k->body.n + k->answer.n + sizeof *k;
}

/* An answer that misses the form of the options fails its row; its text stays for whoever wants to see it. */
static void judge_form(const struct teacher *t, struct ask *k)
{
  struct err why = { 0 };
  int refused = k->out.finish && (strcmp(k->out.finish, "content_filter") == 0 || strcmp(k->out.finish, "refusal") == 0);
  if (t->form.kind == FORM_FREE || k->q.form.kind != t->form.kind || k->q.form.text.n != t->form.text.n ||
      memcmp(k->q.form.text.p, t->form.text.p, t->form.text.n) != 0 || k->out.failed != STATUS_OK || refused || k->q.kind != QUESTION_ANSWER) {
    return;
  }
  if (form_check(&t->form, k->out.content, &why) != STATUS_OK) {
    log_debug("an answer of '%s' has the wrong form: %s", t->name, why.msg);
    k->out.failed = STATUS_DATA;
    k->out.reason = "wrong form";
  }
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
  TRY(answer_finish(&k->out, e));
  judge_form(t, k);
  TRY(teacher_put_sampling(&k->q.sampling, &b, e));
  char *sampling = arena_strndup(k->a, b.p, b.n);
  if (sampling == NULL) {
    st = err_nomem(e, b.n);
    goto out;
  }
  k->out.sampling_json = (struct span){ sampling, b.n };
  memcpy(k->out.key, k->key, sizeof k->out.key);
  k->out.from_book = from_book;
  t->window_bytes += own.n;
  k->answer = own;
out:
  buf_free(&b);
  return st;
}

/* ---- the same question twice in one window ---- */

static struct ask **bucket_of(const struct teacher *t, const unsigned char *key)
{
  return &t->bucket[(key[0] | (size_t)key[1] << 8) & (BUCKETS - 1)];
}

static void out_of_bucket(struct teacher *t, struct ask *k)
{
  struct ask **p = bucket_of(t, k->key);
  while (*p != NULL && *p != k) {
    p = &(*p)->chain;
  }
  if (*p == k) {
    *p = k->chain;
  }
}

static void take_failure(struct ask *k, const struct ask *from)
{
  k->out = (struct answer){ .failed = from->out.failed, .reason = from->out.reason, .finish = "" };
}

/* A question that is in the window already is not asked twice: the younger one waits for the older one. */
static enum status follow_same(struct teacher *t, struct ask *k, int *followed, struct err *e)
{
  enum status st = STATUS_OK;
  struct ask *older = *bucket_of(t, k->key);
  while (older != NULL && (memcmp(older->key, k->key, 32) != 0 || older->body.n != k->body.n || memcmp(older->body.p, k->body.p, k->body.n) != 0)) {
    older = older->chain;
  }
  *followed = older != NULL;
  if (older == NULL) {
    struct ask **head = bucket_of(t, k->key);
    k->chain = *head;
    *head = k;
  } else if (older->state != ASK_READY) {
    k->state = ASK_FOLLOWS;
    k->leader = older;
    older->followers++;
  } else if (older->out.failed != STATUS_OK) {
    take_failure(k, older);
    k->state = ASK_READY;
  } else {
    TRY(take_answer(t, k, older->answer, 1, e));
    k->state = ASK_READY;
    t->from_book++;
  }
out:
  return st;
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
      take_failure(k, leader);
    } else {
      TRY(take_answer(t, k, leader->answer, 1, e));
      t->from_book++;
    }
  }
out:
  return st;
}

/* ---- journal and claims ---- */

static void set_put(struct teacher *t, struct ask *k)
{
  k->state = ASK_PUT;
  k->next = t->put;
  t->put = k;
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
    set_put(t, k); /* the next turn passes it on, and wakes who follows */
    t->from_book++;
  }
out:
  return st;
}

static void to_hand(struct teacher *t, struct ask *k)
{
  k->state = ASK_OURS;
  k->next = NULL;
  if (t->hand == NULL) {
    t->hand = k;
  } else {
    t->hand_last->next = k;
  }
  t->hand_last = k;
}

/* New ones and those that others were asking: claimed, answered meanwhile, or (still) asked elsewhere. */
static enum status claim(struct teacher *t, struct ask **list, size_t n, struct err *e)
{
  enum status st = STATUS_OK;
  struct book_claim c[CLAIMS_AT_ONCE];
  if (n == 0) {
    return STATUS_OK;
  }
  for (size_t i = 0; i < n; i++) {
    c[i] = (struct book_claim){ list[i]->key, CLAIM_OURS };
  }
  if (t->book != NULL && !t->d->unrecorded && !t->o.dry_run) {
    TRY(book_claim(t->book, c, n, e));
  }
  for (size_t i = 0; i < n; i++) {
    struct ask *k = list[i];
    int found = 0;
    if (c[i].state == CLAIM_ELSEWHERE) {
      t->n_elsewhere += k->state == ASK_NEW;
      k->state = ASK_ELSEWHERE;
      continue;
    }
    t->n_elsewhere -= k->state == ASK_ELSEWHERE;
    if (c[i].state == CLAIM_ANSWERED) {
      TRY(look_up(t, k, &found, e));
    }
    if (!found) {
      to_hand(t, k);
    }
  }
out:
  return st;
}

static enum status look_elsewhere(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct ask *list[CLAIMS_AT_ONCE];
  size_t n = 0, left = t->n_elsewhere;
  double now = clock_seconds();
  if (left == 0) {
    t->elsewhere_since = 0;
    return STATUS_OK;
  }
  if (now - t->elsewhere_looked < ELSEWHERE_EVERY) {
    return STATUS_OK;
  }
  t->elsewhere_looked = now;
  t->elsewhere_since = t->elsewhere_since > 0 ? t->elsewhere_since : now;
  if (now - t->elsewhere_since > TELL_AFTER && !t->elsewhere_told) {
    log_info("waiting for %zu answers that another process of this book is asking for", left);
    t->elsewhere_told = 1;
  }
  for (size_t i = 0; i < t->ring_n && left > 0; i++) {
    if (window_at(t, i)->state != ASK_ELSEWHERE) {
      continue;
    }
    left--;
    list[n++] = window_at(t, i);
    if (n == CLAIMS_AT_ONCE) {
      TRY(claim(t, list, n, e));
      n = 0;
    }
  }
  TRY(claim(t, list, n, e));
out:
  return st;
}

/* ---- pulling ---- */

/* One question into the window; *k = NULL when it needs no asking (journal, or the same one is on its way). */
static enum status pull_one(struct teacher *t, int wait, struct ask **out, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct ask *k = NULL, *loose = NULL; /* loose: not in the window yet */
  struct err own = { 0 };
  uint32_t first = 0;
  int found = 0, unfit = 0, refused = 0, control = 0;
  *out = NULL;
  TRY(new_ask(t, &k, e));
  loose = k;
  st = t->next(t->ctx, wait, &k->q, got, e);
  if (st == STATUS_OK && *got == 1) {
    if (k->q.form.kind == FORM_FREE && k->q.kind == QUESTION_ANSWER) {
      k->q.form = t->form;
    }
    TRY(teacher_pii_check(t, &k->q, k->a, &refused, e));
    if (k->q.body.p == NULL) {
      TRY(teacher_control_check(t, &k->q, k->a, &control, e));
    }
    refused |= control;
    first = k->q.body.p != NULL ? k->q.ordinal : teacher_group_choices(t, &k->q);
    st = refused ? STATUS_DATA : k->q.body.p != NULL ? buf_put(&k->body, k->q.body.p, k->q.body.n, &own) : t->body_of->body(t, &k->q, &k->body, &own);
    unfit = st == STATUS_DATA; /* cannot be put to this teacher: the row fails, not the run */
    st = st == STATUS_OK || unfit ? STATUS_OK : err_set(e, st, "%s", own.msg);
  }
  if (st != STATUS_OK || *got != 1) {
    keep_spare(t, k);
    return st;
  }
  k->state = ASK_NEW;
  t->pulled++;
  t->ring[(t->ring_head + t->ring_n++) % t->ring_cap] = k;
  loose = NULL;
  t->window_bytes += ask_bytes(k);
  if (unfit) {
    if (!refused) {
      log_warn("a question cannot be put to '%s': %s", t->name, own.msg);
    }
    k->out = (struct answer){ .failed = STATUS_DATA, .reason = control ? "control token" : refused ? "personal data" : "bad messages", .finish = "" };
    set_put(t, k);
    return STATUS_OK;
  }
  if (!book_key((struct span){ t->identity, strlen(t->identity) }, (struct span){ k->body.p, k->body.n }, first, k->key)) {
    return err_nomem(e, 256); /* under another key a paid answer would be lost */
  }
  TRY(follow_same(t, k, &found, e));
  if (!found) {
    TRY(look_up(t, k, &found, e));
  }
  *out = found ? NULL : k;
out:
  ask_free(loose);
  return st;
}

/* Reads ahead as many questions as the dialect can take, so that they are claimed in one go. */
static enum status fill(struct teacher *t, int wait, struct err *e)
{
  enum status st = STATUS_OK;
  struct ask *list[CLAIMS_AT_ONCE];
  size_t n = 0, most = t->pull_ahead < 1 ? 1 : t->pull_ahead > CLAIMS_AT_ONCE ? CLAIMS_AT_ONCE : t->pull_ahead;
  while (!t->ended && n < most && t->ring_n < t->ring_cap && (t->ring_n == 0 || t->window_bytes <= WINDOW_BYTES)) {
    int got = 0;
    st = pull_one(t, wait, &list[n], &got, e);
    if (st != STATUS_OK || got != 1) {
      t->ended = st == STATUS_OK && got == 0;
      t->later = st == STATUS_OK && got == QUESTION_LATER;
      break;
    }
    n += list[n] != NULL;
    wait = 0; /* something can be asked or passed on: no sleeping on input before that */
  }
  if (st == STATUS_OK) {
    st = claim(t, list, n, e);
  }
  return st;
}

enum status teacher_pull(struct teacher *t, int wait, struct ask **out, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  *got = 0;
  TRY(look_elsewhere(t, e));
  if (t->hand == NULL) {
    TRY(fill(t, wait && t->n_elsewhere == 0, e));
  }
  if (t->hand == NULL) {
    *got = t->ended && t->n_elsewhere == 0 ? 0 : -1;
    goto out;
  }
  struct ask *k = t->hand;
  t->hand = k->next;
  k->next = NULL;
  k->state = ASK_FLIGHT;
  t->asked++;
  *out = k;
  *got = 1;
out:
  return st;
}

int teacher_wants_input(const struct teacher *t)
{
  return !t->ended && !t->later && t->ring_n < t->ring_cap && (t->ring_n == 0 || t->window_bytes <= WINDOW_BYTES);
}

/* ---- giving back ---- */

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
  set_put(t, k);
  return STATUS_OK;
}

enum status teacher_answered(struct teacher *t, struct ask *k, struct span answer, struct span meta, struct err *e)
{
  enum status st = teacher_take(t, k, answer, e);
  return st == STATUS_OK ? teacher_keep(t, k, meta, e) : st;
}

/* The book keeps the question and why it failed, for `retort book retry`; it also ends the claim. */
static enum status note_failure(struct teacher *t, struct ask *k, const char *reason, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf meta = { 0 };
  TRY(buf_puts(&meta, "{\"identity\":", e));
  TRY(json_put_cstr(&meta, t->identity, e));
  TRY(buf_printf(&meta, e, ",\"ordinal\":%u,\"reason\":", k->q.ordinal));
  TRY(json_put_cstr(&meta, reason, e));
  TRY(buf_printf(&meta, e, ",\"time\":%lld}", (long long)time(NULL)));
  struct book_answer ans = { { k->body.p, k->body.n }, { "", 0 }, { meta.p, meta.n } };
  TRY(book_put_failed(t->book, k->key, &ans, e));
  t->uncommitted++;
out:
  buf_free(&meta);
  return st;
}

void teacher_failed(struct teacher *t, struct ask *k, enum status why, const char *reason)
{
  struct err own = { 0 };
  k->out = (struct answer){ .failed = why, .reason = reason, .finish = "" };
  set_put(t, k);
  if (t->book != NULL && !t->d->unrecorded && !t->o.dry_run && note_failure(t, k, reason, &own) != STATUS_OK) {
    log_error("a failed question could not be noted in the book: %s", own.msg); /* the next commit says so too, and ends the run */
  }
}

#define WAITS_FOR_A_BATCH "waits for a batch"

void teacher_deferred(struct teacher *t, struct ask *k)
{
  k->out = (struct answer){ .failed = STATUS_STOPPED, .reason = WAITS_FOR_A_BATCH, .finish = "" };
  t->asked--;
  set_put(t, k);
}

void teacher_unordered(struct teacher *t)
{
  t->unordered = 1;
}

/* k is out of the ring already: the stage may ask again from within done. */
static enum status hand_back(struct teacher *t, struct ask *k, struct err *e)
{
  t->deferred |= k->out.failed == STATUS_STOPPED;
  if (t->deferred && !t->in_mix) {
    k->out = (struct answer){ .failed = STATUS_STOPPED, .reason = t->o.dry_run ? "dry run" : WAITS_FOR_A_BATCH, .finish = "" };
  }
  t->later = 0;
  enum status st = t->done(t->ctx, &k->q, &k->out, e);
  out_of_bucket(t, k);
  size_t bytes = ask_bytes(k);
  t->window_bytes -= bytes < t->window_bytes ? bytes : t->window_bytes;
  keep_spare(t, k);
  return st;
}

/* Whatever is ready, leaving the others in their order. */
static enum status hand_back_any(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  size_t left = 0, n = t->ring_n;
  for (size_t i = 0; i < n; i++) {
    struct ask *k = window_at(t, i);
    if (st == STATUS_OK && k->state == ASK_READY) {
      t->ring_n--;
      st = hand_back(t, k, e);
    } else {
      t->ring[(t->ring_head + left++) % t->ring_cap] = k;
    }
  }
  return st;
}

enum status teacher_turn(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  if (t->uncommitted > 0) {
    TRY(book_commit(t->book, e));
    t->uncommitted = 0;
  }
  while (t->put != NULL) {
    struct ask *k = t->put;
    t->put = k->next;
    k->state = ASK_READY;
    TRY(wake_followers(t, k, e));
  }
  while (t->ring_n > 0 && window_at(t, 0)->state == ASK_READY) {
    struct ask *k = window_at(t, 0);
    t->ring_head = (t->ring_head + 1) % t->ring_cap;
    t->ring_n--;
    TRY(hand_back(t, k, e));
  }
  if (t->unordered && !t->deferred) {
    TRY(hand_back_any(t, e));
  }
out:
  return st;
}

enum status teacher_window_start(struct teacher *t, struct err *e)
{
  t->ended = t->uncommitted = t->later = 0;
  t->ring_n = t->ring_head = 0;
  t->n_elsewhere = 0;
  t->deferred = 0;
  t->elsewhere_since = t->elsewhere_looked = 0;
  t->hand = t->hand_last = t->put = NULL;
  t->ring_cap = 2 * t->o.concurrency > WINDOW_ROWS ? (size_t)(2 * t->o.concurrency) : WINDOW_ROWS;
  t->ring = mem_calloc(t->ring_cap, sizeof *t->ring);
  t->bucket = mem_calloc(BUCKETS, sizeof *t->bucket);
  return t->ring && t->bucket ? STATUS_OK : err_nomem(e, t->ring_cap * sizeof *t->ring);
}
