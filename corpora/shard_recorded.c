/* SPDX-License-Identifier: Apache-2.0
 * The server's tokens and ours are compared by bytes and place; both spell the same answer. */
#include "shard_recorded.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "hash.h"
#include "json.h"
#include "teacher.h"

#define FLOOR (-100.0) /* of a log-probability: what pads a target with fewer than K alternatives, and servers' -9999 */
#define MASS_OVER 0.01 /* servers round */

struct recorded {
  struct teacher *t;
  const struct tokenizer *tok;
  int32_t top_k;
  int32_t *slot; /* id + 1 by hash of its bytes */
  size_t slots;
  atomic_ullong with, without;
};

int recorded_is(const char *teacher) { return strncmp(teacher, "replay:", 7) == 0; }

static enum status index_tokens(struct recorded *r, struct err *e) {
  int32_t n = tokenizer_vocab(r->tok);
  for (r->slots = 64; r->slots < 2 * (size_t)n;) r->slots *= 2;
  if ((r->slot = mem_calloc(r->slots, sizeof *r->slot)) == NULL) return err_nomem(e, r->slots * sizeof *r->slot);
  for (int32_t id = 0; id < n; id++) { /* of equal ones the first stays */
    struct span b = tokenizer_token_bytes(r->tok, id);
    if (b.n == 0) continue;
    size_t at = xxh3(b.p, b.n) & (r->slots - 1);
    while (r->slot[at] && !span_equal(tokenizer_token_bytes(r->tok, r->slot[at] - 1), b)) at = (at + 1) & (r->slots - 1);
    if (!r->slot[at]) r->slot[at] = id + 1;
  }
  return STATUS_OK;
}

static int32_t id_of(const struct recorded *r, struct span b) {
  size_t at = xxh3(b.p, b.n) & (r->slots - 1);
  while (r->slot[at] && !span_equal(tokenizer_token_bytes(r->tok, r->slot[at] - 1), b)) at = (at + 1) & (r->slots - 1);
  return r->slot[at] - 1;
}

enum status recorded_open(const char *teacher, int32_t top_k, const struct tokenizer *tok, const char *stated, const char *accept, struct recorded **out,
                          struct err *e) {
  enum status st = STATUS_OK;
  struct recorded *r = *out = mem_calloc(1, sizeof *r);
  if (!r) return err_nomem(e, sizeof *r);
  r->tok = tok;
  r->top_k = top_k;
  struct teacher_options o = { .teachers = { &teacher, 1 }, .stated_terms = { stated ? &stated : NULL, stated != NULL }, .choices = 1, .key_fd = -1, .max_usd = -1, .pii = "allow" };
  TRY(teacher_open(&o, NULL, accept, &r->t, e));
  if (top_k > tokenizer_vocab(tok)) {
    st = err_set(e, STATUS_USAGE, "'--targets topk:%d': the tokenizer has %d tokens", top_k, tokenizer_vocab(tok));
    goto out;
  }
  TRY(index_tokens(r, e));
out:
  return st;
}

void recorded_close(struct recorded *r) {
  if (!r) return;
  teacher_close(r->t);
  mem_free(r->slot);
  mem_free(r);
}

const char *recorded_name(const struct recorded *r) { return teacher_name(r->t); }
const char *recorded_identity(const struct recorded *r) { return teacher_identity(r->t); }
const char *recorded_terms(const struct recorded *r) { return teacher_terms(r->t); }

void recorded_counts(const struct recorded *r, uint64_t *with, uint64_t *without) {
  *with = atomic_load(&r->with);
  *without = atomic_load(&r->without);
}

/* ---- the row and what was asked ---- */
static enum status row_string(const struct document *d, const char *path, struct span *out, struct err *e) {
  enum status st = record_path(&d->rec, path, d->a, out, e);
  if (st == STATUS_OK && span_type(*out) == 's') st = span_string(*out, d->a, out, e);
  return st;
}

/* The row's last message is the answer; those before it are the request's. */
static enum status last_message(struct document *d, struct json **row, struct span *content, struct err *e) {
  struct span messages;
  enum status st = record_messages(&d->rec, d->a, &messages, e);
  *content = (struct span){ NULL, 0 };
  if (st != STATUS_OK || !messages.p) return st;
  TRY(json_parse(messages, "messages", row, e));
  const struct json *last = json_at(*row, json_size(*row) - 1);
  if (json_size(*row) > 0 && strcmp(json_cstr(json_get(last, "role"), ""), "assistant") == 0) *content = json_str(json_get(last, "content"));
out:
  return st;
}

static int same_string(const struct json *x, const struct json *y, const char *key) {
  struct span a = json_str(json_get(x, key)), b = json_str(json_get(y, key));
  return a.p && b.p && span_equal(a, b);
}

static enum status same_context(const struct json *row, struct span body, int *same, struct err *e) {
  struct json *asked = NULL;
  enum status st = json_parse(body, "request", &asked, e);
  if (st != STATUS_OK) return st;
  const struct json *m = json_get(asked, "messages");
  size_t n = json_size(row) - 1;
  *same = json_type(m) == JSON_ARRAY && json_size(m) == n;
  for (size_t i = 0; *same && i < n; i++)
    *same = same_string(json_at(row, i), json_at(m, i), "role") && same_string(json_at(row, i), json_at(m, i), "content");
  json_free(asked);
  return STATUS_OK;
}

/* ---- one token ---- */
struct entry { double logprob; int32_t id; };

static int likelier(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  return x->logprob != y->logprob ? (x->logprob < y->logprob) - (x->logprob > y->logprob) : (x->id > y->id) - (x->id < y->id);
}

static size_t put_entry(struct entry *v, size_t n, int32_t id, double logprob) {
  if (id < 0 || isnan(logprob)) return n;
  for (size_t i = 0; i < n; i++)
    if (v[i].id == id) return n;
  v[n] = (struct entry){ logprob < FLOOR ? FLOOR : logprob > 0 ? 0 : logprob, id };
  return n + 1;
}

static int holds(const int32_t *id, size_t n, int32_t x) {
  for (size_t i = 0; i < n; i++)
    if (id[i] == x) return 1;
  return 0;
}

/* The k best, padded with ids that are not among them; the rest is what remains of 1. */
static enum status put_target(const struct recorded *r, struct document *d, struct entry *v, size_t n, struct err *e) {
  struct row_targets *t = &d->targets;
  size_t k = (size_t)r->top_k, at = t->n * k;
  double mass = 0;
  qsort(v, n, sizeof *v, likelier);
  if (n > k) n = k;
  for (size_t i = 0; i < n; i++) mass += exp(v[i].logprob);
  if (mass > 1 + MASS_OVER) return err_set(e, STATUS_DATA, "the recorded probabilities of one token sum to %.4f, expected at most 1", mass);
  double shift = mass > 1 ? log(mass) : 0;
  int32_t pad = 0;
  for (size_t i = 0; i < k; i++) {
    if (i >= n)
      while (holds(t->top_id + at, i, pad)) pad++;
    t->top_id[at + i] = i < n ? v[i].id : pad;
    t->top_logprob[at + i] = (float)(i < n && v[i].logprob - shift > FLOOR ? v[i].logprob - shift : FLOOR);
  }
  double rest = mass < 1 ? log1p(-mass) : FLOOR;
  t->rest[t->n++] = (float)(rest > FLOOR ? rest : FLOOR);
  return STATUS_OK;
}

static enum status told(const struct recorded *r, struct document *d, const struct token_logprob *s, int *has, struct err *e) {
  struct entry *v = arena_alloc(d->a, (s->n_top + 1) * sizeof *v);
  if (!v) return err_nomem(e, s->n_top * sizeof *v);
  size_t n = put_entry(v, 0, id_of(r, s->token), s->logprob);
  for (size_t i = 0; i < s->n_top; i++) n = put_entry(v, n, id_of(r, s->top[i].token), s->top[i].logprob);
  *has = n > 0;
  return n ? put_target(r, d, v, n, e) : STATUS_OK;
}

/* ---- the answer ---- */
/* Where the last run of tokens in the loss begins: the answer and what ends its turn. */
static size_t answer_start(const struct document *d) {
  size_t i = d->n;
  while (i > 1 && !d->mask[i - 1]) i--;
  while (i > 1 && d->mask[i - 1]) i--;
  return i;
}

static enum status join_tokens(struct recorded *r, struct document *d, const struct answer *a, struct err *e) {
  enum status st = STATUS_OK;
  const struct token_logprobs *l = &a->logprobs;
  size_t first = answer_start(d), j = 0, server = 0, ours = 0, with = 0, without = 0, whole = 0;
  for (size_t i = 0; i < l->n; i++) { /* the tokens spell the answer from its start; reasoning in front would be another context */
    struct span b = l->tok[i].token;
    size_t n = whole >= a->content.n ? 0 : a->content.n - whole < b.n ? a->content.n - whole : b.n;
    if (n && memcmp(a->content.p + whole, b.p, n) != 0) break;
    whole += b.n;
  }
  if (whole < a->content.n) {
    d->reason = "other_text";
    goto out;
  }
  for (size_t i = 1; i < first; i++) without += d->mask[i], d->mask[i] = 0; /* turns before: their log-probabilities are not this answer's */
  for (size_t i = first; i < d->n && d->mask[i]; i++) {
    struct span b = tokenizer_token_bytes(r->tok, d->ids[i]);
    int has = 0, ends = tokenizer_is_special(r->tok, d->ids[i]);
    while (j < l->n && server < ours) server += l->tok[j++].token.n;
    if (j < l->n && server == ours && span_equal(l->tok[j].token, b)) {
      TRY(told(r, d, &l->tok[j], &has, e));
    } else if (ends && ours >= a->content.n && strcmp(a->finish, "stop") == 0) {
      struct entry v = { 0, d->ids[i] };
      TRY(put_target(r, d, &v, 1, e));
      has = 1;
    }
    if (!ends && (ours + b.n > a->content.n || memcmp(a->content.p + ours, b.p, b.n) != 0)) { /* the template changed it */
      d->reason = "other_text";
      goto out;
    }
    ours += b.n;
    d->mask[i] = (unsigned char)has;
    with += (size_t)has;
    without += !has;
  }
  atomic_fetch_add(&r->with, with);
  atomic_fetch_add(&r->without, without);
  if (with == 0) d->reason = "no_logprobs";
out:
  return st;
}

static enum status make_room(const struct recorded *r, struct document *d, struct err *e) {
  size_t n = 0, k = (size_t)r->top_k;
  for (size_t i = 1; i < d->n; i++) n += d->mask[i] != 0;
  struct row_targets *t = &d->targets;
  *t = (struct row_targets){ .k = r->top_k };
  t->top_id = arena_alloc(d->a, (n + 1) * k * sizeof *t->top_id);
  t->top_logprob = arena_alloc(d->a, (n + 1) * k * sizeof *t->top_logprob);
  t->rest = arena_alloc(d->a, (n + 1) * sizeof *t->rest);
  return t->top_id && t->top_logprob && t->rest ? STATUS_OK : err_nomem(e, n * k * 8);
}

enum status recorded_join(struct recorded *r, struct document *d, struct err *e) {
  enum status st = STATUS_OK;
  struct span hex, identity, content, body;
  struct json *row = NULL;
  struct answer a = { 0 };
  unsigned char key[32];
  int found = 0, same = 0;
  TRY(row_string(d, "teacher.key", &hex, e));
  TRY(row_string(d, "teacher.identity", &identity, e));
  TRY(last_message(d, &row, &content, e));
  if (!hex.p || hex.n != 64 || !content.p || !hash_unhex(hex.p, 32, key)) {
    d->reason = "no_recorded_answer";
    goto out;
  }
  if (identity.p && !span_is(identity, recorded_identity(r))) {
    d->reason = "other_teacher";
    goto out;
  }
  st = teacher_recorded(r->t, key, content, d->a, &a, &body, &found, e);
  if (st != STATUS_OK) {
    err_prefix(e, "the recorded answer %.16s…", hex.p);
    goto out;
  }
  if (found) TRY(same_context(row, body, &same, e));
  if (!found) d->reason = "no_recorded_answer";
  else if (a.logprobs.n == 0) d->reason = "no_logprobs";
  else if (!same) d->reason = "other_context";
  else if (!span_equal(a.content, content)) d->reason = "other_text";
  if (d->reason) goto out;
  TRY(make_room(r, d, e));
  TRY(join_tokens(r, d, &a, e));
out:
  json_free(row);
  return st;
}
