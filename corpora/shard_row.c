/* SPDX-License-Identifier: Apache-2.0
 * Rows to tokens. Three shapes of rows, one loss mask each; what cannot teach anything is dropped with a reason. */
#include "shard_row.h"

static enum status parse_ints(const struct record *r, const char *key, int32_t low, int32_t high, struct arena *a, int32_t **out, size_t *n, struct err *e) {
  struct span v = record_get(r, key), el;
  size_t at = 0, room = 1;
  if (span_type(v) != '[') return err_set(e, STATUS_DATA, "field '%s' is %s, expected an array of integers", key, record_type_name(v));
  for (size_t i = 0; i < v.n; i++) room += v.p[i] == ',';
  *n = 0;
  *out = arena_alloc(a, room * sizeof **out);
  if (!*out) return err_nomem(e, room * sizeof **out);
  while (record_next_element(v, &at, &el)) {
    int64_t x = 0;
    char text[24];
    if (span_type(el) == 't' || span_type(el) == 'f') { /* a mask may be written true/false */
      x = el.p[0] == 't';
    } else {
      if (span_type(el) != 'n' || el.n >= sizeof text)
        return err_set(e, STATUS_DATA, "field '%s[%zu]' is %s, expected an integer", key, *n, record_type_name(el));
      memcpy(text, el.p, el.n);
      text[el.n] = 0;
      if (opt_parse_int(text, &x, NULL) != STATUS_OK) return err_set(e, STATUS_DATA, "field '%s[%zu]' is %s, expected an integer", key, *n, text);
    }
    if (x < low || x > high) return err_set(e, STATUS_DATA, "field '%s[%zu]' is %lld, expected %d to %d", key, *n, (long long)x, low, high);
    (*out)[(*n)++] = (int32_t)x;
  }
  return STATUS_OK;
}

static enum status from_ids(const struct row_rules *rules, struct document *d, struct err *e) {
  enum status st;
  int32_t *mask = NULL;
  size_t n = 0;
  TRY(parse_ints(&d->rec, "ids", 0, rules->vocab - 1, d->a, &d->ids, &d->n, e));
  d->mask = arena_alloc(d->a, d->n + 1);
  if (!d->mask) return err_nomem(e, d->n);
  memset(d->mask, 1, d->n + 1);
  if (record_get(&d->rec, "mask").p == NULL) return STATUS_OK;
  TRY(parse_ints(&d->rec, "mask", 0, 1, d->a, &mask, &n, e));
  if (n != d->n) return err_set(e, STATUS_DATA, "field 'mask' has %zu elements, 'ids' has %zu", n, d->n);
  for (size_t i = 0; i < n; i++) d->mask[i] = (unsigned char)mask[i];
out:
  return st;
}

static enum status from_messages(const struct row_rules *rules, struct document *d, struct span messages, struct err *e) {
  enum status st;
  struct json *m = NULL, *tools = NULL;
  struct tokens t;
  struct span raw = record_get(&d->rec, "tools");
  if (!rules->chat) return err_set(e, STATUS_USAGE, "rows with messages need a chat template, the tokenizer has none that is known: give --chat-template");
  TRY(json_parse(messages, "messages", &m, e));
  if (span_type(raw) == '[') TRY(json_parse(raw, "tools", &tools, e));
  TRY(template_tokens_guarded(rules->chat, rules->tokenizer, m, tools, 0, d->a, &t, &d->mask, e));
  d->ids = t.id;
  d->n = t.n;
  if (rules->all_tokens) memset(d->mask, 1, d->n);
out:
  json_free(m);
  json_free(tools);
  return st;
}

static enum status from_text(const struct row_rules *rules, struct document *d, struct span text, struct err *e) {
  struct tokens t;
  enum status st = tokenizer_encode(rules->tokenizer, text, 0, d->a, &t, e);
  if (st != STATUS_OK) return st;
  size_t bos = tokenizer_add_bos(rules->tokenizer) && tokenizer_bos(rules->tokenizer) >= 0;
  d->n = t.n + bos;
  d->ids = arena_alloc(d->a, (d->n + 1) * sizeof *d->ids);
  d->mask = arena_alloc(d->a, d->n + 1);
  if (!d->ids || !d->mask) return err_nomem(e, d->n * 5);
  if (bos) d->ids[0] = tokenizer_bos(rules->tokenizer);
  if (t.n) memcpy(d->ids + bos, t.id, t.n * sizeof *t.id);
  memset(d->mask, 1, d->n + 1);
  return STATUS_OK;
}

/* Who answered and where the text came from: the shards' card must not lose it. */
static enum status provenance(struct document *d, struct err *e) {
  enum status st;
  static const char *const licences[] = { "meta.licence", "meta.license" };
  const struct { const char *path; struct span *to; } rows[] = { { "teacher.name", &d->teacher }, { "teacher.terms", &d->terms } };
  for (size_t i = 0; i < 2; i++) {
    TRY(record_path(&d->rec, rows[i].path, d->a, rows[i].to, e));
    if (span_type(*rows[i].to) == 's') TRY(span_string(*rows[i].to, d->a, rows[i].to, e));
  }
  for (size_t i = 0; i < 2 && !d->licence.p; i++) {
    TRY(record_path(&d->rec, licences[i], d->a, &d->licence, e));
    if (span_type(d->licence) == 's') TRY(span_string(d->licence, d->a, &d->licence, e));
  }
out:
  return st;
}

/* The row without what its tokens hold already. */
static enum status keep_about(struct document *d, struct err *e) {
  static const char *const text[] = { "text", "messages", "ids", "mask", "conversations", "instruction", "input", "output", "prompt", "completion",
    "chosen", "rejected", "rationale", "tools", "passages", "id" };
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  for (size_t f = 0; f < d->rec.n_fields; f++) {
    size_t i = 0;
    while (i < sizeof text / sizeof *text && !span_key_is(d->rec.field[f].key, text[i])) i++;
    if (i < sizeof text / sizeof *text) continue;
    TRY(buf_puts(&b, b.n ? ",\"" : "{\"", e));
    TRY(buf_put(&b, d->rec.field[f].key.p, d->rec.field[f].key.n, e));
    TRY(buf_puts(&b, "\":", e));
    TRY(buf_put(&b, d->rec.field[f].value.p, d->rec.field[f].value.n, e));
  }
  if (b.n == 0) goto out;
  TRY(buf_putc(&b, '}', e));
  if ((d->about = arena_strndup(d->a, b.p, b.n)) == NULL) st = err_nomem(e, b.n);
out:
  buf_free(&b);
  return st;
}

enum status document_from_row(const struct row_rules *rules, struct document *d, struct err *e) {
  enum status st;
  struct span split, messages = { NULL, 0 }, text = { NULL, 0 };
  TRY(record_id(&d->rec, d->a, &d->id, e));
  if (memchr(d->id.p, 0, d->id.n)) return err_set(e, STATUS_DATA, "field 'id' holds a NUL character");
  if (rules->split) {
    TRY(record_string(&d->rec, "split", d->a, &split, e));
    if (!split.p || !span_is(split, rules->split)) {
      d->reason = split.p ? "other_split" : "no_split";
      return STATUS_OK;
    }
  }
  d->weight = 1;
  if (rules->weights) {
    double w = 1;
    int found;
    TRY(record_number(&d->rec, "weight", &w, &found, e));
    if (!(w >= 0 && w <= 1e6)) return err_set(e, STATUS_DATA, "field 'weight' is %g, expected 0 to 1e6", w);
    if (w == 0) {
      d->reason = "zero_weight";
      return STATUS_OK;
    }
    d->weight = (float)w;
  }
  TRY(provenance(d, e));
  if (rules->about) TRY(keep_about(d, e));
  if (record_get(&d->rec, "ids").p != NULL) {
    TRY(from_ids(rules, d, e));
  } else {
    TRY(record_messages(&d->rec, d->a, &messages, e));
    if (messages.p) {
      TRY(from_messages(rules, d, messages, e));
    } else {
      TRY(record_string(&d->rec, "text", d->a, &text, e));
      if (!text.p) {
        d->reason = "no_text";
        return STATUS_OK;
      }
      TRY(from_text(rules, d, text, e));
    }
  }
  if (d->n) d->mask[0] = 0;
  size_t targets = 0;
  for (size_t i = 0; i < d->n; i++) targets += d->mask[i] != 0;
  if (d->n == 0) d->reason = "empty";
  else if (targets == 0) d->reason = messages.p ? "no_answer" : "nothing_to_learn";
out:
  return st;
}
