/* SPDX-License-Identifier: Apache-2.0
 * Method `substitute`: a PCRE2 pattern and what takes its place, with groups by number or name and letter case taken over. */
#include "rule_match.h"

struct substitute {
  pcre2_code *code;
  const char *pattern;
  struct span *with; /* one of them at random, a match */
  size_t n_with;
  double chance;
  int match_case;
};

/* $$, $1, ${1}, ${name}, ${name:upper}: 0 when it is malformed or names an unknown group. */
static int reference(const struct substitute *s, struct span t, size_t *at, int *group, enum letter_case *c) {
  static const char *const cases[] = { "", "upper", "lower", "title" };
  char name[64];
  size_t i = *at + 1, n = 0, k;
  *c = CASE_NONE;
  int braces = i < t.n && t.p[i] == '{';
  i += (size_t)braces;
  while (i < t.n && n + 1 < sizeof name && ((t.p[i] >= '0' && t.p[i] <= '9') || (braces && ((t.p[i] | 32) >= 'a' && (t.p[i] | 32) <= 'z')) || (braces && t.p[i] == '_'))) name[n++] = t.p[i++];
  name[n] = 0;
  if (n == 0) return 0;
  if (braces && i < t.n && t.p[i] == ':') {
    for (k = 1; k < 4; k++) {
      size_t len = strlen(cases[k]);
      if (t.n - i > len && memcmp(t.p + i + 1, cases[k], len) == 0) break;
    }
    if (k == 4) return 0;
    *c = (enum letter_case)k;
    i += 1 + strlen(cases[k]);
  }
  if (braces && (i >= t.n || t.p[i++] != '}')) return 0;
  uint32_t count = 0;
  (void)pcre2_pattern_info(s->code, PCRE2_INFO_CAPTURECOUNT, &count);
  if (name[0] >= '0' && name[0] <= '9') {
    for (*group = 0, k = 0; k < n; k++) *group = *group > 1000 ? *group : *group * 10 + (name[k] - '0');
  } else {
    *group = pcre2_substring_number_from_name(s->code, (PCRE2_SPTR)name);
  }
  *at = i;
  return *group >= 0 && (uint32_t)*group <= count && *group < 64;
}

static enum status check_with(const struct substitute *s, struct span t, struct err *e) {
  for (size_t i = 0; i < t.n;) {
    int group;
    enum letter_case c;
    size_t begin = i;
    if (t.p[i] != '$') {
      i++;
    } else if (i + 1 < t.n && t.p[i + 1] == '$') {
      i += 2;
    } else if (!reference(s, t, &i, &group, &c)) {
      return err_set(e, STATUS_USAGE, "rule 'substitute': '%.*s': expected $$, $1, ${name} or ${name:upper|lower|title} with a group of '%s' at byte %zu", (int)t.n, t.p, s->pattern, begin + 1);
    }
  }
  return STATUS_OK;
}

static enum status open(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e) {
  static const struct rule_key keys[] = { { "pattern", JSON_STRING }, { "with", JSON_NONE }, { "chance", JSON_REAL }, { "case", JSON_STRING }, { "ignore_case", JSON_BOOL } };
  struct substitute *s = arena_calloc(a, 1, sizeof *s);
  enum status st = STATUS_OK;
  (void)dir;
  if (!s) return err_nomem(e, sizeof *s);
  *state = s;
  TRY(rule_check_keys("substitute", args, keys, 5, e));
  const struct json *with = json_get(args, "with"), *c = json_get(args, "case");
  if (!json_get(args, "pattern") || !with) return err_set(e, STATUS_USAGE, "rule 'substitute': 'pattern' and 'with' are needed");
  if (c && !span_is(json_str(c), "match") && !span_is(json_str(c), "keep"))
    return err_set(e, STATUS_USAGE, "rule 'substitute': case: found '%s', expected match (as what it replaces) or keep (as written)", json_cstr(c, "?"));
  s->match_case = c && span_is(json_str(c), "match");
  s->pattern = json_cstr(json_get(args, "pattern"), NULL);
  if (!s->pattern) return err_set(e, STATUS_USAGE, "rule 'substitute': the pattern holds a NUL");
  TRY(rule_chance("substitute", args, "chance", 1, &s->chance, e));
  TRY(regex_compile("substitute", json_str(json_get(args, "pattern")), json_bool(json_get(args, "ignore_case"), 0) ? PCRE2_CASELESS : 0, &s->code, e));
  s->n_with = json_type(with) == JSON_ARRAY ? json_size(with) : 1;
  s->with = arena_calloc(a, s->n_with + 1, sizeof *s->with);
  if (!s->with) return err_nomem(e, s->n_with);
  if (s->n_with == 0) return err_set(e, STATUS_USAGE, "rule 'substitute': 'with' is an empty list");
  for (size_t i = 0; i < s->n_with; i++) {
    const struct json *w = json_type(with) == JSON_ARRAY ? json_at(with, i) : with;
    if (json_type(w) != JSON_STRING) return err_set(e, STATUS_USAGE, "rule 'substitute': with: expected a text or a list of texts");
    s->with[i] = json_str(w);
    TRY(check_with(s, s->with[i], e));
  }
out:
  return st;
}

static void close(void *state) {
  struct substitute *s = state;
  if (s) pcre2_code_free(s->code);
}

static enum status expand(const struct substitute *s, struct span with, struct span text, const PCRE2_SIZE *ov, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < with.n;) {
    int group = 0;
    enum letter_case c;
    if (with.p[i] != '$') {
      TRY(buf_putc(out, with.p[i++], e));
    } else if (with.p[i + 1] == '$') {
      TRY(buf_putc(out, '$', e));
      i += 2;
    } else if (reference(s, with, &i, &group, &c) && ov[2 * group] != PCRE2_UNSET && ov[2 * group] <= ov[2 * group + 1]) {
      TRY(case_put(out, (struct span){ text.p + ov[2 * group], ov[2 * group + 1] - ov[2 * group] }, c, e));
    }
  }
out:
  return st;
}

static enum status replace(struct substitute *s, struct rule_row *r, struct span text, struct buf *out, int *changed, struct err *e) {
  enum status st = STATUS_OK;
  struct buf one = { 0 };
  size_t at = 0, from = 0;
  int found = 0;
  *changed = 0;
  while (from <= text.n) {
    TRY(regex_find(r->m, s->code, s->pattern, text, from, &found, e));
    if (!found) break;
    PCRE2_SIZE *ov = pcre2_get_ovector_pointer(r->m->data), b = ov[0], z = ov[1];
    if (b > z || b < at) break; /* \K can turn a match around */
    if (rng_uniform(&r->rng) < s->chance) {
      struct span with = s->with[s->n_with > 1 ? rng_below(&r->rng, s->n_with) : 0];
      TRY(buf_put(out, text.p + at, b - at, e));
      buf_clear(&one);
      TRY(expand(s, with, text, ov, &one, e));
      TRY(case_put(out, (struct span){ one.p ? one.p : "", one.n }, s->match_case ? case_of((struct span){ text.p + b, z - b }) : CASE_NONE, e));
      at = z;
      *changed = 1;
    }
    from = z > b ? z : z + (z < text.n ? utf8_length(text.p + z, text.n - z) : 1);
  }
  st = buf_put(out, text.p + at, text.n - at, e);
out:
  buf_free(&one);
  return st;
}

static enum status apply(void *state, struct rule_row *r, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  int changed;
  for (size_t i = 0; i < r->n; i++) {
    if (!rule_wants(r, i)) continue;
    buf_clear(&b);
    TRY(replace(state, r, r->text[i].text, &b, &changed, e));
    if (changed) TRY(rule_put(r, i, &b, e));
  }
out:
  buf_free(&b);
  return st;
}

const struct rule_class rule_substitute = { "substitute", "a pattern and what takes its place", RECORD_TEXT | RECORD_SYSTEM | RECORD_USER | RECORD_ASSISTANT, 0, open, close, NULL, apply };
