/* SPDX-License-Identifier: Apache-2.0
 * Method `typos: RATE`: slips of the fingers on letters: a neighbour of the key, two letters swapped, one left out or doubled,
 * each as often as the others. RATE is the chance a letter. Digits are left alone: a wrong number is another fact. */
#include "rule_noise.h"

/* Neighbours on a QWERTY keyboard. */
static const char *const near_keys[26] = { "qwsz", "vghn", "xdfv", "serfcx", "wsdr", "drtgvc", "ftyhbv", "gyujnb", "ujko", "huikmn", "jiolm", "kop", "njk",
                                           "bhjm", "iklp", "ol", "wa", "edft", "awedxz", "rfgy", "yhji", "cfgb", "qase", "zsdc", "tghu", "asx" };

static int is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

static enum status step(const void *state, struct rule_row *r, struct span t, size_t i, size_t *took, struct buf *out, struct err *e) {
  const double *rate = state;
  enum status st = STATUS_OK;
  char c = t.p[i];
  *took = 1;
  if (!is_letter(c) || rng_uniform(&r->rng) >= *rate) return buf_putc(out, c, e);
  switch (rng_below(&r->rng, 4)) {
    case 0: {
      const char *keys = near_keys[(c | 32) - 'a'];
      return buf_putc(out, (char)(keys[rng_below(&r->rng, strlen(keys))] & (c & 32 ? 0x7F : 0x5F)), e);
    }
    case 1:
      if (i + 1 == t.n || !is_letter(t.p[i + 1])) return STATUS_OK; /* the last letter of a word: left out */
      *took = 2;
      TRY(buf_putc(out, t.p[i + 1], e));
      return buf_putc(out, c, e);
    case 2: return STATUS_OK;
    default:
      TRY(buf_putc(out, c, e));
      return buf_putc(out, c, e);
  }
out:
  return st;
}

static enum status open(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e) {
  double *rate = arena_alloc(a, sizeof *rate);
  (void)dir;
  *state = rate;
  return rate ? rule_chance("typos", args, "rate", 0, rate, e) : err_nomem(e, sizeof *rate);
}

static enum status apply(void *state, struct rule_row *r, struct err *e) { return noise_apply(state, r, step, e); }

const struct rule_class rule_typos = { "typos", "slips on the keyboard, a chance a letter", RECORD_TEXT | RECORD_USER, 0, open, NULL, NULL, apply };
