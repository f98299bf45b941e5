/* SPDX-License-Identifier: Apache-2.0
 * Batched decoding: a batch of streams; each round lets new prompts in, runs them through the model (prefill), then makes one
 * token a stream. What a stream computes is a fixed function of its own tokens: no kernel's row depends on the other rows of its
 * run, so a prompt may be cut anywhere, and its beginning may come from another prompt that began the same (decode_prefix.h). */
#include "decode.h"
#include <float.h>
#include <math.h>
#include "decode_constrain.h"
#include "decode_prefix.h"
#include "decode_stream.h"
#include "log.h"
#include "model_run.h"
#include "pool.h"
#include "rng.h"
#include "stop.h"

enum {
  PIECE_TOK = 512, /* prompt tokens of one run */
  LOGIT_ROWS = 64,
  WAIT_TOK = 64,   /* a prompt waits for one in hand when it can take over so many tokens: less is not worth a smaller run */
};
static const uint64_t CACHE_BYTES = (uint64_t)2 << 30, PREFIX_BYTES = (uint64_t)64 << 20;

struct decoder {
  struct model *m;
  const struct tokenizer *t;
  int max_batch;
  uint64_t cache_bytes;
  struct kv_layout layout;
  struct run *prefill, *step;
  struct stream *stream;        /* (max_batch) */
  float *hidden, *projected;    /* (max_batch, hidden), (max_batch, vocab) on the model's device */
  float *logits;                /* projected on the CPU, else a copy: tokens are picked on the host */
  size_t hidden_bytes, logits_bytes;
  struct kv_cache **cache;      /* (max of PIECE_TOK, max_batch) of the run in hand */
  struct kv_view *view;         /* likewise */
  struct prefix_table *prefix;  /* NULL: nothing is shared */
  struct stream **row;          /* (max_batch) whose logits stand in each row */
  int n_row;
  unsigned char *running;       /* (max_batch) streams whose prompt is in the run being put together */
  char *scratch;                /* (pool_threads, scratch_bytes) for sampling */
  size_t scratch_bytes;
  int workers;
  int32_t *top_id; float *top_logprob, *lse; int64_t top_cap; /* (max_batch, k) */
  struct decode_job waiting; int has_waiting, ended;
  uint64_t prompt_tok, reused_tok, made_tok;
  double seconds;
  enum status (*between)(void *ctx, struct err *e);
  void *between_ctx;
};

const char *finish_name(enum finish f) {
  static const char *const names[] = {"stop", "length", "context", "closed"};
  return names[f];
}

void decoder_set_cache_bytes(struct decoder *d, uint64_t bytes) { d->cache_bytes = bytes; }

enum status decoder_set_prefix_bytes(struct decoder *d, uint64_t bytes, struct err *e) {
  prefix_table_free(d->prefix);
  d->prefix = NULL;
  return bytes ? prefix_table_new(&d->layout, bytes, &d->prefix, e) : STATUS_OK;
}

enum status decoder_new(struct model *m, const struct tokenizer *t, int max_batch, struct decoder **out, struct err *e) {
  enum status st = STATUS_OK;
  const struct model_config *c = model_config(m);
  *out = NULL;
  if (max_batch < 1 || max_batch > 4096) {
    return err_set(e, STATUS_USAGE, "a batch of %d is not possible, expected 1 to 4096", max_batch);
  }
  struct decoder *d = mem_calloc(1, sizeof *d);
  if (!d) {
    return err_nomem(e, sizeof *d);
  }
  d->m = m;
  d->t = t;
  d->max_batch = max_batch;
  d->cache_bytes = CACHE_BYTES;
  d->workers = pool_threads();
  d->scratch_bytes = (sample_scratch_bytes(c->vocab) + 63) / 64 * 64;
  d->hidden_bytes = (size_t)max_batch * (size_t)c->hidden * sizeof(float);
  d->logits_bytes = (size_t)max_batch * (size_t)c->vocab * sizeof(float);
  TRY(kv_layout_new(m, &d->layout, e));
  TRY(decoder_set_prefix_bytes(d, PREFIX_BYTES, e));
  TRY(run_new(m, PIECE_TOK, 0, &d->prefill, e));
  TRY(run_new(m, max_batch, PLAN_FEW_ROWS, &d->step, e));
  size_t views = (size_t)(max_batch > PIECE_TOK ? max_batch : PIECE_TOK);
  d->stream = mem_calloc((size_t)max_batch, sizeof *d->stream);
  d->row = mem_calloc((size_t)max_batch, sizeof *d->row);
  d->running = mem_calloc((size_t)max_batch, 1);
  d->cache = mem_calloc(views, sizeof *d->cache);
  d->view = mem_calloc(views, sizeof *d->view);
  d->scratch = mem_calloc((size_t)d->workers, d->scratch_bytes);
  d->lse = mem_calloc((size_t)max_batch, sizeof *d->lse);
  void *hidden, *projected;
  TRY(device_block(m->dev, d->hidden_bytes, "hidden states of the answers", &hidden, e));
  d->hidden = hidden;
  TRY(device_block(m->dev, d->logits_bytes, "logits of the answers", &projected, e));
  d->projected = projected;
  d->logits = m->k->on_device ? mem_block(d->logits_bytes) : d->projected;
  if (!d->stream || !d->row || !d->running || !d->cache || !d->view || !d->scratch || !d->lse || !d->logits) {
    st = err_nomem(e, d->logits_bytes);
    goto out;
  }
  for (int i = 0; i < max_batch; i++) {
    d->stream[i].kv.layout = &d->layout;
  }
out:
  if (st != STATUS_OK) {
    decoder_free(d);
    d = NULL;
  }
  *out = d;
  return st;
}

void decoder_free(struct decoder *d) {
  if (!d) {
    return;
  }
  for (int i = 0; d->stream && i < d->max_batch; i++) {
    stream_free(&d->stream[i]);
  }
  run_free(d->prefill);
  run_free(d->step);
  prefix_table_free(d->prefix);
  kv_layout_free(&d->layout);
  mem_free(d->stream);
  mem_free(d->row);
  mem_free(d->running);
  mem_free(d->cache);
  mem_free(d->view);
  mem_free(d->scratch);
  mem_free(d->lse);
  mem_free(d->top_id);
  mem_free(d->top_logprob);
  device_block_free(d->m->dev, d->hidden, d->hidden_bytes);
  device_block_free(d->m->dev, d->projected, d->logits_bytes);
  if (d->m->k->on_device && d->logits) {
    mem_block_free(d->logits, d->logits_bytes);
  }
  mem_free(d);
}

/* ---- joining ---- */
static uint64_t cache_need(const struct decoder *d, const struct decode_job *j) {
  uint64_t ctx = (uint64_t)d->m->config.max_ctx, n = j->n_prompt + (uint64_t)j->sampling.max_tokens;
  n = j->sampling.max_tokens <= 0 || n > ctx ? ctx : n;
  return (n + 16) * (uint64_t)d->layout.total * sizeof(float);
}

static int active(const struct decoder *d, uint64_t *bytes) {
  int n = 0;
  *bytes = 0;
  for (int i = 0; i < d->max_batch; i++) {
    if (d->stream[i].active) {
      n++;
      *bytes += cache_need(d, &d->stream[i].job);
    }
  }
  return n;
}

/* A prompt that fills the context is answered at once with nothing, so that one long row does not end a whole run. */
static enum status join(struct decoder *d, decode_next next, decode_done done, void *ctx, struct err *e) {
  for (;;) {
    uint64_t bytes;
    int n = active(d, &bytes);
    if (n == d->max_batch || (d->ended && !d->has_waiting)) {
      return STATUS_OK;
    }
    if (!d->has_waiting) {
      int got = 0;
      enum status st = next(ctx, &d->waiting, &got, e);
      if (st != STATUS_OK || got == DECODE_LATER) {
        return st;
      }
      if (!got) {
        d->ended = 1;
        return STATUS_OK;
      }
      d->has_waiting = 1;
    }
    if (d->waiting.n_prompt == 0) {
      return err_set(e, STATUS_DATA, "a prompt has no tokens");
    }
    if (d->waiting.n_prompt >= (size_t)d->m->config.max_ctx) {
      struct decode_result r = {.text = {"", 0}, .finish = FINISH_CONTEXT};
      d->has_waiting = 0;
      enum status st = done(ctx, &d->waiting, &r, e);
      if (st != STATUS_OK) {
        return st;
      }
      continue;
    }
    if (n > 0 && bytes + cache_need(d, &d->waiting) > d->cache_bytes) {
      return STATUS_OK;
    }
    for (int i = 0; i < d->max_batch; i++) {
      if (!d->stream[i].active) {
        d->has_waiting = 0;
        enum status st = stream_start(&d->stream[i], &d->waiting, e);
        if (st == STATUS_OK && d->prefix) {
          st = prefix_seen(d->prefix, d->waiting.prompt, d->waiting.n_prompt, &d->stream[i].shared, e);
        }
        if (st != STATUS_OK) {
          return st;
        }
        break;
      }
    }
  }
}

/* ---- the model ---- */
static void keep_hidden(struct decoder *d, struct stream *s, const float *hidden) {
  d->m->k->copy(d->m->d, d->hidden + (int64_t)d->n_row * d->m->config.hidden, hidden, (size_t)d->m->config.hidden * sizeof(float));
  d->row[d->n_row++] = s;
}

/* Rows of a stream that another prompt may take over: those of its prompt, not the answer's (decode_prefix.h). */
static size_t prompt_rows(const struct stream *s) {
  return (size_t)s->kv.len < s->job.n_prompt ? (size_t)s->kv.len : s->job.n_prompt;
}

/* Takes over the longest beginning there is, of another stream or of the table; the last token is always run, for its hidden
 * state. *wait = 1 and nothing is taken when a prompt being run (running[i], or cut in the middle) will soon have clearly more. */
static enum status take_over(struct decoder *d, struct stream *s, const unsigned char *running, int *wait, struct err *e) {
  size_t most = s->job.n_prompt - 1, best = 0, later = 0;
  *wait = 0;
  if (!d->prefix || most < PREFIX_LEAST) {
    return STATUS_OK;
  }
  const struct kv_cache *from = prefix_find(d->prefix, s->ids, most, &best);
  for (int i = 0; i < d->max_batch; i++) {
    const struct stream *o = &d->stream[i];
    if (!o->active || o == s) {
      continue;
    }
    size_t c = prefix_common(s->ids, most, o->job.prompt, o->job.n_prompt), now = c < prompt_rows(o) ? c : prompt_rows(o);
    if (now > best) {
      best = now;
      from = &o->kv;
    }
    if ((running[i] || (o->kv.len > 0 && !o->made)) && c > later) {
      later = c;
    }
  }
  if (later >= best + WAIT_TOK) {
    *wait = 1;
    return STATUS_OK;
  }
  if (best < PREFIX_LEAST) {
    return STATUS_OK;
  }
  d->reused_tok += best;
  return kv_copy(&s->kv, from, (int32_t)best, (int32_t)s->job.n_prompt, e);
}

/* What a stream gives to a run that has n tokens already; 0: nothing (now). */
static enum status next_piece(struct decoder *d, struct stream *s, const unsigned char *running, int32_t n, int32_t *take, struct err *e) {
  *take = 0;
  if (!s->active || s->made || (size_t)s->kv.len == s->job.n_prompt) {
    return STATUS_OK;
  }
  if (s->kv.len == 0) {
    int wait;
    enum status st = take_over(d, s, running, &wait, e);
    if (st != STATUS_OK || wait) {
      return st;
    }
  }
  int32_t left = (int32_t)s->job.n_prompt - s->kv.len;
  *take = left < PIECE_TOK - n ? left : PIECE_TOK - n;
  return kv_reserve(&s->kv, s->kv.len + *take, e);
}

static enum status prompt_done(struct decoder *d, struct stream *s, const float *hidden, struct err *e) {
  keep_hidden(d, s, hidden);
  return d->prefix ? prefix_keep(d->prefix, s->ids, s->shared, &s->kv, e) : STATUS_OK;
}

/* One run of prompt pieces. *ran = 0 when no stream has one left. */
static enum status prefill_run(struct decoder *d, int *ran, struct err *e) {
  int32_t ids[PIECE_TOK], positions[PIECE_TOK], start[PIECE_TOK + 1] = {0}, n = 0, n_seq = 0;
  struct stream *who[PIECE_TOK];
  const float *hidden;
  enum status st = STATUS_OK;
  memset(d->running, 0, (size_t)d->max_batch);
  for (int i = 0; i < d->max_batch && n < PIECE_TOK; i++) {
    struct stream *s = &d->stream[i];
    int32_t take;
    TRY(next_piece(d, s, d->running, n, &take, e));
    if (!take) {
      continue;
    }
    for (int32_t j = 0; j < take; j++) {
      ids[n + j] = s->ids[s->kv.len + j];
      positions[n + j] = s->kv.len + j;
    }
    n += take;
    d->running[i] = 1;
    who[n_seq] = s;
    d->cache[n_seq] = &s->kv;
    start[++n_seq] = n;
  }
  *ran = n_seq > 0;
  if (!n_seq) {
    goto out;
  }
  struct packed p = {ids, positions, {n, n_seq, start}};
  struct kv_batch kv = {d->cache, d->view};
  TRY(run_forward_kv(d->prefill, &p, &kv, &hidden, e));
  d->prompt_tok += (uint64_t)n;
  for (int32_t i = 0; i < n_seq; i++) {
    who[i]->kv.len += start[i + 1] - start[i];
    if ((size_t)who[i]->kv.len == who[i]->job.n_prompt) {
      TRY(prompt_done(d, who[i], hidden + (int64_t)(start[i + 1] - 1) * d->m->config.hidden, e));
    }
  }
out:
  return st;
}

static enum status prefill(struct decoder *d, struct err *e) {
  for (int ran = 1; ran;) {
    enum status st = stop_requested() ? err_set(e, STATUS_STOPPED, "stopped while reading prompts") : prefill_run(d, &ran, e);
    if (st != STATUS_OK) {
      return st;
    }
  }
  return STATUS_OK;
}

static enum status step(struct decoder *d, struct err *e) {
  int32_t n = 0;
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  int32_t *ids = a ? arena_alloc(a, (size_t)(3 * d->max_batch + 1) * sizeof *ids) : NULL;
  const float *hidden;
  if (!ids) {
    st = err_nomem(e, (size_t)d->max_batch * sizeof *ids);
    goto out;
  }
  int32_t *positions = ids + d->max_batch, *start = positions + d->max_batch;
  start[0] = 0;
  for (int i = 0; i < d->max_batch; i++) {
    struct stream *s = &d->stream[i];
    if (!s->active || !s->made) {
      continue;
    }
    TRY(kv_reserve(&s->kv, s->kv.len + 1, e));
    ids[n] = s->ids[s->kv.len];
    positions[n] = s->kv.len;
    d->cache[n] = &s->kv;
    d->row[n++] = s;
    start[n] = n;
  }
  d->n_row = n;
  if (!n) {
    goto out;
  }
  struct packed p = {ids, positions, {n, n, start}};
  struct kv_batch kv = {d->cache, d->view};
  TRY(run_forward_kv(d->step, &p, &kv, &hidden, e));
  d->m->k->copy(d->m->d, d->hidden, hidden, (size_t)n * (size_t)d->m->config.hidden * sizeof(float));
  for (int32_t i = 0; i < n; i++) {
    d->row[i]->kv.len++;
  }
out:
  arena_free(a);
  return st;
}

/* ---- tokens ---- */
static void sample_row(void *ctx, int i, int worker) {
  struct decoder *d = ctx;
  struct stream *s = d->row[i];
  /* counter = number of the token, so a stream's draws do not depend on the batch */
  struct rng r = {s->job.sampling.seed, 0, s->n - s->job.n_prompt};
  float *z = d->logits + (int64_t)i * d->m->config.vocab;
  int bad = 0;
  for (int32_t j = 0; j < d->m->config.vocab; j++) {
    bad += !(fabsf(z[j]) <= FLT_MAX); /* counted, not left at the first: such a loop is a few vector instructions a token */
  }
  s->broken = bad > 0;
  constrain_logits(s, z, d->m->config.vocab);
  s->next = sample_token(&s->job.sampling, z, d->m->config.vocab, s->ids, s->n, rng_uniform(&r), d->scratch + (size_t)worker * d->scratch_bytes);
  s->next = constrain_choice(s, s->next, d->m->config.vocab);
}

static enum status top_rows(struct decoder *d, struct err *e) {
  int64_t k = 0, vocab = d->m->config.vocab;
  for (int i = 0; i < d->n_row; i++) {
    k = d->row[i]->job.sampling.top_logprobs > k ? d->row[i]->job.sampling.top_logprobs : k;
  }
  k = k > vocab ? vocab : k;
  if (k == 0) {
    return STATUS_OK;
  }
  if (k > d->top_cap) {
    mem_free(d->top_id);
    mem_free(d->top_logprob);
    d->top_cap = 0;
    d->top_id = mem_calloc((size_t)d->max_batch, (size_t)k * sizeof *d->top_id);
    d->top_logprob = mem_calloc((size_t)d->max_batch, (size_t)(k + 1) * sizeof *d->top_logprob);
    if (!d->top_id || !d->top_logprob) {
      return err_nomem(e, (size_t)(d->max_batch * k) * sizeof *d->top_id);
    }
    d->top_cap = k;
  }
  kernels_cpu()->row_lse(NULL, d->n_row, vocab, d->logits, 1.0f, d->lse);
  kernels_cpu()->row_topk(NULL, d->n_row, vocab, k, d->logits, d->top_id, d->top_logprob, d->top_logprob + d->max_batch * k);
  for (int i = 0; i < d->n_row; i++) {
    struct stream *s = d->row[i];
    int64_t want = s->job.sampling.top_logprobs;
    want = want > k ? k : want;
    if (want > 0) {
      enum status st = stream_top(s, want, d->top_id + i * k, d->top_logprob + i * k, e);
      if (st != STATUS_OK) {
        return st;
      }
    }
  }
  return STATUS_OK;
}

/* Logits of the rows in hand, one token each; finished streams are handed over. */
static enum status tokens(struct decoder *d, decode_done done, void *ctx, struct err *e) {
  const struct model_config *c = &d->m->config;
  enum dtype type;
  const void *head = model_stored(d->m, d->m->head, &type);
  enum status st = STATUS_OK;
  for (int i = 0; i < d->n_row; i += LOGIT_ROWS) {
    int n = d->n_row - i < LOGIT_ROWS ? d->n_row - i : LOGIT_ROWS;
    d->m->k->gemv(d->m->d, n, c->vocab, c->hidden, d->hidden + (int64_t)i * c->hidden, c->hidden, type, head,
                  d->projected + (int64_t)i * c->vocab, c->vocab);
  }
  if (d->m->k->on_device) {
    d->m->k->download(d->m->d, d->logits, d->projected, (size_t)d->n_row * (size_t)c->vocab * sizeof(float));
    st = device_check(d->m->dev, e);
    if (st != STATUS_OK) {
      return st;
    }
  }
  st = top_rows(d, e);
  if (st != STATUS_OK) {
    return st;
  }
  st = constrain_rows(d->row, d->n_row, e);
  if (st != STATUS_OK) {
    return st;
  }
  pool_run(d->n_row, sample_row, d);
  for (int i = 0; i < d->n_row; i++) {
    if (d->row[i]->broken) {
      char what[64];
      snprintf(what, sizeof what, "the logits of token %zu of an answer are", d->row[i]->n - d->row[i]->job.n_prompt);
      return model_not_finite(d->m, what, e);
    }
  }
  for (int i = 0; st == STATUS_OK && i < d->n_row; i++) {
    struct stream *s = d->row[i];
    struct decode_result r;
    int over = 0, formed = 0;
    st = constrain_take(s, c->max_ctx, &formed, e);
    s->chosen = d->logits[(int64_t)i * c->vocab + s->next] - d->lse[i];
    if (st == STATUS_OK && formed < 2) {
      st = stream_token(s, d->t, s->next, c->max_ctx, &over, e);
    }
    if (formed) {
      over = 1;
      s->finish = s->closed ? FINISH_CLOSED : FINISH_STOP;
    }
    d->made_tok++;
    if (st == STATUS_OK && over) {
      st = stream_result(s, &r, e);
      st = st == STATUS_OK ? done(ctx, &s->job, &r, e) : st;
      stream_end(s);
    }
  }
  d->n_row = 0;
  return st;
}

enum status decoder_run(struct decoder *d, decode_next next, decode_done done, void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t bytes;
  double began = clock_seconds();
  d->ended = d->has_waiting = 0;
  d->prompt_tok = d->reused_tok = d->made_tok = 0;
  do {
    if (stop_requested()) {
      st = err_set(e, STATUS_STOPPED, "stopped while answering");
      break;
    }
    d->n_row = 0;
    TRY(join(d, next, done, ctx, e));
    TRY(prefill(d, e));
    if (d->n_row) {
      TRY(tokens(d, done, ctx, e));
    }
    TRY(step(d, e));
    if (d->n_row) {
      TRY(tokens(d, done, ctx, e));
    }
    if (d->between != NULL) {
      TRY(d->between(d->between_ctx, e));
    }
  } while (active(d, &bytes) || d->has_waiting || !d->ended);
out:
  for (int i = 0; i < d->max_batch; i++) {
    stream_end(&d->stream[i]);
  }
  d->seconds = clock_seconds() - began;
  return st;
}

void decoder_between(struct decoder *d, enum status (*between)(void *ctx, struct err *e), void *ctx) {
  d->between = between;
  d->between_ctx = ctx;
}

double decoder_tokens_per_second(const struct decoder *d) { return d->seconds > 0 ? (double)d->made_tok / d->seconds : 0; }

void decoder_counts(const struct decoder *d, uint64_t *prompt_tok, uint64_t *reused_tok, uint64_t *made_tok) {
  *prompt_tok = d->prompt_tok;
  *reused_tok = d->reused_tok;
  *made_tok = d->made_tok;
}
