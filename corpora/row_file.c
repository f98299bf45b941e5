/* SPDX-License-Identifier: Apache-2.0
 * A walk over a file of record lines (row_file.h). */
#include "row_file.h"
#include <fcntl.h>
#include <unistd.h>
#include "line.h"
#include "record.h"

enum status row_file_each(const char *path, row_file_do f, void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  int fd = open(path, O_RDONLY | O_CLOEXEC), got = 1;
  struct arena *a = arena_new(0);
  struct line_reader *lr = fd < 0 ? NULL : line_reader_new(fd, path, LINE_MAX_DEFAULT);
  if (fd < 0 || !a || !lr) {
    st = fd < 0 ? err_sys(e, STATUS_IO, "'%s': cannot open", path) : err_nomem(e, 0);
    goto out;
  }
  for (;;) {
    struct span line, id;
    struct record r;
    arena_reset(a);
    TRY(line_next(lr, &line, &got, e));
    if (!got) break;
    st = record_split(line, a, &r, e);
    if (st == STATUS_OK) st = record_id(&r, a, &id, e);
    if (st != STATUS_OK) {
      err_prefix(e, "'%s' row %llu", path, (unsigned long long)line_number(lr));
      goto out;
    }
    TRY(f(ctx, line, id, (unsigned long long)line_number(lr), a, e));
  }
out:
  line_reader_free(lr);
  arena_free(a);
  if (fd >= 0) close(fd);
  return st;
}
