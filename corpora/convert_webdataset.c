/* SPDX-License-Identifier: Apache-2.0
 * WebDataset: data-NNNNN.tar with members KEY.ids.npy, KEY.mask.npy and KEY.json (row ids, document bounds) a sample, or KEY.json a
 * row. Written by libarchive; no times or owners, so that the same input gives the same bytes. */
#include "convert.h"
#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include "file.h"

struct wds {
  struct archive *tar;
  uint64_t bytes;
  int parts;
  struct buf b;
};

static enum status failed(struct wds *w, struct err *e) { return err_set(e, STATUS_IO, "data-%05d.tar: %s", w->parts, archive_error_string(w->tar)); }

static enum status wds_open(struct convert *k, struct err *e) {
  return (k->state = mem_calloc(1, sizeof(struct wds))) ? STATUS_OK : err_nomem(e, sizeof(struct wds));
}

static enum status end_part(struct wds *w, struct err *e) {
  if (!w->tar) return STATUS_OK;
  if (archive_write_close(w->tar) != ARCHIVE_OK) return failed(w, e);
  archive_write_free(w->tar);
  w->tar = NULL;
  w->bytes = 0;
  w->parts++;
  return STATUS_OK;
}

static enum status begin_part(struct convert *k, struct err *e) {
  struct wds *w = k->state;
  char *path = arena_printf(k->a, "%s/data-%05d.tar", k->folder, w->parts);
  if (!path || (w->tar = archive_write_new()) == NULL) return err_nomem(e, 0);
  if (archive_write_set_format_ustar(w->tar) != ARCHIVE_OK || archive_write_open_filename(w->tar, path) != ARCHIVE_OK) return failed(w, e);
  return STATUS_OK;
}

static enum status member(struct convert *k, const char *ext, const void *p, size_t n, struct err *e) {
  struct wds *w = k->state;
  char name[64];
  struct archive_entry *x = archive_entry_new();
  enum status st = STATUS_OK;
  if (!x) return err_nomem(e, 0);
  snprintf(name, sizeof name, "%09llu.%s", (unsigned long long)k->n, ext);
  archive_entry_set_pathname(x, name);
  archive_entry_set_size(x, (int64_t)n);
  archive_entry_set_filetype(x, AE_IFREG);
  archive_entry_set_perm(x, 0644);
  if (archive_write_header(w->tar, x) != ARCHIVE_OK || archive_write_data(w->tar, p, n) != (la_ssize_t)n) st = failed(w, e);
  archive_entry_free(x);
  w->bytes += n + 512;
  return st;
}

/* NumPy's format 1.0: head padded to 64 bytes, then the values. */
static enum status put_npy(struct buf *b, const char *descr, const void *p, size_t n, size_t width, struct err *e) {
  enum status st;
  char dict[128], head[10] = { (char)0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0 };
  int len = snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (%zu,), }", descr, n);
  memset(dict + len, ' ', sizeof dict - (size_t)len);
  dict[117] = '\n';
  buf_clear(b);
  TRY(buf_put(b, head, 10, e));
  TRY(buf_put(b, dict, 118, e));
  TRY(buf_put(b, p, n * width, e));
out:
  return st;
}

static enum status wds_sample(struct convert *k, const struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  struct wds *w = k->state;
  if (!w->tar) TRY(begin_part(k, e));
  TRY(put_npy(&w->b, "<i4", s->ids, (size_t)s->n_tok, 4, e));
  TRY(member(k, "ids.npy", w->b.p, w->b.n, e));
  TRY(put_npy(&w->b, "|u1", s->mask, (size_t)s->n_tok, 1, e));
  TRY(member(k, "mask.npy", w->b.p, w->b.n, e));
  buf_clear(&w->b);
  TRY(buf_puts(&w->b, "{\"row_ids\":[", e));
  for (int32_t d = 0; d < s->n_doc; d++) {
    if (d) TRY(buf_putc(&w->b, ',', e));
    TRY(json_put_cstr(&w->b, s->row_id[d], e));
  }
  TRY(buf_puts(&w->b, "],\"doc_start\":[", e));
  for (int32_t d = 0; d <= s->n_doc; d++) TRY(buf_printf(&w->b, e, "%s%d", d ? "," : "", s->doc_start[d]));
  TRY(buf_puts(&w->b, "]}", e));
  TRY(member(k, "json", w->b.p, w->b.n, e));
  if (w->bytes >= k->part_bytes) TRY(end_part(w, e));
out:
  return st;
}

static enum status wds_row(struct convert *k, const struct record *r, struct err *e) {
  enum status st = STATUS_OK;
  struct wds *w = k->state;
  if (!w->tar) TRY(begin_part(k, e));
  TRY(member(k, "json", r->line.p, r->line.n, e));
  if (w->bytes >= k->part_bytes) TRY(end_part(w, e));
out:
  return st;
}

static enum status wds_close(struct convert *k, struct err *e) { return end_part(k->state, e); }

static void wds_free(struct convert *k) {
  struct wds *w = k->state;
  if (!w) return;
  if (w->tar) archive_write_free(w->tar);
  buf_free(&w->b);
  mem_free(w);
}

const struct format format_webdataset = { "webdataset", "data-NNNNN.tar for WebDataset", FORMAT_SAMPLES | FORMAT_ROWS, wds_open, wds_sample, wds_row, wds_close, wds_free };
