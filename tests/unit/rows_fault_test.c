/* SPDX-License-Identifier: Apache-2.0
 * Every allocation of the row, book and ledger code fails once: only "ok" or "out of memory" may come back, the book stays
 * sound, and what was committed before is still found. (Leaks show under AddressSanitizer.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>
#include "book.h"
#include "file.h"
#include "flow.h"
#include "json.h"
#include "ledger.h"
#include "line.h"
#include "log.h"
#include "workers.h"

static struct span S(const char *s) { return (struct span){ s, strlen(s) }; }
static char dir[64];

/* Fails allocation 1, 2, 3... of f until a run meets none. */
static void each_allocation(enum status (*f)(struct err *e), const char *what, long least) {
  long n = 1;
  for (;; n++) {
    struct err e = { STATUS_OK, "" };
    mem_fail_at(n);
    enum status st = f(&e);
    int hit = mem_failed();
    mem_fail_at(0);
    if (st != STATUS_OK && !(st == STATUS_NOMEM && hit)) fail_msg("%s, allocation %ld: %s %s", what, n, status_name(st), e.msg);
    if (!hit) break;
    if (n > 5000) fail_msg("%s: no end", what);
  }
  if (n <= least) fail_msg("%s: only %ld allocations met", what, n - 1);
}

static enum status rows(struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  struct buf out = { 0 };
  struct record r;
  struct span text;
  struct json *j = NULL;
  if (!a) return err_nomem(e, 0);
  TRY(record_split(S("{\"id\":\"a\",\"text\":\"x\\ny\",\"n\":[1,2.5,{\"k\":\"v\"}]}"), a, &r, e));
  TRY(span_string(record_get(&r, "text"), a, &text, e));
  TRY(record_set(&r, "fresh", S("[1]"), &out, e));
  TRY(json_put_string(&out, text, e));
  TRY(json_parse(record_get(&r, "n"), "n", &j, e));
  TRY(json_put(&out, j, e));
out:
  json_free(j);
  buf_free(&out);
  arena_free(a);
  return st;
}

static enum status lines(struct err *e) {
  enum status st = STATUS_OK;
  int p[2], got = 1;
  struct span line;
  if (pipe(p) != 0) return err_sys(e, STATUS_IO, "pipe");
  if (write(p[1], "a\nb\n", 4) != 4) return err_sys(e, STATUS_IO, "pipe");
  close(p[1]);
  struct line_reader *r = line_reader_new(p[0], "-", 0);
  if (!r) st = err_nomem(e, 0);
  while (r && got) TRY(line_next(r, &line, &got, e));
out:
  line_reader_free(r);
  close(p[0]);
  return st;
}

static enum status no_note(void *ctx, struct span json, struct err *e) {
  (void)ctx;
  return span_check_json(json, e);
}

static long fail_next; /* number of the allocation that fails in this run */
static enum status book_armed(struct err *e) {
  enum status st = STATUS_OK, closed;
  struct book *b = NULL;
  struct arena *a = NULL;
  struct book_answer ans = { S("body 2"), S("answer"), S("{}") }, back;
  struct buf report = { 0 };
  struct flow_run *runs;
  struct ledger *l = NULL;
  unsigned char key[32];
  uint64_t id;
  size_t n;
  int found = 0, committed = 0;
  long at = ++fail_next;
  if (folder_remove(dir, e) != STATUS_OK) return STATUS_IO; /* the same start each time */
  book_key(S("t"), S("body 2"), 0, key); /* has no error to give */
  mem_fail_at(at);
  a = arena_new(0);
  if (!a) return err_nomem(e, 0);
  TRY(book_open(dir, BOOK_CREATE, &b, e));
  TRY(book_put(b, key, &ans, e));
  TRY(book_commit(b, e));
  committed = 1;
  TRY(book_find(b, key, ans.body, a, &back, &found, e));
  if (!found) TRY(err_set(e, STATUS_DATA, "a committed answer is gone"));
  TRY(book_reserve(b, "m", 5, UINT64_MAX, &id, e));
  TRY(book_settle(b, id, 5, 1, 1, e));
  l = ledger_new("test", b);
  if (!l) TRY(err_nomem(e, 0));
  TRY(ledger_open(l, -1, -1, S("{}"), e));
  ledger_in(l, S("{}"));
  ledger_dropped(l, "why");
  TRY(ledger_close(l, e));
  TRY(book_notes(b, "run", no_note, NULL, e));
  TRY(flow_load(b, a, &runs, &n, e));
  TRY(book_verify(dir, &report, e));
  TRY(book_reindex(dir, e));
out:
  ledger_free(l);
  closed = book_close(b, st == STATUS_OK ? e : NULL);
  if (st == STATUS_OK) st = closed;
  buf_free(&report);
  arena_free(a);
  int hit = mem_failed();
  mem_fail_at(0);
  if (committed) { /* whatever failed later */
    struct err second;
    struct arena *fresh = arena_new(0);
    assert_int_equal(book_open(dir, BOOK_READ, &b, &second), STATUS_OK);
    assert_int_equal(book_find(b, key, ans.body, fresh, &back, &found, &second), STATUS_OK);
    assert_int_equal(found, 1);
    assert_int_equal(book_close(b, &second), STATUS_OK);
    arena_free(fresh);
  }
  if (st != STATUS_OK && !(st == STATUS_NOMEM && hit)) fail_msg("book, allocation %ld: %s %s", at, status_name(st), e->msg);
  return hit ? STATUS_NOMEM : st;
}

static enum status rd(void *ctx, struct work_item *it, int *got, struct err *e) {
  int *left = ctx;
  *got = 0;
  if (*left == 0) return STATUS_OK;
  it->user = mem_alloc(8);
  if (!it->user) return err_nomem(e, 8);
  it->bytes = 8;
  --*left;
  *got = 1;
  return STATUS_OK;
}
static enum status wk(void *ctx, struct work_item *it, int worker, struct err *e) {
  (void)ctx, (void)it, (void)worker;
  char *p = mem_alloc(8);
  if (!p) return err_nomem(e, 8);
  mem_free(p);
  return STATUS_OK;
}
static enum status wr(void *ctx, struct work_item *it, struct err *e) {
  (void)ctx, (void)e;
  mem_free(it->user);
  return STATUS_OK;
}
static void dr(void *ctx, struct work_item *it) {
  (void)ctx;
  mem_free(it->user);
}
static enum status workers(struct err *e) {
  const struct workers_ops ops = { rd, wk, wr, dr, NULL };
  int left = 20;
  return workers_run(&ops, &left, 2, 100, e);
}

static void row_code(void **state) {
  (void)state;
  each_allocation(rows, "rows", 6);
  each_allocation(lines, "lines", 3);
  each_allocation(workers, "workers", 20);
}

static void book_code(void **state) {
  (void)state;
  struct err e = { STATUS_OK, "" };
  fail_next = 0;
  while (book_armed(&e) == STATUS_NOMEM) assert_true(fail_next < 2000);
  assert_true(fail_next > 40); /* so many allocations were met */
}

static int set_up(void **state) {
  (void)state;
  memcpy(dir, "/tmp/retort-fault-XXXXXX", 25);
  return mkdtemp(dir) == NULL;
}
static int tear_down(void **state) {
  (void)state;
  struct err e;
  return folder_remove(dir, &e) != STATUS_OK;
}

int main(void) {
  log_setup("test", LOG_ERROR, 0, 0);
  const struct CMUnitTest tests[] = { cmocka_unit_test(row_code), cmocka_unit_test(book_code) };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
