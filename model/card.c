/* SPDX-License-Identifier: Apache-2.0
 * Reading and writing what a model says about its origin and its terms. */
#include "card.h"
#include "file.h"
#include "hash.h"
#include "json.h"
#include "span.h"

#define CARD_BYTES_MAX ((size_t)64 << 20) /* lists of kept units are part of it */

static const char *keep(struct arena *a, const char *s) { return s ? arena_strndup(a, s, strlen(s)) : NULL; }

static enum status from_json(const char *path, struct arena *a, struct model_card *c, struct err *e) {
  struct json *j = NULL;
  enum status st = json_parse_file(path, CARD_BYTES_MAX, &j, e);
  if (st != STATUS_OK) return st;
  c->made_by = keep(a, json_cstr(json_get(j, "made_by"), NULL));
  c->source = keep(a, json_cstr(json_path(j, "source.path"), NULL));
  c->source_identity = keep(a, json_cstr(json_path(j, "source.identity"), NULL));
  c->terms = keep(a, json_cstr(json_get(j, "terms"), NULL));
  c->key = keep(a, json_cstr(json_get(j, "key"), NULL));
  json_free(j);
  return STATUS_OK;
}

/* "license: x" between the two "---" lines at the head of a README.md, as model hubs write it. */
static enum status from_readme(const char *path, struct arena *a, struct model_card *c, struct err *e) {
  struct buf b = { 0 };
  enum status st = file_read(path, (size_t)16 << 20, &b, e);
  if (st == STATUS_OK && b.n > 4 && strncmp(b.p, "---\n", 4) == 0) {
    char *end = strstr(b.p + 4, "\n---"), *at = strstr(b.p, "\nlicense:");
    if (end != NULL && at != NULL && at < end) {
      at += strlen("\nlicense:");
      while (*at == ' ' || *at == '"' || *at == '\'') at++;
      size_t n = strcspn(at, " \"'\r\n");
      if (n > 0) c->terms = arena_strndup(a, at, n);
    }
  }
  buf_free(&b);
  return st;
}

static const char *meta(const struct weights *w, struct arena *a, const char *key) {
  struct span s;
  if (!gguf_str(w, key, &s) || s.n == 0 || memchr(s.p, '\0', s.n) != NULL) return NULL;
  return arena_strndup(a, s.p, s.n);
}

enum status card_of(const struct weights *w, struct arena *a, struct model_card *c, struct err *e) {
  enum status st = STATUS_OK;
  const char *path;
  int found;
  memset(c, 0, sizeof *c);
  if (weights_is_gguf(w)) {
    c->made_by = meta(w, a, "retort.made_by");
    c->source = meta(w, a, "retort.source");
    c->source_identity = meta(w, a, "retort.source_identity");
    c->key = meta(w, a, "retort.key");
    c->terms = meta(w, a, "retort.terms");
    if (c->terms == NULL) c->terms = meta(w, a, "general.license");
    return STATUS_OK;
  }
  TRY(weights_file(w, "retort.json", a, &path, &found, e));
  if (found) TRY(from_json(path, a, c, e));
  if (c->terms == NULL) {
    TRY(weights_file(w, "README.md", a, &path, &found, e));
    if (found) TRY(from_readme(path, a, c, e));
  }
out:
  return st;
}

static enum status member(struct buf *b, const char *key, const char *value, struct err *e) {
  enum status st = STATUS_OK;
  if (value == NULL) return STATUS_OK;
  TRY(buf_printf(b, e, ",\n  \"%s\": ", key));
  TRY(json_put_cstr(b, value, e));
out:
  return st;
}

enum status card_write(const char *folder, const struct model_card *c, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct file_atomic f = { 0 };
  struct arena *a = arena_new(0);
  char *path = a ? path_join(a, folder, "retort.json") : NULL;
  if (path == NULL) {
    st = err_nomem(e, strlen(folder));
    goto out;
  }
  TRY(buf_printf(&b, e, "{\n  \"retort\": \"%s\"", RETORT_VERSION));
  TRY(member(&b, "made_by", c->made_by, e));
  TRY(member(&b, "terms", c->terms, e));
  TRY(member(&b, "key", c->key, e));
  if (c->source != NULL) {
    TRY(buf_puts(&b, ",\n  \"source\": {\"path\": ", e));
    TRY(json_put_cstr(&b, c->source, e));
    TRY(buf_puts(&b, ", \"identity\": ", e));
    TRY(json_put_cstr(&b, c->source_identity ? c->source_identity : "", e));
    TRY(buf_putc(&b, '}', e));
  }
  if (c->extra.n > 0) {
    TRY(buf_puts(&b, ",\n  ", e));
    TRY(buf_put(&b, c->extra.p, c->extra.n, e));
  }
  TRY(buf_puts(&b, "\n}\n", e));
  TRY(file_atomic_open(&f, path, e));
  if (fwrite(b.p, 1, b.n, f.fp) != b.n) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be written", path);
    goto out;
  }
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  buf_free(&b);
  arena_free(a);
  return st;
}

const char *card_key_of(const char *path, struct arena *a) {
  struct err e;
  struct weights *w = NULL;
  struct model_card c = { 0 };
  if (weights_open(path, &w, &e) != STATUS_OK) return NULL;
  enum status st = card_of(w, a, &c, &e);
  weights_close(w);
  return st == STATUS_OK ? c.key : NULL;
}

const char *card_key(struct arena *a, const char *const *parts, size_t n) {
  unsigned char d[32];
  char *hex = arena_alloc(a, 65);
  struct sha256 *s = sha256_new();
  if (s == NULL || hex == NULL) {
    sha256_free(s);
    return NULL;
  }
  for (size_t i = 0; i < n; i++) {
    const char *p = parts[i] ? parts[i] : "";
    uint64_t len = strlen(p);
    sha256_add(s, &len, sizeof len);
    sha256_add(s, p, (size_t)len);
  }
  sha256_end(s, d);
  hash_hex(d, 32, hex);
  return hex;
}
