/* SPDX-License-Identifier: Apache-2.0
 * Recipes: data files (YAML) that say what is asked of a teacher about a row, how its output is parsed and which outputs are
 * good enough. Format: docs/formats.md, "Recipes". Used by the augment stage and its tests. */
#ifndef AUGMENT_RECIPE_H
#define AUGMENT_RECIPE_H
#include "err.h"
#include "json.h"
#include "mem.h"
#include "span.h"

struct recipe;
/* name: of a recipe inside the binary, or a path (has a '/' or ends with .yaml). Every key is checked. */
MUST_USE enum status recipe_open(const char *name, struct recipe **r, struct err *e);
void recipe_close(struct recipe *r);
/* "qa, ..." of what is inside the binary, for help and errors. Arena memory. */
const char *recipe_names(struct arena *a);

const char *recipe_name(const struct recipe *r);
const char *recipe_skill(const struct recipe *r);
const char *recipe_elicitation(const struct recipe *r);
int64_t recipe_per_row(const struct recipe *r);
int64_t recipe_min_chars(const struct recipe *r);
double recipe_sampling(const struct recipe *r, const char *key, double dflt);
/* JSON array of messages that asks about text for the nth time (from 0). Appends. */
MUST_USE enum status recipe_ask(const struct recipe *r, struct span text, int64_t nth, struct buf *messages, struct err *e);
/* Parses an output and checks it. *why: NULL when it is good, else the name of what it failed (static text); *out: the parsed text
 * (arena memory). before: earlier good ones of the same row. */
MUST_USE enum status recipe_take(const struct recipe *r, struct span output, struct span text, int64_t nth, const struct span *before,
                                 size_t n_before, struct arena *a, struct span *out, const char **why, struct err *e);
/* The user's message of the new row. Appends. */
MUST_USE enum status recipe_output(const struct recipe *r, struct span text, struct span answer, struct buf *out, struct err *e);

/* ---- tables: a parser and a validator are a row each ---- */
struct parser { /* parse.c */
  const char *name;
  /* {NULL,0} when there is nothing of the kind in the output. The result points into output. */
  struct span (*parse)(struct span output);
};
extern const struct parser parser_table[];

struct check {
  struct span answer, text;    /* what was parsed; the row's own text */
  struct span prompt;          /* everything that was asked, JSON text */
  const struct span *before;
  size_t n_before;
  const struct json *arg;      /* of the recipe */
  struct arena *a;
};
struct validator { /* validate.c */
  const char *name;
  const char *reason;          /* of the ledger */
  const char *arg;             /* type of its argument for messages: "string", "[min, max]", "list of strings", "number", "true" */
  int (*good)(const struct check *c);
};
extern const struct validator validator_table[];
#endif
