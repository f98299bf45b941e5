/* SPDX-License-Identifier: Apache-2.0
 * The stage `retort augment`: a recipe asks the teacher about every row (or about a grid, or a growing pool), and each output that passes
 * the recipe's validators becomes rows. What is rejected is counted by reason. */
#include "augment.h"
#include "ledger.h"
#include "log.h"
#include "rule.h"
#include "stage.h"
#include "teacher_options.h"

#define METHOD(n) extern const struct method method_##n;
#include "methods.def"
#undef METHOD
const struct method *const method_table[] = {
#define METHOD(n) &method_##n,
#include "methods.def"
#undef METHOD
  NULL
};

static const struct opt_row augment_rows[] = {
  OPT_ROW(augment_options, recipe, "recipe", 'r', OPT_STR, NULL, NULL, "NAME", "recipe: a name (qa) or a .yaml file"),
  OPT_ROW(augment_options, rules, "rules", 0, OPT_STR, NULL, NULL, "FILE", "change rows by a rule file (YAML), without a teacher: substitution, de-identification, noise, dates, numbers, slots"),
  OPT_ROW(augment_options, per_row, "per-row", 0, OPT_INT, "0", "0..1000", "N", "how often to ask about a row; 0 is as the recipe says"),
  OPT_ROW(augment_options, count, "count", 0, OPT_INT, "0", "0..100000000", "N", "how many rows a pool shall make; 0 is as the recipe says"),
  OPT_ROW(augment_options, vertical, "vertical", 0, OPT_STR, NULL, NULL, "NAME", "field of knowledge, for the rows' task [the recipe's, or general]"),
  OPT_ROW(augment_options, lang, "lang", 0, OPT_STR, "en", NULL, "CODE", "language of the rows, for their task"),
  OPT_ROW(augment_options, unordered, "unordered", 0, OPT_FLAG, NULL, NULL, NULL, "write rows as they finish instead of in the order they came: the same rows with the same ids and ledger, and a slow row holds nobody up"),
  TEACHER_OPTION_ROWS(augment_options, t, "-1", "-1..5", "0", "0..1000000"),
  OPT_END
};

static int needs_corpus(const struct recipe *r)
{
  for (size_t i = 0; i < r->n_step; i++) {
    for (size_t k = 0; k < r->step[i].n_check; k++) {
      if (strcmp(r->step[i].check[k].v->name, "round_trip") == 0) {
        return 1;
      }
    }
  }
  return r->passages > 0 || (strcmp(r->method, "grid") == 0 && r->input != RECIPE_NOTHING);
}

/* Before the first question, when all rows must be known. */
static enum status read_ahead(void *ctx, struct row *row, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment *g = ctx;
  struct unit *u = NULL;
  int ok;
  TRY(unit_read(g, row, &u, &ok, e));
  if (ok && g->corpus != NULL) {
    TRY(corpus_add(g, u, e));
  }
out:
  return st;
}

static enum status begin(void *ctx, struct row *row, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment *g = ctx;
  struct unit *u = NULL;
  int ok = 1;
  if (row->state == NULL) {
    TRY(unit_read(g, row, &u, &ok, e));
  }
  if (ok) {
    st = g->method->begin(g, row, e);
  }
out:
  return st;
}

static enum status answered(void *ctx, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  return chain_answer(ctx, row, tag, q, a, e);
}

static enum status wrong(void *ctx, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, const char **why, struct err *e)
{
  return chain_wrong(ctx, row, tag, q, a, why, e);
}

static enum status more(void *ctx, struct row *row, int *got, struct err *e)
{
  struct augment *g = ctx;
  return g->method->more(g, row, got, e);
}

static void report(struct augment *g)
{
  char text[1600];
  size_t n = 0;
  uint64_t asked, from_book;
  teacher_counts(g->t, &asked, &from_book);
  text[0] = '\0';
  for (size_t i = 0; i < MAX_REASONS && g->rejected[i].reason != NULL && n < sizeof text; i++) {
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %llu", n ? ", " : "; rejected: ", g->rejected[i].reason, (unsigned long long)g->rejected[i].n);
  }
  log_info("%s: %llu outputs (%llu asked, %llu from the book) gave %llu rows%s%s%llu", g->recipe->name, (unsigned long long)(asked + from_book),
           (unsigned long long)asked, (unsigned long long)from_book, (unsigned long long)g->made_rows, text, "; asked again: ", (unsigned long long)g->again);
}

static enum status set_up(struct augment *g, struct err *e)
{
  enum status st = STATUS_OK;
  const struct recipe *r = g->recipe;
  for (const struct method *const *m = method_table; *m != NULL; m++) {
    g->method = strcmp((*m)->name, r->method) == 0 ? *m : g->method;
  }
  if (g->method == NULL) {
    return err_set(e, STATUS_DATA, "'%s': unknown method '%s'", r->name, r->method);
  }
  g->per_row = g->o->per_row > 0 ? g->o->per_row : r->per_row;
  if (needs_corpus(r) && (g->corpus = bm25_new()) == NULL) {
    return err_nomem(e, 0);
  }
  if (g->method->open != NULL) {
    TRY(g->method->open(g, e));
  }
  if (teacher_parts(g->t) > 1 && (r->n_step > 1 || r->turns > 1 || strcmp(r->method, "steps") != 0)) {
    st = err_set(e, STATUS_USAGE, "--mix all gives several answers to a question; recipe '%s' goes in steps: use another mix", r->name);
  }
out:
  return st;
}

static enum status augment_run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment g = { .c = c, .o = options, .a = ctx_arena(c) };
  struct book *book = ctx_book(c);
  struct rows_ops ops = { .begin = begin, .answer = answered, .wrong = wrong };
  if (args->n > 0) {
    return err_set(e, STATUS_USAGE, "'%s': rows come from stdin, no arguments are taken", args->item[0]);
  }
  if (g.o->rules != NULL) {
    if (g.o->recipe != NULL || g.o->t.teachers.n > 0) {
      return err_set(e, STATUS_USAGE, "'--rules' changes rows without a teacher: leave out --recipe and --teacher");
    }
    return rules_run(c, g.o->rules, g.o->t.seed, e);
  }
  if (g.o->recipe == NULL) {
    const char *all = recipe_names(ctx_arena(c));
    return err_set(e, STATUS_USAGE, "no recipe: name one with --recipe (%s), or a rule file with --rules", all ? all : "");
  }
  TRY(recipe_open(g.o->recipe, &g.recipe, e));
  if (book == NULL && teacher_needs_book(&g.o->t)) {
    TRY(ctx_book_require(c, &book, e));
  }
  TRY(teacher_open(&g.o->t, book, ctx_common(c)->accept_terms, &g.t, e));
  TRY(set_up(&g, e));
  ops.read = g.method->reads_all || g.corpus != NULL ? read_ahead : NULL;
  ops.more = g.method->more != NULL ? more : NULL;
  st = rows_run(c, g.t, &ops, &g, (uint64_t)g.o->t.seed, g.o->unordered, e);
  report(&g);
  if (st == STATUS_OK && !g.o->t.dry_run) {
    uint64_t failed = ledger_count_failed(ctx_ledger(c)), in = ledger_count_in(ctx_ledger(c));
    if (failed > 0 && failed == in) {
      st = err_set(e, STATUS_DATA, "all %llu rows failed", (unsigned long long)in);
    }
  }
out:
  teacher_close(g.t);
  recipe_close(g.recipe);
  bm25_free(g.corpus);
  buf_free(&g.line);
  buf_free(&g.task);
  buf_free(&g.b);
  buf_free(&g.messages);
  return st;
}

const struct stage stage_augment = {
  .name = "augment",
  .args = "-r NAME -t T | --rules FILE",
  .summary = "make examples from documents with a teacher",
  .details = "Asks the teacher about every row as the recipe says, step by step; outputs that pass the recipe's validators become rows PARENT#1, "
             "PARENT#2... with a `task`; a bad output is asked again with the reason where the recipe allows it. A row none of whose outputs passes is "
             "dropped with the last reason; the counts of all outputs are on stderr. `retort taxonomy` lists the recipes; their format is in "
             "docs/formats.md.\n\n"
             "  retort fetch docs/ --split chars:1500 | retort augment --recipe qa --teacher model.gguf > questions.jsonl\n"
             "  retort augment --rules noise.yaml < rows.jsonl > more.jsonl\n"
             "  retort augment --recipe ./mine.yaml --teacher replay:book < passages.jsonl",
  .flags = STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_BOOK | STAGE_COMPUTE,
  .options = augment_rows,
  .options_bytes = sizeof(struct augment_options),
  .run = augment_run,
};
