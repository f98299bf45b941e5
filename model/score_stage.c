/* SPDX-License-Identifier: Apache-2.0
 * `retort score MODEL`: log-probabilities of given text, row by row; an instrument for researchers and tests. Several rows
 * share a run for speed; a row's numbers do not depend on its neighbours. */
#include <math.h>
#include "decode.h"
#include "log.h"
#include "pool.h"
#include "record.h"
#include "stage.h"
#include "template.h"
#include "tokenizer.h"

extern const struct stage stage_score;

enum { PACK_TOK = 2048 };
struct score_options { int64_t top; int special; const char *chat_template; struct device_options dev; };
static const struct opt_row rows[] = {
  OPT_ROW(score_options, top, "top", 'k', OPT_INT, "0", "0..1000000", "K", "list the K likeliest tokens after each token and the mass of the rest"),
  OPT_ROW(score_options, special, "special", 0, OPT_FLAG, "1", NULL, NULL, "read special tokens in texts (--no-special: as plain text)"),
  OPT_ROW(score_options, chat_template, "chat-template", 0, OPT_STR, NULL, NULL, "NAME", "chat template for rows with messages, when it is not recognised"),
  DEVICE_OPTION_ROWS(score_options, dev),
  OPT_END
};

struct score_text { struct span id; struct tokens tok; unsigned long long number; int failed; };
struct scorer {
  struct ctx *ctx;
  const struct score_options *o;
  struct model *m;
  struct tokenizer *t;
  const struct chat_template *chat;
  struct run *run;
  int64_t run_tok;
  struct arena *a;            /* rows of the pack in hand */
  struct score_text *text;
  size_t n, cap;
  int64_t n_tok;
  int32_t at;                 /* sequence being written */
  struct buf top, rest, line; /* parts of its line */
  struct progress *progress;
  uint64_t done_tok;
  int said_why;               /* which weights are not finite */
  int no_tokenizer;           /* that ends the run: it is no row's fault */
};

/* ---- in ---- */
static enum status read_ids(struct span v, struct arena *a, struct tokens *out, struct err *e) {
  struct json *j = NULL;
  enum status st = json_parse(v, "ids", &j, e);
  size_t n = json_size(j);
  if (st == STATUS_OK && !(out->id = arena_alloc(a, (n + 1) * sizeof *out->id))) {
    st = err_nomem(e, n * sizeof *out->id);
  }
  for (size_t i = 0; st == STATUS_OK && i < n; i++) {
    int64_t id = json_int(json_at(j, i), -1);
    if (id < 0 || id > INT32_MAX) {
      st = err_set(e, STATUS_DATA, "'ids' value %zu is not a token id", i);
    } else {
      out->id[i] = (int32_t)id;
    }
  }
  out->n = n;
  json_free(j);
  return st;
}

/* Only when a row brings text: rows of ids can be scored by models without a tokenizer. */
static enum status need_tokenizer(struct scorer *s, struct err *e) {
  enum status st = s->t ? STATUS_OK : tokenizer_from_weights(model_weights(s->m), &s->t, e);
  s->no_tokenizer = st != STATUS_OK;
  return st;
}

static enum status text_tokens(struct scorer *s, struct span text, struct tokens *out, struct err *e) {
  struct tokens t;
  enum status st = tokenizer_encode(s->t, text, s->o->special, s->a, &t, e);
  *out = t;
  if (st == STATUS_OK && tokenizer_add_bos(s->t) && tokenizer_bos(s->t) >= 0) {
    out->id = arena_alloc(s->a, (t.n + 1) * sizeof *out->id);
    if (!out->id) {
      return err_nomem(e, t.n);
    }
    out->id[0] = tokenizer_bos(s->t);
    memcpy(out->id + 1, t.id, t.n * sizeof *out->id);
    out->n = t.n + 1;
  }
  return st;
}

static enum status row_tokens(struct scorer *s, const struct record *r, struct tokens *out, struct err *e) {
  enum status st = STATUS_OK;
  struct span ids = record_get(r, "ids"), text, messages;
  struct json *j = NULL;
  unsigned char *mask;
  if (span_type(ids) == '[') {
    return read_ids(ids, s->a, out, e);
  }
  TRY(need_tokenizer(s, e));
  TRY(record_string(r, "text", s->a, &text, e));
  if (text.p) {
    return text_tokens(s, text, out, e);
  }
  TRY(record_messages(r, s->a, &messages, e));
  if (!messages.p) {
    return err_set(e, STATUS_DATA, "the row has no 'text', 'ids' or 'messages'");
  }
  if (!s->chat) {
    TRY(template_find(s->o->chat_template, s->t, &s->chat, e));
  }
  TRY(json_parse(messages, "messages", &j, e));
  st = template_tokens(s->chat, s->t, j, NULL, 0, s->a, out, &mask, e);
out:
  json_free(j);
  return st;
}

/* ---- out ---- */
static enum status put_float(struct buf *b, float v, struct err *e) {
  return isfinite(v) ? buf_printf(b, e, "%.9g", (double)v) : buf_puts(b, "null", e);
}

static enum status write_line(struct scorer *s, struct err *e) {
  enum status st = STATUS_OK;
  struct buf *b = &s->line;
  TRY(buf_puts(b, "]", e));
  if (s->o->top > 0) {
    TRY(buf_puts(b, ",\"top\":[", e));
    TRY(buf_put(b, s->top.p, s->top.n, e));
    TRY(buf_puts(b, "],\"rest\":[", e));
    TRY(buf_put(b, s->rest.p, s->rest.n, e));
    TRY(buf_puts(b, "]", e));
  }
  TRY(buf_puts(b, "}", e));
  TRY(ctx_write(s->ctx, (struct span){b->p, b->n}, e));
  ledger_kept(ctx_ledger(s->ctx));
out:
  return st;
}

static enum status begin_line(struct scorer *s, struct span id, struct err *e) {
  enum status st = STATUS_OK;
  buf_clear(&s->line);
  buf_clear(&s->top);
  buf_clear(&s->rest);
  TRY(buf_puts(&s->line, "{\"id\":", e));
  TRY(json_put_string(&s->line, id, e));
  TRY(buf_puts(&s->line, ",\"logprobs\":[", e));
out:
  return st;
}

/* The weights are looked through once: what is wrong with them is the same for every row. */
static enum status not_finite(struct scorer *s, struct score_text *text, int32_t pos) {
  struct err why = {STATUS_OK, ""};
  char what[64];
  snprintf(what, sizeof what, "the logits after token %d are", pos);
  if (s->said_why) {
    (void)!err_set(&why, STATUS_DATA, "%s not finite", what);
  } else {
    (void)!model_not_finite(s->m, what, &why);
  }
  s->said_why = 1;
  text->failed = 1;
  ctx_fail_row(s->ctx, text->number, "not finite", &why);
  return STATUS_OK;
}

static enum status see_row(void *ctx, const struct score_row *row, struct err *e) {
  struct scorer *s = ctx;
  enum status st = STATUS_OK;
  const char *comma = row->pos ? "," : "";
  struct score_text *text = &s->text[row->seq];
  if (text->failed) {
    return STATUS_OK;
  }
  if (!score_row_finite(row)) {
    return not_finite(s, text, row->pos);
  }
  if (row->pos == 0) {
    TRY(begin_line(s, text->id, e));
  }
  if (!row->last) {
    TRY(buf_puts(&s->line, comma, e));
    TRY(put_float(&s->line, row->logprob, e));
  }
  for (int64_t i = 0; i < s->o->top; i++) {
    TRY(buf_printf(&s->top, e, "%s[%d,", i ? "," : row->pos ? ",[" : "[", row->top_id[i]));
    TRY(put_float(&s->top, row->top_logprob[i], e));
    TRY(buf_puts(&s->top, i + 1 == s->o->top ? "]]" : "]", e));
  }
  if (s->o->top > 0) {
    TRY(buf_puts(&s->rest, comma, e));
    TRY(put_float(&s->rest, row->rest, e));
  }
  if (row->last) {
    TRY(write_line(s, e));
  }
out:
  return st;
}

/* ---- packs ---- */
/* The rows' memory stays: who calls resets the arena once nothing of it is needed. */
static enum status score_pack(struct scorer *s, struct err *e) {
  enum status st = STATUS_OK;
  int32_t *ids = arena_alloc(s->a, ((size_t)s->n_tok + s->n + 1) * sizeof *ids), *start = ids ? ids + s->n_tok : NULL;
  if (!ids) {
    return err_nomem(e, (size_t)s->n_tok * sizeof *ids);
  }
  start[0] = 0;
  for (size_t i = 0; i < s->n; i++) {
    memcpy(ids + start[i], s->text[i].tok.id, s->text[i].tok.n * sizeof *ids);
    start[i + 1] = start[i] + (int32_t)s->text[i].tok.n;
  }
  if (s->n > 0) {
    if (s->n_tok > s->run_tok) {
      run_free(s->run);
      s->run = NULL;
      s->run_tok = s->n_tok > PACK_TOK ? s->n_tok : PACK_TOK;
      TRY(run_new(s->m, s->run_tok, 0, &s->run, e));
    }
    struct packed p = {ids, NULL, {(int32_t)s->n_tok, (int32_t)s->n, start}};
    TRY(lease_take(e));
    st = model_score(s->run, &p, s->o->top, NULL, see_row, s, e);
    lease_give();
  }
  s->done_tok += (uint64_t)s->n_tok;
  progress_set(s->progress, s->done_tok, NULL);
  s->n = 0;
  s->n_tok = 0;
out:
  return st;
}

static enum status check_row(const struct scorer *s, struct tokens tok, struct err *e) {
  const struct model_config *c = model_config(s->m);
  if (tok.n > (size_t)c->max_ctx) {
    return err_set(e, STATUS_DATA, "%zu tokens, the model's context is %d; split the text", tok.n, c->max_ctx);
  }
  for (size_t i = 0; i < tok.n; i++) {
    if (tok.id[i] >= c->vocab) {
      return err_set(e, STATUS_DATA, "token id %d, the vocabulary has %d", tok.id[i], c->vocab);
    }
  }
  return STATUS_OK;
}

/* A row of no tokens has an empty line of its own; the pack before it goes first, so that order stays. */
static enum status add_row(struct scorer *s, struct span id, struct tokens tok, struct err *e) {
  enum status st = STATUS_OK;
  if (tok.n == 0) {
    TRY(score_pack(s, e));
    TRY(begin_line(s, id, e));
    TRY(write_line(s, e));
    arena_reset(s->a);
    return STATUS_OK;
  }
  if (s->n == s->cap) {
    size_t cap = s->cap * 2 + 64;
    struct score_text *more = mem_realloc(s->text, cap * sizeof *more);
    if (!more) {
      return err_nomem(e, cap * sizeof *more);
    }
    s->text = more;
    s->cap = cap;
  }
  s->text[s->n++] = (struct score_text){id, tok, ctx_row(s->ctx), 0};
  s->n_tok += (int64_t)tok.n;
  if (s->n_tok >= PACK_TOK) {
    TRY(score_pack(s, e));
    arena_reset(s->a);
  }
out:
  return st;
}

static enum status read_rows(struct scorer *s, struct err *e) {
  enum status st = STATUS_OK;
  struct record r;
  for (;;) {
    int got = 0;
    struct tokens tok = {NULL, 0};
    struct span id;
    TRY(ctx_next_in(s->ctx, s->a, &r, &got, e));
    if (!got) {
      return score_pack(s, e);
    }
    st = row_tokens(s, &r, &tok, e);
    st = st == STATUS_OK ? record_id(&r, s->a, &id, e) : st;
    st = st == STATUS_OK ? check_row(s, tok, e) : st;
    if (st == STATUS_DATA && !s->no_tokenizer) { /* what cannot be scored is counted, the rows around it are not lost */
      ctx_fail_row(s->ctx, ctx_row(s->ctx), "not scorable", e);
      continue;
    }
    TRY(st);
    TRY(add_row(s, id, tok, e));
  }
out:
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  struct scorer s = {.ctx = c, .o = options};
  struct device *dev = NULL;
  enum status st = STATUS_OK;
  if (args->n != 1) {
    return err_set(e, STATUS_USAGE, "score takes one MODEL, found %zu arguments", args->n);
  }
  s.a = arena_new(0);
  if (!s.a) {
    return err_nomem(e, 4096);
  }
  TRY(device_start(&s.o->dev, &dev, e));
  TRY(model_open(args->item[0], 0, &s.m, e));
  if (s.o->top > model_config(s.m)->vocab) {
    st = err_set(e, STATUS_USAGE, "--top %lld is above the vocabulary of %d", (long long)s.o->top, model_config(s.m)->vocab);
    goto out;
  }
  s.progress = progress_new("rows", "tok", 0);
  st = read_rows(&s, e);
out:
  progress_free(s.progress);
  run_free(s.run);
  tokenizer_close(s.t);
  model_close(s.m);
  device_close(dev);
  mem_free(s.text);
  buf_free(&s.top);
  buf_free(&s.rest);
  buf_free(&s.line);
  arena_free(s.a);
  return st;
}

const struct stage stage_score = {
  "score", "MODEL", "log-probabilities of given text",
  "Reads rows with text, ids or messages and writes {\"id\",\"logprobs\",\"top\",\"rest\"}. Entry i of top and rest is the\n"
  "distribution after token i: the K likeliest tokens as [token, logprob] and the natural logarithm of the exact mass of all\n"
  "others. logprobs[i] is that of token i + 1, so it is one shorter than the text. Weights are exact, activations float32.\n"
  "\n"
  "  retort score model.gguf --top 64 < rows.jsonl > scores.jsonl\n"
  "  echo '{\"ids\":[1,9690,198]}' | retort score student/",
  STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_COMPUTE | STAGE_INSTRUMENT, rows, sizeof(struct score_options), run
};
