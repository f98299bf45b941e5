/* SPDX-License-Identifier: Apache-2.0
 * Rule-based augmentation (`augment --rules FILE`): changing rows without a teacher. Format: docs/formats.md, "Rule files".
 * "Things to do to add a method": write augment/rule_NAME.c with a `const struct rule_class rule_NAME`, add RULE(NAME) to
 * augment/rules.def. What a method does to a row is a function of the row, the copy's number, the seed and the rule's place in
 * the file; serial methods also see the rows before it, in their order. */
#ifndef AUGMENT_RULE_H
#define AUGMENT_RULE_H
#include "json.h"
#include "mem.h"
#include "record.h"
#include "rng.h"
#include "span.h"

struct regex_matcher; /* of one worker, regex.h */
struct rule_row {
  struct arena *a;
  struct record_string *text; /* record_strings */
  size_t n;
  struct span id;
  unsigned on;           /* of the rule in hand */
  struct rng rng;        /* of this row, copy and rule */
  int64_t copy;          /* from 1; 0 = the row itself is changed */
  struct regex_matcher *m;
};
struct rule_class {
  const char *name, *about;
  unsigned on;   /* where it works unless the file says otherwise */
  int serial;    /* 1: rows go through it one after the other, in order, before all others */
  /* args: the rule's own value in the file; dir: folder of the file, for other files named there. State in the arena or freed by close. */
  enum status (*open)(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e);
  void (*close)(void *state);                          /* may be NULL */
  enum status (*finish)(void *state, struct err *e);   /* may be NULL: after the last row */
  /* Changes texts of the row (rule_put). STATUS_DATA, STATUS_LIMIT: this row fails. */
  enum status (*apply)(void *state, struct rule_row *row, struct err *e);
};
extern const struct rule_class *const rule_table[]; /* ends with NULL */

/* Does the rule in hand work on text i? */
static inline int rule_wants(const struct rule_row *r, size_t i) { return (r->text[i].who & r->on) != 0; }
/* b becomes the text i (copied). */
MUST_USE enum status rule_put(struct rule_row *r, size_t i, const struct buf *b, struct err *e);

/* ---- files (rules.c) ---- */
struct rule {
  const struct rule_class *c;
  void *state;
  unsigned on;
};
struct rules {
  struct rule *rule;
  size_t n;
  int64_t copies;  /* 0: the row itself is changed and keeps its id */
  int keep_row;    /* the row goes out in front of its copies */
  struct arena *a;
  struct json *doc;
  const char *name; /* of the file, without its folder */
};
MUST_USE enum status rules_open(const char *path, struct rules **r, struct err *e);
void rules_close(struct rules *r);
/* rules_run.c: the stage's work. */
struct ctx;
MUST_USE enum status rules_run(struct ctx *c, const char *path, int64_t seed, struct err *e);

/* Arguments of a rule, checked: unknown keys and wrong types are errors that name the rule. */
struct rule_key { const char *key; enum json_type type; }; /* JSON_REAL: any number; JSON_NONE: any type */
MUST_USE enum status rule_check_keys(const char *rule, const struct json *args, const struct rule_key *keys, size_t n, struct err *e);
/* A probability at key (or args itself when it is a number), dflt when absent. */
MUST_USE enum status rule_chance(const char *rule, const struct json *args, const char *key, double dflt, double *out, struct err *e);
#endif
