/* SPDX-License-Identifier: Apache-2.0
 * Filter "length": characters (code points) and words of a row's text within bounds; 0 = no bound. */
#include "curate.h"

static int enabled(const struct curate_options *o) { return o->min_chars > 0 || o->max_chars > 0 || o->min_words > 0 || o->max_words > 0; }

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  int64_t chars = 0, words = (int64_t)r->words.n;
  const struct span none = { "", 0 };
  for (size_t i = 0; i < r->text.n; i++) chars += ((unsigned char)r->text.p[i] & 0xC0) != 0x80;
  if (o->min_chars > 0 && chars < o->min_chars) return curate_drop(r, "too_few_chars", (double)chars, none, none, e);
  if (o->max_chars > 0 && chars > o->max_chars) return curate_drop(r, "too_many_chars", (double)chars, none, none, e);
  if (o->min_words > 0 && words < o->min_words) return curate_drop(r, "too_few_words", (double)words, none, none, e);
  if (o->max_words > 0 && words > o->max_words) return curate_drop(r, "too_many_words", (double)words, none, none, e);
  return STATUS_OK;
}

const struct filter filter_length = { "length", "text within --min-chars, --max-chars, --min-words, --max-words", 0, enabled, NULL, scan, NULL };
