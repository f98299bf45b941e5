/* SPDX-License-Identifier: Apache-2.0
 * Numbers within bounds as language trees, compared digit by digit from the left: as long as the digits are those of a bound the
 * next digit is held by it ("tight"), after that any digit will do. */
#include "constrain_expr.h"

enum { WHOLE = 15, FRACTION = 9 };
#define WHOLE_MAX INT64_C(999999999999999)

struct bounds { const char *lo, *hi; int n, lo_strict, hi_strict; }; /* digits; beyond n they are 0 */

static struct expr *digit_class(struct expr_build *b, int lo, int hi) {
  struct char_range r = {(uint32_t)('0' + lo), (uint32_t)('0' + hi)};
  return expr_class(b, &r, 1);
}

static struct expr *any_digits(struct expr_build *b, int min, int max) { return expr_rep(b, digit_class(b, 0, 9), min, max); }

static struct expr *cat2(struct expr_build *b, struct expr *x, struct expr *y) { return expr_add(b, expr_add(b, expr_list(b, EXPR_CAT), x), y); }
static struct expr *cat3(struct expr_build *b, struct expr *x, struct expr *y, struct expr *z) { return expr_add(b, cat2(b, x, y), z); }

/* Exactly n digits from i on, between the bounds. */
static struct expr *same_length(struct expr_build *b, const struct bounds *k, int i, int lt, int ht) {
  struct expr *alt = expr_list(b, EXPR_ALT);
  if (i == k->n) {
    return expr_list(b, EXPR_CAT);
  }
  if (!lt && !ht) {
    return any_digits(b, k->n - i, k->n - i);
  }
  int lo = lt ? k->lo[i] - '0' : 0, hi = ht ? k->hi[i] - '0' : 9;
  for (int d = lo; d <= hi;) {
    int tight_lo = lt && d == lo, tight_hi = ht && d == hi, last = d;
    if (!tight_lo && !tight_hi) {
      last = ht ? hi - 1 : hi;
    }
    alt = expr_add(b, alt, cat2(b, digit_class(b, d, last), same_length(b, k, i + 1, tight_lo, tight_hi)));
    d = last + 1;
  }
  return alt;
}

/* 0 <= lo <= hi */
static struct expr *natural(struct expr_build *b, int64_t lo, int64_t hi) {
  struct expr *alt = expr_list(b, EXPR_ALT);
  char from[24], to[24];
  int64_t first = 0, last = 9;
  for (int n = 1; n <= WHOLE; n++, first = last + 1, last = last * 10 + 9) {
    int64_t a = lo > first ? lo : first, z = hi < last ? hi : last;
    if (a > z) {
      continue;
    }
    snprintf(from, sizeof from, "%lld", (long long)a);
    snprintf(to, sizeof to, "%lld", (long long)z);
    struct bounds k = {from, to, n, 0, 0};
    alt = expr_add(b, alt, same_length(b, &k, 0, 1, 1));
  }
  return alt;
}

struct expr *expr_integer(struct expr_build *b, int64_t lo, int64_t hi) {
  struct expr *alt = expr_list(b, EXPR_ALT);
  lo = lo < -WHOLE_MAX ? -WHOLE_MAX : lo;
  hi = hi > WHOLE_MAX ? WHOLE_MAX : hi;
  if (hi >= 0 && lo <= hi) {
    alt = expr_add(b, alt, natural(b, lo > 0 ? lo : 0, hi));
  }
  if (lo < 0 && lo <= hi) {
    alt = expr_add(b, alt, cat2(b, expr_cstr(b, "-"), natural(b, hi < 0 ? -hi : 1, -lo)));
  }
  return alt;
}

static int all_zero(const char *p) { return strspn(p, "0") == strlen(p); }

/* Digits behind the point from i on. lo, hi: NULL = not tight. */
static struct expr *fraction(struct expr_build *b, const struct bounds *k, int i, int lt, int ht) {
  struct expr *alt = expr_list(b, EXPR_ALT);
  size_t nl = lt ? strlen(k->lo) : 0, nh = ht ? strlen(k->hi) : 0;
  if (i && !lt && !ht) {
    return any_digits(b, 0, FRACTION - i);
  }
  int low_ok = !lt || (all_zero(k->lo + ((size_t)i < nl ? (size_t)i : nl)) && !k->lo_strict);
  int high_ok = !ht || !all_zero(k->hi + ((size_t)i < nh ? (size_t)i : nh)) || !k->hi_strict;
  if (i && low_ok && high_ok) {
    alt = expr_add(b, alt, expr_list(b, EXPR_CAT));
  }
  int lo = (size_t)i < nl ? k->lo[i] - '0' : 0, hi = !ht ? 9 : (size_t)i < nh ? k->hi[i] - '0' : 0;
  for (int d = lo; i < FRACTION && d <= hi;) {
    int tight_lo = lt && d == lo, tight_hi = ht && d == hi, last = d;
    if (!tight_lo && !tight_hi) {
      last = ht ? hi - 1 : hi;
    }
    alt = expr_add(b, alt, cat2(b, digit_class(b, d, last), fraction(b, k, i + 1, tight_lo, tight_hi)));
    d = last + 1;
  }
  return alt;
}

/* Behind the whole part: nothing, or a point and digits, so that 0.rest lies within. */
static struct expr *rest_of(struct expr_build *b, const char *lo, int lo_strict, const char *hi, int hi_strict) {
  struct bounds k = {lo, hi, 0, lo_strict, hi_strict};
  struct expr *alt = expr_add(b, expr_list(b, EXPR_ALT), cat2(b, expr_cstr(b, "."), fraction(b, &k, 0, lo != NULL, hi != NULL)));
  if ((!lo || (all_zero(lo) && !lo_strict)) && (!hi || !all_zero(hi) || !hi_strict)) {
    alt = expr_add(b, alt, expr_list(b, EXPR_CAT));
  }
  return alt;
}

struct decimal { int64_t whole; char frac[FRACTION + 1]; int negative; };

/* 0: too long for us */
static int read_decimal(const char *text, struct decimal *d) {
  size_t n;
  *d = (struct decimal){.negative = *text == '-'};
  text += d->negative;
  n = strspn(text, "0123456789");
  if (n == 0 || n > WHOLE) {
    return 0;
  }
  for (size_t i = 0; i < n; i++) {
    d->whole = d->whole * 10 + (text[i] - '0');
  }
  text += n;
  if (*text == '.') {
    n = strspn(++text, "0123456789");
    for (; n && text[n - 1] == '0'; n--) {
    }
    if (n > FRACTION) {
      return 0;
    }
    memcpy(d->frac, text, n);
    text += strspn(text, "0123456789");
  }
  return *text == 0;
}

/* Numbers from 0 up between lo and hi (NULL = open). */
static struct expr *magnitude(struct expr_build *b, const struct decimal *lo, int lo_strict, const struct decimal *hi, int hi_strict) {
  struct expr *alt = expr_list(b, EXPR_ALT);
  int64_t top = hi ? hi->whole : WHOLE_MAX + 1;
  if (lo->whole > top || (lo->whole == top && strcmp(lo->frac, hi->frac) > 0)) {
    return alt;
  }
  if (lo->whole == top) {
    return expr_add(b, alt, cat2(b, natural(b, top, top), rest_of(b, lo->frac, lo_strict, hi->frac, hi_strict)));
  }
  alt = expr_add(b, alt, cat2(b, natural(b, lo->whole, lo->whole), rest_of(b, lo->frac, lo_strict, NULL, 0)));
  if (lo->whole + 1 < top) {
    alt = expr_add(b, alt, cat2(b, natural(b, lo->whole + 1, top - 1), rest_of(b, NULL, 0, NULL, 0)));
  }
  return hi ? expr_add(b, alt, cat2(b, natural(b, top, top), rest_of(b, NULL, 0, hi->frac, hi_strict))) : alt;
}

static struct expr *free_number(struct expr_build *b) {
  static const struct char_range e[] = {{'e', 'e'}, {'E', 'E'}}, sign[] = {{'+', '+'}, {'-', '-'}};
  struct expr *exponent = cat3(b, expr_class(b, e, 2), expr_rep(b, expr_class(b, sign, 2), 0, 1), any_digits(b, 1, 2));
  struct expr *whole = cat2(b, expr_rep(b, expr_cstr(b, "-"), 0, 1), natural(b, 0, WHOLE_MAX));
  return cat3(b, whole, rest_of(b, NULL, 0, NULL, 0), expr_rep(b, exponent, 0, 1));
}

struct expr *expr_number(struct expr_build *b, const char *lo, int lo_strict, const char *hi, int hi_strict) {
  struct decimal a, z, zero = {0};
  struct expr *alt = expr_list(b, EXPR_ALT);
  if (!lo && !hi) {
    return free_number(b);
  }
  if ((lo && !read_decimal(lo, &a)) || (hi && !read_decimal(hi, &z))) {
    expr_fail(b, STATUS_DATA, "schema: a number bound of more than %d digits before or %d behind the point cannot bind tokens", WHOLE, FRACTION);
    return NULL;
  }
  if (!hi || !z.negative) {
    int above_zero = lo && !a.negative;
    alt = expr_add(b, alt, magnitude(b, above_zero ? &a : &zero, above_zero && lo_strict, hi ? &z : NULL, hi_strict));
  }
  if (!lo || a.negative) {
    int below_zero = hi && z.negative;
    alt = expr_add(b, alt, cat2(b, expr_cstr(b, "-"), magnitude(b, below_zero ? &z : &zero, below_zero ? hi_strict : 1, lo ? &a : NULL, lo_strict)));
  }
  return alt;
}
