/* SPDX-License-Identifier: Apache-2.0
 * See teacher_pii.h. Messages name the kinds that were found, never a value. */
#include "teacher_pii.h"
#include "json.h"
#include "log.h"

enum status teacher_pii_open(struct teacher *t, struct err *e)
{
  if (t->o.pii == NULL || strcmp(t->o.pii, "allow") == 0 || t->body_of->http == NULL) {
    return STATUS_OK;
  }
  return pii_new("all", PII_SCORE_DEFAULT, &t->pii, e);
}

struct walk {
  const struct pii *pii;
  struct pii_map *map;
  struct arena *a;
  unsigned found[PII_KINDS];
  size_t hits;
};

static enum status put_text(struct walk *w, struct span text, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct pii_hit *hit = NULL;
  struct buf masked = { 0 };
  size_t n = 0;
  TRY(pii_scan(w->pii, text, w->a, &hit, &n, e));
  for (size_t i = 0; i < n; i++) {
    w->found[hit[i].kind]++;
  }
  w->hits += n;
  if (n == 0) {
    TRY(json_put_string(out, text, e));
  } else {
    TRY(pii_replace(text, hit, n, w->map, &masked, e));
    TRY(json_put_string(out, (struct span){ masked.p, masked.n }, e));
  }
out:
  buf_free(&masked);
  return st;
}

static enum status put_masked(struct walk *w, const struct json *j, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  enum json_type type = json_type(j);
  if (type == JSON_STRING) {
    struct span s = json_str(j);
    return put_text(w, (struct span){ s.p ? s.p : "", s.n }, out, e);
  }
  if (type == JSON_ARRAY) {
    TRY(buf_putc(out, '[', e));
    for (size_t i = 0; i < json_size(j); i++) {
      TRY(buf_puts(out, i ? "," : "", e));
      TRY(put_masked(w, json_at(j, i), out, e));
    }
    return buf_putc(out, ']', e);
  }
  if (type == JSON_OBJECT) {
    void *it = NULL;
    struct span key;
    const struct json *v;
    int first = 1;
    TRY(buf_putc(out, '{', e));
    while (json_next(j, &it, &key, &v)) {
      TRY(buf_puts(out, first ? "" : ",", e));
      first = 0;
      TRY(json_put_string(out, key, e));
      TRY(buf_putc(out, ':', e));
      TRY(put_masked(w, v, out, e));
    }
    return buf_putc(out, '}', e);
  }
  return json_put(out, j, e);
out:
  return st;
}

static enum status mask_span(struct walk *w, struct span *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *j = NULL;
  struct buf out = { 0 };
  size_t before = w->hits;
  if (s->p == NULL || s->n == 0) {
    return STATUS_OK;
  }
  TRY(json_parse(*s, "messages", &j, e));
  TRY(put_masked(w, j, &out, e));
  if (w->hits > before) { /* untouched text stays byte for byte: its answers are in the book already */
    char *copy = arena_strndup(w->a, out.p, out.n);
    if (copy == NULL) {
      st = err_nomem(e, out.n);
      goto out;
    }
    *s = (struct span){ copy, out.n };
  }
out:
  json_free(j);
  buf_free(&out);
  return st;
}

static void tell(const struct walk *w, int refused)
{
  char kinds[300] = "";
  size_t n = 0;
  for (int k = 0; k < PII_KINDS; k++) {
    if (w->found[k] > 0 && n + 40 < sizeof kinds) {
      n += (size_t)snprintf(kinds + n, sizeof kinds - n, "%s%u %s", n ? ", " : "", w->found[k], pii_kind_name((enum pii_kind)k));
    }
  }
  if (refused) {
    log_warn("a question was not sent: it holds personal data (%s); see --pii", kinds);
  } else {
    log_debug("masked before sending: %s", kinds);
  }
}

enum status teacher_pii_check(const struct teacher *t, struct question *q, struct arena *a, int *refused, struct err *e)
{
  enum status st = STATUS_OK;
  struct walk w = { .pii = t->pii, .a = a };
  struct question masked = *q;
  *refused = 0;
  if (t->pii == NULL) {
    return STATUS_OK;
  }
  w.map = pii_map_new();
  if (w.map == NULL) {
    return err_nomem(e, 64);
  }
  TRY(mask_span(&w, &masked.messages, e));
  TRY(mask_span(&w, &masked.tools, e));
  if (w.hits > 0) {
    *refused = strcmp(t->o.pii, "refuse") == 0;
    tell(&w, *refused);
    q->messages = masked.messages;
    q->tools = masked.tools;
  }
out:
  pii_map_free(w.map);
  return st;
}
