/* SPDX-License-Identifier: Apache-2.0
 * The terms gate; see terms.h. */
#include "terms.h"
#include <fnmatch.h>
#include "asset.h"
#include "json.h"
#include "yaml_json.h"

static void lower(char *dst, size_t size, const char *src)
{
  size_t n = 0;
  for (; src != NULL && src[n] != '\0' && n + 1 < size; n++) {
    dst[n] = (char)(src[n] >= 'A' && src[n] <= 'Z' ? src[n] + 32 : src[n]);
  }
  dst[n] = '\0';
}

/* A pattern that the row does not have matches everything; one it has needs a value. */
static int pattern_fits(const struct json *row, const char *key, const char *value)
{
  const char *pattern = json_cstr(json_get(row, key), NULL);
  char p[256], v[512];
  if (pattern == NULL) {
    return 1;
  }
  if (value == NULL) {
    return 0;
  }
  lower(p, sizeof p, pattern);
  lower(v, sizeof v, value);
  return fnmatch(p, v, 0) == 0;
}

static const struct json *find_teacher(const struct json *table, const struct terms_subject *s)
{
  const struct json *rows = json_get(table, "teachers");
  for (size_t i = 0; i < json_size(rows); i++) {
    const struct json *r = json_at(rows, i);
    int any = json_get(r, "name") || json_get(r, "host") || json_get(r, "file");
    if (any && pattern_fits(r, "name", s->name) && pattern_fits(r, "host", s->host) && pattern_fits(r, "file", s->file)) {
      return r;
    }
  }
  return NULL;
}

static const struct json *find_licence(const struct json *table, const char *id)
{
  const struct json *rows = json_get(table, "licences");
  char want[128], have[128];
  lower(want, sizeof want, id);
  for (size_t i = 0; id != NULL && i < json_size(rows); i++) {
    lower(have, sizeof have, json_cstr(json_get(json_at(rows, i), "id"), ""));
    if (strcmp(want, have) == 0) {
      return json_at(rows, i);
    }
  }
  return NULL;
}

static enum terms_answer answer_of(const struct json *licence)
{
  const char *a = json_cstr(json_get(licence, "allows_training"), "unknown");
  return strcmp(a, "yes") == 0 ? TERMS_YES : strcmp(a, "no") == 0 ? TERMS_NO : strcmp(a, "conditional") == 0 ? TERMS_CONDITIONAL : TERMS_UNKNOWN;
}

static enum status refuse(const struct terms_subject *s, const char *id, const struct json *lic, enum terms_answer ans, struct err *e)
{
  const char *says = json_cstr(json_get(lic, "says"), NULL);
  const char *how = "say under which licence it may be used with --teacher-terms ID, or take the responsibility with --accept-terms WHY "
                    "(it is recorded in every row)";
  if (id == NULL) {
    return err_set(e, STATUS_TERMS, "'%s': nothing is known about whether its outputs may train another model; %s", s->label, how);
  }
  if (lic == NULL) {
    return err_set(e, STATUS_TERMS, "'%s': its terms '%s' are not in the table; %s", s->label, id, how);
  }
  return err_set(e, STATUS_TERMS, "'%s': its terms '%s' %s training another model on its outputs: %s (read: %s, %s); %s", s->label, id,
                 ans == TERMS_NO ? "forbid" : ans == TERMS_CONDITIONAL ? "set conditions for" : "are not known to allow", says ? says : "-",
                 json_cstr(json_get(lic, "read"), "-"), json_cstr(json_get(lic, "date"), "-"), how);
}

static enum status load(struct json **table, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  const struct asset *a = asset_find("fetch/terms.yaml");
  if (a == NULL) {
    return err_set(e, STATUS_DATA, "'fetch/terms.yaml': not in this binary; build it again");
  }
  TRY(yaml_to_json(asset_text(a), a->name, 0, &text, e));
  TRY(json_parse((struct span){ text.p, text.n }, a->name, table, e));
out:
  buf_free(&text);
  return st;
}

enum status terms_gate(const struct terms_subject *s, const char *stated, const char *accept, struct arena *a, const char **terms,
                       const char **notice, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *table = NULL;
  const struct json *row = NULL;
  TRY(load(&table, e));
  const char *id = stated, *source = "--teacher-terms";
  if (id == NULL && s->licence != NULL) {
    id = s->licence;
    source = "the weights' own metadata";
  }
  if (id == NULL && (row = find_teacher(table, s)) != NULL) {
    id = json_cstr(json_get(row, "terms"), NULL);
    source = json_cstr(json_get(row, "read"), "the table");
  }
  const struct json *lic = find_licence(table, id);
  enum terms_answer ans = answer_of(lic);
  if (ans != TERMS_YES && (accept == NULL || *accept == '\0')) {
    st = refuse(s, id, lic, ans, e);
    goto out;
  }
  const char *shown = id ? id : "unknown";
  if (ans != TERMS_YES) {
    *terms = arena_printf(a, "%s; accepted: %s", shown, accept);
  } else {
    char low[128];
    lower(low, sizeof low, shown);
    *terms = arena_printf(a, "%s", low);
  }
  const char *told = arena_printf(a, "'%s': terms '%s' (%s)%s%s", s->label, shown, source, ans != TERMS_YES ? ", accepted by the user: " : "",
                                  ans != TERMS_YES ? accept : "");
  if (*terms == NULL || told == NULL) {
    st = err_nomem(e, 256);
    goto out;
  }
  if (notice != NULL) {
    *notice = told;
  }
out:
  json_free(table);
  return st;
}
