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
  TRY(buf_printf(v->report, e, "%s: %" PRIu64 " records (%" PRIu64 " answers, %" PRIu64 " failed, %" PRIu64 " reserved, %" PRIu64 " settled, %" PRIu64 " notes, %" PRIu64 " claims)",
                 name, rep.records, v->count[SEG_ANSWER], v->count[SEG_FAILED], v->count[SEG_RESERVE], v->count[SEG_SETTLE], v->count[SEG_NOTE], v->count[SEG_CLAIM]));
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

enum status book_segments(const char *path, struct arena *a, const char ***names, size_t *n, struct err *e) {
  const char **all;
  size_t n_all;
  char *marker = path_join(a, path, book_marker);
  *n = 0;
  if (!marker) return err_nomem(e, 0);
  if (!file_exists(marker)) return err_set(e, STATUS_IO, "'%s': no book there (no file '%s' in it)", path, book_marker);
  enum status st = folder_list(path, a, &all, &n_all, e);
  for (size_t i = 0; st == STATUS_OK && i < n_all; i++) {
    size_t len = strlen(all[i]);
    if (len > 8 && !strncmp(all[i], "seg-", 4) && !strcmp(all[i] + len - 4, ".seg")) all[(*n)++] = all[i];
  }
  *names = all;
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
  TRY(book_segments(path, a, &names, &n, e));
  for (size_t i = 0; i < n; i++) {
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

/* ---- merge ---- names of segments are unique in the world, so a merge is a copy of files */

static enum status copy_file(const char *from, const char *to, struct err *e) {
  enum status st = STATUS_OK;
  struct file_map m = { 0 };
  struct file_atomic f = { 0 };
  TRY(file_map_open(from, &m, e));
  TRY(file_atomic_open(&f, to, e));
  f.fresh = 0; /* a copy of another merge at the same time: should it be the longer one, the next merge brings the rest */
  if (m.bytes && fwrite(m.p, 1, m.bytes, f.fp) != m.bytes) TRY(err_sys(e, STATUS_IO, "'%s' cannot be written", to));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  file_map_close(&m);
  return st;
}

/* *longer = 1: from goes on where to ends. STATUS_DATA when neither is the beginning of the other. */
static enum status compare(const char *from, const char *to, int *longer, struct err *e) {
  enum status st = STATUS_OK;
  struct file_map a = { 0 }, b = { 0 };
  TRY(file_map_open(from, &a, e));
  TRY(file_map_open(to, &b, e));
  uint64_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
  if (n && memcmp(a.p, b.p, n)) TRY(err_set(e, STATUS_DATA, "'%s' and '%s' have the same name and other contents: verify both books", from, to));
  *longer = a.bytes > b.bytes;
out:
  file_map_close(&a);
  file_map_close(&b);
  return st;
}

enum status book_merge(const char *to, const char *from, uint64_t *copied, struct err *e) {
  enum status st = STATUS_OK;
  const char **names;
  size_t n;
  struct book *made = NULL;
  struct arena *a = arena_new(0);
  *copied = 0;
  if (!a) return err_nomem(e, 0);
  TRY(book_segments(from, a, &names, &n, e));
  TRY(book_open(to, BOOK_CREATE, &made, e));
  for (size_t i = 0; i < n; i++) {
    char *src = path_join(a, from, names[i]), *dst = path_join(a, to, names[i]);
    int copy = 1;
    if (!src || !dst) TRY(err_nomem(e, 0));
    if (file_exists(dst)) TRY(compare(src, dst, &copy, e));
    if (!copy) continue;
    TRY(copy_file(src, dst, e));
    ++*copied;
  }
out:
  if (made) {
    enum status closed = book_close(made, e);
    if (st == STATUS_OK) st = closed;
  }
  arena_free(a);
  return st;
}
