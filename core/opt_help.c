/* SPDX-License-Identifier: Apache-2.0
 * Option rows -> help text, man page, canonical JSON. */
#include "opt_internal.h"
#include "span.h"

static void left_column(const struct opt_row *r, char *out, size_t cap) {
  const char *arg = r->arg ? r->arg : r->type == OPT_FLAG ? "" : "VALUE";
  const char *gap = r->type == OPT_FLAG ? "" : " ";
  if (r->letter) snprintf(out, cap, "-%c, --%s%s%s", r->letter, r->name, gap, arg);
  else snprintf(out, cap, "    --%s%s%s", r->name, gap, arg);
}

enum status opt_wrap(struct buf *out, const char *text, size_t from, struct err *e) {
  enum status st = STATUS_OK;
  size_t col = from;
  while (*text) {
    size_t n = strcspn(text, " ");
    if (col + n > 80 && col > from) {
      TRY(buf_printf(out, e, "\n%*s", (int)from, ""));
      col = from;
    }
    TRY(buf_put(out, text, n, e));
    col += n;
    text += n;
    if (*text == ' ') {
      text++;
      if (col < 80) {
        TRY(buf_putc(out, ' ', e));
        col++;
      }
    }
  }
  TRY(buf_putc(out, '\n', e));
out:
  return st;
}

enum status opt_help(const struct opt_row *rows, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  for (const struct opt_row *r = rows; r != NULL && r->name != NULL; r++) {
    char left[80], text[600];
    left_column(r, left, sizeof left);
    int n = snprintf(text, sizeof text, "%s", r->help);
    if (r->range && r->type == OPT_ENUM) n += snprintf(text + n, sizeof text - (size_t)n, ": %s", r->range);
    if (r->dflt && r->type != OPT_FLAG) snprintf(text + n, sizeof text - (size_t)n, " [%s]", r->dflt);
    if (strlen(left) <= 25) TRY(buf_printf(out, e, "  %-25s ", left));
    else TRY(buf_printf(out, e, "  %s\n%28s", left, ""));
    TRY(opt_wrap(out, text, 28, e));
  }
out:
  return st;
}

enum status opt_man(const struct opt_row *rows, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  for (const struct opt_row *r = rows; r != NULL && r->name != NULL; r++) {
    TRY(buf_puts(out, ".TP\n.B ", e));
    if (r->letter) TRY(buf_printf(out, e, "\\-%c, ", r->letter));
    TRY(buf_printf(out, e, "\\-\\-%s", r->name));
    if (r->type != OPT_FLAG) TRY(buf_printf(out, e, " \\fI%s\\fR", r->arg ? r->arg : "VALUE"));
    TRY(buf_printf(out, e, "\n%s%s%s", r->help[0] == '.' || r->help[0] == '\'' ? "\\&" : "", r->help, "."));
    if (r->range) TRY(buf_printf(out, e, " Allowed: %s.", r->range));
    if (r->dflt && r->type != OPT_FLAG) TRY(buf_printf(out, e, " Default: %s.", r->dflt));
    TRY(buf_putc(out, '\n', e));
  }
out:
  return st;
}

static enum status put_value(const struct opt_row *r, const void *target, struct buf *out, struct err *e) {
  const char *at = (const char *)target + r->offset;
  switch (r->type) {
    case OPT_FLAG: {
      int v;
      memcpy(&v, at, sizeof v);
      return buf_puts(out, v ? "true" : "false", e);
    }
    case OPT_INT: {
      int64_t v;
      memcpy(&v, at, sizeof v);
      return json_put_int(out, v, e);
    }
    case OPT_NUM: {
      double v;
      memcpy(&v, at, sizeof v);
      return json_put_num(out, v, e);
    }
    case OPT_BYTES:
    case OPT_COUNT: {
      uint64_t v;
      memcpy(&v, at, sizeof v);
      return buf_printf(out, e, "%llu", (unsigned long long)v);
    }
    case OPT_STR:
    case OPT_ENUM: {
      const char *v;
      memcpy(&v, at, sizeof v);
      return v ? json_put_cstr(out, v, e) : buf_puts(out, "null", e);
    }
    case OPT_LIST: {
      struct opt_list l;
      enum status st = buf_putc(out, '[', e);
      memcpy(&l, at, sizeof l);
      for (size_t i = 0; i < l.n && st == STATUS_OK; i++) {
        if (i) st = buf_putc(out, ',', e);
        if (st == STATUS_OK) st = json_put_cstr(out, l.item[i], e);
      }
      return st == STATUS_OK ? buf_putc(out, ']', e) : st;
    }
  }
  return STATUS_OK;
}

static int row_by_name(const void *a, const void *b) {
  return strcmp((*(const struct opt_row *const *)a)->name, (*(const struct opt_row *const *)b)->name);
}

enum status opt_canonical(const struct opt_row *rows, const void *target, struct buf *out, struct err *e) {
  const struct opt_row *sorted[256];
  size_t n = 0;
  for (const struct opt_row *r = rows; r != NULL && r->name != NULL && n < 256; r++) sorted[n++] = r;
  qsort(sorted, n, sizeof sorted[0], row_by_name);
  enum status st = STATUS_OK;
  TRY(buf_putc(out, '{', e));
  for (size_t i = 0; i < n; i++) {
    TRY(buf_printf(out, e, "%s\"%s\":", i ? "," : "", sorted[i]->name));
    TRY(put_value(sorted[i], target, out, e));
  }
  TRY(buf_putc(out, '}', e));
out:
  return st;
}
