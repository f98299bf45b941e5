/* SPDX-License-Identifier: Apache-2.0
 * Reading servers' log-probabilities; see token_logprobs.h. Everything here comes from outside: types, counts and ranges are
 * checked, and sizes are those of the parsed document. */
#include "token_logprobs.h"
#include <math.h>
#include <string.h>

#define ABOVE_ZERO 0.01 /* rounding of servers that compute in 16 bits */

static enum status number(const struct json *j, const char *where, double *out, struct err *e)
{
  enum json_type type = json_type(j);
  if (type == JSON_NULL) {
    *out = NAN;
    return STATUS_OK;
  }
  *out = json_num(j, NAN);
  if ((type != JSON_INT && type != JSON_REAL) || !(*out <= ABOVE_ZERO)) {
    return err_set(e, STATUS_DATA, "%s is no log-probability", where);
  }
  return STATUS_OK;
}

static enum status keep(struct span s, struct arena *a, struct span *out, struct err *e)
{
  char *p = arena_strndup(a, s.p ? s.p : "", s.n);
  if (p == NULL) {
    return err_nomem(e, s.n);
  }
  *out = (struct span){ p, s.n };
  return STATUS_OK;
}

/* "token_id:123" (vLLM's return_tokens_as_token_ids) carries the id. */
static int64_t id_in(struct span token)
{
  char digits[20];
  const char *mark = "token_id:";
  size_t n = strlen(mark);
  int64_t id = -1;
  if (token.n <= n || token.n - n >= sizeof digits || memcmp(token.p, mark, n) != 0) {
    return -1;
  }
  memcpy(digits, token.p + n, token.n - n);
  digits[token.n - n] = '\0';
  id = 0;
  for (const char *p = digits; *p; p++) {
    if (*p < '0' || *p > '9') {
      return -1;
    }
    id = id * 10 + (*p - '0');
  }
  return id;
}

/* ---- chat ---- */

/* The token's bytes where they are told: "token" alone may hold replacement characters. */
static enum status chat_token(const struct json *j, struct arena *a, struct span *token, int64_t *id, struct err *e)
{
  const struct json *bytes = json_get(j, "bytes"), *text = json_get(j, "token");
  if (json_type(text) != JSON_STRING) {
    return err_set(e, STATUS_DATA, "no string at logprobs.content[].token");
  }
  *id = json_int(json_get(j, "id"), -1);
  *id = *id >= 0 ? *id : id_in(json_str(text));
  if (json_type(bytes) != JSON_ARRAY) {
    return keep(json_str(text), a, token, e);
  }
  size_t n = json_size(bytes);
  char *p = arena_alloc(a, n + 1);
  if (p == NULL) {
    return err_nomem(e, n);
  }
  for (size_t i = 0; i < n; i++) {
    int64_t b = json_int(json_at(bytes, i), -1);
    if (b < 0 || b > 255) {
      return err_set(e, STATUS_DATA, "logprobs.content[].bytes holds something that is no byte");
    }
    p[i] = (char)(unsigned char)b;
  }
  p[n] = '\0';
  *token = (struct span){ p, n };
  return STATUS_OK;
}

enum status token_logprobs_chat(const struct json *j, struct arena *a, struct token_logprobs *out, struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *content = json_get(j, "content");
  *out = (struct token_logprobs){ 0 };
  if (json_type(j) <= JSON_NULL || (json_type(j) == JSON_OBJECT && json_type(content) <= JSON_NULL)) {
    return STATUS_OK;
  }
  if (json_type(content) != JSON_ARRAY) {
    return err_set(e, STATUS_DATA, "no array at logprobs.content");
  }
  size_t n = json_size(content);
  out->tok = arena_calloc(a, n ? n : 1, sizeof *out->tok);
  if (out->tok == NULL) {
    return err_nomem(e, n * sizeof *out->tok);
  }
  for (size_t i = 0; i < n; i++) {
    const struct json *t = json_at(content, i), *top = json_get(t, "top_logprobs");
    struct token_logprob *k = &out->tok[i];
    TRY(chat_token(t, a, &k->token, &k->id, e));
    TRY(number(json_get(t, "logprob"), "logprobs.content[].logprob", &k->logprob, e));
    k->n_top = json_type(top) == JSON_ARRAY ? json_size(top) : 0;
    k->top = k->n_top ? arena_calloc(a, k->n_top, sizeof *k->top) : NULL;
    if (k->n_top && k->top == NULL) {
      return err_nomem(e, k->n_top * sizeof *k->top);
    }
    for (size_t x = 0; x < k->n_top; x++) {
      TRY(chat_token(json_at(top, x), a, &k->top[x].token, &k->top[x].id, e));
      TRY(number(json_get(json_at(top, x), "logprob"), "top_logprobs[].logprob", &k->top[x].logprob, e));
    }
  }
  out->n = n;
out:
  return st;
}

/* ---- completions ---- */

static enum status map_of_tokens(const struct json *map, struct arena *a, struct token_logprob *k, struct err *e)
{
  enum status st = STATUS_OK;
  void *it = NULL;
  struct span key;
  const struct json *value;
  size_t n = json_type(map) == JSON_OBJECT ? json_size(map) : 0;
  k->top = n ? arena_calloc(a, n, sizeof *k->top) : NULL;
  if (n && k->top == NULL) {
    return err_nomem(e, n * sizeof *k->top);
  }
  while (k->n_top < n && json_next(map, &it, &key, &value)) {
    struct token_alternative *t = &k->top[k->n_top];
    TRY(keep(key, a, &t->token, e));
    TRY(number(value, "top_logprobs[]", &t->logprob, e));
    t->id = id_in(key);
    k->n_top++;
  }
out:
  return st;
}

/* Moves *at behind the token in the text. Special tokens of the text may have no token here, so it is looked for; pieces of a
 * character come as U+FFFD, "bytes:..." or nothing. 0 when it is nowhere. */
static int follow_text(struct span text, size_t *at, struct span token, int first)
{
  if (first && token.n > 0 && token.p[0] == ' ' && (text.n == 0 || text.p[0] != ' ')) { /* SentencePiece puts a blank in front */
    token = (struct span){ token.p + 1, token.n - 1 };
  }
  if (token.n == 0 || memmem(token.p, token.n, "\xef\xbf\xbd", 3) != NULL || (token.n > 6 && memcmp(token.p, "bytes:", 6) == 0) || id_in(token) >= 0) {
    return 1;
  }
  const char *p = memmem(text.p + *at, text.n - *at, token.p, token.n);
  if (p == NULL) {
    return 0;
  }
  *at = (size_t)(p - text.p) + token.n;
  return 1;
}

enum status token_logprobs_completions(const struct json *j, const struct span *text, size_t in_tok, struct arena *a, struct token_logprobs *out,
                                       struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *tokens = json_get(j, "tokens"), *values = json_get(j, "token_logprobs"), *top = json_get(j, "top_logprobs");
  size_t n = json_size(tokens), at = 0;
  *out = (struct token_logprobs){ 0 };
  if (json_type(j) <= JSON_NULL) {
    return STATUS_OK;
  }
  if (json_type(tokens) != JSON_ARRAY || json_type(values) != JSON_ARRAY || json_size(values) != n ||
      (json_type(top) == JSON_ARRAY && json_size(top) != n) || (json_type(top) > JSON_NULL && json_type(top) != JSON_ARRAY)) {
    return err_set(e, STATUS_DATA, "logprobs: expected arrays 'tokens', 'token_logprobs' and 'top_logprobs' of one length");
  }
  if (text != NULL && in_tok > 0 && n > in_tok) {
    n = in_tok;
  }
  out->tok = arena_calloc(a, n ? n : 1, sizeof *out->tok);
  if (out->tok == NULL) {
    return err_nomem(e, n * sizeof *out->tok);
  }
  for (size_t i = 0; i < n; i++) {
    struct token_logprob *k = &out->tok[i];
    const struct json *t = json_at(tokens, i);
    if (json_type(t) != JSON_STRING) {
      return err_set(e, STATUS_DATA, "logprobs.tokens[%zu] is no string", i);
    }
    if (text != NULL && i > 0 && i + 1 == n && at >= text->n) { /* the answer's, where the server leaves out the beginning-of-text token */
      break;
    }
    if (text != NULL && !follow_text(*text, &at, json_str(t), i == 0)) {
      if (i + 1 == n) { /* the same, behind control tokens that have no text */
        break;
      }
      return err_set(e, STATUS_DATA, "logprobs.tokens[%zu] is not the text's", i);
    }
    TRY(keep(json_str(t), a, &k->token, e));
    k->id = id_in(k->token);
    TRY(number(json_at(values, i), "logprobs.token_logprobs[]", &k->logprob, e));
    TRY(map_of_tokens(json_at(top, i), a, k, e));
    out->n++;
  }
out:
  return st;
}

/* ---- vLLM ---- */

enum status token_logprobs_vllm(const struct json *j, struct arena *a, struct token_logprobs *out, struct err *e)
{
  enum status st = STATUS_OK;
  size_t n = json_size(j);
  *out = (struct token_logprobs){ 0 };
  if (json_type(j) <= JSON_NULL) {
    return STATUS_OK;
  }
  if (json_type(j) != JSON_ARRAY) {
    return err_set(e, STATUS_DATA, "prompt_logprobs is no array");
  }
  out->tok = arena_calloc(a, n ? n : 1, sizeof *out->tok);
  if (out->tok == NULL) {
    return err_nomem(e, n * sizeof *out->tok);
  }
  for (size_t i = 0; i < n; i++) {
    struct token_logprob *k = &out->tok[i];
    const struct json *entry = json_at(j, i), *value;
    struct span key;
    void *it = NULL;
    size_t in_entry = json_size(entry);
    k->logprob = NAN;
    k->id = -1;
    if (json_type(entry) == JSON_NULL) { /* the first token follows nothing; its text is not told */
      continue;
    }
    if (json_type(entry) != JSON_OBJECT || in_entry == 0) {
      return err_set(e, STATUS_DATA, "prompt_logprobs[%zu] is no object with a token", i);
    }
    k->top = arena_calloc(a, in_entry, sizeof *k->top);
    if (k->top == NULL) {
      return err_nomem(e, in_entry * sizeof *k->top);
    }
    while (k->n_top < in_entry && json_next(entry, &it, &key, &value)) {
      struct token_alternative *t = &k->top[k->n_top];
      char mark[40];
      snprintf(mark, sizeof mark, "token_id:%.*s", key.n < 20 ? (int)key.n : 0, key.p);
      t->id = id_in((struct span){ mark, strlen(mark) });
      if (t->id < 0) {
        return err_set(e, STATUS_DATA, "prompt_logprobs[%zu]: a key is no token id", i);
      }
      TRY(keep(json_str(json_get(value, "decoded_token")), a, &t->token, e));
      TRY(number(json_get(value, "logprob"), "prompt_logprobs[].logprob", &t->logprob, e));
      k->n_top++;
    }
    k->token = k->top[0].token;
    k->id = k->top[0].id;
    k->logprob = k->top[0].logprob;
  }
  out->n = n;
out:
  return st;
}

/* ---- what all have ---- */

double token_logprobs_mean(const struct token_logprobs *l)
{
  double sum = 0;
  size_t n = 0;
  for (size_t i = 0; i < l->n; i++) {
    if (!isnan(l->tok[i].logprob)) {
      sum += l->tok[i].logprob;
      n++;
    }
  }
  return n ? sum / (double)n : NAN;
}

enum status token_logprobs_copy(const struct token_logprobs *from, struct arena *a, struct token_logprobs *to, struct err *e)
{
  enum status st = STATUS_OK;
  *to = (struct token_logprobs){ 0 };
  if (from->tok == NULL) {
    return STATUS_OK;
  }
  to->tok = arena_calloc(a, from->n ? from->n : 1, sizeof *to->tok);
  if (to->tok == NULL) {
    return err_nomem(e, from->n * sizeof *to->tok);
  }
  for (size_t i = 0; i < from->n; i++) {
    const struct token_logprob *f = &from->tok[i];
    struct token_logprob *t = &to->tok[i];
    *t = *f;
    TRY(keep(f->token, a, &t->token, e));
    t->top = f->n_top ? arena_calloc(a, f->n_top, sizeof *t->top) : NULL;
    if (f->n_top && t->top == NULL) {
      return err_nomem(e, f->n_top * sizeof *t->top);
    }
    for (size_t x = 0; x < f->n_top; x++) {
      t->top[x] = f->top[x];
      TRY(keep(f->top[x].token, a, &t->top[x].token, e));
    }
  }
  to->n = from->n;
out:
  return st;
}

static enum status put_one(struct buf *out, struct span token, int64_t id, double logprob, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(out, "{\"token\":", e));
  TRY(json_put_string(out, token, e));
  if (id >= 0) {
    TRY(buf_printf(out, e, ",\"id\":%lld", (long long)id));
  }
  TRY(buf_puts(out, ",\"logprob\":", e));
  TRY(json_put_num(out, logprob, e)); /* NAN is written as null */
out:
  return st;
}

enum status token_logprobs_put(const struct token_logprobs *l, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_putc(out, '[', e));
  for (size_t i = 0; i < l->n; i++) {
    const struct token_logprob *k = &l->tok[i];
    TRY(buf_puts(out, i ? "," : "", e));
    TRY(put_one(out, k->token, k->id, k->logprob, e));
    TRY(buf_puts(out, ",\"top\":[", e));
    for (size_t x = 0; x < k->n_top; x++) {
      TRY(buf_puts(out, x ? "," : "", e));
      TRY(put_one(out, k->top[x].token, k->top[x].id, k->top[x].logprob, e));
      TRY(buf_putc(out, '}', e));
    }
    TRY(buf_puts(out, "]}", e));
  }
  TRY(buf_putc(out, ']', e));
out:
  return st;
}
