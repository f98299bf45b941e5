/* SPDX-License-Identifier: Apache-2.0
 * The stage `retort fetch`: documents in, records out. Sources (source.c) give inputs, kinds (document.c) make text of them,
 * split.c cuts passages, and this file writes the rows and keeps the ledger: every input is kept, dropped or failed. */
#include "charset.h"
#include "document.h"
#include "hash.h"
#include "json.h"
#include "log.h"
#include "source.h"
#include "split.h"
#include "stage.h"
#include "yaml_json.h"

struct fetch_options {
  const char *split, *tokenizer, *licence, *from_file, *root, *encoding, *type, *ca_file;
  struct opt_list include, exclude, map, meta;
  uint64_t overlap, min_chars, passages, max_document, max_unpacked;
  int64_t pdf_timeout;
  double timeout;
  int front_matter, hidden;
};

static const struct opt_row fetch_rows[] = {
  OPT_ROW(fetch_options, split, "split", 0, OPT_STR, NULL, NULL, "UNIT:N", "cut documents into passages of at most N: chars:1500 or tokens:400"),
  OPT_ROW(fetch_options, tokenizer, "tokenizer", 0, OPT_STR, NULL, NULL, "MODEL", "tokenizer that counts for --split tokens:N"),
  OPT_ROW(fetch_options, overlap, "overlap", 0, OPT_COUNT, "0", "0..", "M", "repeat up to M characters or tokens of the passage before, in whole sentences"),
  OPT_ROW(fetch_options, passages, "passages", 0, OPT_COUNT, "0", "0..", "N", "keep at most N passages of a document, spread evenly; 0 = all"),
  OPT_ROW(fetch_options, min_chars, "min-chars", 0, OPT_COUNT, "0", "0..", "N", "leave out passages shorter than N characters"),
  OPT_ROW(fetch_options, licence, "licence", 0, OPT_STR, NULL, NULL, "TEXT", "licence of the documents, for meta.licence"),
  OPT_ROW(fetch_options, meta, "meta", 0, OPT_LIST, NULL, NULL, "KEY=TEXT", "one more string for meta of every row"),
  OPT_ROW(fetch_options, front_matter, "front-matter", 0, OPT_FLAG, NULL, NULL, NULL, "read YAML between '---' lines at the top into meta and take it off the text"),
  OPT_ROW(fetch_options, map, "map", 0, OPT_LIST, NULL, NULL, "NEW=OLD", "JSON Lines: rename the field OLD to NEW, such as text=body"),
  OPT_ROW(fetch_options, from_file, "from-file", 0, OPT_STR, NULL, NULL, "LIST", "read names from LIST, one a line; '-' is stdin"),
  OPT_ROW(fetch_options, root, "root", 0, OPT_STR, NULL, NULL, "DIR", "names in LIST are relative to DIR"),
  OPT_ROW(fetch_options, include, "include", 0, OPT_LIST, NULL, NULL, "GLOB", "in folders, only files whose name matches"),
  OPT_ROW(fetch_options, exclude, "exclude", 0, OPT_LIST, NULL, NULL, "GLOB", "in folders, not the files whose name matches"),
  OPT_ROW(fetch_options, hidden, "hidden", 0, OPT_FLAG, NULL, NULL, NULL, "in folders, also names that begin with a dot"),
  OPT_ROW(fetch_options, type, "type", 0, OPT_ENUM, NULL, "pdf|archive|html|jsonl|markdown|text", "KIND", "take every input as this kind instead of looking"),
  OPT_ROW(fetch_options, encoding, "encoding", 0, OPT_ENUM, "auto", "auto|utf-8|latin-1", "NAME", "encoding of texts; auto guesses Latin-1 where no UTF-8 is"),
  OPT_ROW(fetch_options, max_document, "max-document", 0, OPT_BYTES, "64M", "1024..1073741824", "BYTES", "largest document held in memory"),
  OPT_ROW(fetch_options, max_unpacked, "max-unpacked", 0, OPT_BYTES, "4G", "1024..", "BYTES", "most bytes unpacked from one archive"),
  OPT_ROW(fetch_options, pdf_timeout, "pdf-timeout", 0, OPT_INT, "120", "1..86400", "SECONDS", "time limit of pdftotext for one file"),
  OPT_ROW(fetch_options, timeout, "timeout", 0, OPT_NUM, "120", "1..86400", "SECONDS", "time limit of one download"),
  OPT_ROW(fetch_options, ca_file, "ca-file", 0, OPT_STR, NULL, NULL, "FILE", "certificate authorities for https"),
  OPT_END
};

enum { DROPPED_NAMED = 5 }; /* documents named when they are dropped; the rest with -v */
struct fetch {
  struct ctx *c;
  const struct fetch_options *o;
  struct split_options split;
  struct arena *row; /* memory of one document */
  struct buf line, meta;
  const struct record *carried; /* row whose passages are written, NULL for documents */
  uint64_t refused, dropped, short_passages;
};

/* "abc" -> text of `"key":"value",` appended to the meta object under construction. */
static enum status put_meta(struct buf *b, const char *key, struct span value, struct err *e)
{
  enum status st = STATUS_OK;
  if (value.n == 0) {
    return STATUS_OK;
  }
  TRY(buf_puts(b, b->n > 0 ? "," : "", e));
  TRY(json_put_cstr(b, key, e));
  TRY(buf_putc(b, ':', e));
  TRY(json_put_string(b, value, e));
out:
  return st;
}

static enum status put_meta_cstr(struct buf *b, const char *key, const char *value, struct err *e)
{
  return put_meta(b, key, (struct span){ value, value ? strlen(value) : 0 }, e);
}

static enum status put_user_meta(struct fetch *f, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(put_meta_cstr(&f->meta, "licence", f->o->licence, e));
  for (size_t i = 0; i < f->o->meta.n; i++) {
    const char *eq = strchr(f->o->meta.item[i], '=');
    char *key = arena_strndup(f->row, f->o->meta.item[i], (size_t)(eq - f->o->meta.item[i]));
    if (key == NULL) {
      return err_nomem(e, 64);
    }
    TRY(put_meta_cstr(&f->meta, key, eq + 1, e));
  }
out:
  return st;
}

/* Front matter at the top of text: *yaml is what stands between the '---' lines, text goes on behind. */
static int cut_front_matter(struct span *text, struct span *yaml)
{
  if (text->n < 4 || memcmp(text->p, "---\n", 4) != 0) {
    return 0;
  }
  for (size_t i = 4; i < text->n;) {
    const char *nl = memchr(text->p + i, '\n', text->n - i);
    size_t end = nl ? (size_t)(nl - text->p) : text->n;
    if (end - i == 3 && memcmp(text->p + i, "---", 3) == 0) {
      *yaml = (struct span){ text->p + 4, i - 4 };
      size_t rest = end < text->n ? end + 1 : end;
      *text = (struct span){ text->p + rest, text->n - rest };
      return 1;
    }
    i = end + 1;
  }
  return 0;
}

/* A value of the front matter as one string: lists are joined with ", ", deeper things stay JSON. */
static enum status flatten(const struct json *v, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  buf_clear(out);
  if (json_type(v) == JSON_STRING) {
    struct span s = json_str(v);
    return buf_put(out, s.p, s.n, e);
  }
  if (json_type(v) != JSON_ARRAY) {
    return json_type(v) == JSON_NULL ? STATUS_OK : json_put(out, v, e);
  }
  for (size_t i = 0; i < json_size(v); i++) {
    const struct json *one = json_at(v, i);
    struct span s = json_str(one);
    TRY(buf_puts(out, i > 0 ? ", " : "", e));
    if (json_type(one) == JSON_STRING) {
      TRY(buf_put(out, s.p, s.n, e));
    } else {
      TRY(json_put(out, one, e));
    }
  }
out:
  return st;
}

static int reserved(struct span key)
{
  static const char *const names[] = { "source", "folder", "sha256", "kind", "licence", "document", "part", NULL };
  for (const char *const *n = names; *n != NULL; n++) {
    if (span_is(key, *n)) {
      return 1;
    }
  }
  return 0;
}

static enum status put_front_matter(struct fetch *f, const struct document *d, struct span yaml, int *titled, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 }, value = { 0 };
  struct json *root = NULL;
  const struct json *v;
  struct span key;
  void *it = NULL;
  TRY(yaml_to_json(yaml, d->uri, YAML_ALL_STRINGS, &text, e));
  TRY(json_parse((struct span){ text.p, text.n }, d->uri, &root, e));
  if (json_type(root) != JSON_OBJECT && json_type(root) != JSON_NULL) {
    st = err_set(e, STATUS_DATA, "'%s': the front matter is no list of `key: value` lines", d->uri);
    goto out;
  }
  while (json_next(root, &it, &key, &v)) {
    char *name = arena_printf(f->row, "%s%.*s", reserved(key) ? "front_" : "", (int)(key.n < 200 ? key.n : 200), key.p);
    if (name == NULL) {
      st = err_nomem(e, key.n);
      goto out;
    }
    *titled |= strcmp(name, "title") == 0;
    TRY(flatten(v, &value, e));
    TRY(put_meta(&f->meta, name, (struct span){ value.p, value.n }, e));
  }
out:
  json_free(root);
  buf_free(&text);
  buf_free(&value);
  return st;
}

struct passage {
  struct fetch *f;
  const char *id; /* of the document */
  size_t made, seen, of; /* written; long enough so far and in all */
};

/* Passages of a row keep the fields that fetch does not own (split, scores ...) byte for byte. */
static enum status put_carried(struct fetch *f, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  for (size_t i = 0; f->carried != NULL && i < f->carried->n_fields; i++) {
    const struct field *x = &f->carried->field[i];
    if (span_key_is(x->key, "id") || span_key_is(x->key, "text") || span_key_is(x->key, "meta")) {
      continue;
    }
    TRY(buf_printf(b, e, ",\"%.*s\":", (int)x->key.n, x->key.p));
    TRY(buf_put(b, x->value.p, x->value.n, e));
  }
out:
  return st;
}

static int long_enough(const struct fetch *f, struct span text)
{
  size_t chars = 0;
  for (size_t i = 0; i < text.n; i++) {
    chars += ((unsigned char)text.p[i] & 0xc0) != 0x80;
  }
  return chars >= f->o->min_chars;
}

static enum status count_passage(void *ctx, struct span text, size_t index, struct err *e)
{
  struct passage *p = ctx;
  (void)index;
  (void)e;
  p->of += (size_t)long_enough(p->f, text);
  return STATUS_OK;
}

static enum status write_passage(void *ctx, struct span text, size_t index, struct err *e)
{
  enum status st = STATUS_OK;
  struct passage *p = ctx;
  struct fetch *f = p->f;
  struct buf *b = &f->line;
  if (!long_enough(f, text)) {
    f->short_passages++;
    return STATUS_OK;
  }
  /* --passages N: the k-th of them is one of N spread evenly when k * N / of steps up. */
  size_t k = p->seen++, most = (size_t)f->o->passages;
  if (most > 0 && p->of > most && (k + 1) * most / p->of == k * most / p->of) {
    return STATUS_OK;
  }
  p->made++;
  buf_clear(b);
  char *id = f->split.unit == SPLIT_NONE ? arena_printf(f->row, "%s", p->id) : arena_printf(f->row, "%s#%zu", p->id, index);
  if (id == NULL) {
    return err_nomem(e, 64);
  }
  TRY(buf_puts(b, "{\"id\":", e));
  TRY(json_put_cstr(b, id, e));
  TRY(buf_puts(b, ",\"text\":", e));
  TRY(json_put_string(b, text, e));
  TRY(buf_puts(b, ",\"meta\":{", e));
  TRY(buf_put(b, f->meta.p, f->meta.n, e));
  if (f->split.unit != SPLIT_NONE) {
    TRY(buf_puts(b, ",\"document\":", e));
    TRY(json_put_cstr(b, p->id, e));
    TRY(buf_printf(b, e, ",\"part\":\"%zu\"", index));
  }
  TRY(buf_putc(b, '}', e));
  TRY(put_carried(f, b, e));
  TRY(buf_putc(b, '}', e));
  TRY(ctx_write(f->c, (struct span){ b->p, b->n }, e));
out:
  return st;
}

static const char *text_id(struct fetch *f, struct span text)
{
  unsigned char sha[32];
  char hex[65];
  sha256_of(text.p ? text.p : "", text.n, sha);
  hash_hex(sha, 32, hex);
  return arena_strndup(f->row, hex, 16);
}

static enum status on_refused(void *ctx, const char *uri, enum doc_outcome how, const char *reason, const char *detail, struct err *e)
{
  struct fetch *f = ctx;
  (void)e;
  ledger_in(ctx_ledger(f->c), (struct span){ uri, strlen(uri) });
  if (how == DOC_FAILED) {
    ledger_failed(ctx_ledger(f->c), reason);
    log_warn("'%s': failed (%s): %s", uri, reason, detail);
  } else {
    ledger_dropped(ctx_ledger(f->c), reason);
    if (f->dropped++ < DROPPED_NAMED) {
      log_info("'%s': dropped (%s): %s", uri, reason, detail);
    } else {
      log_debug("'%s': dropped (%s): %s", uri, reason, detail);
    }
  }
  f->refused++;
  return STATUS_OK;
}

/* Splits the text and writes its rows; f->meta holds the document's meta. */
static enum status write_document(struct fetch *f, const char *uri, struct span text, const char *id, struct err *e)
{
  enum status st = STATUS_OK;
  struct passage p = { f, id, 0, 0, 0 };
  uint64_t shorter = f->short_passages;
  if (f->o->passages > 0) {
    TRY(split_text(&f->split, text, count_passage, &p, e));
  }
  TRY(split_text(&f->split, text, write_passage, &p, e));
  if (p.made == 0) {
    return on_refused(f, uri, DOC_DROPPED, f->short_passages > shorter ? "too short" : "empty", "no text is left", e);
  }
  ledger_in(ctx_ledger(f->c), (struct span){ uri, strlen(uri) });
  ledger_kept(ctx_ledger(f->c));
out:
  return st;
}

/* Name of the folder a document lies in, {NULL,0} at the top: what `curate --split meta.folder` groups by. */
static struct span folder_of(const char *uri)
{
  const char *end = strrchr(uri, '/');
  if (end == NULL || end == uri) {
    return (struct span){ NULL, 0 };
  }
  const char *start = end;
  while (start > uri && start[-1] != '/') {
    start--;
  }
  return (struct span){ start, (size_t)(end - start) };
}

static enum status on_document(void *ctx, const struct document *d, struct err *e)
{
  enum status st = STATUS_OK;
  struct fetch *f = ctx;
  struct span text = d->text, yaml = { NULL, 0 };
  struct err own = { 0 };
  char hex[65];
  int titled = 0;
  arena_reset(f->row);
  buf_clear(&f->meta);
  hash_hex(d->sha256, 32, hex);
  TRY(put_meta_cstr(&f->meta, "source", d->uri, e));
  TRY(put_meta(&f->meta, "folder", folder_of(d->uri), e));
  TRY(put_meta_cstr(&f->meta, "sha256", hex, e));
  TRY(put_meta_cstr(&f->meta, "kind", d->kind, e));
  if (f->o->front_matter && cut_front_matter(&text, &yaml)) {
    st = put_front_matter(f, d, yaml, &titled, &own);
    if (st == STATUS_DATA || st == STATUS_LIMIT) {
      return on_refused(f, d->uri, DOC_FAILED, "front matter", own.msg, e);
    }
    if (st != STATUS_OK) {
      return err_set(e, st, "%s", own.msg);
    }
  }
  if (!titled) {
    TRY(put_meta(&f->meta, "title", d->title, e));
  }
  TRY(put_user_meta(f, e));
  const char *id = text_id(f, text);
  st = id == NULL ? err_nomem(e, 32) : write_document(f, d->uri, text, id, e);
out:
  return st;
}

/* ---- rows of JSON Lines inputs ---- */

/* --map NEW=OLD: the key of a field is replaced, its value stays byte for byte. */
static enum status map_fields(struct fetch *f, struct record *r, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  for (size_t i = 0; i < f->o->map.n; i++) {
    const char *pair = f->o->map.item[i], *eq = strchr(pair, '=');
    char *to = arena_strndup(f->row, pair, (size_t)(eq - pair));
    struct span value = record_get(r, eq + 1);
    if (to == NULL) {
      st = err_nomem(e, 64);
      goto out;
    }
    if (value.p == NULL || strcmp(to, eq + 1) == 0) {
      continue;
    }
    struct field_edit edits[2] = { { eq + 1, { NULL, 0 } }, { to, value } };
    buf_clear(&b);
    TRY(record_edit(r, edits, 2, &b, e));
    char *line = arena_strndup(f->row, b.p, b.n);
    if (line == NULL) {
      st = err_nomem(e, b.n);
      goto out;
    }
    TRY(record_split((struct span){ line, b.n }, f->row, r, e));
  }
out:
  buf_free(&b);
  return st;
}

/* The row's own meta with what fetch knows added where it has no such key. */
static enum status row_meta(struct fetch *f, const char *uri, struct span line, struct span own, struct err *e)
{
  enum status st = STATUS_OK;
  struct record m = { 0 };
  unsigned char sha[32];
  char hex[65];
  buf_clear(&f->meta);
  if (own.n > 0) {
    TRY(record_split(own, f->row, &m, e));
    for (size_t i = 0; i < m.n_fields; i++) {
      TRY(buf_printf(&f->meta, e, "%s\"%.*s\":", i ? "," : "", (int)m.field[i].key.n, m.field[i].key.p));
      TRY(buf_put(&f->meta, m.field[i].value.p, m.field[i].value.n, e));
    }
  }
  if (record_get(&m, "source").p == NULL) {
    TRY(put_meta_cstr(&f->meta, "source", uri, e));
  }
  if (record_get(&m, "sha256").p == NULL) {
    sha256_of(line.p, line.n, sha);
    hash_hex(sha, 32, hex);
    TRY(put_meta_cstr(&f->meta, "sha256", hex, e));
  }
  if (record_get(&m, "licence").p == NULL) {
    TRY(put_user_meta(f, e));
  }
out:
  return st;
}

/* A row that is not split passes with all its fields; id and meta are completed. */
static enum status pass_row(struct fetch *f, const struct record *r, const char *id, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf meta = { 0 }, quoted = { 0 };
  struct field_edit edits[2] = { { "meta", { NULL, 0 } }, { "id", { NULL, 0 } } };
  TRY(buf_printf(&meta, e, "{"));
  TRY(buf_put(&meta, f->meta.p, f->meta.n, e));
  TRY(buf_putc(&meta, '}', e));
  TRY(json_put_cstr(&quoted, id, e));
  edits[0].value = (struct span){ meta.p, meta.n };
  edits[1].value = (struct span){ quoted.p, quoted.n };
  buf_clear(&f->line);
  TRY(record_edit(r, edits, span_type(record_get(r, "id")) == 's' ? 1 : 2, &f->line, e));
  TRY(ctx_write(f->c, (struct span){ f->line.p, f->line.n }, e));
out:
  buf_free(&meta);
  buf_free(&quoted);
  return st;
}

static enum status take_row(struct fetch *f, const char *uri, const char *where, struct span line, struct err *e)
{
  enum status st = STATUS_OK;
  struct record r;
  struct span text = { NULL, 0 }, id = { NULL, 0 };
  TRY(record_split(line, f->row, &r, e));
  TRY(map_fields(f, &r, e));
  struct span meta = record_get(&r, "meta"), raw = record_get(&r, "text");
  if ((meta.p != NULL && span_type(meta) != '{') || (raw.p != NULL && span_type(raw) != 's')) {
    return err_set(e, STATUS_DATA, "found another type, expected `text` a string and `meta` an object");
  }
  if (raw.p == NULL) {
    static const char *const others[] = { "messages", "conversations", "instruction", "prompt", NULL };
    const char *const *o = others;
    while (*o != NULL && record_get(&r, *o).p == NULL) {
      o++;
    }
    if (*o == NULL) {
      return on_refused(f, where, DOC_DROPPED, "no text", "no field `text` in this row (see --map text=FIELD)", e);
    }
  } else {
    TRY(span_string(raw, f->row, &text, e));
  }
  if (span_type(record_get(&r, "id")) == 's') {
    TRY(span_string(record_get(&r, "id"), f->row, &id, e));
  }
  TRY(row_meta(f, uri, line, meta, e));
  const char *name = id.n > 0 ? arena_strndup(f->row, id.p, id.n) : text_id(f, raw.p != NULL ? text : line);
  if (name == NULL) {
    return err_nomem(e, 64);
  }
  if (raw.p != NULL && f->split.unit != SPLIT_NONE) {
    f->carried = &r;
    st = write_document(f, where, text, name, e);
    f->carried = NULL;
    return st;
  }
  TRY(pass_row(f, &r, name, e));
  ledger_in(ctx_ledger(f->c), (struct span){ where, strlen(where) });
  ledger_kept(ctx_ledger(f->c));
out:
  return st;
}

static enum status on_row(void *ctx, const char *uri, uint64_t number, struct span line, struct err *e)
{
  struct fetch *f = ctx;
  struct err own = { 0 };
  arena_reset(f->row);
  const char *where = arena_printf(f->row, "%s:%llu", uri, (unsigned long long)number);
  if (where == NULL) {
    return err_nomem(e, 256);
  }
  enum status st = take_row(f, uri, where, line, &own);
  if (st == STATUS_DATA) {
    return on_refused(f, where, DOC_FAILED, "bad row", own.msg, e);
  }
  return st == STATUS_OK ? STATUS_OK : err_set(e, st, "%s", own.msg);
}

/* ---- the stage ---- */

static enum status check_pairs(const struct opt_list *l, const char *option, struct err *e)
{
  for (size_t i = 0; i < l->n; i++) {
    const char *eq = strchr(l->item[i], '=');
    if (eq == NULL || eq == l->item[i] || eq[1] == '\0') {
      return err_set(e, STATUS_USAGE, "'--%s %s': expected %s", option, l->item[i], strcmp(option, "map") ? "KEY=TEXT" : "NEW=OLD");
    }
  }
  return STATUS_OK;
}

static enum status fetch_setup(struct fetch *f, struct tokenizer **tok, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(check_pairs(&f->o->map, "map", e));
  TRY(check_pairs(&f->o->meta, "meta", e));
  TRY(split_parse(f->o->split, &f->split, e));
  f->split.overlap = (size_t)f->o->overlap;
  if (f->split.unit != SPLIT_NONE && f->split.overlap > f->split.max / 2) {
    return err_set(e, STATUS_USAGE, "'--overlap %zu': expected at most half of the %zu of --split", f->split.overlap, f->split.max);
  }
  if (f->split.unit == SPLIT_TOKENS) {
    if (f->o->tokenizer == NULL) {
      return err_set(e, STATUS_USAGE, "'--split %s' needs --tokenizer MODEL", f->o->split);
    }
    TRY(tokenizer_open(f->o->tokenizer, tok, e));
    f->split.tokenizer = *tok;
  }
  f->row = arena_new(0);
  if (f->row == NULL) {
    st = err_nomem(e, 64);
  }
out:
  return st;
}

static enum status fetch_run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e)
{
  enum status st = STATUS_OK;
  const struct fetch_options *o = options;
  struct fetch f = { .c = c, .o = o };
  struct tokenizer *tok = NULL;
  struct doc_options doc = { o->max_document, o->max_unpacked, o->encoding, o->type, o->pdf_timeout };
  struct source_options src = { o->from_file, o->root, o->ca_file, o->include, o->exclude, o->hidden, o->timeout };
  struct doc_sink sink = { on_document, on_row, on_refused, &f };
  TRY(fetch_setup(&f, &tok, e));
  TRY(source_walk(&src, args, &doc, &sink, e));
  charset_report();
  uint64_t in = ledger_count_in(ctx_ledger(c));
  if (in > 0 && ledger_count_failed(ctx_ledger(c)) == in) {
    st = err_set(e, STATUS_DATA, "none of %llu documents could be read (reasons above)", (unsigned long long)in);
  }
  if (in == 0) {
    log_warn("no document found: what is named holds no file that --include, --exclude and --hidden let through");
  }
  if (f.short_passages > 0) {
    log_info("%llu passages shorter than %llu characters were left out", (unsigned long long)f.short_passages,
             (unsigned long long)o->min_chars);
  }
out:
  tokenizer_close(tok);
  arena_free(f.row);
  buf_free(&f.line);
  buf_free(&f.meta);
  return st;
}

const struct stage stage_fetch = {
  .name = "fetch",
  .args = "PATH|GLOB|URL|-...",
  .summary = "turn documents into records",
  .details = "Reads files, folders (recursive, sorted), globs, http(s) URLs and '-' (stdin): text, Markdown, HTML, JSON Lines, PDF (through "
             "pdftotext), DOCX, and archives (.zip .tar .gz .zst .xz .bz2) of them. A kind is told by content first, then by name. Writes rows "
             "{\"id\",\"text\",\"meta\"}; id is the hash of the text, passages are ID#1, ID#2... An input that cannot be read is named on "
             "stderr and counted as failed; the exit status is 0 unless --strict is given. A PATH that does not exist is a usage error.\n\n"
             "  retort fetch docs/ --split chars:1500 --licence CC-BY-4.0 > passages.jsonl\n"
             "  find . -name '*.LICENSE' | retort fetch --from-file - --front-matter",
  .flags = STAGE_ROWS_OUT | STAGE_BOOK,
  .options = fetch_rows,
  .options_bytes = sizeof(struct fetch_options),
  .run = fetch_run,
};
