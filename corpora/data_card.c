/* SPDX-License-Identifier: Apache-2.0
 * `retort card -o DIR < kept.jsonl`: a data card of a corpus as card.md and card.html: sources with licences, teachers and terms,
 * counts by stage (the ledger), why rows were dropped, languages, lengths, near duplicates with examples, samples, and how often a
 * judge and a person agree. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "data_page.h"
#include "data_rows.h"
#include "file.h"
#include "flow.h"
#include "hash.h"
#include "log.h"
#include "record.h"
#include "stage.h"

enum { BINS = 20, SAMPLES = 5, CLUSTERS = 5, TOP = 30 };

struct card_options {
  const char *output, *title, *rejects, *judge;
  double judge_min;
};
struct kept_sample { uint64_t rank; char *id, *text; };
struct card {
  struct ctx *c;
  const struct card_options *o;
  struct counts sources, licences, teachers, terms, languages, recipes, splits, reasons, witnesses;
  uint64_t rows, bytes, bin[BINS], longest, rejects;
  struct kept_sample sample[SAMPLES];
  size_t n_samples;
  uint64_t person[2][2]; /* [judge says good][person kept it] */
  uint64_t reviewed, edited;
};

static enum status count_path(struct card *k, const struct record *r, const char *path, struct counts *to, struct arena *a, struct err *e) {
  struct span v = { NULL, 0 };
  (void)k;
  enum status st = record_path(r, path, a, &v, e);
  if (st == STATUS_OK && span_type(v) == 's') st = span_string(v, a, &v, e);
  return st == STATUS_OK ? counts_add(to, v, 1, e) : st;
}

/* The SAMPLES rows with the least hash of their id: the same whatever the order of rows. */
static enum status maybe_sample(struct card *k, struct span id, struct span text, struct err *e) {
  uint64_t rank = xxh3(id.p, id.n);
  size_t at = k->n_samples;
  while (at > 0 && k->sample[at - 1].rank > rank) at--;
  if (at == SAMPLES) return STATUS_OK;
  struct kept_sample s = { rank, mem_strndup(id.p, id.n), mem_strndup(text.p ? text.p : "", text.n) };
  if (!s.id || !s.text) {
    mem_free(s.id);
    mem_free(s.text);
    return err_nomem(e, text.n);
  }
  if (k->n_samples == SAMPLES) {
    mem_free(k->sample[SAMPLES - 1].id);
    mem_free(k->sample[SAMPLES - 1].text);
    k->n_samples--;
  }
  memmove(k->sample + at + 1, k->sample + at, (k->n_samples - at) * sizeof s);
  k->sample[at] = s;
  k->n_samples++;
  return STATUS_OK;
}

/* A person's verdict (retort review) beside the judge's score. */
static enum status take_review(struct card *k, const struct record *r, int rejected, struct arena *a, struct err *e) {
  enum status st;
  struct span decision, score;
  TRY(record_path(r, "review.decision", a, &decision, e));
  if (span_type(decision) != 's') goto out;
  k->reviewed++;
  k->edited += span_is(decision, "\"edit\"");
  if (!k->o->judge) goto out;
  TRY(record_path(r, k->o->judge, a, &score, e));
  if (span_type(score) != 'n') goto out;
  char text[40];
  snprintf(text, sizeof text, "%.*s", (int)(score.n < 39 ? score.n : 39), score.p);
  k->person[strtod(text, NULL) >= k->o->judge_min][!rejected]++;
out:
  return st;
}

static enum status take_row(struct card *k, const struct record *r, struct arena *a, struct err *e) {
  enum status st;
  struct span text, id;
  const struct { const char *path; struct counts *to; } rows[] = { { "meta.source", &k->sources }, { "meta.licence", &k->licences }, { "teacher.name", &k->teachers },
    { "teacher.terms", &k->terms }, { "task.lang", &k->languages }, { "task.recipe", &k->recipes }, { "split", &k->splits } };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) TRY(count_path(k, r, rows[i].path, rows[i].to, a, e));
  TRY(record_text(r, a, &text, e));
  TRY(record_id(r, a, &id, e));
  k->rows++;
  k->bytes += text.n;
  if (text.n > k->longest) k->longest = text.n;
  int bin = 0;
  while (bin < BINS - 1 && text.n >> (bin + 1)) bin++;
  k->bin[bin]++;
  TRY(maybe_sample(k, id, text, e));
  TRY(take_review(k, r, 0, a, e));
out:
  return st;
}

/* A line of `curate --rejects` or `review`: the row and {"curate":{"reason","score","evidence","witness"}}. */
static enum status take_reject(void *ctx, const struct record *r, struct arena *a, struct err *e) {
  struct card *k = ctx;
  enum status st;
  struct span witness, reason;
  k->rejects++;
  TRY(count_path(k, r, "curate.reason", &k->reasons, a, e));
  TRY(record_path(r, "curate.reason", a, &reason, e));
  TRY(record_path(r, "curate.witness", a, &witness, e));
  if (span_type(witness) == 's' && witness.n > 2 && span_type(reason) == 's' && memmem(reason.p, reason.n, "near", 4)) {
    TRY(span_string(witness, a, &witness, e));
    TRY(counts_add(&k->witnesses, witness, 1, e));
  }
  TRY(take_review(k, r, 1, a, e));
out:
  return st;
}

/* ---- the page ---- */
static enum status put_stages(struct card *k, struct page *p, struct err *e) {
  enum status st;
  struct flow_run *run;
  size_t n;
  TRY(page_heading(p, "Rows by stage", e));
  if (!ctx_book(k->c)) {
    st = page_text(p, e, "No book was given (--book): the ledger is not told here.");
    goto out;
  }
  TRY(flow_load(ctx_book(k->c), ctx_arena(k->c), &run, &n, e));
  TRY(page_row(p, (struct span[]){ { "stage", 5 }, { "in", 2 }, { "kept", 4 }, { "dropped", 7 }, { "failed", 6 }, { "made", 4 } }, 6, 1, e));
  for (size_t i = 0; i < n; i++) {
    char v[5][24];
    const uint64_t count[5] = { run[i].in, run[i].kept, run[i].dropped, run[i].failed, run[i].made };
    struct span cell[6] = { { run[i].stage, strlen(run[i].stage) } };
    if (run[i].superseded || !run[i].outcome || strcmp(run[i].stage, "card") == 0) continue;
    for (int j = 0; j < 5; j++) {
      snprintf(v[j], sizeof v[j], "%llu", (unsigned long long)count[j]);
      cell[j + 1] = (struct span){ v[j], strlen(v[j]) };
    }
    TRY(page_row(p, cell, 6, 0, e));
  }
  TRY(page_table_end(p, e));
out:
  return st;
}

static enum status put_lengths(struct card *k, struct page *p, struct err *e) {
  enum status st;
  TRY(page_heading(p, "Length of the text in bytes", e));
  TRY(page_row(p, (struct span[]){ { "from", 4 }, { "rows", 4 }, { "", 0 } }, 3, 1, e));
  uint64_t most = 1;
  for (int i = 0; i < BINS; i++) most = k->bin[i] > most ? k->bin[i] : most;
  for (int i = 0; i < BINS; i++) {
    char from[24], n[24], bar[41];
    size_t w = (size_t)(k->bin[i] * 40 / most);
    if (!k->bin[i]) continue;
    snprintf(from, sizeof from, "%llu", i ? 1ull << i : 0ull);
    snprintf(n, sizeof n, "%llu", (unsigned long long)k->bin[i]);
    memset(bar, '#', w);
    TRY(page_row(p, (struct span[]){ { from, strlen(from) }, { n, strlen(n) }, { bar, w } }, 3, 0, e));
  }
  TRY(page_table_end(p, e));
  TRY(page_text(p, e, "Mean %.0f, longest %llu.", k->rows ? (double)k->bytes / (double)k->rows : 0.0, (unsigned long long)k->longest));
out:
  return st;
}

static enum status put_people(struct card *k, struct page *p, struct err *e) {
  enum status st;
  double n = 0, a = (double)k->person[0][0], b = (double)k->person[0][1], c = (double)k->person[1][0], d = (double)k->person[1][1];
  TRY(page_heading(p, "Judge and person", e));
  TRY(page_text(p, e, "%llu rows were looked at by a person, %llu of them edited.", (unsigned long long)k->reviewed, (unsigned long long)k->edited));
  n = a + b + c + d;
  if (n == 0) {
    st = page_text(p, e, "No row has both a person's verdict and the judge's score (--judge FIELD).");
    goto out;
  }
  double same = (a + d) / n, chance = ((a + b) * (a + c) + (c + d) * (b + d)) / (n * n), kappa = chance < 1 ? (same - chance) / (1 - chance) : 1;
  TRY(page_text(p, e, "%s of at least %g against the person's verdict on %.0f rows: both keep %.0f, both reject %.0f, only the judge keeps %.0f, only the person keeps %.0f. "
                "Agreement %.3f, Cohen's kappa %.3f.", k->o->judge, k->o->judge_min, n, d, a, c, b, same, kappa));
out:
  return st;
}

static enum status put_page(struct card *k, struct page *p, struct err *e) {
  enum status st;
  struct { const char *heading, *what; struct counts *of; } tables[] = { { "Sources", "source", &k->sources }, { "Licences", "licence", &k->licences },
    { "Teachers", "teacher", &k->teachers }, { "Terms of the teachers", "terms", &k->terms }, { "Languages", "language", &k->languages },
    { "Recipes", "recipe", &k->recipes }, { "Splits", "split", &k->splits } };
  TRY(page_open(p, k->o->title, e));
  TRY(page_text(p, e, "%llu rows, %llu bytes of text; %llu rows were rejected.", (unsigned long long)k->rows, (unsigned long long)k->bytes, (unsigned long long)k->rejects));
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    counts_sort(tables[i].of);
    TRY(page_heading(p, tables[i].heading, e));
    TRY(counts_table(p, tables[i].of, tables[i].what, TOP, e));
  }
  TRY(put_stages(k, p, e));
  TRY(page_heading(p, "Why rows were rejected", e));
  counts_sort(&k->reasons);
  TRY(counts_table(p, &k->reasons, "reason", TOP, e));
  TRY(page_heading(p, "Biggest groups of near duplicates", e));
  counts_sort(&k->witnesses);
  TRY(counts_table(p, &k->witnesses, "row that was kept", CLUSTERS, e));
  TRY(put_lengths(k, p, e));
  TRY(put_people(k, p, e));
  TRY(page_heading(p, "Samples", e));
  for (size_t i = 0; i < k->n_samples; i++)
    TRY(page_sample(p, (struct span){ k->sample[i].id, strlen(k->sample[i].id) }, (struct span){ k->sample[i].text, strlen(k->sample[i].text) }, e));
  TRY(page_close(p, e));
out:
  return st;
}

static enum status write_file(const char *path, const struct buf *b, struct err *e) {
  struct file_atomic f = { 0 };
  enum status st = file_atomic_open(&f, path, e);
  if (st == STATUS_OK && fwrite(b->p, 1, b->n, f.fp) != b->n) st = err_sys(e, STATUS_IO, "'%s': cannot write", path);
  if (st == STATUS_OK) st = file_atomic_commit(&f, e);
  file_atomic_abort(&f);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  struct card k = { .c = c, .o = options };
  struct page p = { { 0 }, { 0 } };
  struct arena *a = arena_new(0);
  struct record r;
  int got = 1;
  if (args->n || !k.o->output) {
    arena_free(a);
    return err_set(e, STATUS_USAGE, "card reads rows from stdin and writes card.md and card.html: give -o DIR");
  }
  if (!a) return err_nomem(e, 0);
  while (got) {
    arena_reset(a);
    TRY(ctx_next_in(c, a, &r, &got, e));
    if (!got) break;
    TRY(take_row(&k, &r, a, e));
    ledger_kept(ctx_ledger(c));
  }
  if (k.o->rejects) TRY(rows_of_file(k.o->rejects, take_reject, &k, e));
  TRY(put_page(&k, &p, e));
  TRY(folder_make(k.o->output, e));
  char *md = path_join(ctx_arena(c), k.o->output, "card.md"), *html = path_join(ctx_arena(c), k.o->output, "card.html");
  if (!md || !html) TRY(err_nomem(e, 0));
  TRY(write_file(md, &p.md, e));
  TRY(write_file(html, &p.html, e));
  log_info("'%s' and '%s'", md, html);
out:
  page_free(&p);
  struct counts *all[] = { &k.sources, &k.licences, &k.teachers, &k.terms, &k.languages, &k.recipes, &k.splits, &k.reasons, &k.witnesses };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) counts_free(all[i]);
  for (size_t i = 0; i < k.n_samples; i++) {
    mem_free(k.sample[i].id);
    mem_free(k.sample[i].text);
  }
  arena_free(a);
  return st;
}

static const struct opt_row rows[] = {
  OPT_ROW(card_options, output, "output", 'o', OPT_STR, NULL, NULL, "DIR", "folder for card.md and card.html"),
  OPT_ROW(card_options, title, "title", 0, OPT_STR, "Data card", NULL, "TEXT", "title of the card"),
  OPT_ROW(card_options, rejects, "rejects", 0, OPT_STR, NULL, NULL, "FILE", "rows that were dropped (curate --rejects, review --rejects)"),
  OPT_ROW(card_options, judge, "judge", 0, OPT_STR, NULL, NULL, "FIELD", "the judge's score, such as scores.judge, to compare with people"),
  OPT_ROW(card_options, judge_min, "judge-min", 0, OPT_NUM, "0.5", NULL, "X", "a score from which the judge says good"),
  OPT_END
};

const struct stage stage_card = {
  "card", "", "a data card of a corpus: sources, licences, counts, lengths, samples",
  "Reads the rows of a corpus and writes card.md and card.html. With --rejects it says why rows went and which near duplicates there\n"
  "were, with --book the flow of rows, with --judge how often a judge agrees with the people of `retort review`.\n\n"
  "  retort card --rejects rejects.jsonl --book my.book -o card/ < kept.jsonl\n"
  "  retort card --judge scores.judge --judge-min 3 -o card/ < reviewed.jsonl",
  STAGE_ROWS_IN | STAGE_BOOK, rows, sizeof(struct card_options), run
};
