/* SPDX-License-Identifier: Apache-2.0
 * Method `numbers: SPREAD`: all numbers of a row times one factor from 1 - SPREAD to 1 + SPREAD, so that question and answer stay
 * in step and order and proportions hold. Left alone: numbers below `from` (default 10), years, dates, versions, parts of words.
 * A row is left as it is when an assistant's text holds a number that no other text has (it was computed, and would become
 * wrong), or when two numbers would become one. */
#include <math.h>
#include "rule_match.h"

struct numbers {
  double spread, from;
  pcre2_code *code;
};
#define MONTH "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
/* days beside a month are dates: the first two alternatives pass over them */
static const char pattern[] = MONTH "\\.? [0-9]{1,2}(?:st|nd|rd|th)?\\b(*SKIP)(*FAIL)|\\b[0-9]{1,2}(?:st|nd|rd|th)? " MONTH "\\b(*SKIP)(*FAIL)|"
    "(?<![\\w.,/:\\-\\[{#])(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,15})(?:\\.[0-9]{1,6})?(?![\\w/:\\]}]|[.,\\-][0-9A-Za-z])";

struct number { struct span old, now; double value; int known, in_answer; };

static double value_of(struct span t, int *decimals, int *commas) {
  double v = 0, unit = 1;
  *decimals = *commas = 0;
  int point = 0;
  for (size_t i = 0; i < t.n; i++) {
    if (t.p[i] == ',') {
      *commas = 1;
    } else if (t.p[i] == '.') {
      point = 1;
    } else if (point) {
      unit /= 10;
      v += (t.p[i] - '0') * unit;
      ++*decimals;
    } else {
      v = v * 10 + (t.p[i] - '0');
    }
  }
  return v;
}

static int is_left(const struct numbers *s, struct span t, double v, int decimals, int commas) {
  return v < s->from || (!decimals && !commas && t.n == 4 && v >= 1500 && v < 2200) || (t.n > 1 && t.p[0] == '0' && t.p[1] != '.');
}

static struct span write_number(struct arena *a, double v, int decimals, int commas) {
  char plain[64], out[96];
  size_t n = 0;
  int len = snprintf(plain, sizeof plain, "%.*f", decimals, v);
  int whole = decimals ? len - decimals - 1 : len;
  for (int i = 0; i < len; i++) {
    if (commas && i && i < whole && (whole - i) % 3 == 0) out[n++] = ',';
    out[n++] = plain[i];
  }
  char *p = arena_strndup(a, out, n);
  return (struct span){ p, n };
}

/* Every number of the row, each spelling once. */
static enum status find_all(const struct numbers *s, struct rule_row *r, struct number **list, size_t *n, struct err *e) {
  size_t cap = 0;
  *list = NULL;
  *n = 0;
  for (size_t i = 0; i < r->n; i++) {
    struct span t = r->text[i].text;
    int found = 1;
    for (size_t at = 0; rule_wants(r, i) && found;) {
      enum status st = regex_find(r->m, s->code, pattern, t, at, &found, e);
      if (st != STATUS_OK) return st;
      if (!found) break;
      const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(r->m->data);
      struct span one = { t.p + ov[0], ov[1] - ov[0] };
      at = ov[1];
      size_t k = 0;
      while (k < *n && ((*list)[k].old.n != one.n || memcmp((*list)[k].old.p, one.p, one.n) != 0)) k++;
      if (k == *n) {
        if (*n == cap) {
          struct number *p = arena_calloc(r->a, cap = cap ? cap * 2 : 16, sizeof *p);
          if (!p) return err_nomem(e, cap * sizeof *p);
          if (*n) memcpy(p, *list, *n * sizeof *p);
          *list = p;
        }
        if (*n == 4096) return err_set(e, STATUS_LIMIT, "more than 4096 numbers in a row");
        (*list)[(*n)++] = (struct number){ .old = one };
      }
      (*list)[k].known |= r->text[i].who != RECORD_ASSISTANT;
      (*list)[k].in_answer |= r->text[i].who == RECORD_ASSISTANT;
    }
  }
  return STATUS_OK;
}

/* 1 when all are written anew and stay apart. */
static int plan(const struct numbers *s, struct rule_row *r, struct number *list, size_t n, double factor) {
  for (size_t k = 0; k < n; k++) {
    int decimals, commas;
    double v = value_of(list[k].old, &decimals, &commas);
    int left = is_left(s, list[k].old, v, decimals, commas);
    list[k].value = left ? v : v * factor;
    list[k].now = left ? list[k].old : write_number(r->a, list[k].value, decimals, commas);
    if (!list[k].now.p) return 0;
    for (size_t j = 0; j < k; j++)
      if (list[j].now.n == list[k].now.n && memcmp(list[j].now.p, list[k].now.p, list[k].now.n) == 0) return 0;
  }
  return 1;
}

static enum status rewrite(const struct numbers *s, struct rule_row *r, const struct number *list, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  for (size_t i = 0; i < r->n; i++) {
    struct span t = r->text[i].text;
    size_t at = 0;
    int found = 1;
    if (!rule_wants(r, i)) continue;
    buf_clear(&b);
    while (found) {
      TRY(regex_find(r->m, s->code, pattern, t, at, &found, e));
      if (!found) break;
      const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(r->m->data);
      size_t k = 0;
      while (k + 1 < n && (list[k].old.n != ov[1] - ov[0] || memcmp(list[k].old.p, t.p + ov[0], list[k].old.n) != 0)) k++;
      TRY(buf_put(&b, t.p + at, ov[0] - at, e));
      TRY(buf_put(&b, list[k].now.p, list[k].now.n, e));
      at = ov[1];
    }
    TRY(buf_put(&b, t.p + at, t.n - at, e));
    TRY(rule_put(r, i, &b, e));
  }
out:
  buf_free(&b);
  return st;
}

static enum status apply(void *state, struct rule_row *r, struct err *e) {
  const struct numbers *s = state;
  struct number *list;
  size_t n;
  enum status st = find_all(s, r, &list, &n, e);
  if (st != STATUS_OK || n == 0) return st;
  for (size_t k = 0; k < n; k++) {
    int decimals, commas;
    double v = value_of(list[k].old, &decimals, &commas);
    if (list[k].in_answer && !list[k].known && !is_left(s, list[k].old, v, decimals, commas)) return STATUS_OK;
  }
  for (int tries = 0; tries < 8; tries++) {
    double factor = 1 + (2 * rng_uniform(&r->rng) - 1) * s->spread;
    if (plan(s, r, list, n, factor)) return rewrite(s, r, list, n, e);
  }
  return STATUS_OK;
}

static enum status open(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e) {
  static const struct rule_key keys[] = { { "spread", JSON_REAL }, { "from", JSON_REAL } };
  struct numbers *s = arena_calloc(a, 1, sizeof *s);
  enum status st = STATUS_OK;
  (void)dir;
  if (!s) return err_nomem(e, sizeof *s);
  *state = s;
  if (json_type(args) == JSON_OBJECT) TRY(rule_check_keys("numbers", args, keys, 2, e));
  TRY(rule_chance("numbers", args, "spread", 0.2, &s->spread, e));
  s->from = json_num(json_get(args, "from"), 10);
  st = regex_compile("numbers", (struct span){ pattern, sizeof pattern - 1 }, 0, &s->code, e);
out:
  return st;
}

static void close(void *state) {
  struct numbers *s = state;
  if (s) pcre2_code_free(s->code);
}

const struct rule_class rule_numbers = { "numbers", "all numbers of a row times one factor, question and answer in step", RECORD_TEXT | RECORD_USER | RECORD_ASSISTANT, 0, open, close, NULL, apply };
