/* SPDX-License-Identifier: Apache-2.0
 * Filter "refusal": an assistant that declines or speaks of itself as a machine. Only the assistant's words are looked at:
 * a document may say "I cannot". Phrases marked `anywhere` count at any place, the others in the first 160 bytes of an
 * answer, where a refusal stands. Matched on lower-cased text with curly apostrophes made straight. */
#include "curate.h"

#define START_BYTES 160
static const struct phrase { const char *text; int anywhere; } phrases[] = {
  { "as an ai", 1 }, { "as a language model", 1 }, { "as a large language model", 1 }, { "i'm an ai", 1 }, { "i am an ai", 1 },
  { "i'm just an ai", 1 }, { "my knowledge cutoff", 1 }, { "my training data", 1 },
  { "i can't assist", 0 }, { "i cannot assist", 0 }, { "i can't help with", 0 }, { "i cannot help with", 0 },
  { "i can't fulfill", 0 }, { "i cannot fulfill", 0 }, { "i can't provide", 0 }, { "i cannot provide", 0 },
  { "i'm sorry, but i can", 0 }, { "i am sorry, but i can", 0 }, { "i'm sorry, i can't", 0 }, { "i'm sorry, i cannot", 0 },
  { "i'm not able to", 0 }, { "i am not able to", 0 }, { "i'm unable to", 0 }, { "i am unable to", 0 }, { "i won't be able to", 0 },
  { "i must decline", 0 }, { "i apologize, but i can", 0 }, { "it is not appropriate for me", 0 }, { NULL, 0 },
};

static int enabled(const struct curate_options *o) { return o->refusals; }

static int is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/* Position of the phrase as whole words, or -1. */
static long find(const char *s, size_t n, const char *what) {
  size_t k = strlen(what);
  for (size_t i = 0; i + k <= n; i++) {
    const char *p = memchr(s + i, what[0], n - k - i + 1);
    if (!p) return -1;
    i = (size_t)(p - s);
    if (memcmp(p, what, k) == 0 && (i == 0 || !is_word(s[i - 1])) && (i + k == n || !is_word(s[i + k]) || what[k - 1] == 'n')) return (long)i;
  }
  return -1;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  (void)o;
  if (!r->answer.n) return STATUS_OK;
  char *low = arena_alloc(r->a, r->answer.n);
  size_t n = 0;
  if (!low) return err_nomem(e, r->answer.n);
  for (size_t i = 0; i < r->answer.n; i++) {
    char c = r->answer.p[i];
    if (i + 2 < r->answer.n && memcmp(r->answer.p + i, "\xE2\x80\x99", 3) == 0) c = '\'', i += 2;
    low[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  for (const struct phrase *p = phrases; p->text; p++) {
    long at = find(low, p->anywhere || n < START_BYTES ? n : START_BYTES, p->text);
    if (at < 0) continue;
    return curate_drop(r, "refusal", (double)at, (struct span){ p->text, strlen(p->text) }, (struct span){ "", 0 }, e);
  }
  return STATUS_OK;
}

const struct filter filter_refusal = { "refusal", "answers that decline or say \"as an AI\"", 0, enabled, NULL, scan, NULL };
