/* SPDX-License-Identifier: Apache-2.0
 * Recipes: data files (YAML) that say what is asked of a teacher, in which steps, how each output is parsed, which outputs are good
 * enough and what rows come of them. Format: docs/formats.md, "Recipes". Read by the augment stage, its methods and their tests.
 * "Things to do to add a parser or validator": a function and a row in the table of its file; for a validator also
 * tests/augment/validators/NAME.yaml with at least ten good and ten bad outputs. */
#ifndef AUGMENT_RECIPE_H
#define AUGMENT_RECIPE_H
#include "answer_parse.h"
#include "form.h"
#include "json.h"
#include "record.h"
#include "schema.h"
#include "similar.h"

enum { RECIPE_STEPS = 8, RECIPE_CHECKS = 24, RECIPE_PARTS = 8 };

struct recipe;
struct check;

/* What a parser found: the text that counts, and named parts of it (slots STEP.PART). */
struct parsed {
  struct span text;
  struct { const char *name; struct span text; } part[RECIPE_PARTS];
  size_t n_part;
};
struct parser { /* parse.c */
  const char *name;
  const char *arg;  /* what stands behind its name, "" = nothing */
  /* 0 when there is nothing of the kind in the output. Texts point into output or the arena. */
  int (*parse)(struct span output, const struct json *arg, struct arena *a, struct parsed *p);
};
extern const struct parser parser_table[];

struct validator {
  const char *name;
  const char *reason;          /* of the ledger, and told to the teacher when it is asked again */
  const char *arg;             /* "string", "[min, max]", "list of strings", "number", "true", "slot", "schema" */
  int (*good)(const struct check *c);
};
extern const struct validator *const validator_tables[]; /* validate_*.c; each ends with a NULL name */
const struct validator *validator_find(struct span name);

/* One output under examination. */
struct check {
  struct span answer, text;    /* what was parsed; the row's own text */
  struct span prompt;          /* everything that was asked */
  const struct span *before;   /* earlier good ones */
  size_t n_before;
  const struct json *arg;      /* of the recipe */
  struct arena *a;
  struct span (*slot)(const void *ctx, const char *name); /* other texts; {NULL,0} when there is none of the name */
  const void *ctx;
  struct bm25 *corpus;         /* all texts, for round trips; or NULL */
  size_t own, n_passages;      /* this row's number in it; passages shown */
  const struct schema *schema; /* of a "schema" argument, opened with the recipe */
  const char *detail;          /* a validator may say more than its reason (static or arena) */
};

struct recipe_check {
  const struct validator *v;
  const struct json *arg;
  struct schema *schema;
};

/* One question and what is made of its answer, which fills the slot {name}. */
struct recipe_step {
  const char *name, *system, *says, *stop;
  const struct json *prompts, *shots, *sampling, *parse_arg;
  int dialog;                  /* the dialog so far is put in front of the prompt */
  const struct parser *parser;
  struct recipe_check check[RECIPE_CHECKS];
  size_t n_check;
  int64_t tries;
  struct form form;
};

enum recipe_input { RECIPE_TEXT, RECIPE_USER, RECIPE_PAIR, RECIPE_NOTHING };

struct recipe {
  struct json *root;
  struct arena *a;
  const char *name, *summary, *skill, *elicitation, *vertical, *loss, *method;
  enum recipe_input input;
  struct recipe_step step[RECIPE_STEPS];
  size_t n_step;
  const struct json *output, *lists, *needs, *grid;
  int64_t per_row, min_chars, turns, min_turns, passages, count, per_cell, demos;
  double novelty;
};

/* name: of a recipe inside the binary, or a path (has a '/' or ends with .yaml). Every key is checked. */
MUST_USE enum status recipe_open(const char *name, struct recipe **r, struct err *e);
void recipe_close(struct recipe *r);
/* "qa, ..." of what is inside the binary, for help and errors. Arena memory. */
const char *recipe_names(struct arena *a);
double recipe_sampling(const struct recipe *r, const struct recipe_step *s, const char *key, double dflt);

/* recipe_fill.c: fills {slot}s of a template; unknown braces stay. What is filled in is not looked at again. */
typedef enum status (*slot_value)(void *ctx, struct span name, struct arena *a, struct span *out, int *found, struct err *e);
MUST_USE enum status recipe_fill(const char *template, slot_value slot, void *ctx, struct arena *a, struct buf *out, struct err *e);
/* A JSON value whose strings are templates, written as JSON. A string that is "{json:SLOT}" or "{num:SLOT}" alone becomes that value. */
MUST_USE enum status recipe_value(const struct json *template, slot_value slot, void *ctx, struct arena *a, struct buf *out, struct err *e);
/* Parses an output and checks it. *why: NULL when it is good, else the reason (static or arena). c: filled by the caller but for answer and
 * arg; p: what was parsed (copied into the arena). */
MUST_USE enum status recipe_take(const struct recipe_step *s, struct span output, struct check *c, struct parsed *p, const char **why, struct err *e);
#endif
