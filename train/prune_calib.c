/* SPDX-License-Identifier: Apache-2.0
 * Calibration samples: a shard folder (its tokenizer must be the model's), or JSON Lines rows with ids, messages or text. */
#include <fcntl.h>
#include <unistd.h>
#include "file.h"
#include "record.h"
#include "hash.h"
#include "json.h"
#include "line.h"
#include "prune.h"
#include "shard.h"
#include "template.h"

static enum status add(struct calib *c, struct arena *a, const int32_t *ids, int64_t n_tok, const int32_t *start, int32_t n_doc, int64_t length, struct err *e) {
  if (n_tok > length) n_tok = length;
  struct calib_sample *s = &c->s[c->n];
  s->n_tok = (int32_t)n_tok;
  s->ids = arena_alloc(a, (size_t)n_tok * sizeof *s->ids);
  s->start = arena_alloc(a, ((size_t)n_doc + 1) * sizeof *s->start);
  if (s->ids == NULL || s->start == NULL) return err_nomem(e, (size_t)n_tok * sizeof *s->ids);
  memcpy(s->ids, ids, (size_t)n_tok * sizeof *ids);
  s->n_doc = 0;
  for (int32_t d = 0; d < n_doc && start[d] < n_tok; d++) s->start[s->n_doc++] = start[d];
  s->start[s->n_doc] = (int32_t)n_tok;
  c->n++;
  c->n_tok += n_tok;
  if (s->n_tok > c->longest) c->longest = s->n_tok;
  return STATUS_OK;
}

/* A model without a tokenizer (ids only) has nothing to compare. */
static enum status same_tokenizer(const char *path, const struct shard_info *info, const struct weights *w, struct err *e) {
  struct tokenizer *t = NULL;
  struct err why;
  unsigned char h[32];
  char hex[65];
  const struct model_config *c = weights_config(w);
  if (info->vocab > c->vocab) return err_set(e, STATUS_DATA, "'%s' has token ids up to %d, the model's vocabulary ends at %d", path, info->vocab - 1, c->vocab - 1);
  if (tokenizer_from_weights(w, &t, &why) != STATUS_OK) return STATUS_OK;
  tokenizer_hash(t, h);
  tokenizer_close(t);
  hash_hex(h, 32, hex);
  if (strcmp(hex, info->tokenizer_hash) == 0) return STATUS_OK;
  return err_set(e, STATUS_DATA, "'%s' was made with another tokenizer (%.12s) than that of '%s' (%.12s); make shards with --tokenizer of this model", path,
                 info->tokenizer_hash, weights_path(w), hex);
}

static enum status from_shards(const char *path, const struct weights *w, int64_t samples, int64_t length, uint64_t seed, struct arena *a, struct calib *c, struct err *e) {
  enum status st = STATUS_OK;
  struct shard_reader *r = NULL;
  int64_t *order = NULL;
  struct arena *row = arena_new(0);
  if (row == NULL) return err_nomem(e, 1);
  TRY(shard_open(path, &r, e));
  const struct shard_info *info = shard_info(r);
  TRY(same_tokenizer(path, info, w, e));
  order = mem_alloc(((size_t)info->n_samples + 1) * sizeof *order);
  if (order == NULL) {
    st = err_nomem(e, (size_t)info->n_samples * sizeof *order);
    goto out;
  }
  shard_order(r, seed, 0, order);
  for (int64_t i = 0; i < info->n_samples && c->n < samples; i++) {
    struct sample s;
    arena_reset(row);
    TRY(shard_read(r, order[i], row, &s, e));
    if (s.n_tok >= 2) TRY(add(c, a, s.ids, s.n_tok, s.doc_start, s.n_doc, length, e));
  }
out:
  mem_free(order);
  shard_close(r);
  arena_free(row);
  return st;
}

/* Tokenizer and template are opened by the first row that needs them. */
struct reader {
  const struct weights *w;
  struct tokenizer *t;
  const struct chat_template *template;
};

static enum status need_tokenizer(struct reader *x, struct err *e) { return x->t ? STATUS_OK : tokenizer_from_weights(x->w, &x->t, e); }

static enum status row_ids(struct span v, int32_t vocab, struct arena *a, struct tokens *out, struct err *e) {
  struct json *j = NULL;
  enum status st = json_parse(v, "ids", &j, e);
  size_t n = json_size(j);
  if (st != STATUS_OK) return st;
  out->n = n;
  out->id = arena_alloc(a, (n + 1) * sizeof *out->id);
  if (out->id == NULL) st = err_nomem(e, n * sizeof *out->id);
  for (size_t i = 0; i < n && st == STATUS_OK; i++) {
    int64_t id = json_int(json_at(j, i), -1);
    if (json_type(json_at(j, i)) != JSON_INT || id < 0 || id >= vocab) st = err_set(e, STATUS_DATA, "ids[%zu] is no token of a vocabulary of %d", i, vocab);
    else out->id[i] = (int32_t)id;
  }
  json_free(j);
  return st;
}

static enum status row_messages(struct reader *x, struct span v, struct arena *a, struct tokens *out, struct err *e) {
  enum status st = STATUS_OK;
  struct json *j = NULL;
  unsigned char *mask;
  TRY(need_tokenizer(x, e));
  if (x->template == NULL) TRY(template_find(NULL, x->t, &x->template, e));
  TRY(json_parse(v, "messages", &j, e));
  TRY(template_tokens_guarded(x->template, x->t, j, NULL, 0, a, out, &mask, e));
out:
  json_free(j);
  return st;
}

static enum status row_tokens(struct reader *x, struct span line, struct arena *a, struct tokens *out, struct err *e) {
  enum status st = STATUS_OK;
  struct record r;
  struct span text;
  TRY(record_split(line, a, &r, e));
  struct span ids = record_get(&r, "ids"), messages = { NULL, 0 }, raw = record_get(&r, "text");
  if (span_type(ids) == '[') return row_ids(ids, weights_config(x->w)->vocab, a, out, e);
  TRY(record_messages(&r, a, &messages, e)); /* Alpaca's and ShareGPT's too */
  if (messages.p) return row_messages(x, messages, a, out, e);
  if (span_type(raw) != 's') return err_set(e, STATUS_DATA, "no 'ids', 'messages' (or Alpaca's, ShareGPT's, TRL's fields) or 'text' in the row");
  TRY(need_tokenizer(x, e));
  TRY(span_string(raw, a, &text, e));
  TRY(tokenizer_encode(x->t, text, 0, a, out, e));
out:
  return st;
}

static enum status from_lines(const char *path, const struct weights *w, int64_t samples, int64_t length, struct arena *a, struct calib *c, struct err *e) {
  enum status st = STATUS_OK;
  struct reader x = { w, NULL, NULL };
  struct line_reader *lines = NULL;
  struct arena *row = arena_new(0);
  int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), got = 1;
  const int32_t zero = 0;
  if (fd < 0) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
    goto out;
  }
  lines = line_reader_new(fd, path, LINE_MAX_DEFAULT);
  if (lines == NULL || row == NULL) {
    st = err_nomem(e, 1);
    goto out;
  }
  while (c->n < samples) {
    struct span line;
    struct tokens t;
    TRY(line_next(lines, &line, &got, e));
    if (!got) break;
    arena_reset(row);
    st = row_tokens(&x, line, row, &t, e);
    if (st != STATUS_OK) {
      st = err_prefix(e, "'%s' line %llu", path, (unsigned long long)line_number(lines));
      goto out;
    }
    if (t.n >= 2) TRY(add(c, a, t.id, (int64_t)t.n, &zero, 1, length, e));
  }
out:
  line_reader_free(lines);
  if (fd > STDIN_FILENO) close(fd);
  tokenizer_close(x.t);
  arena_free(row);
  return st;
}

enum status calib_read(const char *path, const struct weights *w, int64_t samples, int64_t length, uint64_t seed, struct arena *a, struct calib *c, struct err *e) {
  memset(c, 0, sizeof *c);
  c->s = arena_calloc(a, (size_t)samples, sizeof *c->s);
  if (c->s == NULL) return err_nomem(e, (size_t)samples * sizeof *c->s);
  enum status st = folder_exists(path) ? from_shards(path, w, samples, length, seed, a, c, e) : from_lines(path, w, samples, length, a, c, e);
  if (st == STATUS_OK && c->n == 0) st = err_set(e, STATUS_DATA, "'%s' has no sample of two tokens or more to calibrate with", path);
  return st;
}
