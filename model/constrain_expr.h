/* SPDX-License-Identifier: Apache-2.0
 * Languages of bytes as trees: what the readers of regular expressions, schemas and choices make, and what constrain_nfa.h turns
 * into an automaton. All nodes live in the arena of one struct expr_build. Failures stick: a constructor that could not, or that
 * got a NULL child, gives NULL, and the first error stays in the build; callers look once, at the end. */
#ifndef MODEL_CONSTRAIN_EXPR_H
#define MODEL_CONSTRAIN_EXPR_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

#define EXPR_INF INT32_MAX
#define EXPR_CHAR_MAX 0x10FFFF

enum expr_kind { EXPR_TEXT, EXPR_CLASS, EXPR_CAT, EXPR_ALT, EXPR_REP, EXPR_RULE };
struct char_range { uint32_t lo, hi; };
struct expr {
  enum expr_kind kind;
  int shared;                  /* stands in several places: made once for each continuation */
  struct span text;            /* TEXT: bytes */
  struct char_range *range;    /* CLASS: code points, sorted, apart; written as UTF-8 */
  struct expr **child;         /* CAT, ALT: n; REP: 1 */
  size_t n, cap;               /* of range or child */
  int32_t min, max;            /* REP; max may be EXPR_INF */
  int32_t rule;                /* RULE: index into the build's rules; may be recursive, never matches nothing */
};
struct expr_build {
  struct arena *a;
  enum status st;
  struct err *e;
  struct expr **rule;          /* NULL while it is being made */
  size_t n_rule, cap_rule;
  size_t n_expr;
};

struct expr *expr_text(struct expr_build *b, struct span bytes);
struct expr *expr_cstr(struct expr_build *b, const char *bytes);
/* Ranges may overlap and stand in any order; surrogates are left out. */
struct expr *expr_class(struct expr_build *b, const struct char_range *r, size_t n);
struct expr *expr_list(struct expr_build *b, enum expr_kind cat_or_alt);       /* empty CAT = the empty text, empty ALT = nothing */
struct expr *expr_add(struct expr_build *b, struct expr *list, struct expr *x); /* gives list */
struct expr *expr_rep(struct expr_build *b, struct expr *x, int32_t min, int32_t max);
int32_t expr_rule_new(struct expr_build *b); /* then b->rule[i] = ...; -1 on failure */
struct expr *expr_rule(struct expr_build *b, int32_t rule);
int expr_nullable(const struct expr *x);
enum status expr_fail(struct expr_build *b, enum status st, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A regular expression (subset, constrain.h) as an expr that matches it as a whole; search = 1: found anywhere (JSON Schema's
 * pattern). json = 1: the characters are those of a JSON string, so quotes, backslashes and controls are written as escapes. */
struct expr *expr_regex(struct expr_build *b, struct span pattern, int search, int json);
/* Whole numbers and decimal fractions within bounds, as JSON writes them (constrain_number.c). INT64_MIN and INT64_MAX: open. */
struct expr *expr_integer(struct expr_build *b, int64_t lo, int64_t hi);
/* lo, hi: decimal texts such as "-0.25", NULL = open; strict: without the bound itself. */
struct expr *expr_number(struct expr_build *b, const char *lo, int lo_strict, const char *hi, int hi_strict);
#endif
