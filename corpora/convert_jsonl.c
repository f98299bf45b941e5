/* SPDX-License-Identifier: Apache-2.0
 * JSON Lines on stdout, and the same as a folder that Hugging Face's `datasets` loads: data/SPLIT.jsonl and a card. Documents of
 * shards come as rows with `ids` and `mask` (which `retort shard` reads again), foreign rows with `messages`. */
#include "convert.h"
#include <inttypes.h>
#include <string.h>
#include "file.h"
#include "record.h"

enum status convert_document(const struct sample *s, int32_t d, struct buf *out, struct err *e) {
  enum status st;
  TRY(buf_puts(out, "{\"id\":", e));
  TRY(json_put_cstr(out, s->row_id[d], e));
  TRY(buf_puts(out, ",\"ids\":[", e));
  for (int32_t i = s->doc_start[d]; i < s->doc_start[d + 1]; i++) TRY(buf_printf(out, e, "%s%d", i > s->doc_start[d] ? "," : "", s->ids[i]));
  TRY(buf_puts(out, "],\"mask\":[", e));
  for (int32_t i = s->doc_start[d]; i < s->doc_start[d + 1]; i++) TRY(buf_puts(out, i > s->doc_start[d] ? s->mask[i] ? ",1" : ",0" : s->mask[i] ? "1" : "0", e));
  TRY(buf_putc(out, ']', e));
  const char *about = s->about && s->about[d] ? s->about[d] : "{}";
  if (s->weight && !strstr(about, "\"weight\":")) TRY(buf_printf(out, e, ",\"weight\":%.9g", (double)s->weight[d]));
  size_t n = strlen(about);
  if (n > 2) TRY(buf_printf(out, e, ",%.*s", (int)n - 2, about + 1));
  TRY(buf_putc(out, '}', e));
out:
  return st;
}

static enum status to_stdout(struct convert *k, const struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  for (int32_t d = 0; d < s->n_doc; d++) {
    buf_clear(&b);
    TRY(convert_document(s, d, &b, e));
    TRY(ctx_write(k->c, (struct span){ b.p, b.n }, e));
  }
out:
  buf_free(&b);
  return st;
}

static enum status row_to_stdout(struct convert *k, const struct record *r, struct err *e) { return ctx_write(k->c, r->line, e); }

const struct format format_jsonl = { "jsonl", "JSON Lines on stdout", FORMAT_SAMPLES | FORMAT_ROWS | FORMAT_STDOUT, NULL, to_stdout, row_to_stdout, NULL, NULL };

/* ---- Hugging Face ---- */
enum { SPLITS = 32 };
struct hf {
  struct { char *name; FILE *f; uint64_t rows; } split[SPLITS];
  size_t n;
  struct buf line;
};

static enum status hf_open(struct convert *k, struct err *e) {
  char *data = path_join(k->a, k->folder, "data");
  if (!data || (k->state = mem_calloc(1, sizeof(struct hf))) == NULL) return err_nomem(e, sizeof(struct hf));
  return folder_make(data, e);
}

static enum status split_of(struct convert *k, struct span name, size_t *at, struct err *e) {
  enum status st = STATUS_OK;
  struct hf *h = k->state;
  char file[300];
  for (*at = 0; *at < h->n; ++*at)
    if (span_is(name, h->split[*at].name)) return STATUS_OK;
  if (h->n == SPLITS || name.n > 200 || memchr(name.p, '/', name.n) || (name.n && name.p[0] == '.'))
    return err_set(e, STATUS_DATA, "'split' %.*s: at most %d splits with names that can be files", (int)(name.n > 80 ? 80 : name.n), name.p, SPLITS);
  if ((h->split[h->n].name = mem_strndup(name.p, name.n)) == NULL) return err_nomem(e, name.n);
  snprintf(file, sizeof file, "data/%s.jsonl", h->split[h->n].name);
  TRY(convert_file(k, file, &h->split[h->n].f, e));
  h->n++;
out:
  return st;
}

static enum status put_row(struct convert *k, struct span line, struct err *e) {
  enum status st;
  struct hf *h = k->state;
  struct record r;
  struct span split;
  struct buf b = { 0 };
  size_t at;
  TRY(record_split(line, k->a, &r, e));
  TRY(record_string(&r, "split", k->a, &split, e));
  TRY(split_of(k, split.p && split.n ? split : (struct span){ "train", 5 }, &at, e));
  h->split[at].rows++;
  if (record_get(&r, "split").p) { /* the file's name says it; a column of some files only would not load */
    TRY(record_set(&r, "split", (struct span){ NULL, 0 }, &b, e));
    line = (struct span){ b.p, b.n };
  }
  TRY(convert_put(k, h->split[at].f, line.p, line.n, e));
  TRY(convert_put(k, h->split[at].f, "\n", 1, e));
out:
  buf_free(&b);
  return st;
}

static enum status hf_sample(struct convert *k, const struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  struct hf *h = k->state;
  for (int32_t d = 0; d < s->n_doc; d++) {
    buf_clear(&h->line);
    TRY(convert_document(s, d, &h->line, e));
    TRY(put_row(k, (struct span){ h->line.p, h->line.n }, e));
  }
out:
  return st;
}

static enum status hf_row(struct convert *k, const struct record *r, struct err *e) { return put_row(k, r->line, e); }

static enum status hf_card(struct convert *k, struct err *e) {
  enum status st;
  struct hf *h = k->state;
  FILE *f = NULL;
  struct buf b = { 0 };
  TRY(buf_puts(&b, "---\nconfigs:\n- config_name: default\n  data_files:\n", e));
  for (size_t i = 0; i < h->n; i++) TRY(buf_printf(&b, e, "  - split: %s\n    path: data/%s.jsonl\n", h->split[i].name, h->split[i].name));
  TRY(buf_puts(&b, "---\n# Data set\n\nMade by `retort convert`; the data card of `retort card` says more.\n\n| split | rows |\n|---|---|\n", e));
  for (size_t i = 0; i < h->n; i++) TRY(buf_printf(&b, e, "| %s | %" PRIu64 " |\n", h->split[i].name, h->split[i].rows));
  if (k->info) TRY(buf_printf(&b, e, "\nTokens: tokenizer %s, vocabulary %d, template '%s'. Terms of the targets' teacher: '%s'.\n", k->info->tokenizer_hash,
                              k->info->vocab, k->info->template_name, k->info->terms));
  TRY(convert_file(k, "README.md", &f, e));
  TRY(convert_put(k, f, b.p, b.n, e));
  TRY(convert_done(k, &f, e));
out:
  if (f) fclose(f);
  buf_free(&b);
  return st;
}

static enum status hf_close(struct convert *k, struct err *e) {
  enum status st = STATUS_OK;
  struct hf *h = k->state;
  for (size_t i = 0; i < h->n; i++) TRY(convert_done(k, &h->split[i].f, e));
  TRY(hf_card(k, e));
out:
  return st;
}

static void hf_free(struct convert *k) {
  struct hf *h = k->state;
  for (size_t i = 0; h && i < h->n; i++) {
    if (h->split[i].f) fclose(h->split[i].f);
    mem_free(h->split[i].name);
  }
  if (h) buf_free(&h->line);
  mem_free(h);
}

const struct format format_hf = { "hf", "a folder for Hugging Face `datasets`: data/SPLIT.jsonl and a card", FORMAT_SAMPLES | FORMAT_ROWS, hf_open, hf_sample,
  hf_row, hf_close, hf_free };
