/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions (the subset stated in constrain.h) read into language trees. Whatever the subset lacks is refused by name
 * and place; nothing is passed over. What is read here means the same in PCRE2 with PCRE2_UTF (tests compare). */
#include <utf8proc.h>
#include "constrain_expr.h"

#define MAX_COUNT 10000
#define MAX_NEST 200

struct reader {
  struct expr_build *b;
  const char *start, *p, *end;
  int search, json, depth;
};
struct ranges { struct char_range *r; size_t n, cap; };

static struct expr *alternatives(struct reader *r);

static void *fail(struct reader *r, const char *what) {
  int n = r->end - r->start > 200 ? 200 : (int)(r->end - r->start);
  expr_fail(r->b, STATUS_USAGE, "regular expression '%.*s': %s at byte %zu", n, r->start, what, (size_t)(r->p - r->start) + 1);
  return NULL;
}

static int more(const struct reader *r) { return r->p < r->end; }
static int at(const struct reader *r, char c) { return more(r) && *r->p == c; }

static int add(struct reader *r, struct ranges *out, uint32_t lo, uint32_t hi) {
  if (out->n == out->cap) {
    size_t cap = out->cap ? out->cap * 2 : 16;
    struct char_range *p = arena_alloc(r->b->a, cap * sizeof *p);
    if (!p) {
      expr_fail(r->b, STATUS_NOMEM, "out of memory: %zu bytes could not be had", cap * sizeof *p);
      return 0;
    }
    if (out->n) {
      memcpy(p, out->r, out->n * sizeof *p);
    }
    out->r = p;
    out->cap = cap;
  }
  out->r[out->n++] = (struct char_range){lo, hi};
  return 1;
}

static int by_lo(const void *a, const void *b) {
  const struct char_range *x = a, *y = b;
  return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* The rest of Unicode. */
static int complement(struct reader *r, struct ranges *x) {
  struct ranges out = {0};
  uint32_t from = 0;
  if (x->n) {
    qsort(x->r, x->n, sizeof *x->r, by_lo);
  }
  for (size_t i = 0; i < x->n; i++) {
    if (x->r[i].lo > from && !add(r, &out, from, x->r[i].lo - 1)) {
      return 0;
    }
    from = x->r[i].hi + 1 > from ? x->r[i].hi + 1 : from;
  }
  if (from <= EXPR_CHAR_MAX && !add(r, &out, from, EXPR_CHAR_MAX)) {
    return 0;
  }
  *x = out;
  return 1;
}

/* ---- characters ---- */
static int hex_digits(struct reader *r, int least, int most, uint32_t *out) {
  int n = 0;
  for (*out = 0; n < most && more(r); n++, r->p++) {
    char c = *r->p;
    int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (d < 0) {
      break;
    }
    *out = *out * 16 + (uint32_t)d;
  }
  return n >= least && *out <= EXPR_CHAR_MAX;
}

/* \p{Lu}, \pL, \p{^L}: by general category. */
static int property(struct reader *r, int negated, struct ranges *out) {
  char name[3] = "";
  size_t n = 0;
  if (at(r, '{')) {
    r->p++;
    if (at(r, '^')) {
      negated = !negated;
      r->p++;
    }
    while (more(r) && *r->p != '}' && n < 2) {
      name[n++] = *r->p++;
    }
    if (!at(r, '}') || n == 0) {
      fail(r, "only general categories such as \\p{L} or \\p{Lu} are known");
      return 0;
    }
    r->p++;
  } else if (more(r)) {
    name[n++] = *r->p++;
  }
  struct ranges own = {0};
  uint32_t from = 0;
  int in = 0, known = 0;
  for (uint32_t c = 0; c <= EXPR_CHAR_MAX + 1; c++) {
    const char *cat = c <= EXPR_CHAR_MAX ? utf8proc_category_string((utf8proc_int32_t)c) : "";
    int now = cat[0] == name[0] && (n == 1 || cat[1] == name[1]);
    if (now && !in) {
      from = c;
    } else if (!now && in && !add(r, &own, from, c - 1)) {
      return 0;
    }
    known |= now;
    in = now;
  }
  if (!known) {
    fail(r, "only general categories such as \\p{L} or \\p{Lu} are known");
    return 0;
  }
  if (negated && !complement(r, &own)) {
    return 0;
  }
  for (size_t i = 0; i < own.n; i++) {
    if (!add(r, out, own.r[i].lo, own.r[i].hi)) {
      return 0;
    }
  }
  return 1;
}

static int named_class(struct reader *r, char c, struct ranges *out) {
  static const struct char_range digit[] = {{'0', '9'}}, word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, space[] = {{9, 13}, {' ', ' '}};
  char k = (char)(c | 32);
  const struct char_range *set = k == 'd' ? digit : k == 'w' ? word : space;
  size_t n = k == 'd' ? 1 : k == 'w' ? 4 : 2;
  struct ranges own = {0};
  for (size_t i = 0; i < n; i++) {
    if (!add(r, &own, set[i].lo, set[i].hi)) {
      return 0;
    }
  }
  if (c != k && !complement(r, &own)) {
    return 0;
  }
  for (size_t i = 0; i < own.n; i++) {
    if (!add(r, out, own.r[i].lo, own.r[i].hi)) {
      return 0;
    }
  }
  return 1;
}

/* Behind a backslash. *single = 1: one character, in *c; else ranges were added. */
static int escape(struct reader *r, struct ranges *out, int *single, uint32_t *c) {
  static const char from[] = "nrtfva0e", to[] = "\n\r\t\f\v\a\0\033";
  if (!more(r)) {
    fail(r, "a backslash with nothing behind it");
    return 0;
  }
  char k = *r->p++;
  *single = 0;
  if (strchr("dDwWsS", k)) {
    return named_class(r, k, out);
  }
  if (k == 'p' || k == 'P') {
    return property(r, k == 'P', out);
  }
  *single = 1;
  if (k == 'x' || k == 'u') {
    int braces = at(r, '{'), ok;
    if (k == 'u' ? !r->json || braces : braces && r->json) { /* one dialect writes \x{..}, the other \uHHHH */
      fail(r, r->json ? "a schema's pattern writes characters as \\uHHHH or \\xHH" : "characters are written as \\x{HHHH} or \\xHH");
      return 0;
    }
    r->p += braces;
    ok = hex_digits(r, braces ? 1 : k == 'x' ? 2 : 4, braces ? 6 : k == 'x' ? 2 : 4, c);
    if (!ok || (braces && !at(r, '}'))) {
      fail(r, "expected hexadecimal digits as in \\x41, \\x{1F600} or (in a schema) \\u00e9");
      return 0;
    }
    r->p += braces;
    return 1;
  }
  const char *f = memchr(from, k, sizeof from - 1);
  if (f && !(k == '0' && more(r) && *r->p >= '0' && *r->p <= '9')) {
    *c = (unsigned char)to[f - from];
    return 1;
  }
  if ((unsigned char)k < 0x80 && !((k >= '0' && k <= '9') || (k >= 'A' && k <= 'Z') || (k >= 'a' && k <= 'z'))) {
    *c = (unsigned char)k;
    return 1;
  }
  r->p--;
  fail(r, k >= '1' && k <= '9' ? "a reference to a group: tokens cannot be bound by one" : "an escape outside the subset (constrain.h)");
  return 0;
}

/* One code point of the pattern itself. */
static int literal(struct reader *r, uint32_t *c) {
  utf8proc_int32_t code;
  utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)r->p, r->end - r->p, &code);
  if (n <= 0) {
    fail(r, "invalid UTF-8");
    return 0;
  }
  r->p += n;
  *c = (uint32_t)code;
  return 1;
}

static int class_member(struct reader *r, struct ranges *out, int *single, uint32_t *c) {
  if (at(r, '[') && r->p + 1 < r->end && strchr(":.=", r->p[1])) {
    fail(r, "a named class such as [:alpha:], write its characters");
    return 0;
  }
  if (at(r, '\\')) {
    r->p++;
    if (at(r, 'b')) {
      r->p++;
      *single = 1;
      *c = 8;
      return 1;
    }
    return escape(r, out, single, c);
  }
  *single = 1;
  return literal(r, c);
}

static int bracket(struct reader *r, struct ranges *out) {
  int negated = at(r, '^'), first = 1;
  r->p += negated;
  while (more(r) && (*r->p != ']' || first)) {
    uint32_t lo = 0, hi = 0;
    int single = 0, single2 = 0;
    first = 0;
    if (!class_member(r, out, &single, &lo)) {
      return 0;
    }
    hi = lo;
    if (at(r, '-') && r->p + 1 < r->end && r->p[1] != ']') {
      r->p++;
      if (!single || !class_member(r, out, &single2, &hi)) {
        fail(r, "a range needs one character on each side");
        return 0;
      }
      if (!single2 || hi < lo) {
        fail(r, "a range needs one character on each side, the lower one first");
        return 0;
      }
    }
    if (single && !add(r, out, lo, hi)) {
      return 0;
    }
  }
  if (!more(r)) {
    fail(r, "a [ without its ]");
    return 0;
  }
  r->p++;
  return negated ? complement(r, out) : 1;
}

/* A set of characters as it is written inside a JSON string. */
static struct expr *json_chars(struct reader *r, const struct ranges *x) {
  static const char plain[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
  struct expr_build *b = r->b;
  struct expr *alt = expr_list(b, EXPR_ALT);
  struct ranges keep = {0};
  char text[8];
  for (size_t i = 0; i < x->n; i++) {
    uint32_t lo = x->r[i].lo, hi = x->r[i].hi;
    for (uint32_t c = lo; c <= hi && c < 0x20; c++) {
      const char *f = memchr(plain, (int)c, sizeof plain - 1);
      f ? snprintf(text, sizeof text, "\\%c", names[f - plain]) : snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
      alt = expr_add(b, alt, expr_cstr(b, text));
    }
    for (uint32_t c = lo < 0x20 ? 0x20 : lo; c <= hi; c++) {
      uint32_t to = c <= '"' && hi >= '"' ? '"' : c <= '\\' && hi >= '\\' ? '\\' : hi + 1; /* the next that must be escaped */
      if (to > c && !add(r, &keep, c, to - 1)) {
        return NULL;
      }
      if (to <= hi) {
        snprintf(text, sizeof text, "\\%c", (int)to);
        alt = expr_add(b, alt, expr_cstr(b, text));
      }
      c = to;
    }
  }
  return keep.n ? expr_add(b, alt, expr_class(b, keep.r, keep.n)) : alt;
}

static struct expr *chars(struct reader *r, const struct ranges *x) {
  struct expr *c = x->n ? expr_class(r->b, x->r, x->n) : expr_list(r->b, EXPR_ALT);
  if (!c || !r->json) {
    return c;
  }
  struct ranges apart = {c->range, c->n, c->n};
  return json_chars(r, &apart);
}

static struct expr *any_text(struct reader *r) {
  struct ranges all = {0};
  return add(r, &all, 0, EXPR_CHAR_MAX) ? expr_rep(r->b, chars(r, &all), 0, EXPR_INF) : NULL;
}

/* ---- structure ---- */
static struct expr *group(struct reader *r) {
  if (at(r, '*')) {
    return fail(r, "a (*VERB)");
  }
  if (at(r, '?')) {
    const char *open = r->p++;
    if (at(r, ':')) {
      r->p++;
    } else if (at(r, '<') || at(r, 'P')) {
      r->p += at(r, 'P');
      if (!at(r, '<') || (r->p + 1 < r->end && strchr("=!", r->p[1]))) {
        r->p = open;
        return fail(r, "looking around: tokens cannot be bound by it");
      }
      while (more(r) && *r->p != '>') {
        r->p++;
      }
      if (!more(r)) {
        return fail(r, "a group name without its >");
      }
      r->p++;
    } else {
      r->p = open;
      return fail(r, "looking around, a condition or an option: outside the subset (constrain.h)");
    }
  }
  if (++r->depth > MAX_NEST) {
    return fail(r, "more than 200 groups in each other");
  }
  int search = r->search;
  r->search = -1; /* inside a group no anchor is possible */
  struct expr *x = alternatives(r);
  r->search = search;
  r->depth--;
  if (x && !at(r, ')')) {
    return fail(r, "a ( without its )");
  }
  r->p++;
  return x;
}

static struct expr *atom(struct reader *r) {
  struct ranges set = {0};
  uint32_t c = 0;
  int single = 1;
  char k = *r->p;
  if (k == '(') {
    r->p++;
    return group(r);
  }
  if (strchr("*+?", k)) {
    return fail(r, "a repetition with nothing before it");
  }
  if (k == '^' || k == '$') {
    return fail(r, "^ and $ can only stand at the beginning and at the end of the whole or of one of its alternatives");
  }
  if (k == '[') {
    r->p++;
    return bracket(r, &set) ? chars(r, &set) : NULL;
  }
  if (k == '.') {
    r->p++;
    return add(r, &set, 0, '\n' - 1) && add(r, &set, '\n' + 1, EXPR_CHAR_MAX) ? chars(r, &set) : NULL;
  }
  if (k == '\\') {
    r->p++;
    if (!escape(r, &set, &single, &c)) {
      return NULL;
    }
  } else if (!literal(r, &c)) {
    return NULL;
  }
  return (!single || add(r, &set, c, c)) ? chars(r, &set) : NULL;
}

static int count(struct reader *r, int32_t *out) {
  int digits = 0;
  for (*out = 0; more(r) && *r->p >= '0' && *r->p <= '9'; r->p++, digits++) {
    *out = *out > MAX_COUNT ? *out : *out * 10 + (*r->p - '0');
  }
  return digits;
}

/* {m}, {m,} or {m,n}; anything else is a plain brace, as in PCRE2. 0: none here, -1: wrong. */
static int braces(struct reader *r, int32_t *min, int32_t *max) {
  const char *open = r->p++;
  int ok = count(r, min) > 0;
  *max = *min;
  if (ok && at(r, ',')) {
    r->p++;
    if (!count(r, max)) {
      *max = EXPR_INF;
    }
  }
  if (!ok || !at(r, '}')) {
    r->p = open;
    return 0;
  }
  r->p++;
  if (*min > MAX_COUNT || (*max != EXPR_INF && *max > MAX_COUNT) || *max < *min) {
    r->p = open;
    fail(r, *max < *min ? "numbers of a repetition in the wrong order" : "a repetition of more than 10000");
    return -1;
  }
  return 1;
}

static struct expr *repeated(struct reader *r) {
  const char *begin = r->p;
  struct expr *x = atom(r);
  for (int rounds = 0; x && more(r); rounds++) {
    int32_t min = 0, max = EXPR_INF;
    int is = 1;
    if (*r->p == '{') {
      is = braces(r, &min, &max);
    } else if (*r->p == '*' || *r->p == '+' || *r->p == '?') {
      min = *r->p == '+';
      max = *r->p == '?' ? 1 : EXPR_INF;
      r->p++;
    } else {
      break;
    }
    if (is < 0) {
      return NULL;
    }
    if (!is || rounds) { /* a plain brace is the next atom; a** is refused there */
      if (rounds && is) {
        r->p = begin;
        return fail(r, "two repetitions of one thing: group the inner one");
      }
      break;
    }
    x = expr_rep(r->b, x, min, max);
    if (at(r, '?')) {
      r->p++; /* lazy: the same texts */
    } else if (at(r, '+')) {
      return fail(r, "a possessive repetition");
    }
  }
  return x;
}

static struct expr *sequence(struct reader *r) {
  struct expr *cat = expr_list(r->b, EXPR_CAT);
  int open_start = r->search == 1, open_end = r->search == 1;
  if (r->search >= 0 && at(r, '^')) {
    r->p++;
    open_start = 0;
  }
  if (open_start) {
    cat = expr_add(r->b, cat, any_text(r));
  }
  while (cat && more(r) && *r->p != '|' && *r->p != ')') {
    if (r->search >= 0 && *r->p == '$' && (r->p + 1 == r->end || r->p[1] == '|')) {
      r->p++;
      open_end = 0;
      break;
    }
    if (*r->p == '{') { /* not a repetition here, so a plain brace */
      struct ranges set = {0};
      r->p++;
      cat = add(r, &set, '{', '{') ? expr_add(r->b, cat, chars(r, &set)) : NULL;
      continue;
    }
    cat = expr_add(r->b, cat, repeated(r));
  }
  return open_end ? expr_add(r->b, cat, any_text(r)) : cat;
}

static struct expr *alternatives(struct reader *r) {
  struct expr *alt = expr_add(r->b, expr_list(r->b, EXPR_ALT), sequence(r));
  while (alt && at(r, '|')) {
    r->p++;
    alt = expr_add(r->b, alt, sequence(r));
  }
  return alt;
}

struct expr *expr_regex(struct expr_build *b, struct span pattern, int search, int json) {
  struct reader r = {b, pattern.p ? pattern.p : "", pattern.p ? pattern.p : "", (pattern.p ? pattern.p : "") + pattern.n, search, json, 0};
  struct expr *x = alternatives(&r);
  if (x && more(&r)) {
    return fail(&r, "a ) without its (");
  }
  return x;
}
