/* SPDX-License-Identifier: Apache-2.0
 * Lines from a file descriptor. Waiting happens in poll, with a time-out, so that a stop request ends it even when the
 * signal came between the check and the call. The buffer grows with the longest line only. */
#include "line.h"
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include "stop.h"

enum { READ_BYTES = 256 << 10, POLL_MS = 250 };
struct line_reader {
  int fd, end;
  char *name, *buf;
  size_t start, seen, n, cap, max_bytes; /* lines in [start, n); no newline in [start, seen) */
  uint64_t number;
};

struct line_reader *line_reader_new(int fd, const char *name, size_t max_bytes) {
  struct line_reader *r = mem_calloc(1, sizeof *r);
  if (!r) return NULL;
  r->fd = fd;
  r->max_bytes = max_bytes ? max_bytes : LINE_MAX_DEFAULT;
  r->cap = READ_BYTES;
  r->name = mem_strdup(name);
  r->buf = mem_alloc(r->cap);
  if (r->name && r->buf) return r;
  line_reader_free(r);
  return NULL;
}

void line_reader_free(struct line_reader *r) {
  if (!r) return;
  mem_free(r->name);
  mem_free(r->buf);
  mem_free(r);
}

uint64_t line_number(const struct line_reader *r) { return r->number; }

int line_ready(struct line_reader *r) {
  if (r->end) return 1;
  const char *nl = r->n > r->seen ? memchr(r->buf + r->seen, '\n', r->n - r->seen) : NULL;
  if (nl) return 1;
  r->seen = r->n;
  struct pollfd p = { r->fd, POLLIN, 0 };
  return poll(&p, 1, 0) != 0;
}

/* Room for READ_BYTES more, by moving the open line to the front or by growing. */
static enum status make_room(struct line_reader *r, struct err *e) {
  if (r->cap - r->n >= READ_BYTES) return STATUS_OK;
  if (r->start > 0) {
    memmove(r->buf, r->buf + r->start, r->n - r->start);
    r->n -= r->start;
    r->seen -= r->start;
    r->start = 0;
  }
  if (r->cap - r->n >= READ_BYTES) return STATUS_OK;
  size_t more = r->cap * 2, most = r->max_bytes + 2 * (size_t)READ_BYTES;
  if (more > most) more = most; /* the length check in line_next fires before this is full */
  if (more - r->n < READ_BYTES) more = r->n + READ_BYTES;
  char *p = mem_realloc(r->buf, more);
  if (!p) return err_nomem(e, more);
  r->buf = p;
  r->cap = more;
  return STATUS_OK;
}

static enum status fill(struct line_reader *r, struct err *e) {
  enum status st = make_room(r, e);
  if (st != STATUS_OK) return st;
  for (;;) {
    if (stop_requested()) return err_set(e, STATUS_STOPPED, "'%s': stopped while waiting for row %llu", r->name, (unsigned long long)r->number + 1);
    struct pollfd p = { r->fd, POLLIN, 0 };
    int ready = poll(&p, 1, POLL_MS);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    if (ready < 0) return err_sys(e, STATUS_IO, "'%s': cannot wait for input", r->name);
    ssize_t got = read(r->fd, r->buf + r->n, r->cap - r->n);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return err_sys(e, STATUS_IO, "'%s': cannot read row %llu", r->name, (unsigned long long)r->number + 1);
    if (got == 0) r->end = 1;
    r->n += (size_t)got;
    return STATUS_OK;
  }
}

enum status line_next(struct line_reader *r, struct span *line, int *got, struct err *e) {
  enum status st;
  *got = 0;
  *line = (struct span){ NULL, 0 };
  if (stop_requested()) return err_set(e, STATUS_STOPPED, "'%s': stopped after row %llu", r->name, (unsigned long long)r->number);
  for (;;) {
    const char *nl = r->n > r->seen ? memchr(r->buf + r->seen, '\n', r->n - r->seen) : NULL;
    if (!nl) r->seen = r->n;
    size_t len = (nl ? (size_t)(nl - r->buf) : r->n) - r->start;
    if (len > r->max_bytes)
      return err_set(e, STATUS_LIMIT, "'%s': row %llu is longer than %zu bytes: split it, or look whether line breaks are missing",
                     r->name, (unsigned long long)r->number + 1, r->max_bytes);
    if (!nl && !r->end) {
      st = fill(r, e);
      if (st != STATUS_OK) return st;
      continue;
    }
    if (!nl && len == 0) return STATUS_OK; /* the end */
    *line = (struct span){ r->buf + r->start, len };
    r->start += len + (nl ? 1 : 0);
    r->seen = r->start;
    r->number++;
    if (line->n > 0 && line->p[line->n - 1] == '\r') line->n--;
    if (line->n == 0) continue;
    *got = 1;
    return STATUS_OK;
  }
}
