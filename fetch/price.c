/* SPDX-License-Identifier: Apache-2.0
 * See price.h. */
#include "price.h"
#include <fnmatch.h>
#include <math.h>
#include "asset.h"
#include "file.h"
#include "json.h"
#include "yaml_json.h"

#define MAX_TABLE_BYTES ((size_t)4 << 20)

static int fits(const struct json *row, const char *key, const char *value)
{
  const char *pattern = json_cstr(json_get(row, key), NULL);
  return pattern == NULL || (value != NULL && fnmatch(pattern, value, FNM_CASEFOLD) == 0);
}

static enum status number(const struct json *row, const char *key, double dflt, const char *what, double *out, struct err *e)
{
  const struct json *v = json_get(row, key);
  *out = json_num(v, dflt);
  if ((v != NULL && json_type(v) != JSON_INT && json_type(v) != JSON_REAL) || !(*out >= 0) || *out > 1e6) {
    return err_set(e, STATUS_DATA, "'%s': '%s' of model '%s': expected a number of dollars from 0 on", what, key,
                   json_cstr(json_get(row, "model"), "?"));
  }
  return STATUS_OK;
}

static enum status take_row(const struct json *row, const char *what, struct arena *a, struct price *p, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(number(row, "input", -1, what, &p->in, e));
  TRY(number(row, "output", -1, what, &p->out, e));
  TRY(number(row, "cached", p->in, what, &p->cached, e));
  TRY(number(row, "batch", 1, what, &p->batch, e));
  p->read = arena_printf(a, "%s", json_cstr(json_get(row, "read"), what));
  p->date = arena_printf(a, "%s", json_cstr(json_get(row, "date"), "no date"));
  p->known = 1;
  st = p->read && p->date ? STATUS_OK : err_nomem(e, 200);
out:
  return st;
}

static enum status look(struct span yaml, const char *what, const char *host, const char *model, struct arena *a, struct price *p, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  struct json *root = NULL;
  TRY(yaml_to_json(yaml, what, 0, &text, e));
  TRY(json_parse((struct span){ text.p, text.n }, what, &root, e));
  const struct json *rows = json_get(root, "prices");
  if (json_type(rows) != JSON_ARRAY) {
    st = err_set(e, STATUS_DATA, "'%s': no list 'prices'", what);
    goto out;
  }
  for (size_t i = 0; i < json_size(rows) && !p->known; i++) {
    const struct json *row = json_at(rows, i);
    if (json_type(json_get(row, "model")) != JSON_STRING) {
      st = err_set(e, STATUS_DATA, "'%s': row %zu of 'prices' names no model", what, i + 1);
      goto out;
    }
    if (fits(row, "host", host) && fits(row, "model", model)) {
      TRY(take_row(row, what, a, p, e));
    }
  }
out:
  json_free(root);
  buf_free(&text);
  return st;
}

enum status price_find(const char *user_file, const char *host, const char *model, struct arena *a, struct price *p, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  const struct asset *shipped = asset_find("fetch/prices.yaml");
  *p = (struct price){ 0 };
  if (user_file != NULL) {
    TRY(file_read(user_file, MAX_TABLE_BYTES, &text, e));
    TRY(look((struct span){ text.p ? text.p : "", text.n }, user_file, host, model, a, p, e));
  }
  if (!p->known && shipped != NULL) {
    TRY(look(asset_text(shipped), shipped->name, host, model, a, p, e));
  }
out:
  buf_free(&text);
  return st;
}

uint64_t price_micro_usd(const struct price *p, double in_tok, double cached_tok, double out_tok)
{
  double fresh = in_tok > cached_tok ? in_tok - cached_tok : 0; /* dollars a million tokens = micro-dollars a token */
  double micro = fresh * p->in + cached_tok * p->cached + out_tok * p->out;
  return micro < 1e18 ? (uint64_t)ceil(micro - 1e-9) : (uint64_t)1e18;
}
