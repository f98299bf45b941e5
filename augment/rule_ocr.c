/* SPDX-License-Identifier: Apache-2.0
 * Method `ocr: RATE`: what text recognition takes for something else. RATE is the chance a place where one of the confusions
 * below begins; the longest that fits is taken. */
#include "rule_noise.h"

static const struct { const char *from, *to; } rows[] = {
  { "rn", "m" }, { "cl", "d" }, { "vv", "w" }, { "li", "h" }, { "nn", "rm" }, { "ri", "n" }, { "m", "rn" }, { "d", "cl" }, { "w", "vv" }, { "h", "b" }, { "b", "h" },
  { "e", "c" }, { "c", "e" }, { "l", "1" }, { "I", "l" }, { "i", "j" }, { "o", "0" }, { "O", "0" }, { "S", "5" }, { "B", "8" }, { "Z", "2" }, { "g", "q" }, { "t", "f" },
  { "u", "v" }, { "n", "u" }, { ",", "." }, { ";", ":" }, { "ö", "o" }, { "ü", "u" }, { "ä", "a" }, { "é", "e" }, { "è", "e" }, { "ß", "B" } };

static enum status step(const void *state, struct rule_row *r, struct span t, size_t i, size_t *took, struct buf *out, struct err *e) {
  const double *rate = state;
  size_t best = 0, row = 0;
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    size_t n = strlen(rows[k].from);
    if (n > best && t.n - i >= n && memcmp(t.p + i, rows[k].from, n) == 0) {
      best = n;
      row = k;
    }
  }
  *took = 1;
  if (!best || rng_uniform(&r->rng) >= *rate) return buf_putc(out, t.p[i], e);
  *took = best;
  return buf_puts(out, rows[row].to, e);
}

static enum status open(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e) {
  double *rate = arena_alloc(a, sizeof *rate);
  (void)dir;
  *state = rate;
  return rate ? rule_chance("ocr", args, "rate", 0, rate, e) : err_nomem(e, sizeof *rate);
}

static enum status apply(void *state, struct rule_row *r, struct err *e) { return noise_apply(state, r, step, e); }

const struct rule_class rule_ocr = { "ocr", "confusions of text recognition, a chance a place", RECORD_TEXT | RECORD_USER, 0, open, NULL, NULL, apply };
