/* SPDX-License-Identifier: Apache-2.0
 * Numbers of several groups: IPv4, payment cards, telephone numbers. National numbers are tried first (pii_ids.c). */
#include <string.h>
#include "pii_impl.h"

enum { GROUPS = 8, LOOK = 40 };
struct number { /* digit groups parted by one of " -./", or by parentheses */
  size_t n, from[GROUPS], to[GROUPS], digits; /* all digits */
  int sep[GROUPS];                            /* before group i (0 for the first); '(' when a parenthesis is between */
};

static void gather(const struct look *s, size_t i, struct number *x) {
  size_t start = i;
  int sep = 0;
  x->n = x->digits = 0;
  while (x->n < GROUPS && i - start < LOOK) {
    size_t from = i;
    while (is_digit(look_at(s, i)) && i - start < LOOK + 20) i++;
    if (i == from) return;
    x->from[x->n] = from, x->to[x->n] = i, x->sep[x->n] = sep;
    x->digits += i - from;
    x->n++;
    int c = look_at(s, i), d = look_at(s, i + 1);
    sep = c;
    if ((c == ' ' || c == '-' || c == '.' || c == '/') && is_digit(d)) i++;
    else if (c == ')' && is_digit(d)) i++, sep = '(';
    else if ((c == ')' && (d == ' ' || d == '-') && is_digit(look_at(s, i + 2))) || (c == ' ' && d == '(' && is_digit(look_at(s, i + 2)))) i += 2, sep = '(';
    else if (c == '(' && is_digit(d)) i++, sep = '(';
    else return;
  }
}

static size_t length(const struct number *x, size_t g) { return x->to[g] - x->from[g]; }

static size_t ipv4(struct look *s, const struct number *x) {
  if (x->n < 4 || (x->n > 4 && x->sep[4] == '.')) return 0;
  for (size_t g = 0; g < 4; g++) {
    int v = 0;
    if (length(x, g) > 3 || (g && x->sep[g] != '.') || (length(x, g) > 1 && s->t[x->from[g]] == '0')) return 0;
    for (size_t k = x->from[g]; k < x->to[g]; k++) v = v * 10 + s->t[k] - '0';
    if (v > 255) return 0;
  }
  if (look_marked(s, MARK_VERSION, x->from[0], 12) || is_alpha(look_at(s, x->to[3])) || look_at(s, x->to[3]) == '-') return 0;
  int first = 0;
  for (size_t k = x->from[0]; k < x->to[0]; k++) first = first * 10 + s->t[k] - '0';
  if (first == 0) return 0;
  int plain = length(x, 0) == 1 && length(x, 1) == 1 && length(x, 2) == 1 && length(x, 3) == 1; /* 1.2.3.4 numbers a paragraph as well */
  look_add(s, PII_ip, x->from[0], x->to[3], plain ? 0.45 : 0.9, "ipv4");
  return x->to[3];
}

/* ---- cards: prefixes of issuers (ISO 7812), Luhn ---- */
static int card_prefix(const unsigned char *d, size_t n) {
  unsigned two = (unsigned)(d[0] - '0') * 10 + (unsigned)(d[1] - '0'), four = two * 100 + (unsigned)(d[2] - '0') * 10 + (unsigned)(d[3] - '0');
  if (d[0] == '4') return n == 13 || n == 16 || n == 19;
  if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) return n == 16;
  if (two == 34 || two == 37) return n == 15;
  if (four == 6011 || two == 65 || (four >= 6440 && four <= 6499)) return n == 16 || n == 19;
  if (four >= 3528 && four <= 3589) return n == 16;
  if ((four >= 3000 && four <= 3059) || two == 36 || two == 38 || two == 39) return n == 14;
  return two == 62 && n >= 16;
}

static int luhn(const unsigned char *d, size_t n) {
  int sum = 0;
  for (size_t i = 0; i < n; i++) {
    int v = d[n - 1 - i] - '0';
    if (i % 2) v = v * 2 > 9 ? v * 2 - 9 : v * 2;
    sum += v;
  }
  return sum % 10 == 0;
}

size_t pii_card(const struct look *s, size_t i, double *score) {
  unsigned char d[20];
  size_t n = 0, at = i, group = 0, four = 0, mixed = 0;
  int sep = 0;
  for (; at < s->n && n < 20; at++) {
    int c = s->t[at];
    if (is_digit(c)) {
      d[n++] = (unsigned char)c;
      group++;
      continue;
    }
    if ((c != ' ' && c != '-') || !is_digit(look_at(s, at + 1)) || (sep && c != sep)) break;
    if (n >= 13 && c == ' ' && group != 4) break;
    if (n == 16 && four == 3) break; /* 4-4-4-4, then something else */
    four += group == 4;
    mixed += group != 4;
    sep = c;
    group = 0;
  }
  if (n < 13 || n > 19 || is_alnum(look_at(s, at)) || (sep == '-' && look_at(s, at) == '-') || !card_prefix(d, n) || !luhn(d, n)) return 0;
  int amex = n == 15 || n == 14;
  if (sep && mixed && !amex) return 0;
  *score = look_marked(s, MARK_CARD, i, 40) ? 0.95 : look_marked(s, MARK_ORDER, i, 24) ? 0.4 : sep ? 0.8 : 0.6;
  return at;
}

/* ---- telephone ---- */
static size_t add_phone(struct look *s, size_t from, size_t to, double score, const char *what) {
  look_add(s, PII_phone, from, to, score, what);
  return to;
}

/* +CC ...: groups until the number is full; a blank after 11 digits starts something else. */
static size_t international(struct look *s, const struct number *x, size_t plus) {
  size_t digits = 0, g = 0;
  int zero = s->t[x->from[0]] == '0';
  size_t full = s->t[x->from[0]] == '1' || s->t[x->from[0]] == '7' ? 11 : 15;
  for (; g < x->n; g++) {
    size_t more = digits + length(x, g);
    if (more > full || (g && x->sep[g] == ' ' && digits >= 11) || (g && x->sep[g] == '/')) break;
    digits = more;
  }
  if (zero || digits < 8 || g == 0 || (full == 11 && digits != 11)) return 0;
  return add_phone(s, plus, x->to[g - 1], 0.9, "international");
}

static int starts_2_to_9(const struct look *s, size_t i) { return s->t[i] >= '2' && s->t[i] <= '9'; }

/* [1] ddd ddd dddd, area and exchange from 2 on. */
static size_t north_america(struct look *s, const struct number *x, size_t open) {
  size_t g = x->n > 3 && length(x, 0) == 1 && s->t[x->from[0]] == '1' ? 1 : 0;
  if (x->n < g + 3 || length(x, g) != 3 || length(x, g + 1) != 3 || length(x, g + 2) != 4) return 0;
  if (!starts_2_to_9(s, x->from[g]) || !starts_2_to_9(s, x->from[g + 1])) return 0;
  int a = x->sep[g + 1], b = x->sep[g + 2];
  if (b == '/' || b == '(' || (a != b && a != '(' && a != '/' && !(a == ' ' && b == '-'))) return 0;
  if (x->n > g + 3 && x->sep[g + 3] == b && b != ' ') return 0;
  double score = a == '(' ? 0.9 : b == '-' ? 0.85 : b == '.' ? 0.7 : 0.45;
  size_t from = open != (size_t)-1 ? open : x->from[0];
  if (look_marked(s, MARK_PHONE, from, 24) || look_marked(s, MARK_CALL, from, 24)) score = 0.9;
  return add_phone(s, from, x->to[g + 2], score, "north_america");
}

/* Japan: 0A-BBBB-CCCC; 10 digits, 11 behind 050 070 080 090. */
static size_t japan(struct look *s, const struct number *x, size_t open) {
  if (x->n < 3 || s->t[x->from[0]] != '0' || length(x, 0) < 2) return 0;
  size_t n = length(x, 0) + length(x, 1) + length(x, 2);
  int mobile = length(x, 0) == 3 && s->t[x->from[0] + 2] == '0' && strchr("5789", s->t[x->from[0] + 1]) != NULL;
  int free_call = length(x, 0) == 4 && length(x, 1) == 3 && length(x, 2) == 3;
  if (n != (mobile ? 11u : 10u) || (length(x, 2) != 4 && !free_call)) return 0;
  if (x->sep[2] != '-' && x->sep[2] != '(' && !look_marked(s, MARK_PHONE, x->from[0], 24)) return 0;
  if (x->n > 3 && x->sep[3] == '-') return 0;
  return add_phone(s, open != (size_t)-1 ? open : x->from[0], x->to[2], 0.85, "japan");
}

/* Any number of 7 to 15 digits behind a word such as "tel". */
static size_t announced(struct look *s, const struct number *x, size_t open) {
  size_t from = open != (size_t)-1 ? open : x->from[0], digits = 0, g = 0;
  if (!look_marked(s, MARK_PHONE, from, 20)) return 0;
  for (; g < x->n && digits + length(x, g) <= 15; g++) digits += length(x, g);
  if (digits < 7 || (g == 1 && length(x, 0) > 13)) return 0;
  if (x->n >= 3 && length(x, 0) == 4 && length(x, 1) <= 2 && length(x, 2) <= 2) return 0; /* a date */
  if (x->n >= 3 && length(x, 0) <= 2 && length(x, 1) <= 2 && length(x, 2) == 4 && digits <= 8) return 0;
  return add_phone(s, from, x->to[g - 1], 0.8, "announced");
}

size_t pii_number(struct look *s, size_t i) {
  struct number x;
  size_t first = i, open = (size_t)-1, end;
  int before = i > 0 ? s->t[i - 1] : 0;
  double score;
  if (s->t[i] == '(' || s->t[i] == '+') {
    first = i + 1;
    if (s->t[i] == '(' && look_at(s, first) == '+') first++;
    if (!is_digit(look_at(s, first)) || is_alnum(before)) return i;
    open = s->t[first - 1] == '+' ? first - 1 : i;
  } else if (before == '-' || before == '.' || before == '/' || before == '_' || before == '#') {
    if (i > 1 && (is_alnum(s->t[i - 2]) || before == '_')) return i; /* the middle of something */
  }
  gather(s, first, &x);
  if (open != (size_t)-1 && s->t[open] == '(' && (x.n < 2 || x.sep[1] != '(')) return i; /* a bracket of the sentence: the digits come next */
  if (open != (size_t)-1 && s->t[first - 1] == '+') return look_wants(s, PII_phone) && (end = international(s, &x, open)) ? end : i;
  if (open == (size_t)-1) {
    if (look_wants(s, PII_ip) && (end = ipv4(s, &x))) return end;
    if (look_wants(s, PII_card) && x.digits >= 13 && (end = pii_card(s, i, &score))) {
      look_add(s, PII_card, i, end, score, "card");
      return score >= s->p->min_score ? end : i;
    }
    if (look_wants(s, PII_national_id) && (end = pii_id(s, i)) > i) return end;
  }
  if (!look_wants(s, PII_phone) || x.digits < 7) return i;
  if ((end = north_america(s, &x, open)) || (end = japan(s, &x, open)) || (end = announced(s, &x, open))) return end;
  return i;
}
