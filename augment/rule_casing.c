/* SPDX-License-Identifier: Apache-2.0
 * Method `casing: RATE`: letter case as people really write it. RATE is the chance a word to become lower case, upper case or
 * capitalised; `casing: {text: lower}` (upper, title) changes whole texts, with chance `chance`. */
#include "rule_match.h"
#include "rule_noise.h"

struct casing {
  double rate, chance;
  enum letter_case whole;
};

static int in_word(unsigned char c) { return c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9'); }

static enum status step(const void *state, struct rule_row *r, struct span t, size_t i, size_t *took, struct buf *out, struct err *e) {
  const struct casing *s = state;
  size_t n = 0;
  while (i + n < t.n && in_word((unsigned char)t.p[i + n])) n++;
  *took = n ? n : 1;
  if (!n || rng_uniform(&r->rng) >= s->rate) return buf_put(out, t.p + i, *took, e);
  static const enum letter_case kinds[] = { CASE_LOWER, CASE_UPPER, CASE_TITLE };
  return case_put(out, (struct span){ t.p + i, n }, kinds[rng_below(&r->rng, 3)], e);
}

static enum status whole_step(const void *state, struct rule_row *r, struct span t, size_t i, size_t *took, struct buf *out, struct err *e) {
  const struct casing *s = state;
  size_t n = 0;
  (void)r;
  while (i + n < t.n && (n == 0 || in_word((unsigned char)t.p[i + n])) && (n == 0 || in_word((unsigned char)t.p[i]))) n++;
  *took = n;
  return case_put(out, (struct span){ t.p + i, n }, s->whole, e);
}

static enum status open(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e) {
  static const struct rule_key keys[] = { { "rate", JSON_REAL }, { "text", JSON_STRING }, { "chance", JSON_REAL } };
  static const char *const names[] = { "", "upper", "lower", "title" };
  struct casing *s = arena_calloc(a, 1, sizeof *s);
  enum status st = STATUS_OK;
  (void)dir;
  if (!s) return err_nomem(e, sizeof *s);
  *state = s;
  if (json_type(args) == JSON_OBJECT) TRY(rule_check_keys("casing", args, keys, 3, e));
  TRY(rule_chance("casing", args, "rate", 0, &s->rate, e));
  s->chance = 1;
  if (json_type(args) == JSON_OBJECT) TRY(rule_chance("casing", args, "chance", 1, &s->chance, e));
  const struct json *text = json_get(args, "text");
  for (int k = 1; text && k < 4; k++)
    if (span_is(json_str(text), names[k])) s->whole = (enum letter_case)k;
  if (text && s->whole == CASE_NONE) return err_set(e, STATUS_USAGE, "rule 'casing': text: found '%s', expected lower, upper or title", json_cstr(text, "?"));
out:
  return st;
}

static enum status apply(void *state, struct rule_row *r, struct err *e) {
  const struct casing *s = state;
  if (s->whole == CASE_NONE) return noise_apply(state, r, step, e);
  return rng_uniform(&r->rng) < s->chance ? noise_apply(state, r, whole_step, e) : STATUS_OK;
}

const struct rule_class rule_casing = { "casing", "letter case of words or of whole texts", RECORD_TEXT | RECORD_USER, 0, open, NULL, NULL, apply };
