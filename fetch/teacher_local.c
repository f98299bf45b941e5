/* SPDX-License-Identifier: Apache-2.0
 * Dialect `local`: a model of this machine (GGUF, Hugging Face folder, run folder) through model/decode.h. One stage of the
 * machine computes at a time (the lease of core/pool.h), so this file never sleeps on input or output while it holds the
 * lease: questions are gathered before it is taken, and answers are passed on with the lease given back. */
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include "form_set.h"
#include "hash.h"
#include "json.h"
#include "device.h"
#include "log.h"
#include "pool.h"
#include "stop.h"
#include "teacher_dialect.h"
#include "template.h"

#define ROUND_BATCHES 16  /* questions gathered for one turn of the lease, in batches: keeps the batch full to its end */
#define GATHER_WAIT_MS 2000 /* with some questions gathered, how long to wait for more */
#define ELSEWHERE_WAIT_MS 250
#define PASS_ON_EVERY 0.5 /* seconds between answers passed on in the middle of a round */

struct local {
  struct weights *w;
  struct device *dev;
  struct model *m;
  struct tokenizer *tok;
  const struct chat_template *row;
  struct decoder *dec;
  struct form_set *forms;
  int32_t stop_id[16];
  size_t n_stop;
  struct ask **queue; /* gathered, in order */
  size_t queue_n, queue_at, queue_cap;
  int ended;
  double passed_on;
  uint64_t prompt_tok, reused_tok, made_tok;
};

static int local_matches(const char *spec)
{
  (void)spec;
  return 1; /* last row: anything else is a path, and opening it says what is wrong */
}

static char *gguf_text(struct teacher *t, const struct weights *w, const char *key)
{
  struct span v;
  return gguf_str(w, key, &v) && v.n > 0 ? arena_strndup(t->a, v.p, v.n) : NULL;
}

/* Last part of the path without trailing slashes. */
static char *base_name(struct arena *a, const char *path)
{
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') {
    n--;
  }
  size_t i = n;
  while (i > 0 && path[i - 1] != '/') {
    i--;
  }
  return arena_strndup(a, path + i, n - i);
}

static enum status local_open(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct stat s;
  unsigned char sha[32];
  char hex[65];
  struct local *l = arena_calloc(t->a, 1, sizeof *l);
  if (l == NULL) {
    return err_nomem(e, sizeof *l);
  }
  t->state = l;
  if (stat(t->o.teacher, &s) != 0) {
    return err_sys(e, STATUS_USAGE, "'--teacher %s'", t->o.teacher);
  }
  TRY(device_start(&t->o.dev, &l->dev, e)); /* its kernels are part of the identity */
  TRY(weights_open(t->o.teacher, &l->w, e));
  TRY(tokenizer_from_weights(l->w, &l->tok, e));
  TRY(template_find(t->o.chat_template, l->tok, &l->row, e));
  TRY(weights_identity(l->w, sha, e));
  hash_hex(sha, 32, hex);
  t->template_name = arena_printf(t->a, "%s", template_name(l->row));
  t->identity = arena_printf(t->a, "local:%s:%s", hex, kernel_contract());
  t->subject.file = base_name(t->a, t->o.teacher);
  t->subject.licence = gguf_text(t, l->w, "general.license");
  t->subject.name = gguf_text(t, l->w, "general.basename");
  t->name = arena_printf(t->a, "%s", t->subject.file ? t->subject.file : "");
  if (!t->template_name || !t->identity || !t->subject.file || !t->name) {
    st = err_nomem(e, 256);
  }
out:
  return st;
}

static enum status local_ready(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct local *l = t->state;
  int32_t extra[8];
  const struct model_config *c;
  device_use(l->dev); /* several teachers have one each */
  TRY(model_from_weights(l->w, 0, &l->m, e));
  TRY(decoder_new(l->m, l->tok, (int)t->o.batch, &l->dec, e));
  TRY(form_set_new(l->tok, &l->forms, e));
  c = model_config(l->m);
  if (c->eos >= 0) {
    l->stop_id[l->n_stop++] = c->eos;
  }
  for (int32_t i = 0; i < c->n_eos_extra && l->n_stop < 8; i++) {
    l->stop_id[l->n_stop++] = c->eos_extra[i];
  }
  size_t n = template_stop_ids(l->row, l->tok, extra);
  for (size_t i = 0; i < n && l->n_stop < 16; i++) {
    l->stop_id[l->n_stop++] = extra[i];
  }
  l->queue_cap = (size_t)t->o.batch * ROUND_BATCHES;
  l->queue = arena_calloc(t->a, l->queue_cap, sizeof *l->queue);
  if (l->queue == NULL) {
    st = err_nomem(e, l->queue_cap * sizeof *l->queue);
  }
out:
  return st;
}

static void local_close(struct teacher *t)
{
  struct local *l = t->state;
  if (l == NULL) {
    return;
  }
  if (l->made_tok > 0) {
    log_debug("teacher: %llu prompt tokens (%llu shared with earlier prompts), %llu answer tokens", (unsigned long long)l->prompt_tok,
              (unsigned long long)l->reused_tok, (unsigned long long)l->made_tok);
  }
  decoder_free(l->dec);
  form_set_free(l->forms);
  model_close(l->m);
  device_close(l->dev);
  tokenizer_close(l->tok);
  weights_close(l->w);
}

static enum status local_body(const struct teacher *t, const struct question *q, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "{\"template\":", e));
  TRY(json_put_cstr(b, t->template_name, e));
  TRY(buf_puts(b, ",\"messages\":", e));
  TRY(buf_put(b, q->messages.p, q->messages.n, e));
  if (q->tools.n > 0) {
    TRY(buf_puts(b, ",\"tools\":", e));
    TRY(buf_put(b, q->tools.p, q->tools.n, e));
  }
  TRY(teacher_put_parameters(&q->sampling, "max_tokens", b, e));
  TRY(form_put(&q->form, b, e));
  if (q->sampling.top_logprobs > 0) {
    TRY(buf_printf(b, e, ",\"top_logprobs\":%lld", (long long)q->sampling.top_logprobs));
  }
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static enum status local_parse(const struct teacher *t, struct span text, const struct question *q, struct arena *a, struct answer *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *root = NULL;
  (void)t;
  (void)q;
  TRY(json_parse(text, "answer", &root, e));
  const struct json *content = json_get(root, "content");
  if (json_type(content) != JSON_STRING) {
    st = err_set(e, STATUS_DATA, "no string at content");
    goto out;
  }
  struct span c = json_str(content);
  char *copy = arena_strndup(a, c.p ? c.p : "", c.n);
  if (copy == NULL) {
    st = err_nomem(e, c.n);
    goto out;
  }
  out->content = (struct span){ copy, c.n };
  TRY(token_logprobs_chat(json_get(root, "logprobs"), a, &out->logprobs, e));
  const char *finish = json_cstr(json_get(root, "finish"), "stop");
  out->finish = strcmp(finish, "length") == 0 ? "length" : strcmp(finish, "closed") == 0 ? "closed" : "stop";
out:
  json_free(root);
  return st;
}

/* Prompt tokens of a question; a prompt that leaves no room for an answer fails here. */
static enum status prepare(struct teacher *t, struct ask *k, int *ok, struct err *e)
{
  enum status st = STATUS_OK;
  struct local *l = t->state;
  struct json *messages = NULL, *tools = NULL;
  struct err own = { 0 };
  struct tokens *prompt = arena_calloc(k->a, 1, sizeof *prompt);
  unsigned char *mask = NULL;
  *ok = 0;
  if (prompt == NULL) {
    return err_nomem(e, sizeof *prompt);
  }
  TRY(json_parse(k->q.messages, "messages", &messages, e));
  if (k->q.tools.n > 0) {
    TRY(json_parse(k->q.tools, "tools", &tools, e));
  }
  st = template_tokens_guarded(l->row, l->tok, messages, tools, 1, k->a, prompt, &mask, &own);
  if (st == STATUS_DATA) {
    st = STATUS_OK;
    log_warn("a question does not fit the chat template: %s", own.msg);
    teacher_failed(t, k, STATUS_DATA, "chat template");
    goto out;
  }
  if (st != STATUS_OK) {
    err_set(e, st, "%s", own.msg);
    goto out;
  }
  if (prompt->n == 0 || (int64_t)prompt->n >= model_config(l->m)->max_ctx) {
    teacher_failed(t, k, STATUS_LIMIT, "prompt too long");
    goto out;
  }
  k->dialect = prompt;
  *ok = 1;
out:
  json_free(messages);
  json_free(tools);
  return st;
}

/* Fills the queue; called without the lease, so that an upstream stage may compute meanwhile. A full queue keeps the batch full
 * nearly to its end; but when input dries up, a small one is better than waiting. */
static enum status gather(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct local *l = t->state;
  l->queue_n = l->queue_at = 0;
  while (!l->ended && l->queue_n < l->queue_cap) {
    struct ask *k = NULL;
    int got, ok;
    t->pull_ahead = l->queue_cap - l->queue_n;
    TRY(teacher_pull(t, l->queue_n == 0, &k, &got, e));
    if (got == 1) {
      TRY(prepare(t, k, &ok, e));
      if (ok) {
        l->queue[l->queue_n++] = k;
      }
      continue;
    }
    l->ended = got == 0;
    int more = teacher_wants_input(t); /* else stdin would be readable for ever */
    TRY(teacher_turn(t, e)); /* answers from the book may stand in front */
    if (got < 0 && t->in_mix) {
      break; /* the mix does the waiting */
    }
    if (got < 0 && l->queue_n > 0) {
      struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
      if (!more || poll(&p, 1, GATHER_WAIT_MS) == 0) {
        break;
      }
      if (stop_requested()) {
        return err_set(e, STATUS_STOPPED, "stopped by a signal");
      }
    } else if (got < 0 && t->n_elsewhere > 0) { /* another process works on all that is left */
      struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
      (void)poll(&p, teacher_wants_input(t), ELSEWHERE_WAIT_MS);
      if (stop_requested()) {
        return err_set(e, STATUS_STOPPED, "stopped by a signal");
      }
    }
  }
out:
  return st;
}

/* The constraint of a question's form. A form that is wrong or impossible fails its question, not the run: rows may bring their own. */
static enum status find_form(struct teacher *t, struct ask *k, struct constraint **c, int *ok, struct err *e)
{
  struct local *l = t->state;
  struct err own = { 0 };
  enum status st = form_set_get(l->forms, &k->q.form, c, &own);
  *ok = st == STATUS_OK;
  if (st == STATUS_USAGE || st == STATUS_DATA || st == STATUS_LIMIT) {
    log_warn("a question's answer form: %s", own.msg);
    teacher_failed(t, k, STATUS_DATA, "bad answer form");
    return STATUS_OK;
  }
  return st == STATUS_OK ? st : err_set(e, st, "%s", own.msg);
}

static enum status count_tokens(struct teacher *t, struct ask *k, int64_t *n, struct err *e)
{
  int ok = 0;
  enum status st = prepare(t, k, &ok, e);
  *n = ok ? (int64_t)((const struct tokens *)k->dialect)->n : 0;
  return st;
}

static enum status give_job(void *ctx, struct decode_job *job, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher *t = ctx;
  struct local *l = t->state;
  struct ask *k = NULL;
  struct constraint *form = NULL;
  int ok = 0;
  *got = 0;
  if (stop_requested()) {
    return err_set(e, STATUS_STOPPED, "stopped by a signal");
  }
  while (k == NULL && l->queue_at < l->queue_n) {
    k = l->queue[l->queue_at++];
    TRY(find_form(t, k, &form, &ok, e));
    k = ok ? k : NULL;
  }
  while (k == NULL && !l->ended) { /* top up with what is there already */
    int have;
    t->pull_ahead = (size_t)t->o.batch;
    TRY(teacher_pull(t, 0, &k, &have, e));
    if (have != 1) {
      l->ended = have == 0;
      return STATUS_OK;
    }
    TRY(prepare(t, k, &ok, e));
    if (ok) {
      TRY(find_form(t, k, &form, &ok, e));
    }
    k = ok ? k : NULL;
  }
  if (k != NULL) {
    const struct tokens *prompt = k->dialect;
    *job = (struct decode_job){ prompt->id, prompt->n, k->q.sampling, l->stop_id, l->n_stop, k, form };
    *got = 1;
  }
out:
  return st;
}

static enum status put_token(const struct local *l, int32_t id, double logprob, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  struct span bytes = tokenizer_token_bytes(l->tok, id);
  size_t good = 0;
  for (size_t n = 1; good < bytes.n && n > 0; good += n) {
    n = utf8_length(bytes.p + good, bytes.n - good);
    if (n == 0) {
      break;
    }
  }
  TRY(buf_puts(b, "{\"token\":", e));
  TRY(json_put_string(b, bytes.p ? bytes : (struct span){ "", 0 }, e));
  for (size_t i = 0; i < bytes.n && good < bytes.n; i++) { /* a piece of a character: the text alone would lose it */
    TRY(buf_printf(b, e, "%s%u", i ? "," : ",\"bytes\":[", (unsigned)(unsigned char)bytes.p[i]));
  }
  TRY(buf_printf(b, e, "%s,\"id\":%d,\"logprob\":", good < bytes.n ? "]" : "", id));
  TRY(json_put_num(b, logprob, e));
out:
  return st;
}

/* ,"logprobs":{"content":[...]} as chat completions have it, with ids. */
static enum status put_logprobs(const struct local *l, const struct decode_job *job, const struct decode_result *r, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  size_t k = (size_t)job->sampling.top_logprobs;
  TRY(buf_puts(b, ",\"logprobs\":{\"content\":[", e));
  for (size_t i = 0; i < r->n; i++) {
    TRY(buf_puts(b, i ? "," : "", e));
    TRY(put_token(l, r->id[i], (double)r->logprob[i], b, e));
    for (size_t x = 0; x < k && r->top_id != NULL; x++) {
      TRY(buf_puts(b, x ? "," : ",\"top_logprobs\":[", e));
      TRY(put_token(l, r->top_id[i * k + x], (double)r->top_logprob[i * k + x], b, e));
      TRY(buf_putc(b, '}', e));
    }
    TRY(buf_puts(b, r->top_id != NULL ? "]}" : "}", e));
  }
  TRY(buf_puts(b, "]}", e));
out:
  return st;
}

static enum status take_result(void *ctx, const struct decode_job *job, const struct decode_result *r, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher *t = ctx;
  struct local *l = t->state;
  struct ask *k = job->user;
  struct buf answer = { 0 }, meta = { 0 };
  form_set_put(l->forms, job->constraint);
  if (stop_requested()) {
    return err_set(e, STATUS_STOPPED, "stopped by a signal");
  }
  TRY(buf_puts(&answer, "{\"content\":", e));
  TRY(json_put_string(&answer, r->text, e));
  TRY(buf_printf(&answer, e, ",\"finish\":\"%s\"", r->finish == FINISH_CONTEXT ? "length" : finish_name(r->finish)));
  if (r->logprob != NULL && job->sampling.top_logprobs > 0) {
    TRY(put_logprobs(l, job, r, &answer, e));
  }
  TRY(buf_putc(&answer, '}', e));
  TRY(buf_puts(&meta, "{\"teacher\":", e));
  TRY(json_put_cstr(&meta, t->name, e));
  TRY(buf_printf(&meta, e, ",\"usage\":{\"in\":%zu,\"cached\":0,\"out\":%zu},\"time\":%lld}", job->n_prompt, r->n, (long long)time(NULL)));
  l->prompt_tok += job->n_prompt;
  l->made_tok += r->n;
  TRY(teacher_answered(t, k, (struct span){ answer.p, answer.n }, (struct span){ meta.p, meta.n }, e));
  if (clock_seconds() - l->passed_on > PASS_ON_EVERY) {
    lease_give(); /* passing on may sleep on a full pipe whose reader waits for the lease */
    st = teacher_turn(t, e);
    st = st == STATUS_OK && t->meanwhile != NULL ? t->meanwhile(t->meanwhile_ctx, 0, e) : st;
    l->passed_on = clock_seconds();
    if (st == STATUS_OK) {
      st = lease_take(e);
    }
  }
out:
  buf_free(&answer);
  buf_free(&meta);
  return st;
}

/* After every token: servers that are asked beside this model must not wait for it. */
static enum status between_tokens(void *ctx, struct err *e)
{
  struct teacher *t = ctx;
  return t->meanwhile != NULL ? t->meanwhile(t->meanwhile_ctx, 1, e) : STATUS_OK;
}

static enum status local_begin(struct teacher *t, struct err *e)
{
  struct local *l = t->state;
  (void)e;
  l->ended = 0;
  decoder_between(l->dec, t->meanwhile != NULL ? between_tokens : NULL, t);
  return STATUS_OK;
}

static enum status local_step(struct teacher *t, struct step *n, struct err *e)
{
  enum status st = STATUS_OK;
  struct local *l = t->state;
  n->until = ELSEWHERE_WAIT_MS / 1000.0;
  TRY(gather(t, e));
  if (l->queue_n > 0) {
    TRY(lease_take(e));
    l->passed_on = clock_seconds();
    st = decoder_run(l->dec, give_job, take_result, t, e);
    lease_give();
    if (st != STATUS_OK) {
      goto out;
    }
    uint64_t run_tok, reused_tok, made_tok;
    decoder_counts(l->dec, &run_tok, &reused_tok, &made_tok);
    l->reused_tok += reused_tok;
  }
  TRY(teacher_turn(t, e));
  n->done = l->ended;
out:
  return st;
}

const struct dialect dialect_local = {
  .name = "local",
  .matches = local_matches,
  .open = local_open,
  .ready = local_ready,
  .close = local_close,
  .body = local_body,
  .parse = local_parse,
  .begin = local_begin,
  .step = local_step,
  .computes = 1,
  .count_tokens = count_tokens,
};
