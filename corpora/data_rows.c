/* SPDX-License-Identifier: Apache-2.0
 * Rows of a file. */
#include "data_rows.h"
#include <fcntl.h>
#include <unistd.h>
#include "line.h"

enum status rows_of_file(const char *path, enum status (*f)(void *ctx, const struct record *r, struct arena *a, struct err *e), void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  int fd = open(path, O_RDONLY | O_CLOEXEC), got = 1;
  struct arena *a = arena_new(0);
  struct line_reader *lr = fd < 0 ? NULL : line_reader_new(fd, path, LINE_MAX_DEFAULT);
  if (fd < 0 || !a || !lr) {
    st = fd < 0 ? err_sys(e, STATUS_IO, "'%s': cannot open", path) : err_nomem(e, 0);
    goto out;
  }
  while (got) {
    struct span line;
    struct record r;
    arena_reset(a);
    TRY(line_next(lr, &line, &got, e));
    if (!got) break;
    st = record_split(line, a, &r, e);
    if (st == STATUS_OK) st = f(ctx, &r, a, e);
    if (st != STATUS_OK) {
      err_prefix(e, "'%s' row %llu", path, (unsigned long long)line_number(lr));
      goto out;
    }
  }
out:
  line_reader_free(lr);
  arena_free(a);
  if (fd >= 0) close(fd);
  return st;
}
