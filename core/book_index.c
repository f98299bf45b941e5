/* SPDX-License-Identifier: Apache-2.0
 * Reading side of the SQLite index. Opened read-only; built elsewhere (book_reindex.c) into a new file that is renamed,
 * so a reader never sees half of one. */
#include "book_index.h"
#include <sqlite3.h>
#include "book_reindex.h"
#include "file.h"
#include "log.h"

struct book_index {
  sqlite3 *db;
  sqlite3_stmt *find;
  uint32_t *seg; /* index's segment number -> position in b->seg */
  size_t n_seg;
};

static enum status sql_err(struct book *b, sqlite3 *db, struct err *e) {
  return err_set(e, STATUS_IO, "'%s/index.sqlite': %s; rebuild it with 'retort book index'", b->path, db ? sqlite3_errmsg(db) : "cannot be opened");
}

void book_index_close(struct book_index *ix) {
  if (!ix) return;
  sqlite3_finalize(ix->find);
  sqlite3_close(ix->db);
  mem_free(ix->seg);
  mem_free(ix);
}

static int64_t ask_int(sqlite3 *db, const char *sql, int64_t dflt) {
  sqlite3_stmt *q = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW) dflt = sqlite3_column_int64(q, 0);
  sqlite3_finalize(q);
  return dflt;
}

/* Every segment of the index must still be there and be at least as long; else the index is of another book state. */
static int fits(struct book *b, sqlite3 *db, size_t *n) {
  sqlite3_stmt *q = NULL;
  int ok = ask_int(db, "PRAGMA user_version", 0) == BOOK_INDEX_VERSION &&
           sqlite3_prepare_v2(db, "SELECT name, bytes FROM segments ORDER BY id", -1, &q, NULL) == SQLITE_OK;
  *n = 0;
  while (ok && sqlite3_step(q) == SQLITE_ROW) {
    struct buf path = { 0 };
    ok = buf_printf(&path, NULL, "%s/%s", b->path, (const char *)sqlite3_column_text(q, 0)) == STATUS_OK &&
         file_bytes(path.p) >= (uint64_t)sqlite3_column_int64(q, 1);
    buf_free(&path);
    ++*n;
  }
  sqlite3_finalize(q);
  return ok;
}

static enum status take_segments(struct book *b, struct book_index *ix, struct err *e) {
  enum status st = STATUS_OK;
  sqlite3_stmt *q = NULL;
  if (sqlite3_prepare_v2(ix->db, "SELECT id, name, bytes FROM segments ORDER BY id", -1, &q, NULL) != SQLITE_OK) TRY(sql_err(b, ix->db, e));
  while (sqlite3_step(q) == SQLITE_ROW) {
    struct seg *s;
    int64_t id = sqlite3_column_int64(q, 0);
    if (id < 0 || (size_t)id >= ix->n_seg) TRY(err_set(e, STATUS_DATA, "'%s/index.sqlite': segment number %lld; rebuild it with 'retort book index'", b->path, (long long)id));
    TRY(book_seg_new(b, (const char *)sqlite3_column_text(q, 1), &s, e));
    s->scanned = (uint64_t)sqlite3_column_int64(q, 2);
    ix->seg[id] = (uint32_t)(s - b->seg);
  }
out:
  sqlite3_finalize(q);
  return st;
}

static enum status take_notes(struct book *b, struct book_index *ix, struct err *e) {
  enum status st = STATUS_OK;
  sqlite3_stmt *q = NULL;
  if (sqlite3_prepare_v2(ix->db, "SELECT segment, time_ns, offset, length, xxh3 FROM notes", -1, &q, NULL) != SQLITE_OK) TRY(sql_err(b, ix->db, e));
  while (sqlite3_step(q) == SQLITE_ROW) {
    int64_t id = sqlite3_column_int64(q, 0);
    if (id < 0 || (size_t)id >= ix->n_seg) continue;
    struct seg_record r = { SEG_NOTE, (uint64_t)sqlite3_column_int64(q, 1), (uint64_t)sqlite3_column_int64(q, 2), (uint64_t)sqlite3_column_int64(q, 3),
                            (uint64_t)sqlite3_column_int64(q, 4) };
    TRY(book_note_add(b, ix->seg[id], &r, e));
  }
out:
  sqlite3_finalize(q);
  return st;
}

static enum status take_claims(struct book *b, struct book_index *ix, struct err *e) {
  enum status st = STATUS_OK;
  sqlite3_stmt *q = NULL;
  if (sqlite3_prepare_v2(ix->db, "SELECT segment, key FROM claims", -1, &q, NULL) != SQLITE_OK) TRY(sql_err(b, ix->db, e));
  while (sqlite3_step(q) == SQLITE_ROW) {
    int64_t id = sqlite3_column_int64(q, 0);
    if (id < 0 || (size_t)id >= ix->n_seg || sqlite3_column_bytes(q, 1) != SEG_KEY) continue;
    TRY(book_claim_add(b, sqlite3_column_blob(q, 1), ix->seg[id], e));
  }
out:
  sqlite3_finalize(q);
  return st;
}

/* Every writer's highest reservation (settled ones are only a sum), then the open ones. */
static enum status take_money(struct book *b, struct book_index *ix, struct err *e) {
  enum status st = STATUS_OK;
  sqlite3_stmt *q = NULL;
  if (sqlite3_prepare_v2(ix->db, "SELECT id, reserved FROM money WHERE settled IS NULL AND reserved IS NOT NULL ORDER BY id >> 24, id & 16777215", -1, &q, NULL) != SQLITE_OK)
    TRY(sql_err(b, ix->db, e));
  while (sqlite3_step(q) == SQLITE_ROW)
    TRY(book_money_add(b, SEG_RESERVE, (uint64_t)sqlite3_column_int64(q, 0), (uint64_t)sqlite3_column_int64(q, 1), e));
  sqlite3_finalize(q);
  q = NULL;
  if (sqlite3_prepare_v2(ix->db, "SELECT id >> 24, max(id & 16777215) FROM money GROUP BY id >> 24", -1, &q, NULL) != SQLITE_OK) TRY(sql_err(b, ix->db, e));
  while (sqlite3_step(q) == SQLITE_ROW)
    TRY(book_money_seen(b, (uint64_t)sqlite3_column_int64(q, 0) << 24 | (uint64_t)sqlite3_column_int64(q, 1), e));
  b->spent = (uint64_t)ask_int(ix->db, "SELECT coalesce(sum(coalesce(settled, reserved)), 0) FROM money", 0);
out:
  sqlite3_finalize(q);
  return st;
}

enum status book_index_open(struct book *b, struct book_index **out, struct err *e) {
  enum status st = STATUS_OK;
  struct buf path = { 0 };
  struct book_index *ix = NULL;
  *out = NULL;
  TRY(buf_printf(&path, e, "%s/index.sqlite", b->path));
  if (!file_exists(path.p)) goto out;
  ix = mem_calloc(1, sizeof *ix);
  if (!ix) TRY(err_nomem(e, sizeof *ix));
  if (sqlite3_open_v2(path.p, &ix->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK || !fits(b, ix->db, &ix->n_seg)) {
    log_debug("'%s' does not fit the segments; the book is scanned (rebuild it with 'retort book index')", path.p);
    goto out;
  }
  ix->seg = mem_calloc(ix->n_seg, sizeof *ix->seg);
  if (!ix->seg) TRY(err_nomem(e, ix->n_seg * sizeof *ix->seg));
  if (sqlite3_prepare_v2(ix->db, "SELECT segment, time_ns, offset, length, xxh3 FROM answers WHERE key = ?1", -1, &ix->find, NULL) != SQLITE_OK)
    TRY(sql_err(b, ix->db, e));
  TRY(take_segments(b, ix, e));
  TRY(take_notes(b, ix, e));
  TRY(take_claims(b, ix, e));
  TRY(take_money(b, ix, e));
  *out = ix;
  ix = NULL;
out:
  book_index_close(ix);
  buf_free(&path);
  return st;
}

enum status book_index_find(struct book *b, const unsigned char key[SEG_KEY], struct entry *en, int *found, struct err *e) {
  struct book_index *ix = b->index;
  *found = 0;
  if (!ix) return STATUS_OK;
  sqlite3_bind_blob(ix->find, 1, key, SEG_KEY, SQLITE_STATIC);
  int rc = sqlite3_step(ix->find);
  if (rc == SQLITE_ROW) {
    int64_t id = sqlite3_column_int64(ix->find, 0);
    memset(en, 0, sizeof *en);
    memcpy(en->key, key, SEG_KEY);
    en->time_ns = (uint64_t)sqlite3_column_int64(ix->find, 1);
    en->offset = (uint64_t)sqlite3_column_int64(ix->find, 2);
    en->length = (uint64_t)sqlite3_column_int64(ix->find, 3);
    en->xxh3 = (uint64_t)sqlite3_column_int64(ix->find, 4);
    *found = id >= 0 && (size_t)id < ix->n_seg;
    if (*found) en->seg = ix->seg[id];
  }
  enum status st = rc == SQLITE_ROW || rc == SQLITE_DONE ? STATUS_OK : sql_err(b, ix->db, e);
  sqlite3_reset(ix->find);
  return st;
}
