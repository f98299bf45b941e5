/* SPDX-License-Identifier: Apache-2.0
 * Filter "rules": the user's own PCRE2 rules from a YAML file (docs/formats.md, "Curation rules"), in the order of the file:
 * `drop` the row, `keep` it (the rules behind it are passed over), `tag` it (field `tags`), `rewrite` what matches. */
#include "curate.h"
#include "file.h"
#include "filter_text.h"
#include "json.h"
#include "regex.h"
#include "yaml_json.h"

enum action { DROP, KEEP, TAG, REWRITE };
static const char *const actions[] = { "drop", "keep", "tag", "rewrite" };
struct rule {
  const char *name, *match, *tag, *what; /* what: "rule_NAME", reason and count */
  struct span with;
  pcre2_code *code;
  unsigned on;
  uint64_t at_least;
  int absent;
  enum action act;
};
struct state {
  struct arena *a;
  struct json *doc;
  struct rule *rule;
  size_t n;
};

static int enabled(const struct curate_options *o) { return o->rules != NULL; }

static void close_rules(void *state) {
  struct state *s = state;
  if (!s) return;
  for (size_t i = 0; i < s->n; i++) pcre2_code_free(s->rule[i].code);
  json_free(s->doc);
  arena_free(s->a);
  mem_free(s);
}

/* ---- the file ---- */
static enum status read_on(const char *rule, const struct json *j, unsigned *on, struct err *e) {
  static const struct { const char *name; unsigned bit; } names[] = {
    { "text", RECORD_TEXT }, { "system", RECORD_SYSTEM }, { "user", RECORD_USER }, { "assistant", RECORD_ASSISTANT }, { "other", RECORD_OTHER }, { "all", RECORD_ALL } };
  int list = json_type(j) == JSON_ARRAY;
  *on = j ? 0 : RECORD_ALL;
  for (size_t i = 0; j && i < (list ? json_size(j) : 1); i++) {
    struct span name = json_str(list ? json_at(j, i) : j);
    size_t k = 0;
    while (k < 6 && !span_is(name, names[k].name)) k++;
    if (k == 6) return err_set(e, STATUS_USAGE, "rule '%s': on: found '%s', expected text, system, user, assistant, other, all or a list of them", rule, name.p ? name.p : "no text");
    *on |= names[k].bit;
  }
  return STATUS_OK;
}

static enum status read_rule(struct state *s, const struct json *j, struct rule *r, struct err *e) {
  static const char *const keys[] = { "name", "match", "do", "on", "ignore_case", "at_least", "absent", "with", "tag" };
  void *it = NULL;
  struct span key;
  const struct json *v;
  enum status st;
  r->name = json_cstr(json_get(j, "name"), "");
  if (json_type(j) != JSON_OBJECT || !*r->name || r->name[strspn(r->name, "abcdefghijklmnopqrstuvwxyz0123456789_-")])
    return err_set(e, STATUS_USAGE, "rule %zu: name: found '%s', expected letters a-z, digits, _ and -", s->n, r->name);
  while (json_next(j, &it, &key, &v)) {
    size_t k = 0;
    while (k < sizeof keys / sizeof *keys && !span_is(key, keys[k])) k++;
    if (k == sizeof keys / sizeof *keys) {
      const char *near = opt_nearest(key.p, keys, k);
      return err_set(e, STATUS_USAGE, "rule '%s': unknown key '%s'%s%s%s", r->name, key.p, near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
    }
  }
  for (size_t i = 0; i + 1 < s->n; i++)
    if (strcmp(s->rule[i].name, r->name) == 0) return err_set(e, STATUS_USAGE, "rule '%s' stands there twice: a name is the reason in the ledger", r->name);
  const char *act = json_cstr(json_get(j, "do"), "");
  for (r->act = DROP; r->act <= REWRITE && strcmp(actions[r->act], act) != 0; r->act++) {}
  if (r->act > REWRITE) return err_set(e, STATUS_USAGE, "rule '%s': do: found '%s', expected drop, keep, tag or rewrite", r->name, act);
  r->match = json_cstr(json_get(j, "match"), "");
  if (!*r->match) return err_set(e, STATUS_USAGE, "rule '%s': match: expected a PCRE2 pattern", r->name);
  r->with = json_str(json_get(j, "with"));
  if ((r->act == REWRITE) != (r->with.p != NULL)) return err_set(e, STATUS_USAGE, "rule '%s': with: %s", r->name, r->with.p ? "only 'do: rewrite' has it" : "expected what takes the place of a match");
  r->tag = json_cstr(json_get(j, "tag"), r->name);
  int64_t at_least = json_int(json_get(j, "at_least"), 1);
  if (at_least < 1) return err_set(e, STATUS_USAGE, "rule '%s': at_least: expected a number from 1", r->name);
  r->at_least = (uint64_t)at_least;
  r->absent = json_bool(json_get(j, "absent"), 0);
  if (r->absent && r->act == REWRITE) return err_set(e, STATUS_USAGE, "rule '%s': absent has no meaning for rewrite", r->name);
  r->what = arena_printf(s->a, "rule_%s", r->name);
  if (!r->what) return err_nomem(e, strlen(r->name));
  if ((st = read_on(r->name, json_get(j, "on"), &r->on, e)) != STATUS_OK) return st;
  return regex_compile(r->name, (struct span){ r->match, strlen(r->match) }, (json_bool(json_get(j, "ignore_case"), 0) ? PCRE2_CASELESS : 0u) | PCRE2_MULTILINE, &r->code, e);
}

static enum status open_rules(const struct curate_options *o, void **state, struct err *e) {
  enum status st;
  struct buf text = { 0 }, json = { 0 };
  struct state *s = *state = mem_calloc(1, sizeof *s);
  if (!s || !(s->a = arena_new(0))) return err_nomem(e, sizeof *s);
  TRY(file_read(o->rules, (size_t)16 << 20, &text, e));
  TRY(yaml_to_json((struct span){ text.p, text.n }, o->rules, 0, &json, e));
  TRY(json_parse((struct span){ json.p, json.n }, o->rules, &s->doc, e));
  const struct json *list = json_get(s->doc, "rules");
  s->rule = arena_calloc(s->a, json_size(list) + 1, sizeof *s->rule);
  if (!s->rule) {
    st = err_nomem(e, json_size(list) * sizeof *s->rule);
    goto out;
  }
  if (json_type(list) != JSON_ARRAY || json_size(list) == 0) {
    st = err_set(e, STATUS_USAGE, "'%s': rules: expected a list of rules, each with name, match and do", o->rules);
    goto out;
  }
  while (s->n < json_size(list)) {
    s->n++;
    st = read_rule(s, json_at(list, s->n - 1), &s->rule[s->n - 1], e);
    if (st != STATUS_OK) {
      (void)err_prefix(e, "'%s'", o->rules);
      goto out;
    }
  }
out:
  buf_free(&text);
  buf_free(&json);
  return st;
}

/* ---- rows ---- */
struct hits {
  uint64_t n;
  struct span first;
};

static enum status count_matches(const struct rule *u, struct regex_matcher *m, const struct record_string *text, size_t n, struct hits *h, struct err *e) {
  for (size_t i = 0; i < n; i++) {
    int found = (text[i].who & u->on) != 0;
    for (size_t at = 0; found && at <= text[i].text.n;) {
      enum status st = regex_find(m, u->code, u->match, text[i].text, at, &found, e);
      if (st != STATUS_OK) return st == STATUS_LIMIT ? err_set(e, STATUS_DATA, "rule '%s': %s", u->name, e->msg) : st;
      if (!found) break;
      const PCRE2_SIZE *v = pcre2_get_ovector_pointer(m->data);
      if (h->n++ == 0) h->first = (struct span){ text[i].text.p + v[0], v[1] - v[0] };
      if (h->n >= u->at_least) return STATUS_OK;
      size_t step = 1;
      if (v[1] == v[0] && v[1] < text[i].text.n) (void)text_char(text[i].text.p + v[1], text[i].text.n - v[1], &step);
      at = v[1] > v[0] ? v[1] : v[1] + step;
    }
  }
  return STATUS_OK;
}

/* One string; *n counts the replacements. */
static enum status rewrite_one(const struct rule *u, struct regex_matcher *m, struct arena *a, struct record_string *s, uint64_t *n, struct err *e) {
  const uint32_t how = PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_EXTENDED | PCRE2_SUBSTITUTE_UNSET_EMPTY | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH | PCRE2_NO_UTF_CHECK;
  PCRE2_UCHAR why[160];
  PCRE2_SIZE room = 2 * s->text.n + u->with.n + 64;
  for (int again = 0; again < 2; again++) {
    PCRE2_SIZE length = room;
    char *out = arena_alloc(a, room + 1);
    if (!out) return err_nomem(e, room);
    int r = pcre2_substitute(u->code, (PCRE2_SPTR)s->text.p, s->text.n, 0, how, m->data, m->limits, (PCRE2_SPTR)u->with.p, u->with.n, (PCRE2_UCHAR *)out, &length);
    if (r == PCRE2_ERROR_NOMEMORY && again == 0) {
      room = length;
      continue;
    }
    if (r == PCRE2_ERROR_BADREPLACEMENT || r == PCRE2_ERROR_BADREPESCAPE || r == PCRE2_ERROR_REPMISSINGBRACE || r == PCRE2_ERROR_BADSUBSTITUTION || r == PCRE2_ERROR_NOSUBSTRING || r == PCRE2_ERROR_UNAVAILABLE) {
      pcre2_get_error_message(r, why, sizeof why);
      return err_set(e, STATUS_USAGE, "rule '%s': with: '%s': %s; expected $1, ${name} or $$", u->name, u->with.p, (const char *)why);
    }
    if (r < 0) {
      pcre2_get_error_message(r, why, sizeof why);
      return err_set(e, STATUS_DATA, "rule '%s': pattern '%.200s' on a text of %zu bytes: %s", u->name, u->match, s->text.n, (const char *)why);
    }
    if (r > 0) s->text = (struct span){ out, length }, s->changed = 1, *n += (uint64_t)r;
    return STATUS_OK;
  }
  return STATUS_OK;
}

/* Puts the tag into the row's array `tags`, which is made when there is none. */
static enum status add_tag(struct row *r, const struct rule *u, struct err *e) {
  enum status st = STATUS_OK;
  struct buf tags = { 0 }, line = { 0 };
  struct span v = record_get(&r->rec, "tags"), el;
  size_t n = 0;
  if (v.p && span_type(v) != '[' && span_type(v) != '0') return err_set(e, STATUS_DATA, "field 'tags' is %s, expected an array of strings", record_type_name(v));
  TRY(buf_putc(&tags, '[', e));
  for (size_t at = 0; span_type(v) == '[' && record_next_element(v, &at, &el); n++) {
    struct span text = { NULL, 0 };
    if (span_type(el) == 's') TRY(span_string(el, r->a, &text, e));
    if (text.p && span_is(text, u->tag)) goto out;
    TRY(buf_printf(&tags, e, "%s%.*s", n ? "," : "", (int)el.n, el.p));
  }
  if (n) TRY(buf_putc(&tags, ',', e));
  TRY(json_put_cstr(&tags, u->tag, e));
  TRY(buf_putc(&tags, ']', e));
  TRY(record_set(&r->rec, "tags", (struct span){ tags.p, tags.n }, &line, e));
  TRY(curate_edit(r, &line, e));
  curate_note(r, u->what, 1);
out:
  buf_free(&tags);
  buf_free(&line);
  return st;
}

static enum status rewrite(struct row *r, const struct rule *u, struct regex_matcher *m, struct record_string *text, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  struct buf line = { 0 };
  uint64_t done = 0;
  for (size_t i = 0; i < n; i++)
    if (text[i].who & u->on) TRY(rewrite_one(u, m, r->a, &text[i], &done, e));
  if (done == 0) goto out;
  TRY(record_splice(r->rec.line, text, n, &line, e));
  TRY(curate_edit(r, &line, e));
  curate_note(r, u->what, done);
out:
  buf_free(&line);
  return st;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  const struct state *s = state;
  enum status st;
  struct regex_matcher m = { 0 };
  struct record_string *text = NULL;
  size_t n = 0;
  (void)o;
  TRY(regex_matcher_new(&m, e));
  for (size_t i = 0; i < s->n; i++) {
    const struct rule *u = &s->rule[i];
    struct hits h = { 0, { "", 0 } };
    if (!text) TRY(record_strings(&r->rec, r->a, &text, &n, e));
    if (u->act == REWRITE) {
      TRY(rewrite(r, u, &m, text, n, e));
      text = NULL; /* they lie in another line now */
      continue;
    }
    TRY(count_matches(u, &m, text, n, &h, e));
    if ((h.n >= u->at_least) == u->absent) continue;
    if (u->act == KEEP) break;
    if (u->act == DROP) {
      st = curate_drop(r, u->what, (double)h.n, h.first, (struct span){ "", 0 }, e);
      break;
    }
    TRY(add_tag(r, u, e));
    text = NULL;
  }
out:
  regex_matcher_end(&m);
  return st;
}

const struct filter filter_rules = { "rules", "PCRE2 rules of a file: drop, keep, tag, rewrite", 1, enabled, open_rules, scan, close_rules };
