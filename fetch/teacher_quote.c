/* SPDX-License-Identifier: Apache-2.0
 * --dry-run: every question is built and looked up in the book, none is asked, and what asking would cost is said. Tokens are
 * counted by the teacher's own tokenizer where it is here (a local model), else bounded by the bytes of the requests. */
#include "log.h"
#include "price.h"
#include "teacher_dialect.h"

/* Bytes of a request a token, between code or CJK text and plain English with its JSON around it. */
#define BYTES_LEAST 2.0
#define BYTES_MOST 5.0

struct quote {
  uint64_t asks, counted;
  double bytes, in_tok, out_tok;
  int unpriced;
  double low_usd, high_usd;
};

static enum status add(struct teacher *t, struct quote *q, struct ask *k, struct err *e)
{
  enum status st = STATUS_OK;
  int64_t n = -1;
  if (t->d->count_tokens != NULL) {
    TRY(t->d->count_tokens(t, k, &n, e));
  }
  q->asks++;
  q->counted += n >= 0;
  q->in_tok += n >= 0 ? (double)n : 0;
  q->bytes += n >= 0 ? 0 : (double)k->body.n;
  q->out_tok += (double)k->q.sampling.max_tokens * (k->q.choices > 1 ? k->q.choices : 1);
out:
  return st;
}

static enum status say(struct teacher *t, struct quote *q, uint64_t all, struct err *e)
{
  enum status st = STATUS_OK;
  struct price p = { 0 };
  double low = q->in_tok + q->bytes / BYTES_MOST, high = q->in_tok + q->bytes / BYTES_LEAST;
  const char *who = !t->in_mix ? "" : t->label ? t->label : t->name, *sep = t->in_mix ? ": " : "";
  log_info("dry run: %s%s%llu questions, %llu in the book, %llu the same as another, %llu requests to send", who, sep, (unsigned long long)all,
           (unsigned long long)t->from_book, (unsigned long long)(all - t->from_book - q->asks), (unsigned long long)q->asks);
  if (q->counted == q->asks) {
    log_info("dry run: %s%s%.0f tokens in (counted by the teacher's tokenizer), at most %.0f out", who, sep, low, q->out_tok);
  } else {
    log_info("dry run: %s%s%.0f to %.0f tokens in (estimated: the teacher's tokenizer is not here; %.0f bytes of requests), at most %.0f out", who, sep, low, high,
             q->bytes, q->out_tok);
  }
  if (t->d->http == NULL && t->d != &dialect_batch) {
    return STATUS_OK; /* nobody to pay */
  }
  TRY(price_find(t->o.prices, t->subject.host, t->model, t->a, &p, e));
  q->unpriced = !p.known;
  if (!p.known) {
    log_info("dry run: %s%sthe price of '%s' is not known; name a table with --prices FILE", who, sep, t->model);
    goto out;
  }
  double part = t->d == &dialect_batch && p.batch > 0 ? p.batch : 1;
  q->low_usd = part * (double)price_micro_usd(&p, low, 0, q->out_tok / 10) / 1e6;
  q->high_usd = part * (double)price_micro_usd(&p, high, 0, q->out_tok) / 1e6;
  log_info("dry run: %s%s%.4f to %.4f USD (answers a tenth as long as allowed, to all at full length; %g in, %g out a million tokens%s, %s, read %s)", who, sep,
           q->low_usd, q->high_usd, p.in, p.out, part < 1 ? ", less as a batch" : "", p.read, p.date);
out:
  return st;
}

enum status teacher_quote_step(struct teacher *t, struct step *n, struct err *e)
{
  enum status st = STATUS_OK;
  if (t->quote == NULL && (t->quote = arena_calloc(t->a, 1, sizeof *t->quote)) == NULL) {
    return err_nomem(e, sizeof *t->quote);
  }
  t->deferred = 1; /* nothing is passed on as an answer, not even what the book has */
  for (int got = 1; got == 1;) {
    struct ask *k = NULL;
    t->pull_ahead = 64;
    TRY(teacher_pull(t, n->alone && t->ring_n == 0, &k, &got, e));
    if (got == 1) {
      TRY(add(t, t->quote, k, e));
      if (k->out.failed == STATUS_OK) { /* else it does not fit the model and was given back already */
        teacher_deferred(t, k);
      }
    }
    if (got != 1 || t->ring_n > 256) {
      TRY(teacher_turn(t, e));
    }
    n->done = got == 0;
  }
  n->until = 0.05;
out:
  return st;
}

enum status teacher_quote_end(struct teacher *t, enum status st, struct err *e)
{
  if (st == STATUS_OK) {
    st = teacher_turn(t, e);
  }
  return st == STATUS_OK && t->quote != NULL ? say(t, t->quote, t->pulled, e) : st;
}

void teacher_quote_sum(struct teacher *const *member, size_t n)
{
  double low = 0, high = 0;
  int unpriced = 0, paid = 0;
  for (size_t i = 0; i < n; i++) {
    const struct quote *q = member[i]->quote;
    unpriced |= q != NULL && q->unpriced;
    paid |= q != NULL && q->high_usd > 0;
    low += q ? q->low_usd : 0;
    high += q ? q->high_usd : 0;
  }
  if (paid && !unpriced) {
    log_info("dry run: all teachers: %.4f to %.4f USD", low, high);
  }
}
