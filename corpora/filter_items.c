/* SPDX-License-Identifier: Apache-2.0
 * Reading evaluation items. */
#include "filter_items.h"
#include <fcntl.h>
#include <unistd.h>
#include "line.h"
#include "record.h"

static enum status item_text(const struct record *r, struct arena *a, struct span *text, struct err *e) {
  struct buf b = { 0 };
  enum status st;
  TRY(record_text(r, a, text, e));
  if (text->n) goto out;
  for (size_t i = 0; i < r->n_fields; i++) {
    struct span s;
    if (span_type(r->field[i].value) != 's' || span_key_is(r->field[i].key, "id")) continue;
    TRY(span_string(r->field[i].value, a, &s, e));
    TRY(buf_put(&b, s.p, s.n, e));
    TRY(buf_putc(&b, '\n', e));
  }
  char *p = arena_strndup(a, b.p ? b.p : "", b.n);
  if (!p) st = err_nomem(e, b.n);
  *text = (struct span){ p, b.n };
out:
  buf_free(&b);
  return st;
}

typedef enum status (*taker)(void *ctx, struct span id, struct span text, struct arena *a, struct err *e);

static enum status one(struct span line, struct arena *a, taker take, void *ctx, struct err *e) {
  enum status st;
  struct record r;
  struct span id, text;
  TRY(record_split(line, a, &r, e));
  TRY(record_id(&r, a, &id, e));
  TRY(item_text(&r, a, &text, e));
  TRY(take(ctx, id, text, a, e));
out:
  return st;
}

static enum status read_file(const char *path, taker take, void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  struct line_reader *lr = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC), got = 1;
  if (fd < 0) {
    st = err_sys(e, STATUS_IO, "'%s': cannot open", path);
    goto out;
  }
  lr = line_reader_new(fd, path, LINE_MAX_DEFAULT);
  if (!lr || !a) {
    st = err_nomem(e, 0);
    goto out;
  }
  while (got) {
    struct span line;
    TRY(line_next(lr, &line, &got, e));
    if (!got) break;
    arena_reset(a);
    st = one(line, a, take, ctx, e);
    if (st != STATUS_OK) {
      (void)err_prefix(e, "'%s' row %llu", path, (unsigned long long)line_number(lr));
      goto out;
    }
  }
out:
  line_reader_free(lr);
  if (fd >= 0) close(fd);
  arena_free(a);
  return st;
}

enum status items_read(const struct opt_list *files, taker take, void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < files->n; i++) TRY(read_file(files->item[i], take, ctx, e));
out:
  return st;
}
