/* SPDX-License-Identifier: Apache-2.0
 * Method `dates: DAYS`: all dates of a row move by the same number of days, 1 to DAYS, forwards or back, so that question and
 * answer stay in step and distances between dates hold. Forms: 2024-01-31, 31.01.2024, 31 January 2024, January 31, 2024 (short
 * months, ordinals and a leading weekday too, which then fits again); 01/31/2024 with `slash: mdy` or `dmy`. */
#include "rule_match.h"

struct dates {
  int64_t days;
  char slash; /* 0, 'm', 'd' */
  pcre2_code *code;
};
static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December" };
static const char *const weekdays[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
/* Groups: 1-3 ISO; 4-6 dotted; 7 weekday 8 day 9 suffix 10 month 11 year; 12 weekday 13 month 14 day 15 suffix 16 year; 17-19 slashes */
#define MONTH "(Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
#define WEEKDAY "(?:(Sunday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday),? )?"
static const char pattern[] =
    "(?<![\\w.\\-/])(?:([0-9]{4})-([0-9]{2})-([0-9]{2})|([0-9]{1,2})\\.([0-9]{1,2})\\.([0-9]{4})|" WEEKDAY "([0-9]{1,2})(st|nd|rd|th)? " MONTH ",? ([0-9]{4})|" WEEKDAY MONTH
    " ([0-9]{1,2})(st|nd|rd|th)?,? ([0-9]{4})|([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}))(?!(?!T[0-9]{2}:)[\\w/]|-\\w|\\.[0-9])";

/* Days since 1970-01-01 of the proleptic Gregorian calendar, and back (H. Hinnant, chrono-compatible date algorithms). */
static int64_t to_days(int64_t y, int m, int d) {
  y -= m <= 2;
  int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void from_days(int64_t z, int *y, int *m, int *d) {
  z += 719468;
  int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  *d = (int)(doy - (153 * mp + 2) / 5 + 1);
  *m = (int)(mp < 10 ? mp + 3 : mp - 9);
  *y = (int)(yoe + era * 400 + (*m <= 2));
}

static int number_at(struct span t, const PCRE2_SIZE *ov, int g) {
  int v = 0;
  for (PCRE2_SIZE i = ov[2 * g]; i < ov[2 * g + 1]; i++) v = v * 10 + (t.p[i] - '0');
  return v;
}

static int month_at(struct span t, const PCRE2_SIZE *ov, int g) {
  for (int k = 0; k < 12; k++)
    if (memcmp(t.p + ov[2 * g], months[k], 3) == 0) return k + 1;
  return 0;
}

static int has(const PCRE2_SIZE *ov, int count, int g) { return g < count && ov[2 * g] != PCRE2_UNSET && ov[2 * g + 1] > ov[2 * g]; }

static const char *suffix(int d) { return d % 10 == 1 && d != 11 ? "st" : d % 10 == 2 && d != 12 ? "nd" : d % 10 == 3 && d != 13 ? "rd" : "th"; }

/* The match with the digits, month, suffix and weekday of another day in the places where the old ones stood. */
static enum status write_date(struct span t, const PCRE2_SIZE *ov, int count, const int at[5], int64_t day, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  int y, m, d;
  PCRE2_SIZE from = ov[0];
  from_days(day, &y, &m, &d);
  for (PCRE2_SIZE pos = ov[0]; pos < ov[1];) {
    int part = -1;
    for (int k = 0; k < 5; k++)
      if (at[k] && has(ov, count, at[k]) && ov[2 * at[k]] == pos) part = k;
    if (part < 0) {
      pos++;
      continue;
    }
    TRY(buf_put(out, t.p + from, pos - from, e));
    PCRE2_SIZE len = ov[2 * at[part] + 1] - pos;
    int letters = t.p[pos] > '9';
    if (part == 0) TRY(buf_printf(out, e, "%04d", y));
    else if (part == 1 && letters) TRY(len <= 4 && len < strlen(months[m - 1]) ? buf_put(out, months[m - 1], 3, e) : buf_puts(out, months[m - 1], e));
    else if (part == 1) TRY(buf_printf(out, e, len == 2 ? "%02d" : "%d", m));
    else if (part == 2) TRY(buf_printf(out, e, len == 2 && (t.p[pos] == '0' || at[1] <= 5 || at[1] >= 17) ? "%02d" : "%d", d));
    else if (part == 3) TRY(buf_puts(out, suffix(d), e));
    else TRY(buf_puts(out, weekdays[((day + 4) % 7 + 7) % 7], e));
    from = pos = ov[2 * at[part] + 1];
  }
  st = buf_put(out, t.p + from, ov[1] - from, e);
out:
  return st;
}

static enum status move(const struct dates *s, struct rule_row *r, struct span t, int64_t by, struct buf *out, struct err *e) {
  /* groups of year, month, day, suffix, weekday in each form */
  static const int forms[][5] = { { 1, 2, 3, 0, 0 }, { 6, 5, 4, 0, 0 }, { 11, 10, 8, 9, 7 }, { 16, 13, 14, 15, 12 }, { 19, 17, 18, 0, 0 } };
  enum status st = STATUS_OK;
  size_t at = 0;
  for (int found = 1;;) {
    TRY(regex_find(r->m, s->code, pattern, t, at, &found, e));
    if (!found) break;
    const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(r->m->data);
    int count = (int)pcre2_get_ovector_count(r->m->data), f = 0, form[5];
    while (f < 4 && !has(ov, count, forms[f][0])) f++;
    memcpy(form, forms[f], sizeof form);
    if (f == 4 && s->slash == 'd') {
      form[1] = 18;
      form[2] = 17;
    }
    int y = number_at(t, ov, form[0]), m = f == 2 || f == 3 ? month_at(t, ov, form[1]) : number_at(t, ov, form[1]), d = number_at(t, ov, form[2]), y2, m2, d2;
    int64_t day = to_days(y, m ? m : 1, d);
    from_days(day, &y2, &m2, &d2);
    TRY(buf_put(out, t.p + at, ov[0] - at, e));
    if ((f == 4 && !s->slash) || y2 != y || m2 != m || d2 != d || y < 1000) TRY(buf_put(out, t.p + ov[0], ov[1] - ov[0], e)); /* no such day */
    else TRY(write_date(t, ov, count, form, day + by, out, e));
    at = ov[1];
  }
  st = buf_put(out, t.p + at, t.n - at, e);
out:
  return st;
}

static enum status apply(void *state, struct rule_row *r, struct err *e) {
  const struct dates *s = state;
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  int64_t by = 1 + (int64_t)rng_below(&r->rng, (uint64_t)s->days);
  by = rng_below(&r->rng, 2) ? by : -by;
  for (size_t i = 0; i < r->n; i++) {
    if (!rule_wants(r, i)) continue;
    buf_clear(&b);
    TRY(move(s, r, r->text[i].text, by, &b, e));
    TRY(rule_put(r, i, &b, e));
  }
out:
  buf_free(&b);
  return st;
}

static enum status open(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e) {
  static const struct rule_key keys[] = { { "days", JSON_INT }, { "slash", JSON_STRING } };
  struct dates *s = arena_calloc(a, 1, sizeof *s);
  enum status st = STATUS_OK;
  (void)dir;
  if (!s) return err_nomem(e, sizeof *s);
  *state = s;
  if (json_type(args) == JSON_OBJECT) TRY(rule_check_keys("dates", args, keys, 2, e));
  s->days = json_int(json_type(args) == JSON_OBJECT ? json_get(args, "days") : args, 0);
  if (s->days < 1 || s->days > 36500) return err_set(e, STATUS_USAGE, "rule 'dates': days: expected a whole number from 1 to 36500");
  const char *slash = json_cstr(json_get(args, "slash"), NULL);
  if (slash && strcmp(slash, "mdy") != 0 && strcmp(slash, "dmy") != 0) return err_set(e, STATUS_USAGE, "rule 'dates': slash: found '%s', expected mdy or dmy", slash);
  s->slash = slash ? slash[0] : 0;
  st = regex_compile("dates", (struct span){ pattern, sizeof pattern - 1 }, 0, &s->code, e);
out:
  return st;
}

static void close(void *state) {
  struct dates *s = state;
  if (s) pcre2_code_free(s->code);
}

const struct rule_class rule_dates = { "dates", "all dates of a row moved by the same days, question and answer in step", RECORD_TEXT | RECORD_USER | RECORD_ASSISTANT, 0, open, close, NULL, apply };
