/* SPDX-License-Identifier: Apache-2.0
 * Driver of the scanner: one walk over the bytes. A table says which bytes may start or carry something; words are looked up
 * by their first two bytes. What to do at a trigger is in the other pii_*.c files; masks are in pii_mask.c. */
#include "pii_impl.h"
#include <string.h>

#define WORD(text, action, mark) { text, WORD_##action, MARK_##mark },
const struct pii_word pii_words[] = {
#include "pii_words.def"
  { NULL, WORD_CONTEXT, MARK_NONE }
};
#undef WORD

static const struct { const char *name, *label, *about; } kinds[] = {
#define PII(name, label, what) { #name, label, what },
#include "pii.def"
#undef PII
};
const char *pii_kind_name(enum pii_kind k) { return kinds[k].name; }
const char *pii_kind_label(enum pii_kind k) { return kinds[k].label; }
const char *pii_kind_about(enum pii_kind k) { return kinds[k].about; }

/* ---- compiling ---- */
static enum status parse_kinds(const char *list, unsigned *set, struct err *e) {
  *set = 0;
  for (const char *p = list;;) {
    const char *comma = strchr(p, ',');
    size_t n = comma ? (size_t)(comma - p) : strlen(p);
    int out = n > 0 && p[0] == '-', found = 0;
    if (n == 3 && !memcmp(p, "all", 3)) *set = (1u << PII_KINDS) - 1, found = 1;
    for (int k = 0; k < PII_KINDS && !found; k++) {
      if (strlen(kinds[k].name) != n - (size_t)out || memcmp(kinds[k].name, p + out, n - (size_t)out) != 0) continue;
      *set = out ? *set & ~(1u << k) : *set | 1u << k;
      found = 1;
    }
    if (!found) {
      char known[400] = "all";
      for (int k = 0; k < PII_KINDS; k++) snprintf(known + strlen(known), sizeof known - strlen(known), ", %s", kinds[k].name);
      return err_set(e, STATUS_USAGE, "'%.*s' is no kind of personal data, expected one of: %s", (int)(n > 60 ? 60 : n), p, known);
    }
    if (!comma) return STATUS_OK;
    p = comma + 1;
  }
}

static unsigned pair_of(int a, int b) { return (unsigned)to_lower(a) << 8 | (unsigned)to_lower(b); }
static unsigned pair_of_word(const char *w) { return pair_of((unsigned char)w[0], w[1] == ' ' ? 0 : (unsigned char)w[1]); }

static void mark_pair(struct pii *p, unsigned pair) { p->pair[pair >> 3] |= (uint8_t)(1u << (pair & 7)); }

enum status pii_new(const char *list, double min_score, struct pii **out, struct err *e) {
  unsigned set;
  *out = NULL;
  enum status st = parse_kinds(list, &set, e);
  if (st != STATUS_OK) return st;
  struct pii *p = mem_calloc(1, sizeof *p);
  if (!p) return err_nomem(e, sizeof *p);
  p->kinds = set;
  p->min_score = min_score;
  while (pii_words[p->n_words].text) p->n_words++;
  p->by_pair = mem_alloc((size_t)p->n_words * sizeof *p->by_pair);
  if (!p->by_pair) {
    size_t n = p->n_words * sizeof *p->by_pair;
    mem_free(p);
    return err_nomem(e, n);
  }
  for (uint16_t i = 0; i < p->n_words; i++) { /* insertion by (pair, longest first): 200 rows */
    uint16_t k = i;
    for (; k > 0; k--) {
      const char *a = pii_words[p->by_pair[k - 1]].text, *b = pii_words[i].text;
      unsigned pa = pair_of_word(a), pb = pair_of_word(b);
      if (pa < pb || (pa == pb && strlen(a) >= strlen(b))) break;
      p->by_pair[k] = p->by_pair[k - 1];
    }
    p->by_pair[k] = i;
  }
  for (uint16_t i = p->n_words; i-- > 0;) {
    unsigned pair = pair_of_word(pii_words[p->by_pair[i]].text);
    mark_pair(p, pair);
    p->first_word[pair] = (uint16_t)(i + 1);
  }
  for (size_t i = 0; pii_key_prefixes[i]; i++) mark_pair(p, pair_of_word(pii_key_prefixes[i]));
  *out = p;
  return STATUS_OK;
}

void pii_free(struct pii *p) {
  if (!p) return;
  mem_free(p->by_pair);
  mem_free(p);
}

/* ---- helpers of the recognisers ---- */
static int is_joint(int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '_' || c == '-'; }

static size_t word_end(const struct look *s, size_t i, const char *lower) {
  for (; *lower; lower++) {
    if (*lower == ' ') {
      size_t from = i;
      while (i - from < 3 && is_joint(look_at(s, i))) i++;
      if (i == from) return 0;
      continue;
    }
    if (i >= s->n || to_lower(s->t[i]) != (unsigned char)*lower) return 0;
    i++;
  }
  return i;
}

int look_word(const struct look *s, size_t i, const char *lower) { return word_end(s, i, lower) != 0; }

void look_add(struct look *s, enum pii_kind k, size_t from, size_t to, double score, const char *what) {
  if (s->st != STATUS_OK || score < s->p->min_score || !look_wants(s, k)) return;
  if (s->n_hit == s->cap) {
    size_t cap = s->cap ? 2 * s->cap : 16;
    struct pii_hit *h = arena_alloc(s->a, cap * sizeof *h);
    if (!h) {
      s->st = err_nomem(s->e, cap * sizeof *h);
      return;
    }
    if (s->n_hit) memcpy(h, s->hit, s->n_hit * sizeof *h);
    s->hit = h;
    s->cap = cap;
  }
  s->hit[s->n_hit++] = (struct pii_hit){ from, to - from, k, score, what };
}

/* ---- the walk ---- */
static size_t do_word(struct look *s, const struct pii_word *w, size_t i, size_t end) {
  size_t go = i;
  switch (w->action) {
    case WORD_CONTEXT: s->mark[w->mark] = end + 1; break;
    case WORD_MRN: go = look_wants(s, PII_mrn) ? pii_mrn(s, end) : end; break;
    case WORD_DOB: go = look_wants(s, PII_dob) ? pii_dob(s, end, 0) : end; break;
    case WORD_BORN: go = look_wants(s, PII_dob) ? pii_dob(s, end, 1) : end; break;
    case WORD_BORN_AFTER: go = look_wants(s, PII_dob) ? pii_dob_before(s, i) : end; break;
    case WORD_SECRET: case WORD_BEARER: go = look_wants(s, PII_api_key) ? pii_secret(s, end, w->action == WORD_BEARER) : end; break;
    default: go = look_wants(s, PII_name) ? pii_name(s, w, i, end) : end; break;
  }
  return go > end ? go : end;
}

/* A word of the table at i (a word's start, or any byte above 0x7F): acts on the longest one. */
static size_t try_words(struct look *s, size_t i) {
  unsigned pair = pair_of(s->t[i], look_at(s, i + 1));
  int ascii = s->t[i] < 0x80;
  unsigned first = s->p->first_word[pair];
  if (!first && ascii && !is_alnum(look_at(s, i + 1))) first = s->p->first_word[pair = pair_of(s->t[i], 0)]; /* "v 1.2" */
  for (; first && first <= s->p->n_words; first++) {
    const struct pii_word *w = &pii_words[s->p->by_pair[first - 1]];
    if (pair_of_word(w->text) != pair) break;
    size_t end = word_end(s, i, w->text);
    int next = look_at(s, end); /* not the start of a longer word, in Latin, Greek or Cyrillic letters either */
    if (!end || (ascii && (is_alnum(next) || (next >= 0xC3 && next < 0xD5)))) continue;
    return do_word(s, w, i, end);
  }
  return i;
}

static size_t step_letter(struct look *s, size_t i) {
  const unsigned char *t = s->t;
  size_t go = i;
  unsigned pair = pair_of(t[i], look_at(s, i + 1));
  if (s->p->pair[pair >> 3] >> (pair & 7) & 1) {
    if (look_wants(s, PII_api_key) && (go = pii_key(s, i)) > i) return go;
    if ((go = try_words(s, i)) > i) return go;
  } else if (!is_alnum(look_at(s, i + 1)) && s->p->first_word[pair_of(t[i], 0)]) {
    if ((go = try_words(s, i)) > i) return go;
  }
  if (is_upper(t[i]) && is_upper(look_at(s, i + 1))) {
    if (is_digit(look_at(s, i + 2)) && look_wants(s, PII_iban) && (go = pii_iban(s, i)) > i) return go;
  }
  if (is_upper(t[i]) && look_wants(s, PII_national_id) && (go = pii_id(s, i)) > i) return go;
  for (i++; i < s->n && is_alpha(t[i]); i++) {} /* to the end of the letters */
  return i;
}

static void walk(struct look *s) {
  const unsigned char *t = s->t;
  for (size_t i = 0; i < s->n && s->st == STATUS_OK;) {
    int c = t[i];
    size_t go = i;
    if (is_alpha(c)) {
      i = i > 0 && (is_alnum(t[i - 1])) ? i + 1 : step_letter(s, i);
      continue;
    }
    if (is_digit(c)) {
      if (i > 0 && is_alnum(t[i - 1])) { /* inside a word: skip its digits */
        while (i < s->n && is_digit(t[i])) i++;
        continue;
      }
      go = pii_number(s, i);
      if (go == i) while (go < s->n && is_digit(t[go])) go++;
      i = go;
      continue;
    }
    if (c >= 0x80) {
      if (c >= 0xC3 && s->p->pair[pair_of(c, look_at(s, i + 1)) >> 3] >> (pair_of(c, look_at(s, i + 1)) & 7) & 1) go = try_words(s, i);
    } else if (c == '@') {
      if (look_wants(s, PII_email)) go = pii_email(s, i);
    } else if (c == ':') {
      if (look_at(s, i + 1) == '/' && look_at(s, i + 2) == '/') go = look_wants(s, PII_url_credentials) ? pii_url(s, i) : i;
      else if (look_wants(s, PII_ip)) go = pii_ipv6(s, i);
    } else if (c == '(' || c == '+') {
      go = pii_number(s, i);
    } else if (c == '-' && look_wants(s, PII_api_key) && look_at(s, i + 1) == '-') {
      go = pii_key(s, i);
    }
    i = go > i ? go : i + 1;
  }
}

/* By offset, then longer, then surer. Offsets are nearly sorted already. */
static int before(const struct pii_hit *a, const struct pii_hit *b) {
  if (a->offset != b->offset) return a->offset < b->offset;
  if (a->bytes != b->bytes) return a->bytes > b->bytes;
  return a->score > b->score;
}

static size_t settle(struct pii_hit *h, size_t n) {
  size_t kept = 0;
  for (size_t i = 1; i < n; i++) { /* recognisers look back by a bounded stretch only: few steps each */
    struct pii_hit x = h[i];
    size_t k = i;
    for (; k > 0 && before(&x, &h[k - 1]); k--) h[k] = h[k - 1];
    h[k] = x;
  }
  for (size_t i = 0; i < n; i++) {
    struct pii_hit *last = kept ? &h[kept - 1] : NULL;
    if (last && h[i].offset < last->offset + last->bytes) { /* what either covers goes, under the name of the longer */
      size_t from = last->offset, end = from + last->bytes, end_i = h[i].offset + h[i].bytes;
      if (h[i].bytes > last->bytes) *last = h[i];
      last->offset = from;
      last->bytes = (end_i > end ? end_i : end) - from;
      continue;
    }
    h[kept++] = h[i];
  }
  return kept;
}

enum status pii_scan(const struct pii *p, struct span text, struct arena *a, struct pii_hit **hit, size_t *n, struct err *e) {
  struct look s = { .p = p, .t = (const unsigned char *)text.p, .n = text.n, .a = a, .st = STATUS_OK, .e = e };
  walk(&s);
  *hit = s.hit;
  *n = s.st == STATUS_OK ? settle(s.hit, s.n_hit) : 0;
  return s.st;
}
