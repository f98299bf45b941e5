/* SPDX-License-Identifier: Apache-2.0
 * Filter "copied": an answer that says the prompt again: the share of its runs of five words that stand in the user's or the
 * system's words. Answers below five words are left alone (naming one thing of the question is an answer). */
#include "curate.h"

static int enabled(const struct curate_options *o) { return o->copied > 0; }

/* Words of all strings of the row that one of `who` says. */
static enum status words_of(struct row *r, unsigned who, struct words *w, struct span *text, struct err *e) {
  enum status st;
  struct record_string *s;
  struct buf b = { 0 };
  size_t n;
  TRY(record_strings(&r->rec, r->a, &s, &n, e));
  for (size_t i = 0; i < n; i++) {
    if (!(s[i].who & who)) continue;
    TRY(buf_put(&b, s[i].text.p, s[i].text.n, e));
    TRY(buf_putc(&b, '\n', e));
  }
  char *p = arena_strndup(r->a, b.p ? b.p : "", b.n);
  if (!p) {
    st = err_nomem(e, b.n);
    goto out;
  }
  *text = (struct span){ p, b.n };
  TRY(words_scan(*text, r->a, w, e));
out:
  buf_free(&b);
  return st;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  enum status st;
  struct words answer, prompt;
  struct span text, asked;
  uint64_t *have;
  size_t n_have, shared = 0, first = 0;
  if (!r->answer.n) return STATUS_OK;
  TRY(words_of(r, RECORD_ASSISTANT, &answer, &text, e));
  if (answer.n < NEAR_WORDS) return STATUS_OK;
  TRY(words_of(r, RECORD_USER | RECORD_SYSTEM, &prompt, &asked, e));
  if (prompt.n < NEAR_WORDS) return STATUS_OK;
  TRY(words_shingles(&prompt, NEAR_WORDS, r->a, &have, &n_have, e));
  for (size_t i = 0; i + NEAR_WORDS <= answer.n; i++) {
    uint64_t key = words_gram(&answer, i, NEAR_WORDS);
    size_t lo = 0, hi = n_have;
    while (lo < hi) {
      size_t mid = (lo + hi) / 2;
      if (have[mid] < key) lo = mid + 1;
      else hi = mid;
    }
    if (lo == n_have || have[lo] != key) continue;
    if (shared++ == 0) first = i;
  }
  double share = (double)shared / (double)(answer.n - NEAR_WORDS + 1);
  if (share >= o->copied)
    st = curate_drop(r, "copied_prompt", share, (struct span){ text.p + answer.start[first], answer.end[first + NEAR_WORDS - 1] - answer.start[first] }, (struct span){ "", 0 }, e);
out:
  return st;
}

const struct filter filter_copied = { "copied", "answers that say the prompt again", 0, enabled, NULL, scan, NULL };
