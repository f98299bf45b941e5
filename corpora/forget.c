/* SPDX-License-Identifier: Apache-2.0
 * `retort forget ID...`: a document, or any row, and all that was made from it (ids ID#...) leave row files, shard folders and, by
 * the journal keys that those rows name, the book's answers. The ledger keeps a note of it; students whose shards held such rows
 * are listed: their weights cannot be unlearned, only trained again. */
#include <time.h>
#include "book.h"
#include "file.h"
#include "forget_shards.h"
#include "hash.h"
#include "json.h"
#include "log.h"
#include "record.h"
#include "row_file.h"
#include "stage.h"

struct forget_options {
  int dry;
  struct opt_list rows, shards, runs;
  const char *why;
};
struct forget {
  struct ctx *c;
  const struct forget_options *o;
  const struct opt_list *ids;
  struct arena *a;
  struct buf keys;   /* 32 bytes each */
  struct buf shas;   /* manifest_sha256 of changed folders, 64 bytes each */
  uint64_t rows, documents, answers;
};

static int is_of(void *ctx, const char *row) {
  const struct forget *f = ctx;
  for (size_t i = 0; i < f->ids->n; i++) {
    size_t n = strlen(f->ids->item[i]);
    if (strncmp(row, f->ids->item[i], n) == 0 && (row[n] == 0 || row[n] == '#')) return 1;
  }
  return 0;
}

/* The journal's keys that a row names. */
static enum status take_keys(struct forget *f, struct span row, struct err *e) {
  enum status st = STATUS_OK;
  struct json *j = NULL;
  static const char *const from[] = { "teacher.key", "task.key" };
  if (!row.p) return st;
  TRY(json_parse(row, "row", &j, e));
  for (size_t i = 0; i < 2; i++) {
    const char *hex = json_cstr(json_path(j, from[i]), "");
    unsigned char key[32];
    if (strlen(hex) == 64 && hash_unhex(hex, 32, key)) TRY(buf_put(&f->keys, key, 32, e));
  }
out:
  json_free(j);
  return st;
}

static enum status row_gone(void *ctx, const char *row, struct span about, struct err *e) {
  (void)row;
  return take_keys(ctx, about, e);
}

struct rewriting {
  struct forget *f;
  struct file_atomic out; /* closed in a dry run */
  uint64_t gone;
};

static enum status keep_or_forget(void *ctx, struct span line, struct span id, unsigned long long row, struct arena *a, struct err *e) {
  struct rewriting *w = ctx;
  char *name = arena_strndup(a, id.p, id.n);
  (void)row;
  if (!name) return err_nomem(e, id.n);
  if (is_of(w->f, name)) {
    w->gone++;
    return take_keys(w->f, line, e);
  }
  if (w->out.fp && (fwrite(line.p, 1, line.n, w->out.fp) != line.n || fputc('\n', w->out.fp) == EOF))
    return err_sys(e, STATUS_IO, "'%s': cannot write", w->out.tmp);
  return STATUS_OK;
}

/* Lines of other rows stay byte for byte; the file is complete or as it was. */
static enum status forget_in_file(struct forget *f, const char *path, uint64_t *gone, struct err *e) {
  enum status st = STATUS_OK;
  struct rewriting w = { .f = f };
  if (!f->o->dry) TRY(file_atomic_open(&w.out, path, e));
  TRY(row_file_each(path, keep_or_forget, &w, e));
  if (w.out.fp && w.gone) TRY(file_atomic_commit(&w.out, e));
out:
  *gone = w.gone;
  file_atomic_abort(&w.out);
  return st;
}

/* ---- students ---- */
static enum status look_at_run(struct forget *f, const char *run, struct err *e) {
  enum status st = STATUS_OK;
  struct json *j = NULL;
  char *path = path_join(f->a, run, "manifest.json");
  if (!path) return err_nomem(e, 0);
  if (!file_exists(path)) return st;
  TRY(json_parse_file(path, (size_t)256 << 20, &j, e));
  const char *sha = json_cstr(json_path(j, "inputs.shards.manifest_sha256"), "");
  for (size_t i = 0; strlen(sha) == 64 && i < f->shas.n; i += 64)
    if (memcmp(f->shas.p + i, sha, 64) == 0) {
      TRY(ctx_print(f->c, e, "student: %s was trained on shards that held it (manifest %.16s...): train it again\n", run, sha));
      break;
    }
out:
  json_free(j);
  return st;
}

static enum status list_students(struct forget *f, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < f->o->runs.n; i++) {
    const char **names = NULL, *at = f->o->runs.item[i];
    size_t n = 0;
    TRY(look_at_run(f, at, e));
    TRY(folder_list(at, f->a, &names, &n, e));
    for (size_t k = 0; k < n; k++) {
      char *below = path_join(f->a, at, names[k]);
      if (!below) return err_nomem(e, 0);
      if (folder_exists(below)) TRY(look_at_run(f, below, e));
    }
  }
out:
  return st;
}

/* ---- the book ---- */
static enum status forget_in_book(struct forget *f, const char *path, struct err *e) {
  enum status st;
  struct book *b = NULL;
  struct buf note = { 0 };
  TRY(book_forget(path, (unsigned char *)f->keys.p, f->keys.n / 32, &f->answers, e));
  TRY(book_open(path, BOOK_CREATE, &b, e));
  TRY(buf_puts(&note, "{\"ids\":[", e));
  for (size_t i = 0; i < f->ids->n; i++) {
    if (i) TRY(buf_putc(&note, ',', e));
    TRY(json_put_cstr(&note, f->ids->item[i], e));
  }
  TRY(buf_printf(&note, e, "],\"time\":%lld,\"rows\":%llu,\"shard_rows\":%llu,\"answers\":%llu,\"shards\":[", (long long)time(NULL), (unsigned long long)f->rows,
                 (unsigned long long)f->documents, (unsigned long long)f->answers));
  for (size_t i = 0; i < f->shas.n; i += 64) TRY(buf_printf(&note, e, "%s\"%.64s\"", i ? "," : "", f->shas.p + i));
  TRY(buf_puts(&note, "],\"why\":", e));
  TRY(json_put_cstr(&note, f->o->why ? f->o->why : "", e));
  TRY(buf_putc(&note, '}', e));
  TRY(book_note(b, "forget", (struct span){ note.p, note.n }, e));
out:
  buf_free(&note);
  if (b) {
    enum status closed = book_close(b, st == STATUS_OK ? e : NULL);
    if (st == STATUS_OK) st = closed;
  }
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  struct forget f = { .c = c, .o = options, .ids = args, .a = ctx_arena(c) };
  const char *book = ctx_common(c)->book ? ctx_common(c)->book : getenv("RETORT_BOOK"), *word = f.o->dry ? "would lose" : "lost";
  if (args->n == 0) return err_set(e, STATUS_USAGE, "forget needs the ids of documents or rows, and where they are: --rows FILE, --shards DIR, --book DIR");
  for (size_t i = 0; i < args->n; i++)
    if (!args->item[i][0]) return err_set(e, STATUS_USAGE, "an empty id would be no row's");
  for (size_t i = 0; i < f.o->rows.n; i++) {
    uint64_t n;
    TRY(forget_in_file(&f, f.o->rows.item[i], &n, e));
    f.rows += n;
    TRY(ctx_print(c, e, "rows: %s %s %llu\n", f.o->rows.item[i], word, (unsigned long long)n));
  }
  for (size_t i = 0; i < f.o->shards.n; i++) {
    uint64_t n;
    char sha[65];
    struct forget_rows rows = { is_of, row_gone, &f };
    TRY(forget_in_shards(f.o->shards.item[i], &rows, f.o->dry, sha, &n, e));
    f.documents += n;
    if (n) TRY(buf_put(&f.shas, sha, 64, e));
    TRY(ctx_print(c, e, "shards: %s %s %llu documents\n", f.o->shards.item[i], word, (unsigned long long)n));
  }
  TRY(list_students(&f, e));
  if (f.o->dry || !book) {
    if (f.keys.n && !book) log_warn("%zu answers are named by these rows; give --book DIR to remove them too", f.keys.n / 32);
    if (f.keys.n && f.o->dry) TRY(ctx_print(c, e, "book: would lose at most %zu answers\n", f.keys.n / 32));
    goto out;
  }
  TRY(forget_in_book(&f, book, e));
  TRY(ctx_print(c, e, "book: %s lost %llu answers\n", book, (unsigned long long)f.answers));
out:
  buf_free(&f.keys);
  buf_free(&f.shas);
  return st;
}

static const struct opt_row rows[] = {
  OPT_ROW(forget_options, rows, "rows", 0, OPT_LIST, NULL, NULL, "FILE", "rows or rejects to rewrite without it; may be given more than once"),
  OPT_ROW(forget_options, shards, "shards", 0, OPT_LIST, NULL, NULL, "DIR", "shard folder to rewrite without it; may be given more than once"),
  OPT_ROW(forget_options, runs, "runs", 0, OPT_LIST, NULL, NULL, "DIR", "run folder, or a folder of them, whose students are listed when their shards held it"),
  OPT_ROW(forget_options, why, "reason", 0, OPT_STR, NULL, NULL, "TEXT", "reason for the book's note, such as a request's number"),
  OPT_ROW(forget_options, dry, "dry-run", 'n', OPT_FLAG, NULL, NULL, NULL, "count and list, change nothing"),
  OPT_END
};

const struct stage stage_forget = {
  "forget", "ID...", "remove a document and everything made from it",
  "Removes rows called ID or ID#... from row files and shard folders, and the answers they name from the book; leaves a note there,\n"
  "and lists the students that were trained on shards that held them. Not reached: copies elsewhere, and answers of rows that are in\n"
  "none of the files given.\n\n"
  "  retort forget a1b2 --rows kept.jsonl --rows rejects.jsonl --shards shards/ --book my.book --runs runs/\n"
  "  retort forget a1b2 --shards shards/ --dry-run",
  STAGE_COMPUTE, rows, sizeof(struct forget_options), run
};
