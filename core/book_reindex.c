/* SPDX-License-Identifier: Apache-2.0
 * `retort book index`: builds index.sqlite from the segments, beside running writers (what they add later is scanned at
 * opening). Of several answers under one key the earliest counts, as in memory. */
#include "book_reindex.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>
#include "book_internal.h"
#include "file.h"
#include "file_part.h"
#include "log.h"

static const char schema[] =
  "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
  "CREATE TABLE segments (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL);"
  "CREATE TABLE answers (key BLOB PRIMARY KEY, segment INTEGER NOT NULL, time_ns INTEGER NOT NULL, offset INTEGER NOT NULL,"
  " length INTEGER NOT NULL, xxh3 INTEGER NOT NULL, meta TEXT NOT NULL) WITHOUT ROWID;"
  "CREATE TABLE failed (key BLOB NOT NULL, segment INTEGER NOT NULL, time_ns INTEGER NOT NULL, offset INTEGER NOT NULL,"
  " length INTEGER NOT NULL, xxh3 INTEGER NOT NULL, meta TEXT NOT NULL);"
  "CREATE TABLE money (id INTEGER PRIMARY KEY, model TEXT, stage TEXT, priced INTEGER, reserved INTEGER, settled INTEGER, tokens_in INTEGER,"
  " tokens_out INTEGER, time_ns INTEGER NOT NULL);"
  "CREATE TABLE claims (key BLOB NOT NULL, segment INTEGER NOT NULL);"
  "CREATE TABLE notes (kind TEXT NOT NULL, time_ns INTEGER NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL,"
  " length INTEGER NOT NULL, xxh3 INTEGER NOT NULL, json TEXT NOT NULL);";

enum sql { SQL_SEGMENT, SQL_ANSWER, SQL_FAILED, SQL_RESERVE, SQL_SETTLE, SQL_NOTE, SQL_CLAIM, SQL_COUNT };
static const char *const sql_text[SQL_COUNT] = {
  "INSERT INTO segments VALUES (?1, ?2, ?3)",
  "INSERT INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO UPDATE SET segment = excluded.segment,"
  " time_ns = excluded.time_ns, offset = excluded.offset, length = excluded.length, xxh3 = excluded.xxh3, meta = excluded.meta"
  " WHERE excluded.time_ns < answers.time_ns",
  "INSERT INTO failed VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
  "INSERT INTO money (id, time_ns, reserved, model, stage, priced) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET"
  " reserved = coalesce(money.reserved, excluded.reserved), model = coalesce(money.model, excluded.model),"
  " stage = coalesce(money.stage, excluded.stage), priced = coalesce(money.priced, excluded.priced)",
  "INSERT INTO money (id, time_ns, settled, tokens_in, tokens_out) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET"
  " settled = coalesce(money.settled, excluded.settled), tokens_in = coalesce(money.tokens_in, excluded.tokens_in),"
  " tokens_out = coalesce(money.tokens_out, excluded.tokens_out)",
  "INSERT INTO notes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
  "INSERT INTO claims VALUES (?1, ?2)"
};

struct build {
  sqlite3 *db;
  sqlite3_stmt *q[SQL_COUNT];
  struct seg_source src;
  int64_t seg;
  struct arena *a;
};

static enum status sql_err(struct build *x, struct err *e) { return err_set(e, STATUS_IO, "index of the book: %s", x->db ? sqlite3_errmsg(x->db) : "cannot be made"); }

static enum status run(struct build *x, enum sql k, struct err *e) {
  int rc = sqlite3_step(x->q[k]);
  sqlite3_reset(x->q[k]);
  return rc == SQLITE_DONE ? STATUS_OK : sql_err(x, e);
}

static void bind_place(sqlite3_stmt *q, int at, const struct seg_record *r) {
  sqlite3_bind_int64(q, at, (int64_t)r->offset);
  sqlite3_bind_int64(q, at + 1, (int64_t)r->length);
  sqlite3_bind_int64(q, at + 2, (int64_t)r->xxh3);
}

static enum status add_answer(struct build *x, enum sql k, const struct seg_record *r, struct span payload, struct err *e) {
  struct seg_answer sa;
  struct err ignored;
  sqlite3_stmt *q = x->q[k];
  if (seg_answer_parse(payload, &sa, &ignored) != STATUS_OK) return STATUS_OK;
  sqlite3_bind_blob(q, 1, sa.key, SEG_KEY, SQLITE_STATIC);
  sqlite3_bind_int64(q, 2, x->seg);
  sqlite3_bind_int64(q, 3, (int64_t)r->time_ns);
  bind_place(q, 4, r);
  sqlite3_bind_text(q, 7, sa.meta.p, (int)sa.meta.n, SQLITE_STATIC);
  return run(x, k, e);
}

static enum status add_money(struct build *x, const struct seg_record *r, struct span payload, struct err *e) {
  const unsigned char *p = (const unsigned char *)payload.p;
  enum sql k = r->type == SEG_RESERVE ? SQL_RESERVE : SQL_SETTLE;
  sqlite3_stmt *q = x->q[k];
  if (payload.n < (k == SQL_RESERVE ? 16u : 32u)) return STATUS_OK;
  sqlite3_bind_int64(q, 1, (int64_t)seg_u64(p));
  sqlite3_bind_int64(q, 2, (int64_t)r->time_ns);
  sqlite3_bind_int64(q, 3, (int64_t)seg_u64(p + 8));
  if (k == SQL_RESERVE) {
    struct seg_spender who = seg_spender(payload);
    sqlite3_bind_text(q, 4, who.model.p, (int)who.model.n, SQLITE_STATIC);
    sqlite3_bind_text(q, 5, who.stage.p, (int)who.stage.n, SQLITE_STATIC);
    sqlite3_bind_int(q, 6, who.priced);
  } else {
    sqlite3_bind_int64(q, 4, (int64_t)seg_u64(p + 16));
    sqlite3_bind_int64(q, 5, (int64_t)seg_u64(p + 24));
  }
  return run(x, k, e);
}

static enum status add_claim(struct build *x, struct span payload, struct err *e) {
  if (payload.n < SEG_KEY) return STATUS_OK;
  sqlite3_bind_blob(x->q[SQL_CLAIM], 1, payload.p, SEG_KEY, SQLITE_STATIC);
  sqlite3_bind_int64(x->q[SQL_CLAIM], 2, x->seg);
  return run(x, SQL_CLAIM, e);
}

static enum status add_record(void *ctx, const struct seg_record *r, struct err *e) {
  struct build *x = ctx;
  struct span payload, kind, json;
  struct err why = { STATUS_OK, "" };
  arena_reset(x->a);
  enum status st = seg_payload(&x->src, r, x->a, &payload, &why);
  if (st == STATUS_DATA || st == STATUS_CHECKSUM) { /* reported by verify; looked for in vain here */
    log_warn("%s", why.msg);
    return STATUS_OK;
  }
  if (st != STATUS_OK) {
    if (e) *e = why;
    return st;
  }
  switch (r->type) {
    case SEG_ANSWER: return add_answer(x, SQL_ANSWER, r, payload, e);
    case SEG_FAILED: return add_answer(x, SQL_FAILED, r, payload, e);
    case SEG_RESERVE: case SEG_SETTLE: return add_money(x, r, payload, e);
    case SEG_CLAIM: return add_claim(x, payload, e);
    case SEG_NOTE: break;
    default: return STATUS_OK;
  }
  if (seg_note_parse(payload, &kind, &json, &why) != STATUS_OK) return STATUS_OK;
  sqlite3_stmt *q = x->q[SQL_NOTE];
  sqlite3_bind_text(q, 1, kind.p, (int)kind.n, SQLITE_STATIC);
  sqlite3_bind_int64(q, 2, (int64_t)r->time_ns);
  sqlite3_bind_int64(q, 3, x->seg);
  bind_place(q, 4, r);
  sqlite3_bind_text(q, 7, json.p, (int)json.n, SQLITE_STATIC);
  return run(x, SQL_NOTE, e);
}

static enum status add_segment(struct build *x, const char *path, const char *name, struct err *e) {
  enum status st = STATUS_OK;
  struct stat info;
  struct seg_report rep;
  struct err why = { STATUS_OK, "" };
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) != 0) TRY(err_sys(e, STATUS_IO, "'%s' cannot be read", path));
  x->src = (struct seg_source){ fd, NULL, (uint64_t)info.st_size, path };
  st = seg_scan(&x->src, 0, add_record, x, &rep, &why);
  if (st == STATUS_DATA) {
    log_warn("%s; left out", why.msg);
    st = STATUS_OK;
    goto out;
  }
  if (st != STATUS_OK) {
    if (e) *e = why;
    goto out;
  }
  sqlite3_bind_int64(x->q[SQL_SEGMENT], 1, x->seg);
  sqlite3_bind_text(x->q[SQL_SEGMENT], 2, name, -1, SQLITE_STATIC);
  sqlite3_bind_int64(x->q[SQL_SEGMENT], 3, (int64_t)rep.end);
  TRY(run(x, SQL_SEGMENT, e));
  x->seg++;
out:
  if (fd >= 0) close(fd);
  return st;
}

static enum status exec(struct build *x, const char *sql, struct err *e) {
  return sqlite3_exec(x->db, sql, NULL, NULL, NULL) == SQLITE_OK ? STATUS_OK : sql_err(x, e);
}

enum status book_reindex(const char *path, struct err *e) {
  enum status st = STATUS_OK;
  struct build x = { 0 };
  const char **names;
  size_t n;
  char *tmp = NULL, version[64];
  struct arena *a = arena_new(0);
  x.a = arena_new(0);
  if (!a || !x.a) TRY(err_nomem(e, 0));
  TRY(book_segments(path, a, &names, &n, e));
  char *final = path_join(a, path, "index.sqlite");
  if (!final) TRY(err_nomem(e, 0));
  file_part_drop_dead(final);
  tmp = file_part_name(final);
  if (!tmp) TRY(err_nomem(e, 0));
  (void)unlink(tmp);
  if (sqlite3_open_v2(tmp, &x.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK) TRY(sql_err(&x, e));
  TRY(exec(&x, schema, e));
  for (int k = 0; k < SQL_COUNT; k++)
    if (sqlite3_prepare_v2(x.db, sql_text[k], -1, &x.q[k], NULL) != SQLITE_OK) TRY(sql_err(&x, e));
  for (size_t i = 0; i < n; i++) {
    char *seg = path_join(a, path, names[i]);
    if (!seg) TRY(err_nomem(e, 0));
    TRY(add_segment(&x, seg, names[i], e));
  }
  TRY(exec(&x, "DELETE FROM claims WHERE key IN (SELECT key FROM answers) OR EXISTS"
               " (SELECT 1 FROM failed WHERE failed.key = claims.key AND failed.segment = claims.segment);", e)); /* what is left is open */
  snprintf(version, sizeof version, "PRAGMA user_version = %d; COMMIT;", BOOK_INDEX_VERSION);
  TRY(exec(&x, version, e));
  for (int k = 0; k < SQL_COUNT; k++) sqlite3_finalize(x.q[k]), x.q[k] = NULL;
  sqlite3_close(x.db);
  x.db = NULL;
  if (rename(tmp, final) != 0) TRY(err_sys(e, STATUS_IO, "'%s' cannot be renamed", tmp));
out:
  for (int k = 0; k < SQL_COUNT; k++) sqlite3_finalize(x.q[k]);
  sqlite3_close(x.db);
  if (st != STATUS_OK && tmp) (void)unlink(tmp);
  mem_free(tmp);
  arena_free(x.a);
  arena_free(a);
  return st;
}
