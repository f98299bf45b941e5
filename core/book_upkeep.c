/* SPDX-License-Identifier: Apache-2.0
 * Upkeep of a book folder: verify every record of every segment. Works on files, beside running writers. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include "book_internal.h"
#include "file.h"

struct verify {
  struct seg_source src;
  struct arena *a;
  uint64_t count[SEG_TYPES], bad;
  struct buf *report;
};

static enum status verify_record(void *ctx, const struct seg_record *r, struct err *e) {
  struct verify *v = ctx;
  struct span payload, x, y;
  struct seg_answer sa;
  struct err why = { STATUS_OK, "" };
  arena_reset(v->a);
  enum status st = seg_payload(&v->src, r, v->a, &payload, &why);
  if (st == STATUS_DATA) return buf_printf(v->report, e, "%s (torn, never committed)\n", why.msg);
  if (st == STATUS_OK && (r->type == SEG_ANSWER || r->type == SEG_FAILED)) st = seg_answer_parse(payload, &sa, &why);
  if (st == STATUS_OK && r->type == SEG_NOTE) st = seg_note_parse(payload, &x, &y, &why);
  if (st == STATUS_IO || st == STATUS_NOMEM) {
    if (e) *e = why;
    return st;
  }
  if (st == STATUS_OK) {
    v->count[r->type < SEG_TYPES ? r->type : 0]++;
    return STATUS_OK;
  }
  v->bad++;
  return buf_printf(v->report, e, "%s\n", why.msg);
}

static enum status verify_segment(const char *path, const char *name, struct verify *v, struct err *e) {
  enum status st = STATUS_OK;
  struct stat info;
  struct seg_report rep;
  struct err why = { STATUS_OK, "" };
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) != 0) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be read", path);
    goto out;
  }
  memset(v->count, 0, sizeof v->count);
  v->src = (struct seg_source){ fd, NULL, (uint64_t)info.st_size, path };
  st = seg_scan(&v->src, 0, verify_record, v, &rep, &why);
  if (st == STATUS_DATA) { /* a damaged head: the rest of the book is still looked at */
    v->bad++;
    st = buf_printf(v->report, e, "%s\n", why.msg);
    goto out;
  }
  if (st != STATUS_OK) {
    if (e) *e = why;
    goto out;
  }
  TRY(buf_printf(v->report, e, "%s: %" PRIu64 " records (%" PRIu64 " answers, %" PRIu64 " failed, %" PRIu64 " reserved, %" PRIu64 " settled, %" PRIu64 " notes)",
                 name, rep.records, v->count[SEG_ANSWER], v->count[SEG_FAILED], v->count[SEG_RESERVE], v->count[SEG_SETTLE], v->count[SEG_NOTE]));
  if (rep.torn_bytes) TRY(buf_printf(v->report, e, ", last record torn (%" PRIu64 " bytes, never committed; or being written now)", rep.torn_bytes));
  if (rep.damaged_bytes) {
    v->bad++;
    TRY(buf_printf(v->report, e, ", %" PRIu64 " DAMAGED bytes from byte %" PRIu64 " on", rep.damaged_bytes, rep.damaged_at));
  }
  TRY(buf_putc(v->report, '\n', e));
out:
  if (fd >= 0) close(fd);
  return st;
}

enum status book_verify(const char *path, struct buf *report, struct err *e) {
  enum status st = STATUS_OK;
  const char **names;
  size_t n;
  struct verify v = { .report = report };
  struct arena *a = arena_new(0);
  v.a = arena_new(0);
  if (!a || !v.a) TRY(err_nomem(e, 0));
  char *marker = path_join(a, path, book_marker);
  if (!marker) TRY(err_nomem(e, 0));
  if (!file_exists(marker)) TRY(err_set(e, STATUS_IO, "'%s': no book there (no file '%s' in it)", path, book_marker));
  TRY(folder_list(path, a, &names, &n, e));
  for (size_t i = 0; i < n; i++) {
    size_t len = strlen(names[i]);
    if (len < 8 || strncmp(names[i], "seg-", 4) || strcmp(names[i] + len - 4, ".seg")) continue;
    char *seg = path_join(a, path, names[i]);
    if (!seg) TRY(err_nomem(e, 0));
    TRY(verify_segment(seg, names[i], &v, e));
  }
  if (v.bad) st = err_set(e, STATUS_CHECKSUM, "'%s': %" PRIu64 " damaged places; all else is readable; 'retort book compact' drops what is damaged", path, v.bad);
out:
  arena_free(a);
  arena_free(v.a);
  return st;
}
