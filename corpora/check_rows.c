/* SPDX-License-Identifier: Apache-2.0
 * Record lines: each line one valid JSON object, known fields of their type (a field has one JSON type, always), ids that
 * occur once. */
#include <fcntl.h>
#include <unistd.h>
#include "checker.h"
#include "hash.h"
#include "line.h"
#include "record.h"

static const struct { const char *key; char type; const char *what; } types[] = {
  { "id", 's', "a string" }, { "text", 's', "a string" }, { "messages", '[', "an array" }, { "tools", '[', "an array" },
  { "rationale", 's', "a string" }, { "scores", '{', "an object" }, { "label", 's', "a string" }, { "choices", '[', "an array" },
  { "passages", '[', "an array" }, { "teacher", '{', "an object" }, { "task", '{', "an object" }, { "meta", '{', "an object" },
  { "split", 's', "a string" }, { "weight", 'n', "a number" },
};

static int is(const char *path) {
  size_t n = strlen(path);
  return (n > 6 && strcmp(path + n - 6, ".jsonl") == 0) || (n > 7 && strcmp(path + n - 7, ".ndjson") == 0);
}

static enum status check_row(struct checker *k, uint64_t line, const struct record *r, struct err *e) {
  enum status st = STATUS_OK;
  struct span m;
  struct err why = { STATUS_OK, "" };
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    struct span v = record_get(r, types[i].key);
    if (v.p && span_type(v) != types[i].type && span_type(v) != '0')
      TRY(check_find(k, STATUS_DATA, e, "row %llu: field '%s' is %s, expected %s", (unsigned long long)line, types[i].key, record_type_name(v), types[i].what));
  }
  st = record_messages(r, k->a, &m, &why);
  if (st != STATUS_OK) TRY(check_find(k, st, e, "row %llu: %s", (unsigned long long)line, why.msg));
out:
  return st;
}

static int by_hash(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static enum status run(struct checker *k, const char *path, struct err *e) {
  enum status st = STATUS_OK;
  struct line_reader *lr = NULL;
  struct buf ids = { 0 };
  struct err why = { STATUS_OK, "" };
  uint64_t rows = 0, twice = 0;
  int got = 1, fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return check_find(k, STATUS_IO, e, "cannot be opened");
  if ((lr = line_reader_new(fd, path, LINE_MAX_DEFAULT)) == NULL) {
    st = err_nomem(e, 0);
    goto out;
  }
  while (got) {
    struct span line, id;
    struct record r;
    arena_reset(k->a);
    st = line_next(lr, &line, &got, &why);
    if (st != STATUS_OK) {
      TRY(check_failed(k, st, &why, e));
      break;
    }
    if (!got) break;
    rows++;
    st = record_split(line, k->a, &r, &why);
    if (st != STATUS_OK) {
      TRY(check_find(k, st, e, "row %llu: %s", (unsigned long long)line_number(lr), why.msg));
      continue;
    }
    TRY(check_row(k, line_number(lr), &r, e));
    if (span_type(record_get(&r, "id")) == 's' && record_id(&r, k->a, &id, NULL) == STATUS_OK) {
      uint64_t h = xxh3(id.p, id.n);
      TRY(buf_put(&ids, &h, sizeof h, e));
    }
  }
  uint64_t *h = (uint64_t *)(void *)ids.p;
  size_t n = ids.n / sizeof *h;
  if (n > 1) qsort(h, n, sizeof *h, by_hash);
  for (size_t i = 1; i < n; i++) twice += h[i] == h[i - 1];
  if (twice) TRY(check_find(k, STATUS_DATA, e, "%llu rows have the id of another row", (unsigned long long)twice));
  TRY(check_fine(k, e, "rows: %llu", (unsigned long long)rows));
out:
  buf_free(&ids);
  line_reader_free(lr);
  close(fd);
  return st;
}

const struct check_kind check_kind_rows = { "rows", "record lines", is, run };
