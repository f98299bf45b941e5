/* SPDX-License-Identifier: Apache-2.0
 * Dialect `batch`: the OpenAI Batch API over any dialect of its family (batch:http(s)://..., batch:completions:http(s)://...,
 * batch:embeddings:http(s)://...). Questions, journal entries and answers are those of the dialect inside, so the same pipe runs
 * live, as a batch or from a recording by changing --teacher. A run collects what is done, submits what is new and ends as
 * STOPPED while anything waits; the same command again goes on. */
#include <time.h>
#include "log.h"
#include "stop.h"
#include "teacher_batch.h"

#define PREFIX "batch:"
#define PART_BYTES ((size_t)32 << 20) /* of requests: a part is held in memory to be sent; OpenAI takes 200 MB */

static int batch_matches(const char *spec)
{
  return strncmp(spec, PREFIX, strlen(PREFIX)) == 0;
}

static struct batch *state_of(const struct teacher *t)
{
  return t->outer;
}

static enum status batch_open(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct batch *s = arena_calloc(t->a, 1, sizeof *s);
  const struct dialect *inner = dialect_of(t->o.teacher + strlen(PREFIX));
  if (s == NULL) {
    return err_nomem(e, sizeof *s);
  }
  if (inner == NULL || inner->http == NULL || inner == &dialect_anthropic || inner == &dialect_batch) {
    return err_set(e, STATUS_USAGE, "'%s': expected batch:http(s)://host/v1#MODEL, batch:completions:http..., batch:vllm:http... or batch:embeddings:http...",
                   t->o.teacher);
  }
  s->t = t;
  s->b.lock = -1;
  t->outer = s;
  t->o.teacher += strlen(PREFIX);
  t->d = t->body_of = inner; /* it names itself in identity and notes */
  st = inner->open(t, e);
  t->d = &dialect_batch;
  return st;
}

static enum status batch_ready(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct batch *s = state_of(t);
  if (t->book == NULL) {
    return err_set(e, STATUS_USAGE, "'%s%s': a batch needs a book (--book DIR) to remember it", PREFIX, t->o.teacher);
  }
  TRY(http_teacher_ready(t, e));
  TRY(price_find(t->o.prices, t->subject.host, t->model, t->a, &s->price, e));
  double factor = s->price.batch > 0 ? s->price.batch : 1;
  s->price.in *= factor;
  s->price.cached *= factor;
  s->price.out *= factor;
  s->limit_micro = t->o.max_usd < 0 ? UINT64_MAX : (uint64_t)(t->o.max_usd * 1e6);
  TRY(batch_http_open(&s->h, t, e));
  TRY(batch_book_open(&s->b, t->book, t->identity, e));
  TRY(batch_collect(s, e));
out:
  return st;
}

static void batch_close(struct teacher *t)
{
  struct batch *s = state_of(t);
  if (s == NULL) {
    return;
  }
  batch_http_close(&s->h);
  batch_book_close(&s->b);
  buf_free(&s->lines);
  t->body_of->close(t);
}

/* ---- submitting ---- */

static enum status submit(struct batch *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct batch_part *p = NULL;
  const char *file = NULL, *id = NULL, *endpoint = arena_printf(s->b.a, "/v1%s", s->t->body_of->http->path);
  if (s->n_lines == 0) {
    return STATUS_OK;
  }
  if (endpoint == NULL) {
    return err_nomem(e, 40);
  }
  struct span lines = { s->lines.p, s->lines.n };
  struct book_money m = { s->part_micro, 0 };
  struct err why = { 0 };
  size_t granted = 0;
  TRY(book_reserve_all(s->t->book, s->t->model, s->price.known, &m, 1, s->limit_micro, &granted, &why));
  if (granted == 0) {
    st = err_set(e, STATUS_LIMIT, "a batch of %zu requests was not submitted: %s; a smaller --batch-size may fit", s->n_lines, why.msg);
    goto out;
  }
  TRY(batch_book_add(&s->b, lines, s->n_lines, &m, &p, e));
  TRY(batch_http_upload(&s->h, p->name, lines, s->b.a, &file, e));
  TRY(batch_book_sending(&s->b, p, e));
  TRY(batch_http_create(&s->h, p->name, file, endpoint, s->b.a, &id, e));
  TRY(batch_book_made(&s->b, p, id, e));
  snprintf(s->says, sizeof s->says, "batch '%.100s' of %zu requests was submitted", id, p->requests);
  log_info("%s", s->says);
  buf_clear(&s->lines);
  s->n_lines = 0;
  s->part_micro = 0;
out:
  return st;
}

static enum status add_line(struct batch *s, const struct ask *k, struct err *e)
{
  enum status st = STATUS_OK;
  char hex[65];
  batch_key_hex(k->key, hex);
  TRY(buf_printf(&s->lines, e, "{\"custom_id\":\"%s\",\"method\":\"POST\",\"url\":\"/v1%s\",\"body\":", hex, s->t->body_of->http->path));
  TRY(buf_put(&s->lines, k->body.p, k->body.n, e));
  TRY(buf_puts(&s->lines, "}\n", e));
  s->n_lines++;
  if (s->limit_micro != UINT64_MAX && k->q.kind == QUESTION_ANSWER && k->q.sampling.max_tokens <= 0) {
    return err_set(e, STATUS_USAGE, "--max-usd: nothing bounds the length of answers; set --max-tokens");
  }
  s->part_micro += price_micro_usd(&s->price, (double)k->body.n + 256, 0, (double)k->q.sampling.max_tokens * (k->q.choices > 1 ? k->q.choices : 1));
  TRY(batch_book_set_key(&s->b, k->key, BATCH_WAITS, NULL, e));
  if (s->n_lines >= (size_t)s->t->o.batch_size || s->lines.n >= PART_BYTES) {
    TRY(submit(s, e));
  }
out:
  return st;
}

static enum status sort_in(struct batch *s, struct ask *k, struct err *e)
{
  enum status st = STATUS_OK;
  const struct batch_key *known = batch_book_key(&s->b, k->key);
  if (known != NULL && known->state == BATCH_REFUSED) {
    teacher_failed(s->t, k, STATUS_NET, known->reason ? known->reason : "refused");
    return STATUS_OK;
  }
  if (known != NULL && known->state == BATCH_AGAIN && known->tries > (unsigned)s->t->o.retries) {
    teacher_failed(s->t, k, STATUS_NET, "no answer in any batch");
    return STATUS_OK;
  }
  if (known == NULL || known->state != BATCH_WAITS) {
    TRY(add_line(s, k, e));
  }
  s->waiting++;
  teacher_deferred(s->t, k);
out:
  return st;
}

static enum status batch_step(struct teacher *t, struct step *n, struct err *e)
{
  enum status st = STATUS_OK;
  struct batch *s = state_of(t);
  for (int got = 1; got == 1;) {
    struct ask *k = NULL;
    if (stop_requested()) {
      return err_set(e, STATUS_STOPPED, "stopped by a signal; what was not submitted is asked again by the same command");
    }
    TRY(teacher_pull(t, n->alone && t->ring_n == 0, &k, &got, e));
    if (got == 1) {
      TRY(sort_in(s, k, e));
    }
    if (got != 1 || t->ring_n > 256) {
      TRY(teacher_turn(t, e));
    }
    if (got < 0 && t->n_elsewhere > 0 && n->alone) { /* a live run of this book asks the same: its answers come into the book */
      struct timespec ts = { 0, 50000000 };
      nanosleep(&ts, NULL);
    }
    n->done = got == 0;
  }
  n->until = 0.05;
out:
  return st;
}

/* All questions were seen: the last part goes out. */
static enum status batch_flush(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct batch *s = state_of(t);
  TRY(submit(s, e));
  if (s->waiting > 0) {
    st = err_set(e, STATUS_STOPPED, "%zu questions wait for a batch (%s); run the same command again to collect the answers", s->waiting, s->says);
  }
out:
  return st;
}

const struct dialect dialect_batch = {
  .name = "batch",
  .needs_book = 1,
  .matches = batch_matches,
  .open = batch_open,
  .ready = batch_ready,
  .close = batch_close,
  .step = batch_step,
  .flush = batch_flush,
};
