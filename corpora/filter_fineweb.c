/* SPDX-License-Identifier: Apache-2.0
 * Filter "fineweb": FineWeb's own quality rules (Penedo et al. 2024, 3.6) by datatrove's definitions, reasons and thresholds:
 * lines that end a sentence, short lines, characters in lines that stood there before, newlines a word. */
#include "curate.h"
#include "filter_text.h"
#include "hash.h"

static int enabled(const struct curate_options *o) { return o->fineweb; }

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  const struct span none = { "", 0 };
  size_t lines = 0, newlines = 0, ended = 0, brief = 0, again = 0, words = 0;
  struct span line, first = none;
  for (size_t i = 0; i < r->text.n; i++) newlines += r->text.p[i] == '\n';
  struct text_table t = { NULL, text_table_slots(newlines + 1) };
  t.cell = arena_calloc(r->a, t.slots, sizeof *t.cell);
  if (!t.cell) return err_nomem(e, t.slots * sizeof *t.cell);
  for (size_t at = 0; text_line(r->text, &at, &line);) {
    if (text_strip(line).n == 0) continue;
    size_t chars = text_chars(line);
    lines++;
    ended += (size_t)text_is_terminal(text_last(line));
    brief += (int64_t)chars <= o->short_line_length;
    if (text_count(&t, xxh3(line.p, line.n), 0)->count < 2) continue;
    if (again == 0) first = line;
    again += chars;
  }
  if (lines == 0) return curate_drop(r, "empty", 0, none, none, e);
  double ratio = (double)ended / (double)lines;
  if (ratio < o->line_punct_thr && !(ended == 0 && o->line_punct_exclude_zero)) return curate_drop(r, "line_punct_ratio", ratio, none, none, e);
  ratio = (double)brief / (double)lines;
  if (ratio > o->short_line_thr) return curate_drop(r, "short_line_ratio", ratio, none, none, e);
  ratio = (double)again / (double)(text_chars(r->text) - newlines);
  if (ratio > o->char_duplicates_ratio) return curate_drop(r, "char_dup_ratio", ratio, first, none, e);
  for (size_t at = 0; text_word(r->text, &at, &line);) words++;
  ratio = (double)newlines / (double)words;
  return ratio > o->new_line_ratio ? curate_drop(r, "list_ratio", ratio, none, none, e) : STATUS_OK;
}

const struct filter filter_fineweb = { "fineweb", "texts outside FineWeb's quality rules", 0, enabled, NULL, scan, NULL };
