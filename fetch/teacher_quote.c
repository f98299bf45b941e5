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

static enum status say(struct teacher *t, const struct quote *q, uint64_t all, struct err *e)
{
  enum status st = STATUS_OK;
  struct price p = { 0 };
  double low = q->in_tok + q->bytes / BYTES_MOST, high = q->in_tok + q->bytes / BYTES_LEAST;
  log_info("dry run: %llu questions, %llu in the book, %llu the same as another, %llu requests to send", (unsigned long long)all,
           (unsigned long long)t->from_book, (unsigned long long)(all - t->from_book - q->asks), (unsigned long long)q->asks);
  if (q->counted == q->asks) {
    log_info("dry run: %.0f tokens in (counted by the teacher's tokenizer), at most %.0f out", low, q->out_tok);
  } else {
    log_info("dry run: %.0f to %.0f tokens in (estimated: the teacher's tokenizer is not here; %.0f bytes of requests), at most %.0f out", low, high, q->bytes, q->out_tok);
  }
  if (t->d->http == NULL) {
    return STATUS_OK; /* nobody to pay */
  }
  TRY(price_find(t->o.prices, t->subject.host, t->model, t->a, &p, e));
  if (!p.known) {
    log_info("dry run: the price of '%s' is not known; name a table with --prices FILE", t->model);
    goto out;
  }
  log_info("dry run: %.4f to %.4f USD (answers a tenth as long as allowed, to all at full length; %g in, %g out a million tokens, %s, read %s)",
           (double)price_micro_usd(&p, low, 0, q->out_tok / 10) / 1e6, (double)price_micro_usd(&p, high, 0, q->out_tok) / 1e6, p.in, p.out, p.read, p.date);
out:
  return st;
}

enum status teacher_quote(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct quote q = { 0 };
  t->deferred = 1; /* nothing is passed on as an answer, not even what the book has */
  for (int got = 1; got != 0;) {
    struct ask *k = NULL;
    t->pull_ahead = 64;
    TRY(teacher_pull(t, t->ring_n == 0, &k, &got, e));
    if (got == 1) {
      TRY(add(t, &q, k, e));
      if (k->out.failed == STATUS_OK) { /* else it does not fit the model and was given back already */
        teacher_deferred(t, k);
      }
    }
    if (got != 1 || t->ring_n > 256) {
      TRY(teacher_turn(t, e));
    }
  }
  TRY(teacher_turn(t, e));
  TRY(say(t, &q, t->pulled, e));
out:
  return st;
}
