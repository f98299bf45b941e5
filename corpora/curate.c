/* SPDX-License-Identifier: Apache-2.0
 * `retort curate`: drops what should not be learnt from and says why; marks the split. Rows are scanned on worker threads and
 * come back in input order. They stream through unless something has to be decided over all of them (duplicates, a split):
 * then their lines lie in a spool, what is compared in dedup, and they are written in input order at the end. */
#include "curate.h"
#include "curate_scan.h"
#include "file.h"
#include "log.h"
#include "signature.h"
#include "spool.h"
#include "stage.h"
#include "workers.h"

struct item {
  struct arena *a;
  struct row row;
  struct item *next; /* free list */
  unsigned long long number; /* of the row, for messages */
  char *bad;                 /* why the row cannot be used (its arena), or NULL */
};
struct place { uint64_t at, n; }; /* of a held line */
struct curate {
  struct ctx *c;
  const struct curate_options *o;
  struct split_spec split;
  struct dedup_settings want;
  void *state[CURATE_FILTERS];
  struct item *spare;
  struct dedup *dedup;
  struct spool *lines, *places;
  uint64_t held;
  struct signature_writer *signatures;
  char *side_name[DEDUP_SIDE_NONE]; /* of splits that rows brought: 0 to 2 are ours */
  unsigned char n_sides;
  int sets;
  uint64_t seen, kept, in_test;
  struct progress *bar;
  struct file_atomic rejects;
  struct buf line;
};

/* ---- verdicts into ledger, rejects and stdout ---- */
static enum status write_reject(struct curate *q, const struct verdict *v, const struct record *rec, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  if (!q->rejects.fp) return st;
  buf_clear(&q->line);
  TRY(buf_puts(&b, "{\"reason\":", e));
  TRY(json_put_cstr(&b, v->reason, e));
  TRY(buf_puts(&b, ",\"score\":", e));
  TRY(json_put_num(&b, v->score, e));
  TRY(buf_puts(&b, ",\"evidence\":", e));
  TRY(json_put_cstr(&b, v->evidence ? v->evidence : "", e));
  TRY(buf_puts(&b, ",\"witness\":", e));
  TRY(json_put_cstr(&b, v->witness ? v->witness : "", e));
  if (v->where) TRY(buf_printf(&b, e, ",\"at\":[%zu,%zu],\"witness_at\":[%zu,%zu]", v->at[0], v->at[1], v->at[2], v->at[3]));
  TRY(buf_putc(&b, '}', e));
  TRY(record_set(rec, "curate", (struct span){ b.p, b.n }, &q->line, e));
  TRY(buf_putc(&q->line, '\n', e));
  if (fwrite(q->line.p, 1, q->line.n, q->rejects.fp) != q->line.n) st = err_sys(e, STATUS_IO, "'%s': cannot write", q->o->rejects);
out:
  buf_free(&b);
  return st;
}

/* split: the name for the field, NULL = leave it. rec may be NULL when neither split nor rejects ask for fields. */
static enum status write_row(struct curate *q, struct span line, const struct record *rec, const struct verdict *verdict, const char *split, struct err *e) {
  enum status st;
  struct verdict v = *verdict;
  if (!v.reason && q->o->only_split && (!split || strcmp(split, q->o->only_split) != 0)) v = (struct verdict){ .reason = "other_split", .evidence = split ? split : "", .witness = "" };
  if (v.reason) {
    ledger_dropped(ctx_ledger(q->c), v.reason);
    return write_reject(q, &v, rec, e);
  }
  ledger_kept(ctx_ledger(q->c));
  q->kept++;
  q->in_test += split && strcmp(split, "test") == 0;
  if (!q->o->split) return ctx_write(q->c, line, e);
  struct buf value = { 0 };
  buf_clear(&q->line);
  TRY(json_put_cstr(&value, split, e));
  TRY(record_set(rec, "split", (struct span){ value.p, value.n }, &q->line, e));
  TRY(ctx_write(q->c, (struct span){ q->line.p, q->line.n }, e));
out:
  buf_free(&value);
  return st;
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
  it->bytes = 12 * x->row.rec.line.n + 9216;
  return STATUS_OK;
}

static enum status work_row(void *ctx, struct work_item *it, int worker, struct err *e) {
  struct curate *q = ctx;
  struct item *x = it->user;
  (void)worker;
  enum status st = curate_scan_row(q->o, &q->split, q->sets, q->state, &x->row, e);
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

/* A number for a split's name; names beyond 252 share the last number (a leak between them is not seen). */
static enum status side_number(struct curate *q, const char *name, unsigned char *side, struct err *e) {
  for (*side = 0; *side < 3; ++*side)
    if (strcmp(name, curate_side_name(*side)) == 0) return STATUS_OK;
  for (; *side < q->n_sides; ++*side)
    if (strcmp(name, q->side_name[*side]) == 0) return STATUS_OK;
  if (*side == DEDUP_SIDE_NONE - 1) return STATUS_OK;
  q->side_name[*side] = mem_strdup(name);
  if (!q->side_name[*side]) return err_nomem(e, strlen(name));
  q->n_sides = (unsigned char)(*side + 1);
  return STATUS_OK;
}

static enum status hold(struct curate *q, const struct row *r, struct err *e) {
  enum status st;
  struct place p = { 0, r->rec.line.n };
  struct dedup_row d = { .id = r->id, .group = r->group, .line = r->line, .priority = r->priority, .normal = { r->normal[0], r->normal[1] }, .shingle = r->shingle,
                         .n_shingle = r->n_shingle, .sig = r->sig, .side = DEDUP_SIDE_NONE };
  if (q->o->split && r->split) {
    TRY(side_number(q, r->split, &d.side, e));
    d.fixed_side = 1;
  } else if (q->o->split && !q->split.near) {
    d.side = curate_side_of(q->o, r->group);
  }
  TRY(dedup_add(q->dedup, &d, e));
  TRY(spool_add(q->lines, r->rec.line.p, r->rec.line.n, &p.at, e));
  TRY(spool_add(q->places, &p, sizeof p, NULL, e));
  q->held++;
out:
  return st;
}

static enum status take_row(void *ctx, struct work_item *it, struct err *e) {
  struct curate *q = ctx;
  struct item *x = it->user;
  struct row *r = &x->row;
  enum status st = STATUS_OK;
  progress_set(q->bar, ++q->seen, NULL);
  for (int i = 0; i < r->n_note; i++) ledger_changed(ctx_ledger(q->c), r->note[i].what, r->note[i].n);
  if (x->bad) {
    struct err why = { STATUS_DATA, "" };
    (void)err_set(&why, STATUS_DATA, "%s", x->bad);
    ctx_fail_row(q->c, x->number, "bad row", &why);
  } else if (q->dedup && !r->v.reason) {
    st = hold(q, r, e);
  } else {
    const char *split = r->split;
    if (q->o->split && !split) split = curate_side_name(curate_side_of(q->o, r->group));
    st = write_row(q, r->rec.line, &r->rec, &r->v, split, e);
  }
  drop_item(ctx, it);
  return st;
}

/* ---- held rows ---- */
static const char *const reasons[] = { NULL, "exact_duplicate", "near_duplicate", "split_leak" };

static enum status see_row(void *ctx, const struct dedup_row *r, struct err *e) { return signature_put(((struct curate *)ctx)->signatures, r, e); }

static const char *side_text(const struct curate *q, unsigned char side) { return side < 3 ? curate_side_name(side) : side < q->n_sides ? q->side_name[side] : NULL; }

static enum status write_held(struct curate *q, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  struct buf s1 = { 0 }, s2 = { 0 }, witness = { 0 };
  if (!a) return err_nomem(e, 0);
  for (uint64_t i = 0; i < q->held; i++) {
    struct dedup_result r;
    struct record rec = { { NULL, 0 }, NULL, 0 };
    const void *p;
    struct place at;
    TRY(dedup_next(q->dedup, &r, e));
    TRY(spool_walk(q->places, i * sizeof at, sizeof at, &s1, &p, e));
    memcpy(&at, p, sizeof at);
    TRY(spool_walk(q->lines, at.at, at.n, &s2, &p, e));
    struct span line = { p, at.n };
    arena_reset(a);
    buf_clear(&witness);
    TRY(buf_put(&witness, r.witness.p, r.witness.n, e));
    struct verdict v = { .reason = reasons[r.verdict], .score = r.score, .evidence = "", .witness = witness.p ? witness.p : "" };
    if (q->o->split || q->o->only_split || (v.reason && q->rejects.fp)) TRY(record_split(line, a, &rec, e));
    const char *split = side_text(q, r.side);
    if (!split && q->o->only_split) { /* a split that an earlier run wrote */
      struct span s;
      TRY(record_string(&rec, "split", a, &s, e));
      if (s.p && !(split = arena_strndup(a, s.p, s.n))) st = err_nomem(e, s.n);
    }
    TRY(st);
    TRY(write_row(q, line, &rec, &v, split, e));
  }
out:
  buf_free(&s1);
  buf_free(&s2);
  buf_free(&witness);
  arena_free(a);
  return st;
}

static enum status decide_held(struct curate *q, struct err *e) {
  enum status st;
  struct dedup_counts n;
  TRY(dedup_decide(q->dedup, q->signatures ? see_row : NULL, q, e));
  dedup_counts(q->dedup, &n);
  log_debug("%llu rows, %llu candidates, %llu compared, %llu large groups, %llu bytes on disk", (unsigned long long)n.rows, (unsigned long long)n.pairs,
            (unsigned long long)n.compared, (unsigned long long)n.big_groups, (unsigned long long)(n.spilled_bytes + spool_spilled(q->lines)));
  if (q->split.near) log_info("split by %s: %llu groups", q->o->split, (unsigned long long)n.groups);
  TRY(write_held(q, e));
out:
  return st;
}

/* ---- signature files ---- */
/* Rows of a file join the walk: as known ones, or to be decided anew (merged). */
static enum status add_signatures(struct curate *q, const char *path, int merged, struct err *e) {
  enum status st;
  struct signature_reader *f = NULL;
  struct dedup_row r;
  uint32_t sig[NEAR_HASHES];
  int got;
  TRY(signature_open(path, &f, e));
  if (!merged && q->o->near > 0 && signature_near(f) != q->o->near)
    log_warn("'%s' was decided with --near %g, this run has %g: its verdicts stand", path, signature_near(f), q->o->near);
  for (;;) {
    TRY(signature_next(f, &r, &got, e));
    if (!got) break;
    near_signature(r.shingle, r.n_shingle, sig);
    r.sig = sig;
    r.merged = merged;
    r.known = !merged;
    if (merged) r.verdict = DEDUP_KEPT, r.score = 0, r.witness = (struct span){ "", 0 };
    else if (q->signatures) TRY(signature_put(q->signatures, &r, e)); /* goes on as it was */
    r.fixed_side = r.side != DEDUP_SIDE_NONE;
    TRY(dedup_add(q->dedup, &r, e));
  }
out:
  signature_close(f);
  return st;
}

static enum status merge(struct curate *q, const struct opt_list *files, struct err *e) {
  enum status st = STATUS_OK;
  struct dedup_counts n;
  for (size_t i = 0; i < files->n; i++) TRY(add_signatures(q, files->item[i], 1, e));
  TRY(dedup_decide(q->dedup, see_row, q, e));
  TRY(signature_commit(q->signatures, e));
  dedup_counts(q->dedup, &n);
  log_info("%llu rows of %zu files decided", (unsigned long long)n.rows, files->n);
out:
  return st;
}

/* ---- stage ---- */
static enum status check_options(const struct curate_options *o, const struct opt_list *args, struct err *e) {
  if (args->n && !o->merge) return err_set(e, STATUS_USAGE, "'%s': curate takes no arguments; rows come from stdin", args->item[0]);
  if (o->split_fraction + o->valid_fraction > 1)
    return err_set(e, STATUS_USAGE, "'--split-fraction %g' and '--valid-fraction %g' are more than 1 together", o->split_fraction, o->valid_fraction);
  if (o->arrival && o->priority) return err_set(e, STATUS_USAGE, "'--priority' orders rows, '--arrival' forbids it: give one of them");
  if (o->priority && !(o->near > 0) && !o->exact) return err_set(e, STATUS_USAGE, "'--priority' decides which duplicate stays and needs --near or --exact");
  if (o->merge && (!o->signatures_out || args->n == 0)) return err_set(e, STATUS_USAGE, "'--merge' needs signature files as arguments and --signatures-out FILE");
  if (o->merge && (o->arrival || o->split || o->against_signatures.n)) return err_set(e, STATUS_USAGE, "'--merge' goes with --near, --exact, --memory and --signatures-out only");
  if (o->arrival && o->signatures_out) return err_set(e, STATUS_USAGE, "'--arrival' gives an order that a signature file does not have");
  return STATUS_OK;
}

static enum status prepare(struct curate *q, struct err *e) {
  enum status st;
  const struct curate_options *o = q->o;
  TRY(curate_split_parse(o, ctx_arena(q->c), &q->split, e));
  curate_dedup_settings(o, &q->split, &q->want);
  if (o->signatures_out && q->want.near <= 0) log_warn("without --near the signature file decides exact duplicates only");
  q->sets = q->want.near > 0 || q->want.join > 0 || q->want.leak > 0 || o->signatures_out;
  q->n_sides = 3;
  if (curate_holds(o)) {
    TRY(dedup_new(&q->want, &q->dedup, e));
    TRY(spool_new(o->memory / 4, &q->lines, e));
    TRY(spool_new(o->memory / 64, &q->places, e));
  }
  for (size_t f = 0; filter_table[f]; f++)
    if (filter_table[f]->open && filter_table[f]->enabled(o)) TRY(filter_table[f]->open(o, &q->state[f], e));
  if (o->rejects) TRY(file_atomic_open(&q->rejects, o->rejects, e));
  if (o->signatures_out) TRY(signature_create(o->signatures_out, o->near, &q->signatures, e));
  for (size_t i = 0; i < o->against_signatures.n; i++) TRY(add_signatures(q, o->against_signatures.item[i], 0, e));
out:
  return st;
}

static void cleanup(struct curate *q) {
  progress_free(q->bar);
  file_atomic_abort(&q->rejects);
  for (size_t f = 0; filter_table[f]; f++)
    if (filter_table[f]->close && q->state[f]) filter_table[f]->close(q->state[f]);
  while (q->spare) {
    struct item *x = q->spare;
    q->spare = x->next;
    arena_free(x->a);
    mem_free(x);
  }
  for (unsigned i = 3; i < q->n_sides; i++) mem_free(q->side_name[i]);
  signature_writer_free(q->signatures);
  dedup_free(q->dedup);
  spool_free(q->lines);
  spool_free(q->places);
  buf_free(&q->line);
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  const struct curate_options *o = options;
  struct curate q = { .c = c, .o = o };
  enum status st;
  TRY(check_options(o, args, e));
  TRY(prepare(&q, e));
  if (o->merge) {
    st = merge(&q, args, e);
    goto out;
  }
  q.bar = progress_new("curate", "rows", 0);
  const struct workers_ops ops = { read_row, work_row, take_row, drop_item, rows_ready };
  uint64_t window = o->memory / 6 < ((uint64_t)64 << 20) ? o->memory / 6 : (uint64_t)64 << 20;
  TRY(workers_run(&ops, &q, 0, (size_t)window, e));
  if (q.dedup) TRY(decide_held(&q, e));
  if (o->rejects) TRY(file_atomic_commit(&q.rejects, e));
  if (o->signatures_out) TRY(signature_commit(q.signatures, e));
  if (o->split && q.kept)
    log_info("%llu of %llu kept rows in test (%.1f %%)", (unsigned long long)q.in_test, (unsigned long long)q.kept, 100.0 * (double)q.in_test / (double)q.kept);
  if (o->split && q.kept && q.in_test == 0 && o->split_fraction > 0)
    log_warn("no row is in test: too few groups for --split-fraction; a larger one, or --split id, leaves something to measure on");
out:
  cleanup(&q);
  return st;
}

const struct stage stage_curate = {
  "curate", "", "keep what is worth learning from",
  "Reads examples or documents, drops rows by rules and as duplicates, marks the split. Every drop has a reason in the\n"
  "ledger and, with --rejects, its score, evidence and witness in a file. The result depends neither on the order of the\n"
  "rows nor on threads nor on --memory. Rows that bring a field split keep it.\n\n"
  "  retort curate --near 0.8 --against eval.jsonl --rejects out.jsonl < rows.jsonl > kept.jsonl\n"
  "  retort curate --split meta.family,near --split-fraction 0.1 < rows.jsonl > marked.jsonl\n\n"
  "Several machines: each writes --signatures-out PART.sig of its part, one merges them\n"
  "(retort curate --merge --near 0.8 --signatures-out all.sig PART*.sig), each then keeps its rows by\n"
  "retort curate --near 0.8 --against-signatures all.sig < part.jsonl. Together that is what one run keeps.",
  STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_COMPUTE | STAGE_BOOK, curate_rows, sizeof(struct curate_options), run
};
