/* SPDX-License-Identifier: Apache-2.0
 * Method `grid`: curation from meta-information. The recipe's `grid` names lists; every combination of their items is a cell that
 * gets per_cell rows (a quota: balanced by making, not by throwing away). A cell that is not full is asked again in up to three
 * passes. Rows read are contexts, dealt out to the cells in turn; with `input: nothing` none is needed. */
#include "augment.h"
#include "log.h"

#define PASSES 3

struct grid {
  struct group *cell;
  size_t n_cells;
  size_t at;        /* cell whose turn it is */
  int64_t asked;    /* in this pass, of that cell */
  int64_t need;     /* of that cell in this pass */
  int pass;
  size_t open;      /* rows made and not finished */
  uint64_t made;
};

static enum status grid_open(struct augment *g, struct err *e)
{
  struct grid *k = arena_calloc(g->a, 1, sizeof *k);
  size_t cells = 1;
  for (size_t i = 0; i < json_size(g->recipe->grid); i++) {
    const char *name = json_cstr(json_at(g->recipe->grid, i), "");
    size_t n = json_size(json_get(g->recipe->lists, name));
    if (n == 0) {
      return err_set(e, STATUS_DATA, "'%s': grid names '%s', which is no list of the recipe", g->recipe->name, name);
    }
    cells *= n;
    if (cells > 1000000) {
      return err_set(e, STATUS_LIMIT, "'%s': the grid has more than a million cells", g->recipe->name);
    }
  }
  if (json_size(g->recipe->grid) == 0) {
    return err_set(e, STATUS_DATA, "'%s': method grid needs the key `grid`, a list of names of `lists`", g->recipe->name);
  }
  if (k == NULL || (k->cell = arena_calloc(g->a, cells, sizeof *k->cell)) == NULL) {
    return err_nomem(e, cells * sizeof *k->cell);
  }
  k->n_cells = cells;
  for (size_t i = 0; i < cells; i++) {
    k->cell[i].a = g->a;
    k->cell[i].wanted = g->recipe->per_cell;
  }
  g->state = k;
  return STATUS_OK;
}

static enum status grid_begin(struct augment *g, struct row *row, struct err *e)
{
  (void)g;
  (void)e;
  rows_keep(row); /* a context */
  return STATUS_OK;
}

/* Slots of the cell: one item of each list, the last list turning fastest. */
static enum status preset(struct augment *g, struct unit *u, size_t cell, struct err *e)
{
  enum status st = STATUS_OK;
  for (size_t i = json_size(g->recipe->grid); i-- > 0;) {
    const char *name = json_cstr(json_at(g->recipe->grid, i), "");
    const struct json *list = json_get(g->recipe->lists, name);
    TRY(unit_preset(u, name, json_str(json_at(list, cell % json_size(list))), e));
    cell /= json_size(list);
  }
out:
  return st;
}

/* The next cell that lacks rows; 0 when the pass is over. */
static int next_cell(struct grid *k)
{
  while (k->at < k->n_cells && k->asked >= k->need) {
    k->at++;
    k->asked = 0;
    k->need = k->at < k->n_cells ? k->cell[k->at].wanted - k->cell[k->at].have : 0;
  }
  return k->at < k->n_cells;
}

static enum status grid_more(struct augment *g, struct row *row, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct grid *k = g->state;
  struct unit *u = NULL;
  *got = 0;
  if (k->made == 0 && k->pass == 0) {
    k->need = k->cell[0].wanted;
  }
  if (g->recipe->input != RECIPE_NOTHING && g->n_texts == 0) {
    return STATUS_OK;
  }
  while (!next_cell(k)) {
    if (k->open > 0) {
      *got = QUESTION_LATER;
      return STATUS_OK;
    }
    if (++k->pass == PASSES) {
      size_t full = 0;
      for (size_t i = 0; i < k->n_cells; i++) {
        full += k->cell[i].have >= k->cell[i].wanted;
      }
      log_info("%s: %zu of %zu cells have their %lld rows", g->recipe->name, full, k->n_cells, (long long)g->recipe->per_cell);
      return STATUS_OK;
    }
    k->at = 0;
    k->asked = 0;
    k->need = k->cell[0].wanted - k->cell[0].have;
  }
  char *id = arena_printf(row->a, "%s-%lld-%llu", g->recipe->name, (long long)g->o->t.seed, (unsigned long long)++k->made);
  if (id == NULL) {
    return err_nomem(e, 64);
  }
  TRY(unit_make(g, row, id, g->n_texts ? g->texts[(k->made - 1) % g->n_texts] : (struct span){ "", 0 }, &u, e));
  u->group = &k->cell[k->at];
  u->cell = k->at;
  TRY(preset(g, u, k->at, e));
  k->asked++;
  k->open++;
  *got = 1;
  u->n_chains = 1;
  u->chain = arena_calloc(row->a, 1, sizeof *u->chain);
  if (u->chain == NULL) {
    return err_nomem(e, sizeof *u->chain);
  }
  u->chain[0].nth = (int64_t)k->made - 1; /* other words and samples for each */
  st = chain_ask(u, &u->chain[0], e);
out:
  return st;
}

static void grid_finished(struct augment *g, struct row *row)
{
  struct grid *k = g->state;
  (void)row;
  k->open--;
}

const struct method method_grid = {
  .name = "grid",
  .summary = "every combination of the recipe's lists gets its quota of rows",
  .reads_all = 1,
  .open = grid_open,
  .begin = grid_begin,
  .more = grid_more,
  .finished = grid_finished,
};
