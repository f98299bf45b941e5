/* SPDX-License-Identifier: Apache-2.0
 * `retort cost [BOOK]`: what a book's teachers were paid, by stage, model and day (UTC). Read from the segments themselves, so it
 * needs no index and may run beside writers. Reservations that were never settled count as spent and are shown apart. */
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>
#include "book_internal.h"
#include "json.h"
#include "stage.h"

struct cost_options { int json; };
static const struct opt_row rows[] = {
  OPT_ROW(cost_options, json, "json", 0, OPT_FLAG, NULL, NULL, NULL, "one JSON object a line"),
  OPT_END
};

struct cost {
  struct ctx *c;
  sqlite3 *db;
  sqlite3_stmt *reserve, *settle;
  struct seg_source src;
  struct arena *a;
};

static enum status sql_err(const struct cost *x, struct err *e) { return err_set(e, STATUS_NOMEM, "cost: %s", x->db ? sqlite3_errmsg(x->db) : "no memory"); }

static enum status run_sql(struct cost *x, sqlite3_stmt *q, struct err *e) {
  int rc = sqlite3_step(q);
  sqlite3_reset(q);
  return rc == SQLITE_DONE ? STATUS_OK : sql_err(x, e);
}

static enum status take(void *ctx, const struct seg_record *r, struct err *e) {
  enum status st = STATUS_OK;
  struct cost *x = ctx;
  struct span v;
  struct err why = { STATUS_OK, "" };
  if (r->type != SEG_RESERVE && r->type != SEG_SETTLE) return STATUS_OK;
  arena_reset(x->a);
  st = seg_payload(&x->src, r, x->a, &v, &why);
  if (st == STATUS_DATA || st == STATUS_CHECKSUM || (st == STATUS_OK && v.n < (r->type == SEG_RESERVE ? 16u : 32u))) return STATUS_OK; /* verify tells */
  if (st != STATUS_OK) return err_set(e, st, "%s", why.msg);
  const unsigned char *p = (const unsigned char *)v.p;
  if (r->type == SEG_RESERVE) {
    struct seg_spender who = seg_spender(v);
    sqlite3_bind_int64(x->reserve, 1, (int64_t)seg_u64(p));
    sqlite3_bind_text(x->reserve, 2, who.stage.p, (int)who.stage.n, SQLITE_STATIC);
    sqlite3_bind_text(x->reserve, 3, who.model.p, (int)who.model.n, SQLITE_STATIC);
    sqlite3_bind_int64(x->reserve, 4, (int64_t)(r->time_ns / 1000000000u));
    sqlite3_bind_int(x->reserve, 5, who.priced);
    sqlite3_bind_int64(x->reserve, 6, (int64_t)seg_u64(p + 8));
    return run_sql(x, x->reserve, e);
  }
  for (int i = 0; i < 4; i++) sqlite3_bind_int64(x->settle, i + 1, (int64_t)seg_u64(p + 8 * i));
  return run_sql(x, x->settle, e);
}

static enum status read_segment(struct cost *x, const char *path, struct err *e) {
  enum status st = STATUS_OK;
  struct stat info;
  struct seg_report rep;
  struct err why = { STATUS_OK, "" };
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) != 0) TRY(err_sys(e, STATUS_IO, "'%s' cannot be read", path));
  x->src = (struct seg_source){ fd, NULL, (uint64_t)info.st_size, path };
  st = seg_scan(&x->src, 0, take, x, &rep, &why);
  st = st == STATUS_OK || st == STATUS_DATA ? STATUS_OK : err_set(e, st, "%s", why.msg);
out:
  if (fd >= 0) close(fd);
  return st;
}

static const char setup[] =
  "CREATE TABLE money (id INTEGER PRIMARY KEY, stage TEXT, model TEXT, time INTEGER, priced INTEGER, reserved INTEGER,"
  " settled INTEGER, tokens_in INTEGER, tokens_out INTEGER)";
static const char sums[] =
  "SELECT coalesce(stage, ''), coalesce(model, ''), date(time, 'unixepoch'), count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0),"
  " coalesce(sum(settled), 0), coalesce(sum(CASE WHEN settled IS NULL THEN reserved END), 0), sum(settled IS NULL), min(coalesce(priced, 1))"
  " FROM money GROUP BY 1, 2, 3 ORDER BY 3, 1, 2";

static enum status print_row(struct cost *x, sqlite3_stmt *q, int json, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  const char *text[3];
  for (int i = 0; i < 3; i++) text[i] = sqlite3_column_text(q, i) ? (const char *)sqlite3_column_text(q, i) : "";
  int64_t n[5];
  for (int i = 0; i < 5; i++) n[i] = sqlite3_column_int64(q, 3 + i);
  int64_t open_n = sqlite3_column_int64(q, 8);
  int priced = sqlite3_column_int(q, 9);
  if (!json) {
    char usd[32];
    snprintf(usd, sizeof usd, priced ? "%.6f" : "no price", (double)n[3] / 1e6);
    st = ctx_print(x->c, e, "%-10s  %-8s  %-28s %9" PRId64 " %12" PRId64 " %12" PRId64 " %12s %12.6f\n", text[2], text[0], text[1], n[0], n[1], n[2], usd, (double)n[4] / 1e6);
    goto out;
  }
  static const char *const names[] = { "{\"stage\":", ",\"model\":", ",\"day\":" };
  for (int i = 0; i < 3; i++) {
    TRY(buf_puts(&b, names[i], e));
    TRY(json_put_cstr(&b, text[i], e));
  }
  TRY(buf_printf(&b, e, ",\"requests\":%" PRId64 ",\"tokens_in\":%" PRId64 ",\"tokens_out\":%" PRId64 ",\"usd\":%.6f,\"usd_unsettled\":%.6f,\"unsettled\":%" PRId64 ",\"priced\":%s}",
                 n[0], n[1], n[2], (double)n[3] / 1e6, (double)n[4] / 1e6, open_n, priced ? "true" : "false"));
  TRY(ctx_print(x->c, e, "%s\n", b.p));
out:
  buf_free(&b);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  const struct cost_options *o = options;
  struct cost x = { .c = c, .a = arena_new(0) };
  struct arena *a = ctx_arena(c);
  const char **names, *path = args->n ? args->item[0] : ctx_common(c)->book ? ctx_common(c)->book : "retort.book";
  sqlite3_stmt *q = NULL;
  size_t n;
  int64_t spent = 0;
  if (args->n > 1) TRY(err_set(e, STATUS_USAGE, "'%s': one argument too many", args->item[1]));
  if (!x.a) TRY(err_nomem(e, 0));
  TRY(book_segments(path, a, &names, &n, e));
  if (sqlite3_open_v2("", &x.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK || /* a temporary file when it is large */
      sqlite3_exec(x.db, setup, NULL, NULL, NULL) != SQLITE_OK || sqlite3_exec(x.db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
      sqlite3_prepare_v2(x.db, "INSERT INTO money (id, stage, model, time, priced, reserved) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING", -1, &x.reserve, NULL) != SQLITE_OK ||
      sqlite3_prepare_v2(x.db, "INSERT INTO money (id, settled, tokens_in, tokens_out) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET settled = excluded.settled,"
                               " tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out", -1, &x.settle, NULL) != SQLITE_OK)
    TRY(sql_err(&x, e));
  for (size_t i = 0; i < n; i++) {
    char *seg = arena_printf(a, "%s/%s", path, names[i]);
    if (!seg) TRY(err_nomem(e, 0));
    TRY(read_segment(&x, seg, e));
  }
  if (sqlite3_prepare_v2(x.db, sums, -1, &q, NULL) != SQLITE_OK) TRY(sql_err(&x, e));
  if (!o->json) TRY(ctx_print(c, e, "%-10s  %-8s  %-28s %9s %12s %12s %12s %12s\n", "day", "stage", "model", "requests", "tokens in", "tokens out", "USD", "unsettled"));
  while (sqlite3_step(q) == SQLITE_ROW) {
    TRY(print_row(&x, q, o->json, e));
    spent += sqlite3_column_int64(q, 6) + sqlite3_column_int64(q, 7);
  }
  if (!o->json) TRY(ctx_print(c, e, "spent, with what was sent and never settled: %.6f USD\n", (double)spent / 1e6));
out:
  sqlite3_finalize(q);
  sqlite3_finalize(x.reserve);
  sqlite3_finalize(x.settle);
  sqlite3_close(x.db);
  arena_free(x.a);
  return st;
}

const struct stage stage_cost = {
  .name = "cost",
  .args = "[BOOK]",
  .summary = "sum what teachers were paid, by stage, model and day",
  .details =
    "BOOK is --book, RETORT_BOOK or ./retort.book. Requests are attempts; \"unsettled\" is money of requests whose answer never\n"
    "came (a killed process, a broken connection): it counts as spent, because it may have been billed. \"no price\" marks models\n"
    "that neither the shipped table nor --prices knew.\n"
    "\n"
    "  retort cost my.book\n"
    "  retort cost --json | jq -s 'map(.usd + .usd_unsettled) | add'",
  .flags = 0,
  .options = rows,
  .options_bytes = sizeof(struct cost_options),
  .run = run,
};
