/* SPDX-License-Identifier: Apache-2.0
 * Filter "substring": decontamination by characters. Letters and digits of a row and of the evaluation items, lower-cased, all else
 * left out, so that line breaks, hyphens, blanks and punctuation hide nothing and scripts without blanks are covered. A row
 * that shares a run of --against-chars of them is dropped; the evidence is the longest such run in the row's own spelling,
 * with its place in both texts, the witness the item's id. Candidates come from a rolling hash and are compared character by character. */
#include <utf8proc.h>
#include "curate.h"
#include "filter_items.h"
#include "filter_text.h"

#define BASE 0x9E3779B97F4A7C15ull
struct chars { /* a text as its letters and digits */
  size_t n;
  int32_t *c;
  uint32_t *at, *end; /* its bytes in the text */
};
struct item {
  struct span id;
  struct chars t;
};
struct place { uint64_t key; uint32_t item, pos, next; }; /* next: another place of the same slot's key + 1 */
struct state {
  struct arena *a;
  struct item *item;
  size_t n_items, cap_items;
  struct place *place;
  size_t n_places, cap_places;
  uint32_t *slot; /* first place + 1 */
  size_t slots;
  size_t n; /* characters of a run */
};

static int enabled(const struct curate_options *o) { return o->against.n > 0 && o->against_chars > 0; }

static int counts(int32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  utf8proc_category_t k = utf8proc_category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO;
}

static enum status chars_of(struct span text, struct arena *a, struct chars *t, struct err *e) {
  size_t room = text_chars(text) + 1, k;
  *t = (struct chars){ 0, arena_alloc(a, room * sizeof *t->c), arena_alloc(a, room * sizeof *t->at), arena_alloc(a, room * sizeof *t->end) };
  if (!t->c || !t->at || !t->end) return err_nomem(e, room * sizeof *t->c);
  for (size_t i = 0; i < text.n && t->n + 1 < room; i += k) {
    int32_t c = text_char(text.p + i, text.n - i, &k);
    if (!counts(c)) continue;
    t->c[t->n] = c < 0x80 ? (c >= 'A' && c <= 'Z' ? c + 32 : c) : utf8proc_tolower(c);
    t->at[t->n] = (uint32_t)i;
    t->end[t->n++] = (uint32_t)(i + k);
  }
  return STATUS_OK;
}

/* Hash of c[i, i + n) from that of c[i - 1, i - 1 + n). */
struct roll { uint64_t sum, top; };
static uint64_t roll_to(struct roll *r, const struct chars *t, size_t i, size_t n) {
  if (i == 0) {
    r->sum = 0, r->top = 1;
    for (size_t k = 0; k < n; k++) r->sum = r->sum * BASE + (uint64_t)t->c[k] * 0xD6E8FEB86659FD93ull, r->top *= BASE;
  } else {
    r->sum = r->sum * BASE + (uint64_t)t->c[i + n - 1] * 0xD6E8FEB86659FD93ull - (uint64_t)t->c[i - 1] * 0xD6E8FEB86659FD93ull * r->top;
  }
  return words_mix(r->sum);
}

static enum status take_item(void *ctx, struct span id, struct span text, struct arena *a, struct err *e) {
  struct state *s = ctx;
  (void)a;
  if (s->n_items == s->cap_items) {
    size_t cap = s->cap_items ? 2 * s->cap_items : 64;
    struct item *p = mem_realloc(s->item, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    s->item = p;
    s->cap_items = cap;
  }
  struct item *it = &s->item[s->n_items];
  char *copy = arena_strndup(s->a, id.p, id.n);
  if (!copy) return err_nomem(e, id.n);
  it->id = (struct span){ copy, id.n };
  enum status st = chars_of(text, s->a, &it->t, e);
  if (st != STATUS_OK || it->t.n < s->n) return st;
  struct roll r;
  for (size_t i = 0; i + s->n <= it->t.n; i++) {
    if (s->n_places == s->cap_places) {
      size_t cap = s->cap_places ? 2 * s->cap_places : 4096;
      if (cap > UINT32_MAX / 2) return err_set(e, STATUS_LIMIT, "the evaluation items have more than %zu characters, too many for --against-chars", s->n_places);
      struct place *p = mem_realloc(s->place, cap * sizeof *p);
      if (!p) return err_nomem(e, cap * sizeof *p);
      s->place = p;
      s->cap_places = cap;
    }
    s->place[s->n_places++] = (struct place){ roll_to(&r, &it->t, i, s->n), (uint32_t)s->n_items, (uint32_t)i, 0 };
  }
  s->n_items++;
  return st;
}

static void close_substring(void *state) {
  struct state *s = state;
  if (!s) return;
  arena_free(s->a);
  mem_free(s->item);
  mem_free(s->place);
  mem_free(s->slot);
  mem_free(s);
}

static enum status open_substring(const struct curate_options *o, void **state, struct err *e) {
  struct state *s = *state = mem_calloc(1, sizeof *s);
  if (!s || !(s->a = arena_new(0))) return err_nomem(e, sizeof *s);
  s->n = (size_t)o->against_chars;
  enum status st = items_read(&o->against, take_item, s, e);
  if (st != STATUS_OK) return st;
  for (s->slots = 4096; s->slots < 2 * s->n_places;) s->slots *= 2;
  s->slot = mem_calloc(s->slots, sizeof *s->slot);
  if (!s->slot) return err_nomem(e, s->slots * sizeof *s->slot);
  for (size_t i = s->n_places; i-- > 0;) { /* chains in the order of the items */
    uint32_t *first = &s->slot[s->place[i].key & (s->slots - 1)];
    s->place[i].next = *first;
    *first = (uint32_t)i + 1;
  }
  return STATUS_OK;
}

struct found { size_t length, row, pos, item; };

/* The run around c[i] and pos that both share, when it has at least n characters. */
static size_t shared_run(const struct chars *t, size_t i, const struct chars *u, size_t pos, size_t n, size_t *row, size_t *item) {
  size_t k = 0;
  while (k < n && t->c[i + k] == u->c[pos + k]) k++;
  if (k < n) return 0; /* equal hashes only */
  while (i + k < t->n && pos + k < u->n && t->c[i + k] == u->c[pos + k]) k++;
  while (i > 0 && pos > 0 && t->c[i - 1] == u->c[pos - 1]) i--, pos--, k++;
  *row = i, *item = pos;
  return k;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  const struct state *s = state;
  struct found best = { 0, 0, 0, 0 };
  struct chars t;
  struct roll roll;
  enum status st = chars_of(r->text, r->a, &t, e);
  (void)o;
  if (st != STATUS_OK || t.n < s->n || s->n_places == 0) return st;
  size_t covered = 0; /* a run is looked at once: its later windows give the same */
  for (size_t i = 0; i + s->n <= t.n; i++) {
    uint64_t key = roll_to(&roll, &t, i, s->n);
    uint32_t p = s->slot[key & (s->slots - 1)];
    if (!p || i + s->n <= covered) continue;
    for (; p; p = s->place[p - 1].next) {
      const struct place *q = &s->place[p - 1];
      if (q->key != key) continue;
      size_t row, pos, k = shared_run(&t, i, &s->item[q->item].t, q->pos, s->n, &row, &pos);
      if (k > best.length) best = (struct found){ k, row, pos, q->item };
      if (k && row + k > covered) covered = row + k;
    }
  }
  if (best.length == 0) return STATUS_OK;
  const struct item *it = &s->item[best.item];
  struct span run = { r->text.p + t.at[best.row], t.end[best.row + best.length - 1] - t.at[best.row] };
  st = curate_drop(r, "contaminated_text", (double)best.length, run, it->id, e);
  curate_where(r, t.at[best.row], t.end[best.row + best.length - 1], it->t.at[best.pos], it->t.end[best.pos + best.length - 1]);
  return st;
}

const struct filter filter_substring = { "substring", "rows that share --against-chars letters and digits in a row with an evaluation item", 0, enabled, open_substring, scan, close_substring };
