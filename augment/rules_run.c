/* SPDX-License-Identifier: Apache-2.0
 * `augment --rules FILE` over rows: serial methods on the reading side, in order; all others on worker threads; copies written in
 * order. A random stream for each row (its id), copy and rule, so threads and other rows change nothing. */
#include "hash.h"
#include "log.h"
#include "pool.h"
#include "record.h"
#include "rule_match.h"
#include "stage.h"
#include "workers.h"

enum { WINDOW = 16 << 20 };

struct item {
  struct arena *a;
  struct record r;
  struct rule_row row;
  struct buf *out;        /* (copies + 1) lines; n = 0: none */
  size_t n_out;
  uint64_t seed;
  unsigned long long number;
  const char *failed;     /* reason */
  struct err why;
  struct item *next;
};
struct running {
  struct ctx *c;
  struct rules *rules;
  int64_t seed;
  struct regex_matcher *m; /* (threads + 1), the last one is the reader's */
  int threads;
  struct item *spare;
  struct progress *bar;
  uint64_t rows, copies, same;
};

static void free_item(struct item *x) {
  if (!x) return;
  for (size_t i = 0; i < x->n_out; i++) buf_free(&x->out[i]);
  mem_free(x->out);
  arena_free(x->a);
  mem_free(x);
}

static enum status new_item(struct running *s, struct item **out, struct err *e) {
  struct item *x = s->spare;
  if (x) {
    s->spare = x->next;
    arena_reset(x->a);
    for (size_t i = 0; i < x->n_out; i++) buf_clear(&x->out[i]);
    x->failed = NULL;
    *out = x;
    return STATUS_OK;
  }
  *out = x = mem_calloc(1, sizeof *x);
  if (!x) return err_nomem(e, sizeof *x);
  x->n_out = (size_t)s->rules->copies + 1;
  x->a = arena_new(0);
  x->out = mem_calloc(x->n_out, sizeof *x->out);
  if (x->a && x->out) return STATUS_OK;
  free_item(x);
  *out = NULL;
  return err_nomem(e, sizeof *x);
}

/* A rule on a row. What only this row is to blame for fails the row. */
static enum status apply_one(const struct rules *rules, size_t i, struct item *x, struct rule_row *row, struct err *e) {
  const struct rule *rule = &rules->rule[i];
  struct err own = { 0 };
  uint64_t place[2] = { (uint64_t)row->copy, i };
  row->on = rule->on;
  row->rng = (struct rng){ x->seed, xxh3(place, sizeof place), 0 };
  enum status st = rule->c->apply(rule->state, row, &own);
  if (st == STATUS_DATA || st == STATUS_LIMIT) {
    x->failed = st == STATUS_LIMIT ? "rule over its limit" : "rule failed";
    x->why = own;
    (void)err_prefix(&x->why, "rule %zu '%s'", i + 1, rule->c->name);
    return STATUS_OK;
  }
  return st == STATUS_OK ? st : err_set(e, st, "%s", own.msg);
}

static enum status prepare(struct running *s, struct item *x, struct err *e) {
  enum status st = STATUS_OK;
  struct span id;
  TRY(record_id(&x->r, x->a, &id, e));
  x->row.a = x->a;
  TRY(record_strings(&x->r, x->a, &x->row.text, &x->row.n, e));
  x->row.id = id;
  x->row.copy = 0;
  x->row.m = &s->m[s->threads];
  x->seed = xxh3_seed(id.p, id.n, (uint64_t)s->seed);
out:
  return st;
}

static enum status read_row(void *ctx, struct work_item *it, int *got, struct err *e) {
  struct running *s = ctx;
  struct item *x;
  struct err own = { 0 };
  enum status st = new_item(s, &x, e);
  if (st != STATUS_OK) return st;
  st = ctx_next_in(s->c, x->a, &x->r, got, e);
  if (st != STATUS_OK || !*got) {
    x->next = s->spare;
    s->spare = x;
    return st;
  }
  x->number = ctx_row(s->c);
  *it = (struct work_item){ x, x->r.line.n * ((size_t)s->rules->copies + 2) };
  st = prepare(s, x, &own);
  if (st == STATUS_DATA) {
    x->failed = "bad row";
    x->why = own;
  } else if (st != STATUS_OK) {
    return err_set(e, st, "%s", own.msg);
  }
  for (size_t i = 0; i < s->rules->n && !x->failed; i++) {
    if (!s->rules->rule[i].c->serial) continue;
    st = apply_one(s->rules, i, x, &x->row, e);
    if (st != STATUS_OK) return st;
  }
  return STATUS_OK;
}

/* The line of a row or copy; number 0 keeps the id. */
static enum status put_line(struct item *x, const struct rules *rules, const struct rule_row *row, int64_t number, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  struct buf line = { 0 }, id = { 0 }, task = { 0 };
  struct record r;
  if (number == 0) return record_splice(x->r.line, row->text, row->n, out, e);
  char *name = arena_printf(x->a, "%.*s#%lld", (int)row->id.n, row->id.p, (long long)number);
  if (!name) return err_nomem(e, row->id.n);
  TRY(record_splice(x->r.line, row->text, row->n, &line, e));
  TRY(json_put_cstr(&id, name, e));
  TRY(buf_puts(&task, "{\"recipe\":", e));
  TRY(json_put_cstr(&task, rules->name, e));
  TRY(buf_puts(&task, ",\"elicitation\":\"rules\"}", e));
  TRY(record_split((struct span){ line.p, line.n }, x->a, &r, e));
  struct field_edit edits[2] = { { "id", { id.p, id.n } }, { "task", { task.p, task.n } } };
  st = record_edit(&r, edits, record_get(&r, "task").p ? 1 : 2, out, e);
out:
  buf_free(&line);
  buf_free(&id);
  buf_free(&task);
  return st;
}

/* A copy that is the row again teaches nothing. What serial methods did counts for the first copy only, and not when the row
 * itself goes out too. */
static int is_new(const struct rules *rules, const struct rule_row *base, const struct rule_row *copy) {
  int by_copy = 0, by_all = 0;
  for (size_t i = 0; i < copy->n; i++) {
    by_copy |= copy->text[i].text.p != base->text[i].text.p;
    by_all |= copy->text[i].changed;
  }
  return by_copy || (by_all && copy->copy == 1 && !rules->keep_row);
}

static enum status work_row(void *ctx, struct work_item *it, int worker, struct err *e) {
  struct running *s = ctx;
  struct item *x = it->user;
  enum status st = STATUS_OK;
  const struct rules *rules = s->rules;
  if (x->failed) return STATUS_OK;
  if (rules->keep_row) TRY(put_line(x, rules, &x->row, 0, &x->out[0], e));
  for (int64_t c = rules->copies ? 1 : 0; c <= rules->copies; c++) {
    struct rule_row row = x->row;
    row.copy = c;
    row.m = &s->m[worker];
    row.text = arena_alloc(x->a, (row.n + 1) * sizeof *row.text);
    if (!row.text) return err_nomem(e, row.n * sizeof *row.text);
    if (row.n) memcpy(row.text, x->row.text, row.n * sizeof *row.text);
    for (size_t i = 0; i < rules->n && !x->failed; i++)
      if (!rules->rule[i].c->serial) TRY(apply_one(rules, i, x, &row, e));
    if (x->failed) return STATUS_OK;
    if (c > 0 && !is_new(rules, &x->row, &row)) continue;
    TRY(put_line(x, rules, &row, c, &x->out[c], e));
  }
out:
  return st;
}

static enum status take_row(void *ctx, struct work_item *it, struct err *e) {
  struct running *s = ctx;
  struct item *x = it->user;
  enum status st = STATUS_OK;
  size_t made = 0;
  if (x->failed) {
    ctx_fail_row(s->c, x->number, x->failed, &x->why);
  } else {
    for (size_t i = 0; i < x->n_out; i++) {
      if (x->out[i].n == 0) continue;
      made++;
      TRY(ctx_write(s->c, (struct span){ x->out[i].p, x->out[i].n }, e));
    }
    s->copies += made;
    if (made) ledger_kept(ctx_ledger(s->c));
    else ledger_dropped(ctx_ledger(s->c), "no rule changed it");
  }
  progress_set(s->bar, ++s->rows, NULL);
out:
  x->next = s->spare;
  s->spare = x;
  return st;
}

static void drop_row(void *ctx, struct work_item *it) {
  (void)ctx;
  free_item(it->user);
}

static int rows_ready(void *ctx) { return ctx_ready(((struct running *)ctx)->c); }

enum status rules_run(struct ctx *c, const char *path, int64_t seed, struct err *e) {
  struct running s = { .c = c, .seed = seed, .threads = pool_threads() };
  const struct workers_ops ops = { read_row, work_row, take_row, drop_row, rows_ready };
  enum status st = STATUS_OK;
  struct err own = { 0 };
  TRY(rules_open(path, &s.rules, e));
  s.m = mem_calloc((size_t)s.threads + 1, sizeof *s.m);
  if (!s.m) {
    st = err_nomem(e, (size_t)s.threads * sizeof *s.m);
    goto out;
  }
  for (int i = 0; i <= s.threads; i++) TRY(regex_matcher_new(&s.m[i], e));
  s.bar = progress_new("augment", "rows", 0);
  st = workers_run(&ops, &s, s.threads, WINDOW, e);
  for (size_t i = 0; i < s.rules->n; i++) { /* also after a broken pipe: what went out must be in the mapping */
    enum status own_st = s.rules->rule[i].c->finish ? s.rules->rule[i].c->finish(s.rules->rule[i].state, st == STATUS_OK ? e : &own) : STATUS_OK;
    if (st == STATUS_OK) st = own_st;
    else if (own_st != STATUS_OK) log_error("%s", own.msg);
  }
out:
  progress_free(s.bar);
  while (s.spare) {
    struct item *next = s.spare->next;
    free_item(s.spare);
    s.spare = next;
  }
  for (int i = 0; s.m && i <= s.threads; i++) regex_matcher_end(&s.m[i]);
  mem_free(s.m);
  rules_close(s.rules);
  return st;
}
