/* SPDX-License-Identifier: Apache-2.0
 * Collecting batches: results come in any order, in two files, some twice, some not at all. An answer is matched by its custom_id,
 * which is the journal key, to the request in the part's own file, checked as a live answer would be, and committed to the book
 * before the part is closed. What expired, was cancelled or failed for the moment is asked again in a later batch. */
#include "record.h"
#include "log.h"
#include "teacher_answer.h"
#include "teacher_batch.h"

/* One request of the part. */
struct request {
  unsigned char key[32];
  struct span body;
  int fate, status; /* status: of the server, for REFUSED */
};
enum { OPEN = 0, ANSWERED, REFUSED, EXPIRED, TRANSIENT };

struct part {
  struct batch *s;
  struct batch_part *p;
  struct file_map file;
  struct arena *line;       /* of one line of results */
  struct request *request;  /* sorted by key */
  size_t n, answered, foreign;
  uint64_t micro, in_tok, out_tok; /* what the answers cost */
  int uncounted;            /* one of them did not say */
  const char *status;
};

static int by_key(const void *a, const void *b)
{
  return memcmp(((const struct request *)a)->key, ((const struct request *)b)->key, 32);
}

static enum status next_line(const char **at, const char *end, struct span *line)
{
  while (*at < end) {
    const char *nl = memchr(*at, '\n', (size_t)(end - *at)), *stop = nl ? nl : end;
    *line = (struct span){ *at, (size_t)(stop - *at) };
    *at = stop + (nl != NULL);
    if (line->n > 0 && line->p[line->n - 1] == '\r') {
      line->n--;
    }
    if (line->n > 0) {
      return STATUS_OK;
    }
  }
  *line = (struct span){ NULL, 0 };
  return STATUS_OK;
}

static enum status read_requests(struct part *p, struct err *e)
{
  enum status st = STATUS_OK;
  const char *path = batch_book_file(&p->s->b, p->p);
  size_t lines = 0;
  if (path == NULL) {
    return err_nomem(e, 300);
  }
  TRY(file_map_open(path, &p->file, e));
  const char *at = (const char *)p->file.p, *end = at + p->file.bytes;
  for (const char *c = at; c < end; c++) {
    lines += *c == '\n';
  }
  p->request = mem_calloc(lines + 1, sizeof *p->request);
  if (p->request == NULL) {
    return err_nomem(e, (lines + 1) * sizeof *p->request);
  }
  while (at < end && p->n <= lines) {
    struct span line, id;
    struct record r;
    TRY(next_line(&at, end, &line));
    if (line.p == NULL) {
      break;
    }
    arena_reset(p->line);
    st = record_split(line, p->line, &r, e);
    if (st != STATUS_OK) {
      err_prefix(e, "'%s'", path);
      goto out;
    }
    id = record_get(&r, "custom_id");
    p->request[p->n].body = record_get(&r, "body"); /* points into the map */
    if (id.n != 66 || !batch_key_read((struct span){ id.p + 1, 64 }, p->request[p->n].key) || p->request[p->n].body.p == NULL) {
      st = err_set(e, STATUS_DATA, "'%s': a line without custom_id or body; the file was changed", path);
      goto out;
    }
    p->n++;
  }
  qsort(p->request, p->n, sizeof *p->request, by_key);
out:
  return st;
}

/* A question like the one that was asked, as far as parsing needs it. */
static enum status question_of(struct part *p, const struct request *r, struct question *q, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *body = NULL;
  *q = (struct question){ .kind = QUESTION_ANSWER };
  TRY(json_parse(r->body, "body", &body, e));
  if (json_bool(json_get(body, "echo"), 0) || json_type(json_get(body, "prompt_logprobs")) == JSON_INT) {
    struct span text = json_str(json_get(body, "prompt"));
    q->kind = QUESTION_SCORE;
    st = answer_keep(p->line, text.p, text.n, &q->text, e);
  }
out:
  json_free(body);
  return st;
}

static enum status put_meta(struct part *p, const struct usage *u, struct buf *meta, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(meta, "{\"teacher\":", e));
  TRY(json_put_cstr(meta, p->s->t->name, e));
  TRY(buf_printf(meta, e, ",\"status\":200,\"batch\":\"%s\",\"time\":%lld", p->p->batch, (long long)time(NULL)));
  if (u->known) {
    TRY(buf_printf(meta, e, ",\"usage\":{\"in\":%llu,\"cached\":%llu,\"out\":%llu}", (unsigned long long)u->in_tok,
                   (unsigned long long)u->cached_tok, (unsigned long long)u->out_tok));
  }
  TRY(buf_putc(meta, '}', e));
out:
  return st;
}

static enum status take_answer(struct part *p, struct request *r, struct span body, struct err *e)
{
  enum status st = STATUS_OK;
  struct question q;
  struct answer a = { 0 };
  struct buf meta = { 0 };
  struct err own = { 0 };
  TRY(question_of(p, r, &q, e));
  st = p->s->t->body_of->parse(p->s->t, body, &q, p->line, &a, &own);
  if (st == STATUS_DATA) {
    log_warn("batch '%s': a malformed answer (%s); asked again", p->p->batch, own.msg);
    r->fate = TRANSIENT;
    p->uncounted = 1; /* whatever it was, it may be billed */
    st = STATUS_OK;
    goto out;
  }
  if (st != STATUS_OK) {
    err_set(e, st, "%s", own.msg);
    goto out;
  }
  TRY(put_meta(p, &a.usage, &meta, e));
  p->uncounted |= !a.usage.known;
  p->in_tok += a.usage.in_tok;
  p->out_tok += a.usage.out_tok;
  p->micro += price_micro_usd(&p->s->price, (double)a.usage.in_tok, (double)a.usage.cached_tok, (double)a.usage.out_tok);
  struct book_answer ans = { r->body, body, { meta.p, meta.n } };
  TRY(book_put(p->s->b.book, r->key, &ans, e));
  r->fate = ANSWERED;
  p->answered++;
out:
  buf_free(&meta);
  return st;
}

/* {"id","custom_id","response":{"status_code","body"}|null,"error":{"code","message"}|null} */
static enum status take_line(struct part *p, struct span line, struct err *e)
{
  enum status st = STATUS_OK;
  struct record r, response;
  struct json *error = NULL, *body = NULL;
  struct request want;
  struct err own = { 0 };
  struct span id;
  arena_reset(p->line);
  if (record_split(line, p->line, &r, &own) != STATUS_OK) {
    log_warn("batch '%s': a line of results that is no JSON object (%s) is left out", p->p->batch, own.msg);
    return own.code == STATUS_NOMEM ? err_set(e, STATUS_NOMEM, "%s", own.msg) : STATUS_OK;
  }
  id = record_get(&r, "custom_id");
  struct request *q = NULL;
  if (id.n == 66 && batch_key_read((struct span){ id.p + 1, 64 }, want.key)) {
    q = bsearch(&want, p->request, p->n, sizeof *p->request, by_key);
  }
  if (q == NULL || q->fate != OPEN) { /* another's, or said twice: the first one counts */
    p->foreign += q == NULL;
    return STATUS_OK;
  }
  struct span raw = record_get(&r, "response"), problem = record_get(&r, "error");
  if (span_type(raw) == '{') {
    TRY(record_split(raw, p->line, &response, e));
    struct span code = record_get(&response, "status_code"), answer = record_get(&response, "body");
    char number[16] = "";
    int64_t status = 0;
    snprintf(number, sizeof number, "%.*s", code.n < 15 ? (int)code.n : 0, code.p ? code.p : "");
    if (opt_parse_int(number, &status, NULL) == STATUS_OK && status == 200 && answer.p != NULL) {
      st = take_answer(p, q, answer, e);
    } else if (status >= 400 && status < 500 && !http_transient((long)status)) {
      TRY(answer.p ? json_parse(answer, "body", &body, e) : STATUS_OK);
      log_warn("batch '%s': a question was refused (http %d): %.200s", p->p->batch, (int)status, json_cstr(json_path(body, "error.message"), "no reason given"));
      q->fate = REFUSED;
      q->status = (int)status;
    } else {
      q->fate = TRANSIENT;
    }
  } else if (span_type(problem) == '{') {
    TRY(json_parse(problem, "error", &error, e));
    const char *code = json_cstr(json_get(error, "code"), "");
    q->fate = strcmp(code, "batch_expired") == 0 || strcmp(code, "batch_cancelled") == 0 ? EXPIRED : TRANSIENT;
  } else {
    q->fate = TRANSIENT;
  }
out:
  json_free(error);
  json_free(body);
  return st;
}

static enum status take_file(struct part *p, const char *file, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  struct span line;
  if (file == NULL) {
    return STATUS_OK;
  }
  TRY(batch_http_fetch(&p->s->h, file, &text, e));
  for (const char *at = text.p, *end = text.p + text.n; at != NULL && at < end;) {
    TRY(next_line(&at, end, &line));
    if (line.p != NULL) {
      TRY(take_line(p, line, e));
    }
  }
out:
  buf_free(&text);
  return st;
}

/* Closes the part: what is neither answered nor refused may be asked again. */
static enum status shut(struct part *p, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf again = { 0 }, refused = { 0 };
  size_t n_again = 0, n_expired = 0, n_refused = 0;
  int over = strcmp(p->status, "completed") != 0; /* expired, cancelled: silence is no failure of the question */
  char hex[65], reason[32];
  if (p->p->reservation != 0) { /* an answer that was not counted: all that was reserved may have gone */
    uint64_t micro = !p->s->price.known ? 0 : p->uncounted && p->micro < p->p->reserved ? p->p->reserved : p->micro;
    TRY(book_settle(p->s->b.book, p->p->reservation, micro, p->in_tok, p->out_tok, e));
  }
  TRY(book_commit(p->s->b.book, e));
  TRY(buf_putc(&again, '[', e));
  TRY(buf_putc(&refused, '{', e));
  for (size_t i = 0; i < p->n; i++) {
    struct request *r = &p->request[i];
    struct batch_key *k = batch_book_key(&p->s->b, r->key);
    if (r->fate == REFUSED) {
      batch_key_hex(r->key, hex);
      snprintf(reason, sizeof reason, "http %d", r->status);
      TRY(buf_printf(&refused, e, "%s\"%s\":\"%s\"", n_refused++ ? "," : "", hex, reason));
      TRY(batch_book_set_key(&p->s->b, r->key, BATCH_REFUSED, reason, e));
      continue;
    }
    if (r->fate == TRANSIENT || (r->fate == OPEN && !over)) {
      batch_key_hex(r->key, hex);
      TRY(buf_printf(&again, e, "%s\"%s\"", n_again++ ? "," : "", hex));
      TRY(batch_book_set_key(&p->s->b, r->key, BATCH_AGAIN, NULL, e));
    } else if (k != NULL && k->state == BATCH_WAITS) {
      n_expired += r->fate != ANSWERED;
      k->state = BATCH_AGAIN;
    }
  }
  TRY(buf_putc(&again, ']', e));
  TRY(buf_putc(&refused, '}', e));
  TRY(batch_book_shut(&p->s->b, p->p, p->status, p->answered, (struct span){ refused.p, refused.n }, (struct span){ again.p, again.n }, e));
  if (p->p->batch == NULL) {
    log_info("%zu requests that were written down but never sent are asked anew", p->n);
    goto out;
  }
  log_info("batch '%s' is %s: %zu of %zu answered, %zu refused, %zu failed for the moment, %zu left over%s", p->p->batch, p->status, p->answered, p->n,
           n_refused, n_again, n_expired, n_again + n_expired ? "; the last two are asked again" : "");
  if (p->foreign > 0) {
    log_warn("batch '%s': %zu results with a custom_id of nobody here were left out", p->p->batch, p->foreign);
  }
out:
  buf_free(&again);
  buf_free(&refused);
  return st;
}

static enum status collect_part(struct batch *s, struct batch_part *bp, const struct json *batch, const char *status, struct err *e)
{
  enum status st = STATUS_OK;
  struct part p = { .s = s, .p = bp, .line = arena_new(0), .status = status };
  if (p.line == NULL) {
    st = err_nomem(e, 4096);
    goto out;
  }
  TRY(read_requests(&p, e));
  TRY(take_file(&p, json_cstr(json_get(batch, "output_file_id"), NULL), e));
  TRY(take_file(&p, json_cstr(json_get(batch, "error_file_id"), NULL), e));
  TRY(shut(&p, e));
out:
  mem_free(p.request);
  file_map_close(&p.file);
  arena_free(p.line);
  return st;
}

static int one_of(const char *s, const char *list)
{
  const char *at = strstr(list, s);
  return s[0] != '\0' && at != NULL && (at == list || at[-1] == ' ') && (at[strlen(s)] == ' ' || at[strlen(s)] == '\0');
}

enum status batch_collect(struct batch *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *batch = NULL;
  struct err refused = { 0 };
  for (struct batch_part *p = s->b.part; p != NULL; p = p->next) {
    if (p->closed) {
      continue;
    }
    json_free(batch);
    batch = NULL;
    if (p->batch == NULL) { /* killed between sending and noting, or before sending */
      const char *id = NULL;
      TRY(p->sending ? batch_http_find(&s->h, p->name, p->sending, s->b.a, &id, e) : STATUS_OK);
      if (id == NULL) {
        TRY(collect_part(s, p, NULL, "never sent", e));
        continue;
      }
      TRY(batch_book_made(&s->b, p, id, e));
    }
    TRY(batch_http_look(&s->h, p->batch, &batch, e));
    const char *status = json_cstr(json_get(batch, "status"), "");
    if (strcmp(status, "failed") == 0) {
      err_set(&refused, STATUS_NET, "batch '%s' was refused as a whole: %.300s; nothing of it was answered; run the same command again to submit it anew",
              p->batch, json_cstr(json_path(batch, "errors.data.0.message"), "no reason given"));
      TRY(collect_part(s, p, batch, "failed", e));
    } else if (one_of(status, "completed expired cancelled")) {
      TRY(collect_part(s, p, batch, status, e));
    } else if (one_of(status, "validating in_progress finalizing cancelling")) {
      const struct json *n = json_get(batch, "request_counts");
      snprintf(s->says, sizeof s->says, "batch '%.100s' is %s, %lld of %zu done", p->batch, status,
               (long long)(json_int(json_get(n, "completed"), 0) + json_int(json_get(n, "failed"), 0)), p->requests);
      log_info("%s", s->says);
    } else {
      st = err_set(e, STATUS_NET, "batch '%s': the server says '%.40s', which is no state of a batch", p->batch, status);
      goto out;
    }
  }
  if (refused.code != STATUS_OK) {
    st = err_set(e, refused.code, "%s", refused.msg);
  }
out:
  json_free(batch);
  return st;
}
