/* SPDX-License-Identifier: Apache-2.0
 * `retort why ROW`: from a row back to where it came from: its places in shards, its source and licence, who wrote question and
 * answer with which parameters and at what price (the journal's entries that `key` names), what filters said (rows and rejects
 * files), and the runs that its shards' rows went through (the ledger). One finding a line. */
#include "book.h"
#include "file.h"
#include "flow.h"
#include "hash.h"
#include "json.h"
#include "log.h"
#include "record.h"
#include "row_file.h"
#include "shard.h"
#include "stage.h"
#include <stdarg.h>

enum { SHOWN = 2000 }; /* bytes of a prompt or an answer; --json shows all */

struct why_options {
  int json;
  struct opt_list shards, rows;
};
struct why {
  struct ctx *c;
  const struct why_options *o;
  const char *id, *path; /* the row asked for; the file that is read now */
  struct arena *a;
  struct shard_reader *reader;
  const char *section;
  struct span about; /* of the row in the shards */
  char keys[8][65];  /* of the journal, each once */
  size_t n_keys;
  int found;
};

static enum status put(struct why *w, const char *key, struct span value, struct err *e) {
  enum status st;
  struct buf b = { 0 };
  if (!w->o->json) {
    int cut = value.n > SHOWN;
    TRY(ctx_print(w->c, e, "%s.%s: %.*s%s\n", w->section, key, (int)(cut ? SHOWN : value.n), value.p, cut ? " ..." : ""));
    goto out;
  }
  TRY(buf_puts(&b, "{\"section\":", e));
  TRY(json_put_cstr(&b, w->section, e));
  TRY(buf_puts(&b, ",\"key\":", e));
  TRY(json_put_cstr(&b, key, e));
  TRY(buf_puts(&b, ",\"value\":", e));
  if (span_check_json(value, NULL) == STATUS_OK) TRY(buf_put(&b, value.p, value.n, e));
  else TRY(json_put_string(&b, value, e));
  TRY(ctx_print(w->c, e, "%s}\n", b.p));
out:
  buf_free(&b);
  return st;
}

static enum status put_text(struct why *w, const char *key, struct err *e, const char *fmt, ...) PRINTF_LIKE(4, 5);
static enum status put_text(struct why *w, const char *key, struct err *e, const char *fmt, ...) {
  va_list ap;
  char text[2048];
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return put(w, key, (struct span){ text, strlen(text) }, e);
}

static void note_key(struct why *w, const struct json *object) {
  const char *key = json_cstr(json_get(object, "key"), "");
  if (strlen(key) != 64 || w->n_keys == sizeof w->keys / sizeof *w->keys) return;
  for (size_t i = 0; i < w->n_keys; i++)
    if (strcmp(w->keys[i], key) == 0) return;
  memcpy(w->keys[w->n_keys++], key, 65);
}

/* Members of a record's object, one line each; nested ones under a dotted name. */
static enum status put_members(struct why *w, struct span object, struct err *e) {
  enum status st;
  struct json *j = NULL;
  struct record r;
  TRY(record_split(object, w->a, &r, e));
  TRY(json_parse(object, "row", &j, e));
  note_key(w, json_get(j, "teacher"));
  note_key(w, json_get(j, "task"));
  for (size_t i = 0; i < r.n_fields; i++) {
    char *name = arena_strndup(w->a, r.field[i].key.p, r.field[i].key.n);
    struct record inner;
    if (!name) TRY(err_nomem(e, r.field[i].key.n));
    if (span_type(r.field[i].value) != '{') {
      TRY(put(w, name, r.field[i].value, e));
      continue;
    }
    TRY(record_split(r.field[i].value, w->a, &inner, e));
    for (size_t k = 0; k < inner.n_fields; k++) {
      char *full = arena_printf(w->a, "%s.%.*s", name, (int)inner.field[k].key.n, inner.field[k].key.p);
      if (!full) TRY(err_nomem(e, 0));
      TRY(put(w, full, inner.field[k].value, e));
    }
  }
out:
  json_free(j);
  return st;
}

/* ---- shards ---- */
static enum status place(void *ctx, const struct shard_place *p, struct err *e) {
  struct why *w = ctx;
  enum status st;
  w->found = 1;
  TRY(put_text(w, "place", e, "%s: frame %llu, sample %lld, document %d: %d tokens, %d in the loss", p->file, (unsigned long long)p->frame,
               (long long)p->sample, p->doc, p->n_tok, p->n_target));
  if (!w->about.p) TRY(shard_about(w->reader, p->sample, p->doc, w->a, &w->about, e));
out:
  return st;
}

static enum status from_shards(struct why *w, const char *folder, struct hash128 *digest, struct err *e) {
  enum status st;
  struct json *ledger = NULL;
  int before = w->found;
  w->found = 0;
  TRY(shard_open(folder, &w->reader, e));
  TRY(shard_find_row(w->reader, w->id, place, w, e));
  if (!w->found) goto out;
  const struct shard_info *i = shard_info(w->reader);
  struct span sha = shard_manifest_member(w->reader, "manifest_sha256"), raw = shard_manifest_member(w->reader, "ledger");
  TRY(put(w, "manifest_sha256", sha, e));
  TRY(put_text(w, "tokenizer", e, "%s, template '%s'", i->tokenizer_hash, i->template_name));
  TRY(put_text(w, "targets", e, "top %d, %d draws, hidden %d, of teacher '%s' (%s), terms '%s'", i->top_k, i->draws, i->hidden, i->teacher,
               i->teacher_identity, i->terms));
  if (span_type(raw) == '{') {
    TRY(json_parse(raw, "ledger", &ledger, e));
    const char *hex = json_cstr(json_get(ledger, "in_digest"), "");
    unsigned long long hi = 0, lo = 0;
    if (sscanf(hex, "%16llx%16llx", &hi, &lo) == 2) *digest = (struct hash128){ lo, hi };
  }
out:
  w->found |= before;
  json_free(ledger);
  shard_close(w->reader);
  w->reader = NULL;
  return st;
}

/* ---- rows of files: the row itself, what it was made from, and rejects ---- */
/* The row, or one it was made from: passages and questions are called PARENT#n. */
static int is_ancestor(struct span id, const char *row) {
  size_t n = strlen(row);
  return id.n <= n && memcmp(id.p, row, id.n) == 0 && (id.n == n || row[id.n] == '#');
}

static enum status row_of_file(void *ctx, struct span line, struct span id, unsigned long long row, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct why *w = ctx;
  (void)a;
  if (!is_ancestor(id, w->id)) return st;
  w->section = span_is(id, w->id) ? "row" : "parent";
  w->found |= span_is(id, w->id);
  TRY(put_text(w, "file", e, "%s, row %llu", w->path, row));
  st = put_members(w, line, e);
out:
  return st;
}

static enum status from_file(struct why *w, const char *path, struct err *e) {
  w->path = path;
  return row_file_each(path, row_of_file, w, e);
}

/* ---- the journal ---- */
static enum status from_journal(struct why *w, struct book *b, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < w->n_keys; i++) {
    unsigned char key[32];
    struct book_answer ans;
    int found = 0;
    w->section = "answer";
    TRY(put_text(w, "key", e, "%s", w->keys[i]));
    if (hash_unhex(w->keys[i], 32, key)) TRY(book_find_key(b, key, w->a, &ans, &found, e));
    if (!found) {
      TRY(put_text(w, "missing", e, "not in the book '%s': made without it, or forgotten", book_path(b)));
      continue;
    }
    TRY(put(w, "request", ans.body, e));
    TRY(put(w, "answer", ans.answer, e));
    TRY(put(w, "meta", ans.meta, e));
  }
out:
  return st;
}

/* ---- the ledger: the run that made the shards' rows, and everything upstream of it ---- */
static enum status put_run(struct why *w, const struct flow_run *r, struct err *e) {
  enum status st;
  w->section = r->stage;
  TRY(put_text(w, "rows", e, "in %llu, kept %llu, dropped %llu, failed %llu, made %llu: %s", (unsigned long long)r->in, (unsigned long long)r->kept,
               (unsigned long long)r->dropped, (unsigned long long)r->failed, (unsigned long long)r->made, r->outcome ? r->outcome : "no closing line"));
  for (size_t i = 0; i < r->n_dropped_why; i++) TRY(put_text(w, "dropped", e, "%llu %s", (unsigned long long)r->dropped_why[i].n, r->dropped_why[i].text));
  TRY(put(w, "options", (struct span){ r->options, strlen(r->options) }, e));
out:
  return st;
}

static enum status from_ledger(struct why *w, struct book *b, const struct hash128 *digest, struct err *e) {
  enum status st;
  struct flow_run *run;
  size_t n, made = SIZE_MAX;
  TRY(flow_load(b, w->a, &run, &n, e));
  for (size_t i = 0; i < n; i++)
    if (run[i].outcome && !strcmp(run[i].outcome, "done") && run[i].in_digest.lo == digest->lo && run[i].in_digest.hi == digest->hi && !strcmp(run[i].stage, "shard")) made = i;
  if (made == SIZE_MAX) goto out;
  unsigned char *seen = arena_calloc(w->a, n, 1);
  if (!seen) return err_nomem(e, n);
  seen[made] = 1;
  for (size_t pass = 0; pass < n; pass++) /* up[] are numbers of flow_load's list */
    for (size_t i = 0; i < n; i++)
      for (size_t k = 0; seen[i] && k < run[i].n_up; k++) seen[run[i].up[k]] = 1;
  for (size_t i = 0; i < n; i++)
    if (seen[i]) TRY(put_run(w, &run[i], e));
out:
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  struct why w = { .c = c, .o = options, .a = ctx_arena(c) };
  struct hash128 digest = { 0, 0 };
  if (args->n != 1 || (w.o->shards.n == 0 && w.o->rows.n == 0))
    return err_set(e, STATUS_USAGE, "why needs a row's id and where to look: --shards DIR, --rows FILE (as often as needed), --book DIR for answers and runs");
  w.id = args->item[0];
  for (size_t i = 0; i < w.o->shards.n; i++) {
    w.section = "shard";
    TRY(from_shards(&w, w.o->shards.item[i], &digest, e));
  }
  w.section = "row";
  if (w.about.p) TRY(put_members(&w, w.about, e));
  for (size_t i = 0; i < w.o->rows.n; i++) TRY(from_file(&w, w.o->rows.item[i], e));
  if (!w.found) {
    st = err_set(e, STATUS_DATA, "'%s': no such row in %zu shard folders and %zu files", w.id, w.o->shards.n, w.o->rows.n);
    goto out;
  }
  if (ctx_book(c)) {
    TRY(from_journal(&w, ctx_book(c), e));
    TRY(from_ledger(&w, ctx_book(c), &digest, e));
  } else if (w.n_keys) {
    log_info("give --book DIR to see requests, answers, prices and runs");
  }
out:
  if (st == STATUS_DATA) {
    enum status flushed = ctx_flush(c, NULL);
    if (flushed != STATUS_OK) st = flushed;
  }
  return st;
}

static const struct opt_row rows[] = {
  OPT_ROW(why_options, shards, "shards", 0, OPT_LIST, NULL, NULL, "DIR", "shard folder to look in; may be given more than once"),
  OPT_ROW(why_options, rows, "rows", 0, OPT_LIST, NULL, NULL, "FILE", "rows or rejects to look in, also for what the row was made from; may be given more than once"),
  OPT_ROW(why_options, json, "json", 0, OPT_FLAG, NULL, NULL, NULL, "one JSON object a line: section, key, value (uncut)"),
  OPT_END
};

const struct stage stage_why = {
  "why", "ROW", "where a row came from: document, teacher, price, verdicts, runs",
  "Walks from the id of a row back: its places in shards, source and licence, the requests and answers that made it with parameters\n"
  "and price (with --book), what filters said of it or of its parents (--rows with kept or rejected rows), and the runs of its shards.\n\n"
  "  retort why 'a1b2#1#3' --shards shards/ --book my.book\n"
  "  retort why 'a1b2#1' --rows rejects.jsonl",
  STAGE_COMPUTE | STAGE_BOOK, rows, sizeof(struct why_options), run
};
