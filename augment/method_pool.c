/* SPDX-License-Identifier: Apache-2.0
 * Method `pool`: Self-Instruct (Wang et al. 2023). Rows read are the seeds of a pool; each question shows some of it (slot {demos})
 * and asks for a new one; what is good and not too near to any in the pool (ROUGE-L below `novelty`) joins it. Questions go in rounds
 * of ROUND that see the pool as it was at the beginning of the round, so that the outcome does not depend on timing. */
#include "augment.h"
#include "rng.h"

#define ROUND 16
#define TRIES_A_ROW 4 /* questions for each row wanted */

struct pool {
  struct group group;
  size_t seeds, shown; /* shown: size at the beginning of the round */
  size_t open, in_round;
  uint64_t asked;
  int64_t count;
};

static enum status pool_open(struct augment *g, struct err *e)
{
  struct pool *k = arena_calloc(g->a, 1, sizeof *k);
  if (k == NULL) {
    return err_nomem(e, sizeof *k);
  }
  k->count = g->o->count > 0 ? g->o->count : g->recipe->count;
  k->group.a = g->a;
  k->group.wanted = k->count;
  k->group.novelty = g->recipe->novelty;
  g->state = k;
  return STATUS_OK;
}

static enum status pool_begin(struct augment *g, struct row *row, struct err *e)
{
  struct pool *k = g->state;
  struct unit *u = row->state;
  rows_keep(row);
  k->seeds++;
  return group_add(&k->group, u->user.n ? u->user : u->text, 0, e);
}

/* `demos` different members of the pool, half of them seeds while there are enough: Self-Instruct shows 6 seeds and 2 made ones. */
static enum status put_demos(struct augment *g, struct pool *k, struct unit *u, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  size_t want = (size_t)g->recipe->demos < k->shown ? (size_t)g->recipe->demos : k->shown, n = 0, taken[32];
  struct rng r = { (uint64_t)g->o->t.seed, k->asked, 0 };
  while (n < want) {
    size_t from_seeds = n * 4 < want * 3 && k->seeds >= want ? k->seeds : k->shown, at = (size_t)(rng_uniform(&r) * (double)from_seeds);
    int twin = at >= k->shown || k->group.step[at] != 0;
    for (size_t i = 0; i < n; i++) {
      twin |= taken[i] == at;
    }
    if (twin) { /* the next one that is free */
      for (at = 0; at < k->shown; at++) {
        int used = k->group.step[at] != 0;
        for (size_t i = 0; i < n; i++) {
          used |= taken[i] == at;
        }
        if (!used) {
          break;
        }
      }
      if (at == k->shown) {
        break;
      }
    }
    taken[n++] = at;
    TRY(buf_printf(&b, e, "%sTask %zu: ", n > 1 ? "\n" : "", n));
    TRY(buf_put(&b, k->group.good[at].p, k->group.good[at].n, e));
  }
  char *copy = arena_strndup(u->row->a, b.p ? b.p : "", b.n), *next = arena_printf(u->row->a, "%zu", n + 1);
  if (copy == NULL || next == NULL) {
    st = err_nomem(e, b.n);
    goto out;
  }
  TRY(unit_preset(u, "demos", (struct span){ copy, b.n }, e));
  st = unit_preset(u, "next", (struct span){ next, strlen(next) }, e);
out:
  buf_free(&b);
  return st;
}

static enum status pool_more(struct augment *g, struct row *row, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct pool *k = g->state;
  struct unit *u = NULL;
  *got = 0;
  if (k->in_round == ROUND || k->asked == 0) {
    if (k->open > 0) {
      *got = QUESTION_LATER;
      return STATUS_OK;
    }
    k->in_round = 0;
    k->shown = k->group.n;
  }
  if (k->seeds == 0 || k->group.have >= k->count || k->asked >= (uint64_t)k->count * TRIES_A_ROW) {
    return STATUS_OK;
  }
  char *id = arena_printf(row->a, "%s-%lld-%llu", g->recipe->name, (long long)g->o->t.seed, (unsigned long long)k->asked + 1);
  if (id == NULL) {
    return err_nomem(e, 64);
  }
  TRY(unit_make(g, row, id, (struct span){ "", 0 }, &u, e));
  TRY(put_demos(g, k, u, e));
  u->group = &k->group;
  u->n_chains = 1;
  u->chain = arena_calloc(row->a, 1, sizeof *u->chain);
  if (u->chain == NULL) {
    return err_nomem(e, sizeof *u->chain);
  }
  u->chain[0].nth = (int64_t)k->asked;
  k->asked++;
  k->in_round++;
  k->open++;
  *got = 1;
  st = chain_ask(u, &u->chain[0], e);
out:
  return st;
}

static void pool_finished(struct augment *g, struct row *row)
{
  struct pool *k = g->state;
  (void)row;
  k->open--;
}

const struct method method_pool = {
  .name = "pool",
  .summary = "a growing pool of tasks, each shown some of it",
  .reads_all = 1,
  .open = pool_open,
  .begin = pool_begin,
  .more = pool_more,
  .finished = pool_finished,
};
