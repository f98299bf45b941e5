/* SPDX-License-Identifier: Apache-2.0
 * Making language trees. The number of nodes is bounded, so that a short text cannot become a big tree. */
#include "constrain_expr.h"
#include <stdarg.h>

#define MAX_EXPR 400000

enum status expr_fail(struct expr_build *b, enum status st, const char *fmt, ...) {
  va_list ap;
  char text[600];
  if (b->st != STATUS_OK) {
    return b->st;
  }
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  b->st = st;
  return err_set(b->e, st, "%s", text);
}

static void *get(struct expr_build *b, size_t bytes) {
  void *p = b->st == STATUS_OK ? arena_calloc(b->a, 1, bytes) : NULL;
  if (!p && b->st == STATUS_OK) {
    b->st = err_nomem(b->e, bytes);
  }
  return p;
}

static struct expr *new_expr(struct expr_build *b, enum expr_kind kind) {
  if (b->n_expr++ > MAX_EXPR) {
    expr_fail(b, STATUS_LIMIT, "the form of the answer is too big: more than %d parts", MAX_EXPR);
    return NULL;
  }
  struct expr *x = get(b, sizeof *x);
  if (x) {
    x->kind = kind;
  }
  return x;
}

struct expr *expr_text(struct expr_build *b, struct span bytes) {
  struct expr *x = new_expr(b, EXPR_TEXT);
  char *copy = x ? get(b, bytes.n + 1) : NULL;
  if (!copy) {
    return NULL;
  }
  memcpy(copy, bytes.p ? bytes.p : "", bytes.n);
  x->text = (struct span){copy, bytes.n};
  return x;
}

struct expr *expr_cstr(struct expr_build *b, const char *bytes) { return expr_text(b, (struct span){bytes, strlen(bytes)}); }

static int by_lo(const void *a, const void *b) {
  const struct char_range *x = a, *y = b;
  return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* r minus the surrogates, into out (room for two). */
static size_t without_surrogates(struct char_range r, struct char_range *out) {
  size_t n = 0;
  r.hi = r.hi > EXPR_CHAR_MAX ? EXPR_CHAR_MAX : r.hi;
  if (r.lo <= r.hi && r.lo < 0xD800) {
    out[n++] = (struct char_range){r.lo, r.hi < 0xD800 ? r.hi : 0xD7FF};
  }
  if (r.lo <= r.hi && r.hi > 0xDFFF) {
    out[n++] = (struct char_range){r.lo > 0xDFFF ? r.lo : 0xE000, r.hi};
  }
  return n;
}

struct expr *expr_class(struct expr_build *b, const struct char_range *r, size_t n) {
  struct expr *x = new_expr(b, EXPR_CLASS);
  struct char_range *c = x ? get(b, (2 * n + 1) * sizeof *c) : NULL;
  size_t k = 0, m = 0;
  if (!c) {
    return NULL;
  }
  for (size_t i = 0; i < n; i++) {
    m += without_surrogates(r[i], c + m);
  }
  qsort(c, m, sizeof *c, by_lo);
  for (size_t i = 0; i < m; i++) {
    if (k && c[i].lo <= c[k - 1].hi + 1) {
      c[k - 1].hi = c[i].hi > c[k - 1].hi ? c[i].hi : c[k - 1].hi;
    } else {
      c[k++] = c[i];
    }
  }
  x->range = c;
  x->n = k;
  return x;
}

struct expr *expr_list(struct expr_build *b, enum expr_kind kind) { return new_expr(b, kind); }

struct expr *expr_add(struct expr_build *b, struct expr *list, struct expr *x) {
  if (!list || !x) {
    return NULL;
  }
  if (list->n == list->cap) {
    size_t cap = list->cap ? list->cap * 2 : 4;
    struct expr **p = get(b, cap * sizeof *p);
    if (!p) {
      return NULL;
    }
    if (list->n) {
      memcpy(p, list->child, list->n * sizeof *p);
    }
    list->child = p;
    list->cap = cap;
  }
  list->child[list->n++] = x;
  return list;
}

struct expr *expr_rep(struct expr_build *b, struct expr *x, int32_t min, int32_t max) {
  struct expr *r = x ? new_expr(b, EXPR_REP) : NULL;
  if (!r || !expr_add(b, r, x)) {
    return NULL;
  }
  r->min = min;
  r->max = max;
  return r;
}

int32_t expr_rule_new(struct expr_build *b) {
  if (b->n_rule == b->cap_rule) {
    size_t cap = b->cap_rule ? b->cap_rule * 2 : 16;
    struct expr **p = get(b, cap * sizeof *p);
    if (!p) {
      return -1;
    }
    if (b->n_rule) {
      memcpy(p, b->rule, b->n_rule * sizeof *p);
    }
    b->rule = p;
    b->cap_rule = cap;
  }
  b->rule[b->n_rule] = NULL;
  return (int32_t)b->n_rule++;
}

struct expr *expr_rule(struct expr_build *b, int32_t rule) {
  struct expr *x = rule >= 0 ? new_expr(b, EXPR_RULE) : NULL;
  if (x) {
    x->rule = rule;
  }
  return x;
}

int expr_nullable(const struct expr *x) {
  switch (x->kind) {
    case EXPR_TEXT: return x->text.n == 0;
    case EXPR_CLASS: case EXPR_RULE: return 0;
    case EXPR_CAT:
      for (size_t i = 0; i < x->n; i++) {
        if (!expr_nullable(x->child[i])) {
          return 0;
        }
      }
      return 1;
    case EXPR_ALT:
      for (size_t i = 0; i < x->n; i++) {
        if (expr_nullable(x->child[i])) {
          return 1;
        }
      }
      return 0;
    case EXPR_REP: return x->min == 0 || expr_nullable(x->child[0]);
  }
  return 0;
}
