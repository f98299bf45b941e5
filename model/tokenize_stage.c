/* SPDX-License-Identifier: Apache-2.0
 * `retort tokenize MODEL`: text to token ids and back, one row at a time; conversations through the model's chat template.
 * An instrument for researchers and tests (docs/formats.md, "Instrument: tokenize"). */
#include "json.h"
#include "stage.h"
#include "template.h"
#include "tokenizer.h"
#include "tokenizer_utf8.h"

struct tokenize_options {
  int no_special, decode, skip_special, messages, generation_prompt;
  const char *chat_template;
};

static const struct opt_row rows[] = {
  OPT_ROW(tokenize_options, no_special, "no-special", 0, OPT_FLAG, NULL, NULL, NULL, "read control tokens in the text as plain text"),
  OPT_ROW(tokenize_options, decode, "decode", 'd', OPT_FLAG, NULL, NULL, NULL, "turn rows with 'ids' into rows with 'text'"),
  OPT_ROW(tokenize_options, skip_special, "skip-special", 0, OPT_FLAG, NULL, NULL, NULL, "with --decode: leave out control tokens"),
  OPT_ROW(tokenize_options, messages, "messages", 'm', OPT_FLAG, NULL, NULL, NULL, "rows hold 'messages' (and 'tools'): apply the chat template, add 'mask'"),
  OPT_ROW(tokenize_options, generation_prompt, "generation-prompt", 0, OPT_FLAG, NULL, NULL, NULL, "with --messages: end with the header of an answer"),
  OPT_ROW(tokenize_options, chat_template, "chat-template", 0, OPT_STR, NULL, NULL, "NAME", "chat template instead of the model's own"),
  OPT_END,
};

struct tokenize {
  const struct tokenize_options *o;
  struct tokenizer *t;
  const struct chat_template *tmpl;
  struct arena *a; /* of one row */
  struct buf line, text;
};

static enum status need(const struct record *r, const char *key, char type, const char *what, struct span *v, struct err *e) {
  *v = record_get(r, key);
  return span_type(*v) == type ? STATUS_OK : err_set(e, STATUS_DATA, "no \"%s\" that is %s", key, what);
}

static enum status put_ids(struct buf *b, const struct tokens *k, struct err *e) {
  enum status st = buf_puts(b, "\"ids\":", e);
  return st == STATUS_OK ? json_put_ids(b, k->id, k->n, e) : st;
}

static enum status encode_row(struct tokenize *x, const struct record *r, struct err *e) {
  enum status st = STATUS_OK;
  struct span v, text;
  struct tokens k;
  TRY(need(r, "text", 's', "a string", &v, e));
  TRY(span_string(v, x->a, &text, e));
  TRY(tokenizer_encode(x->t, text, !x->o->no_special, x->a, &k, e));
  st = put_ids(&x->line, &k, e);
out:
  return st;
}

static enum status decode_row(struct tokenize *x, const struct record *r, struct err *e) {
  enum status st = STATUS_OK;
  struct json *j = NULL;
  struct span v;
  TRY(need(r, "ids", '[', "an array of token ids", &v, e));
  TRY(json_parse(v, "ids", &j, e));
  buf_clear(&x->text);
  for (size_t i = 0; i < json_size(j); i++) {
    int64_t wide = json_int(json_at(j, i), -1);
    int32_t id = wide < 0 || wide > INT32_MAX ? -1 : (int32_t)wide;
    st = tokenizer_decode(x->t, &id, 1, x->o->skip_special, &x->text, e);
    if (st == STATUS_DATA) st = err_set(e, STATUS_DATA, "ids[%zu] is no token id; expected 0 to %d", i, tokenizer_vocab(x->t) - 1);
    if (st != STATUS_OK) goto out;
  }
  struct buf lossy = { 0 };
  st = utf8_lossy((struct span){ x->text.p, x->text.n }, &lossy, e);
  if (st == STATUS_OK) st = buf_puts(&x->line, "\"text\":", e);
  if (st == STATUS_OK) st = json_put_string(&x->line, (struct span){ lossy.p, lossy.n }, e);
  buf_free(&lossy);
out:
  json_free(j);
  return st;
}

static enum status messages_row(struct tokenize *x, const struct record *r, struct err *e) {
  enum status st = STATUS_OK;
  struct json *messages = NULL, *tools = NULL;
  struct span v, tv = record_get(r, "tools");
  struct tokens k;
  unsigned char *mask = NULL;
  TRY(need(r, "messages", '[', "an array", &v, e));
  TRY(json_parse(v, "messages", &messages, e));
  if (tv.p) TRY(json_parse(tv, "tools", &tools, e));
  TRY(template_tokens(x->tmpl, x->t, messages, tools, x->o->generation_prompt, x->a, &k, &mask, e));
  TRY(put_ids(&x->line, &k, e));
  TRY(buf_puts(&x->line, ",\"mask\":[", e));
  for (size_t i = 0; i < k.n; i++) TRY(buf_puts(&x->line, i ? (mask[i] ? ",1" : ",0") : mask[i] ? "1" : "0", e));
  st = buf_putc(&x->line, ']', e);
out:
  json_free(messages);
  json_free(tools);
  return st;
}

static enum status one_row(struct ctx *c, struct tokenize *x, const struct record *r, struct err *e) {
  enum status st = STATUS_OK;
  struct span id = record_get(r, "id");
  arena_reset(x->a);
  buf_clear(&x->line);
  TRY(buf_putc(&x->line, '{', e));
  if (id.p) {
    TRY(buf_puts(&x->line, "\"id\":", e));
    TRY(buf_put(&x->line, id.p, id.n, e));
    TRY(buf_putc(&x->line, ',', e));
  }
  TRY(x->o->decode ? decode_row(x, r, e) : x->o->messages ? messages_row(x, r, e) : encode_row(x, r, e));
  TRY(buf_putc(&x->line, '}', e));
  TRY(ctx_write(c, (struct span){ x->line.p, x->line.n }, e));
  ledger_kept(ctx_ledger(c));
out:
  if (st == STATUS_DATA) st = err_prefix(e, "row %llu (id %.*s)", (unsigned long long)ledger_count_in(ctx_ledger(c)), (int)(id.n < 80 ? id.n : 80), id.p ? id.p : "none");
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  struct tokenize x = { .o = options };
  struct record r;
  int got;
  if (args->n != 1) return err_set(e, STATUS_USAGE, "%zu arguments; expected one: a GGUF file, a tokenizer.json, or a model folder", args->n);
  if (x.o->decode && x.o->messages) return err_set(e, STATUS_USAGE, "--decode and --messages exclude each other");
  if (!(x.a = arena_new(0))) return err_nomem(e, 64);
  TRY(tokenizer_open(args->item[0], &x.t, e));
  if (x.o->messages) TRY(template_find(x.o->chat_template, x.t, &x.tmpl, e));
  for (;;) {
    TRY(ctx_next(c, &r, &got, e));
    if (!got) break;
    if ((st = one_row(c, &x, &r, e)) == STATUS_DATA) { /* a failed row, not the end */
      ctx_fail_row(c, ctx_row(c), "bad row", e);
      st = STATUS_OK;
    }
    TRY(st);
  }
out:
  tokenizer_close(x.t);
  arena_free(x.a);
  buf_free(&x.line);
  buf_free(&x.text);
  return st;
}

const struct stage stage_tokenize = {
  .name = "tokenize",
  .args = "MODEL",
  .summary = "turn text into token ids and back",
  .details = "Reads rows {\"id\",\"text\"} and writes {\"id\",\"ids\"}. MODEL is a GGUF file, a tokenizer.json, or a folder with one.\n"
             "Invalid UTF-8 is read as U+FFFD; no bos token is added.\n\n"
             "  printf '{\"id\":\"a\",\"text\":\"Hello\"}\\n' | retort tokenize model.gguf\n"
             "  retort tokenize model.gguf --messages < train.jsonl | jq '.ids | length'",
  .flags = STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_INSTRUMENT,
  .options = rows,
  .options_bytes = sizeof(struct tokenize_options),
  .run = run,
};
