/* SPDX-License-Identifier: Apache-2.0
 * `retort curate`: drops what should not be learnt from and says why; marks the split. Rows are scanned on worker threads and
 * come back in input order. They stream through unless duplicates have to be decided in priority order (--near) or groups
 * have to be known as a whole (--split ...,near): then rows, sets and signatures are held until the end of input. */
#include <math.h>
#include "curate_scan.h"
#include "file.h"
#include "log.h"
#include "stage.h"
#include "workers.h"

#define WINDOW_BYTES ((size_t)64 << 20)
enum { N_FILTERS = sizeof(
#define FILTER(name) "x"
#include "filters.def"
#undef FILTER
) - 1 };

struct item {
  struct arena *a;
  struct row row;
  struct item *next; /* free list */
  unsigned long long number; /* of the row, for messages */
  char *bad;                 /* why the row cannot be used (its arena), or NULL */
};
struct curate {
  struct ctx *c;
  const struct curate_options *o;
  struct split_spec split;
  void *state[N_FILTERS];
  struct item *spare;
  struct arena *held_arena;
  struct row **held;
  size_t n_held, cap_held;
  int hold;
  uint64_t seen, kept, in_test;
  struct progress *bar;
  struct file_atomic rejects;
  struct buf line;
};

/* ---- verdicts into ledger, rejects and stdout ---- */
static enum status write_reject(struct curate *q, const struct row *r, const struct record *rec, struct err *e) {
  enum status st = STATUS_OK;
  struct buf v = { 0 };
  if (!q->rejects.fp) return st;
  buf_clear(&q->line);
  TRY(buf_puts(&v, "{\"reason\":", e));
  TRY(json_put_cstr(&v, r->v.reason, e));
  TRY(buf_puts(&v, ",\"score\":", e));
  TRY(json_put_num(&v, r->v.score, e));
  TRY(buf_puts(&v, ",\"evidence\":", e));
  TRY(json_put_cstr(&v, r->v.evidence ? r->v.evidence : "", e));
  TRY(buf_puts(&v, ",\"witness\":", e));
  TRY(json_put_cstr(&v, r->v.witness ? r->v.witness : "", e));
  TRY(buf_putc(&v, '}', e));
  TRY(record_set(rec, "curate", (struct span){ v.p, v.n }, &q->line, e));
  TRY(buf_putc(&q->line, '\n', e));
  if (fwrite(q->line.p, 1, q->line.n, q->rejects.fp) != q->line.n) st = err_sys(e, STATUS_IO, "'%s': cannot write", q->o->rejects);
out:
  buf_free(&v);
  return st;
}

static enum status write_row(struct curate *q, struct row *r, const struct record *rec, struct err *e) {
  enum status st;
  if (!r->v.reason && q->o->only_split && (!r->split || strcmp(r->split, q->o->only_split) != 0))
    r->v = (struct verdict){ "other_split", 0, r->split ? r->split : "", "" };
  if (r->v.reason) {
    ledger_dropped(ctx_ledger(q->c), r->v.reason);
    return write_reject(q, r, rec, e);
  }
  ledger_kept(ctx_ledger(q->c));
  q->kept++;
  q->in_test += r->split && strcmp(r->split, "test") == 0;
  if (!q->o->split) return ctx_write(q->c, rec->line, e);
  char value[16];
  int n = snprintf(value, sizeof value, "\"%s\"", r->split);
  buf_clear(&q->line);
  TRY(record_set(rec, "split", (struct span){ value, (size_t)n }, &q->line, e));
  TRY(ctx_write(q->c, (struct span){ q->line.p, q->line.n }, e));
out:
  return st;
}

static enum status admit(struct curate *q, struct row *r, struct err *e) {
  for (size_t f = 0; filter_table[f] && !r->v.reason; f++) {
    const struct filter *x = filter_table[f];
    if (!x->admit || !x->enabled(q->o)) continue;
    enum status st = x->admit(q->state[f], q->o, r, e);
    if (st != STATUS_OK) return st;
  }
  return STATUS_OK;
}

/* ---- pipeline ---- */
static int rows_ready(void *ctx) { return ctx_ready(((struct curate *)ctx)->c); }

static enum status read_row(void *ctx, struct work_item *it, int *got, struct err *e) {
  struct curate *q = ctx;
  struct item *x = q->spare;
  if (x) q->spare = x->next;
  else if ((x = mem_calloc(1, sizeof *x)) == NULL || (x->a = arena_new(0)) == NULL) {
    mem_free(x);
    return err_nomem(e, sizeof *x);
  }
  arena_reset(x->a);
  memset(&x->row, 0, sizeof x->row);
  x->row.a = x->a;
  enum status st = ctx_next_in(q->c, x->a, &x->row.rec, got, e);
  if (st != STATUS_OK || !*got) {
    x->next = q->spare;
    q->spare = x;
    return st;
  }
  x->number = ctx_row(q->c);
  x->bad = NULL;
  it->user = x;
  it->bytes = 8 * x->row.rec.line.n + 4096;
  return STATUS_OK;
}

static enum status work_row(void *ctx, struct work_item *it, int worker, struct err *e) {
  struct curate *q = ctx;
  struct item *x = it->user;
  (void)worker;
  enum status st = curate_scan_row(q->o, &q->split, q->state, &x->row, e);
  if (st == STATUS_DATA) { /* one failed row, not the end */
    x->bad = arena_strndup(x->a, e->msg, strlen(e->msg));
    return x->bad ? STATUS_OK : err_nomem(e, strlen(e->msg));
  }
  return st == STATUS_OK ? st : err_prefix(e, "'stdin' row %llu (id '%.*s')", x->number, (int)(x->row.id.n > 200 ? 200 : x->row.id.n), x->row.id.p ? x->row.id.p : "?");
}

static void drop_item(void *ctx, struct work_item *it) {
  struct curate *q = ctx;
  struct item *x = it->user;
  x->next = q->spare;
  q->spare = x;
}

static enum status hold(struct curate *q, const struct row *r, struct err *e) {
  if (q->n_held == q->cap_held) {
    size_t cap = q->cap_held ? 2 * q->cap_held : 4096;
    struct row **p = mem_realloc(q->held, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    q->held = p;
    q->cap_held = cap;
  }
  enum status st = curate_keep_row(r, q->held_arena, 1, &q->held[q->n_held], e);
  if (st == STATUS_OK) q->n_held++;
  return st;
}

static enum status stream(struct curate *q, struct row *r, struct err *e) {
  enum status st = STATUS_OK;
  if (!r->v.reason && (q->o->exact || q->o->near > 0)) {
    struct row *k;
    TRY(curate_keep_row(r, q->held_arena, 0, &k, e));
    TRY(admit(q, k, e));
    r->v = k->v;
  }
  if (q->o->split) r->split = curate_split_of(q->o, r->group);
  TRY(write_row(q, r, &r->rec, e));
out:
  return st;
}

static enum status take_row(void *ctx, struct work_item *it, struct err *e) {
  struct curate *q = ctx;
  struct item *x = it->user;
  if (x->bad) {
    struct err why = { STATUS_DATA, "" };
    (void)err_set(&why, STATUS_DATA, "%s", x->bad);
    ctx_fail_row(q->c, x->number, "bad row", &why);
    drop_item(ctx, it);
    return STATUS_OK;
  }
  enum status st = q->hold && !x->row.v.reason ? hold(q, &x->row, e) : stream(q, &x->row, e);
  progress_set(q->bar, ++q->seen, NULL);
  drop_item(ctx, it);
  return st;
}

/* ---- held rows ---- */
static int by_priority(const void *a, const void *b) {
  const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
  if (x->priority != y->priority) return x->priority > y->priority ? -1 : 1;
  size_t n = x->id.n < y->id.n ? x->id.n : y->id.n, m = x->rec.line.n < y->rec.line.n ? x->rec.line.n : y->rec.line.n;
  int d = n ? memcmp(x->id.p, y->id.p, n) : 0;
  if (d) return d;
  if (x->id.n != y->id.n) return x->id.n < y->id.n ? -1 : 1;
  d = memcmp(x->rec.line.p, y->rec.line.p, m); /* equal ids: by content, so that arrival still does not matter */
  return d ? d : (x->rec.line.n > y->rec.line.n) - (x->rec.line.n < y->rec.line.n);
}

static enum status decide_held(struct curate *q, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  struct row **order = mem_calloc(q->n_held + 1, sizeof *order);
  uint64_t groups = 0;
  if (!order || !a) {
    st = err_nomem(e, q->n_held * sizeof *order);
    goto out;
  }
  if (q->n_held) memcpy(order, q->held, q->n_held * sizeof *order);
  if (!q->o->arrival) qsort(order, q->n_held, sizeof *order, by_priority);
  for (size_t i = 0; i < q->n_held; i++) TRY(admit(q, order[i], e));
  if (q->o->split) {
    TRY(curate_split_assign(q->o, &q->split, q->held, q->n_held, &groups, e));
    log_info("split by %s: %llu groups", q->o->split, (unsigned long long)groups);
  }
  for (size_t i = 0; i < q->n_held; i++) {
    struct record rec;
    arena_reset(a);
    TRY(record_split(q->held[i]->rec.line, a, &rec, e));
    TRY(write_row(q, q->held[i], &rec, e));
  }
out:
  arena_free(a);
  mem_free(order);
  return st;
}

/* ---- stage ---- */
static enum status check_options(const struct curate_options *o, struct err *e) {
  if (o->split_fraction + o->valid_fraction > 1)
    return err_set(e, STATUS_USAGE, "'--split-fraction %g' and '--valid-fraction %g' are more than 1 together", o->split_fraction, o->valid_fraction);
  if (o->arrival && o->priority) return err_set(e, STATUS_USAGE, "'--priority' orders rows, '--arrival' forbids it: give one of them");
  if (o->priority && !(o->near > 0)) return err_set(e, STATUS_USAGE, "'--priority' decides which duplicate stays and needs --near");
  return STATUS_OK;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  const struct curate_options *o = options;
  struct curate q = { .c = c, .o = o };
  enum status st;
  if (args->n) return err_set(e, STATUS_USAGE, "'%s': curate takes no arguments; rows come from stdin", args->item[0]);
  TRY(check_options(o, e));
  TRY(curate_split_parse(o, ctx_arena(c), &q.split, e));
  q.hold = (o->near > 0 && !o->arrival) || q.split.near;
  if ((q.held_arena = arena_new(0)) == NULL) {
    st = err_nomem(e, 0);
    goto out;
  }
  for (size_t f = 0; filter_table[f]; f++)
    if (filter_table[f]->open && filter_table[f]->enabled(o)) TRY(filter_table[f]->open(o, &q.state[f], e));
  if (o->rejects) TRY(file_atomic_open(&q.rejects, o->rejects, e));
  q.bar = progress_new("curate", "rows", 0);
  const struct workers_ops ops = { read_row, work_row, take_row, drop_item, rows_ready };
  TRY(workers_run(&ops, &q, 0, WINDOW_BYTES, e));
  if (q.hold) TRY(decide_held(&q, e));
  if (o->rejects) TRY(file_atomic_commit(&q.rejects, e));
  if (o->split && q.kept)
    log_info("%llu of %llu kept rows in test (%.1f %%)", (unsigned long long)q.in_test, (unsigned long long)q.kept, 100.0 * (double)q.in_test / (double)q.kept);
  if (o->split && q.kept && q.in_test == 0 && o->split_fraction > 0)
    log_warn("no row is in test: too few groups for --split-fraction; a larger one, or --split id, leaves something to measure on");
out:
  progress_free(q.bar);
  file_atomic_abort(&q.rejects);
  for (size_t f = 0; filter_table[f]; f++)
    if (filter_table[f]->close && q.state[f]) filter_table[f]->close(q.state[f]);
  while (q.spare) {
    struct item *x = q.spare;
    q.spare = x->next;
    arena_free(x->a);
    mem_free(x);
  }
  buf_free(&q.line);
  mem_free(q.held);
  arena_free(q.held_arena);
  return st;
}

#define ROW(field, name, type, dflt, range, arg, help) OPT_ROW(curate_options, field, name, 0, type, dflt, range, arg, help)
static const struct opt_row rows[] = {
  ROW(min_chars, "min-chars", OPT_INT, "1", "0..", "N", "drop texts with fewer characters, 0 = no bound"),
  ROW(max_chars, "max-chars", OPT_INT, "0", "0..", "N", "drop texts with more characters, 0 = no bound"),
  ROW(min_words, "min-words", OPT_INT, "0", "0..", "N", "drop texts with fewer words"),
  ROW(max_words, "max-words", OPT_INT, "0", "0..", "N", "drop texts with more words, 0 = no bound"),
  ROW(refusals, "refusals", OPT_FLAG, "1", NULL, NULL, "drop answers that decline or say \"as an AI\" (on; --no-refusals)"),
  ROW(repetition, "repetition", OPT_FLAG, "1", NULL, NULL, "drop texts that repeat n-grams or lines, by Gopher's shares (on; --no-repetition)"),
  ROW(exact, "exact", OPT_FLAG, "1", NULL, NULL, "drop rows whose normalised text was kept before (on; --no-exact)"),
  ROW(near, "near", OPT_NUM, "0", "0..1", "T", "drop rows with Jaccard at least T to a kept row over word 5-grams, 0 = off; rows are held in memory"),
  ROW(priority, "priority", OPT_STR, NULL, NULL, "FIELD", "number field; of duplicates the highest stays, then the smallest id"),
  ROW(arrival, "arrival", OPT_FLAG, NULL, NULL, NULL, "decide duplicates in order of arrival and stream, instead of by priority and id"),
  ROW(against, "against", OPT_LIST, NULL, NULL, "FILE", "drop rows that share a run of words with an item of this evaluation file (repeatable)"),
  ROW(against_n, "against-words", OPT_INT, "13", "2..63", "N", "length of that run"),
  ROW(split, "split", OPT_STR, NULL, NULL, "HOW", "write the field split by group: FIELD (such as meta.family), id, near, or FIELD,near"),
  ROW(split_fraction, "split-fraction", OPT_NUM, "0.1", "0..1", "P", "share of groups in test"),
  ROW(valid_fraction, "valid-fraction", OPT_NUM, "0", "0..1", "P", "share of groups in valid"),
  ROW(split_near, "split-near", OPT_NUM, "0", "0..1", "T", "Jaccard that joins groups, 0 = that of --near, else 0.8"),
  ROW(split_seed, "split-seed", OPT_INT, "0", NULL, "N", "another seed gives another split"),
  ROW(only_split, "only-split", OPT_STR, NULL, NULL, "NAME", "drop the rows of other splits"),
  ROW(rejects, "rejects", OPT_STR, NULL, NULL, "FILE", "write dropped rows here with the field curate: reason, score, evidence, witness"),
  OPT_END
};

const struct stage stage_curate = {
  "curate", "", "keep what is worth learning from",
  "Reads examples or documents, drops rows by rules and as duplicates, marks the split. Every drop has a reason in the\n"
  "ledger and, with --rejects, its score, evidence and witness in a file.\n\n"
  "  retort curate --near 0.8 --against eval.jsonl --rejects out.jsonl < rows.jsonl > kept.jsonl\n"
  "  retort curate --split meta.family,near --split-fraction 0.1 < rows.jsonl > marked.jsonl",
  STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_COMPUTE | STAGE_BOOK, rows, sizeof(struct curate_options), run
};
