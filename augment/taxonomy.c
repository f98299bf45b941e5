/* SPDX-License-Identifier: Apache-2.0
 * The stage `retort taxonomy`: every row of the survey with the recipe, kind, loss or stage that serves it, and every recipe with what
 * it is for. */
#include "taxonomy.h"
#include "asset.h"
#include "recipe.h"
#include "stage.h"

const struct taxon taxonomy_table[] = {
#define SERVES(part, row, tokens) { part, row, tokens },
#include "taxonomy.def"
#undef SERVES
  { NULL, NULL, NULL },
};

struct taxonomy_options {
  int recipes;
};
static const struct opt_row taxonomy_rows[] = {
  OPT_ROW(taxonomy_options, recipes, "recipes", 0, OPT_FLAG, NULL, NULL, NULL, "list the recipes with skill, elicitation and loss instead"),
  OPT_END
};

static enum status print_recipes(struct ctx *c, struct err *e)
{
  enum status st = STATUS_OK;
  const char *prefix = "augment/recipes/";
  TRY(ctx_print(c, e, "%-18s %-28s %-12s %-8s %-6s %s\n", "RECIPE", "SKILL", "ELICITATION", "METHOD", "LOSS", "WHAT"));
  for (const struct asset *s = asset_table; s->name != NULL; s++) {
    if (strncmp(s->name, prefix, strlen(prefix)) != 0) {
      continue;
    }
    const char *base = s->name + strlen(prefix);
    char *name = arena_printf(ctx_arena(c), "%.*s", (int)strcspn(base, "."), base);
    struct recipe *r = NULL;
    if (name == NULL) {
      return err_nomem(e, 64);
    }
    TRY(recipe_open(name, &r, e));
    st = ctx_print(c, e, "%-18s %-28s %-12s %-8s %-6s %s\n", r->name, r->skill, r->elicitation, r->method, r->loss, r->summary);
    recipe_close(r);
    TRY(st);
  }
out:
  return st;
}

static enum status taxonomy_run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e)
{
  enum status st = STATUS_OK;
  const struct taxonomy_options *o = options;
  if (args->n > 0) {
    return err_set(e, STATUS_USAGE, "'%s': taxonomy takes no arguments", args->item[0]);
  }
  if (o->recipes) {
    return print_recipes(c, e);
  }
  TRY(ctx_print(c, e, "%-20s %-40s %s\n", "PART", "ROW", "SERVED BY"));
  for (const struct taxon *t = taxonomy_table; t->part != NULL; t++) {
    TRY(ctx_print(c, e, "%-20s %-40s %s\n", t->part, t->row, t->serves));
  }
out:
  return st;
}

const struct stage stage_taxonomy = {
  .name = "taxonomy",
  .args = "[--recipes]",
  .summary = "the survey's rows with the recipe, kind, loss or stage for each",
  .details = "Prints every row of the survey on knowledge distillation of language models (arXiv 2402.13116: elicitation, distillation, skills, "
             "verticals) with what serves it here: recipe:NAME (retort augment), label:KIND (retort label --kind), loss:NAME (retort train "
             "--loss), stage:NAME; or \"out of scope\". Of the recipes, LOSS is what their rows are meant for; rows for a loss that `retort loss -h` does "
             "not list (dpo: chosen and rejected answers) are for a trainer that has it, such as TRL's.\n\n"
             "  retort taxonomy\n"
             "  retort taxonomy --recipes",
  .flags = STAGE_INSTRUMENT,
  .options = taxonomy_rows,
  .options_bytes = sizeof(struct taxonomy_options),
  .run = taxonomy_run,
};
