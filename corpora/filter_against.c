/* SPDX-License-Identifier: Apache-2.0
 * Filter "against": decontamination. A row that shares any run of --against-words words (13) with an item of the evaluation
 * files is dropped; the evidence is the shared run in the row's own spelling, the witness the item's id. Items shorter than
 * the run are searched as a whole when they have at least 8 words. */
#include "curate.h"
#include "filter_items.h"
#include "hash.h"
#include "log.h"

#define MIN_ITEM_WORDS 8
struct gram {
  uint64_t key; /* 0 = free */
  uint32_t item;
  uint32_t n;         /* words */
  uint32_t from, end; /* bytes in the item */
};
struct against {
  struct arena *a;
  struct gram *gram;
  size_t slots, n;
  struct span *item;
  size_t n_items, cap_items;
  unsigned char *bloom; /* 2^20 bits by the key's upper bits: most grams of a corpus are not there */
  uint32_t length[64];  /* distinct lengths of grams, the usual one first */
  size_t n_lengths;
  uint64_t short_items;
  size_t n_words;
};

static int enabled(const struct curate_options *o) { return o->against.n > 0; }

static size_t slot_of(const struct against *s, uint64_t key) {
  size_t i = key & (s->slots - 1);
  while (s->gram[i].key && s->gram[i].key != key) i = (i + 1) & (s->slots - 1);
  return i;
}

/* Words [at, at + n) of the item read last. */
static enum status put(struct against *s, const struct words *w, size_t at, size_t n, struct err *e) {
  uint64_t key = words_gram(w, at, n);
  if (key == 0) key = 1;
  if (2 * (s->n + 1) > s->slots) {
    struct gram *old = s->gram;
    size_t slots = s->slots;
    s->slots = slots ? 2 * slots : 4096;
    s->gram = mem_calloc(s->slots, sizeof *s->gram);
    if (!s->gram) {
      s->gram = old, s->slots = slots;
      return err_nomem(e, 2 * slots * sizeof *old);
    }
    for (size_t i = 0; i < slots; i++)
      if (old[i].key) s->gram[slot_of(s, old[i].key)] = old[i];
    mem_free(old);
  }
  size_t i = slot_of(s, key);
  if (s->gram[i].key) return STATUS_OK; /* the first item keeps it */
  s->gram[i] = (struct gram){ key, (uint32_t)s->n_items - 1, (uint32_t)n, w->start[at], w->end[at + n - 1] };
  s->bloom[key >> 47] |= (unsigned char)(1u << (key >> 44 & 7));
  s->n++;
  size_t k = 0;
  while (k < s->n_lengths && s->length[k] != n) k++;
  if (k == s->n_lengths && k < 64) s->length[s->n_lengths++] = (uint32_t)n;
  return STATUS_OK;
}

static enum status take_item(void *ctx, struct span id, struct span text, struct arena *a, struct err *e) {
  struct against *s = ctx;
  enum status st;
  struct words w;
  size_t n = s->n_words;
  TRY(words_scan(text, a, &w, e));
  if (s->n_items == s->cap_items) {
    size_t cap = s->cap_items ? 2 * s->cap_items : 256;
    struct span *p = mem_realloc(s->item, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    s->item = p;
    s->cap_items = cap;
  }
  char *copy = arena_strndup(s->a, id.p, id.n);
  if (!copy) return err_nomem(e, id.n);
  s->item[s->n_items++] = (struct span){ copy, id.n };
  if (w.n < MIN_ITEM_WORDS && w.n < n) s->short_items++;
  else if (w.n < n) TRY(put(s, &w, 0, w.n, e));
  for (size_t i = 0; i + n <= w.n; i++) TRY(put(s, &w, i, n, e));
out:
  return st;
}

static void close_against(void *state) {
  struct against *s = state;
  if (!s) return;
  arena_free(s->a);
  mem_free(s->gram);
  mem_free(s->item);
  mem_free(s->bloom);
  mem_free(s);
}

static enum status open_against(const struct curate_options *o, void **state, struct err *e) {
  enum status st = STATUS_OK;
  struct against *s = mem_calloc(1, sizeof *s);
  *state = s;
  if (!s) return err_nomem(e, sizeof *s);
  s->a = arena_new(0);
  s->bloom = mem_calloc(1, 1 << 17);
  if (!s->a || !s->bloom) return err_nomem(e, 1 << 17);
  s->n_words = (size_t)o->against_n;
  TRY(items_read(&o->against, take_item, s, e));
  if (s->short_items)
    log_warn("%llu evaluation items have fewer than %d words and are not searched for", (unsigned long long)s->short_items, MIN_ITEM_WORDS);
out:
  return st;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  const struct against *s = state;
  const struct words *w = &r->words;
  (void)o;
  size_t shared = 0;
  const struct gram *first = NULL;
  struct span run = { "", 0 };
  for (size_t k = 0; k < s->n_lengths; k++) {
    size_t n = s->length[k];
    if (n > w->n) continue;
    struct words_roll roll = words_roll_start(w, n);
    for (size_t i = 0; i + n <= w->n; i++) {
      uint64_t key = words_roll(&roll, w, i, n);
      if (key == 0) key = 1;
      if (!(s->bloom[key >> 47] >> (key >> 44 & 7) & 1)) continue;
      const struct gram *g = &s->gram[slot_of(s, key)];
      if (!g->key || g->n != n) continue;
      if (!first) first = g, run = (struct span){ r->text.p + w->start[i], w->end[i + n - 1] - w->start[i] };
      shared++;
    }
  }
  if (!first) return STATUS_OK;
  enum status st = curate_drop(r, "contaminated", (double)shared, run, s->item[first->item], e);
  curate_where(r, (size_t)(run.p - r->text.p), (size_t)(run.p - r->text.p) + run.n, first->from, first->end);
  return st;
}

const struct filter filter_against = { "against", "rows that share --against-words words in a row with an evaluation item", 0, enabled, open_against, scan, close_against };
