/* SPDX-License-Identifier: Apache-2.0
 * See outgoing.h. */
#include "outgoing.h"
#include "json.h"

struct walk {
  outgoing_text f;
  void *ctx;
  int changed;
};

static enum status put_string(struct walk *w, struct span text, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf own = { 0 };
  int changed = 0;
  text.p = text.p ? text.p : "";
  TRY(w->f(w->ctx, text, &own, &changed, e));
  w->changed |= changed;
  st = json_put_string(out, changed ? (struct span){ own.p ? own.p : "", own.n } : text, e);
out:
  buf_free(&own);
  return st;
}

static enum status put(struct walk *w, const struct json *j, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  enum json_type type = json_type(j);
  if (type == JSON_STRING) {
    return put_string(w, json_str(j), out, e);
  }
  if (type == JSON_ARRAY) {
    TRY(buf_putc(out, '[', e));
    for (size_t i = 0; i < json_size(j); i++) {
      TRY(buf_puts(out, i ? "," : "", e));
      TRY(put(w, json_at(j, i), out, e));
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
      TRY(put(w, v, out, e));
    }
    return buf_putc(out, '}', e);
  }
  return json_put(out, j, e);
out:
  return st;
}

enum status outgoing_rewrite(struct span *json, outgoing_text f, void *ctx, struct arena *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct walk w = { f, ctx, 0 };
  struct json *j = NULL;
  struct buf out = { 0 };
  if (json->p == NULL || json->n == 0) {
    return STATUS_OK;
  }
  TRY(json_parse(*json, "messages", &j, e));
  TRY(put(&w, j, &out, e));
  if (w.changed) {
    char *copy = arena_strndup(a, out.p, out.n);
    if (copy == NULL) {
      st = err_nomem(e, out.n);
      goto out;
    }
    *json = (struct span){ copy, out.n };
  }
out:
  json_free(j);
  buf_free(&out);
  return st;
}
