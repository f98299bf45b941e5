/* SPDX-License-Identifier: Apache-2.0
 * Splitting documents; see split.h. The text is cut into units (sentences with the white space behind them; longer ones are
 * halved at a border near their middle), and passages are filled with whole units. */
#include "split.h"
#include "opt.h"

struct unit {
  size_t start, end; /* bytes; the next unit starts at end */
  size_t size;       /* characters or tokens */
  int ends_paragraph;
};

struct splitter {
  const struct split_options *o;
  struct span text;
  struct unit *unit;
  size_t n, cap;
  struct arena *scratch;
};

enum status split_parse(const char *text, struct split_options *o, struct err *e)
{
  uint64_t n = 0;
  struct err own;
  o->unit = SPLIT_NONE;
  if (text == NULL) {
    return STATUS_OK;
  }
  const char *colon = strchr(text, ':');
  size_t word = colon ? (size_t)(colon - text) : 0;
  if (word == 5 && memcmp(text, "chars", 5) == 0) {
    o->unit = SPLIT_CHARS;
  } else if (word == 6 && memcmp(text, "tokens", 6) == 0) {
    o->unit = SPLIT_TOKENS;
  }
  if (o->unit == SPLIT_NONE || opt_parse_size(colon + 1, 1000, &n, &own) != STATUS_OK || n < 16 || n > 100000000) {
    return err_set(e, STATUS_USAGE, "'--split %s': expected chars:N or tokens:N with N from 16, such as chars:1500", text);
  }
  o->max = (size_t)n;
  return STATUS_OK;
}

static int is_space(char c)
{
  return c == ' ' || c == '\n' || c == '\t' || c == '\f' || c == '\v';
}

static enum status measure(struct splitter *s, size_t start, size_t end, size_t *size, struct err *e)
{
  enum status st = STATUS_OK;
  *size = 0;
  if (s->o->unit == SPLIT_TOKENS) {
    struct tokens t = { NULL, 0 };
    arena_reset(s->scratch);
    TRY(tokenizer_encode(s->o->tokenizer, (struct span){ s->text.p + start, end - start }, 0, s->scratch, &t, e));
    *size = t.n;
  } else {
    for (size_t i = start; i < end; i++) {
      *size += ((unsigned char)s->text.p[i] & 0xc0) != 0x80;
    }
  }
out:
  return st;
}

static enum status push(struct splitter *s, struct unit u, struct err *e)
{
  if (s->n == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 256;
    struct unit *p = mem_realloc(s->unit, cap * sizeof *p);
    if (p == NULL) {
      return err_nomem(e, cap * sizeof *p);
    }
    s->unit = p;
    s->cap = cap;
  }
  s->unit[s->n++] = u;
  return STATUS_OK;
}

/* Best place to cut [start, end): a line end, a clause or a space within the middle half, nearest to the middle; else the
 * middle, at a character border. */
static size_t middle_cut(const struct splitter *s, size_t start, size_t end)
{
  const char *t = s->text.p;
  size_t mid = start + (end - start) / 2, reach = (end - start) / 4, best = 0;
  int best_rank = 0;
  for (size_t d = 0; d <= reach; d++) {
    size_t at[2] = { mid - d, mid + d };
    for (int k = 0; k < 2; k++) {
      size_t i = at[k];
      if (i <= start || i >= end) {
        continue;
      }
      int rank = t[i - 1] == '\n' ? 3 : is_space(t[i - 1]) && i >= 2 && strchr(";:,", t[i - 2]) != NULL ? 2 : is_space(t[i - 1]) ? 1 : 0;
      if (rank > best_rank) {
        best_rank = rank;
        best = i;
      }
    }
  }
  if (best_rank > 0) {
    return best;
  }
  while (mid > start + 1 && ((unsigned char)t[mid] & 0xc0) == 0x80) {
    mid--;
  }
  return mid;
}

static enum status add(struct splitter *s, size_t start, size_t end, int ends_paragraph, struct err *e)
{
  enum status st = STATUS_OK;
  size_t size;
  TRY(measure(s, start, end, &size, e));
  size_t cut = size > s->o->max && end - start > 4 ? middle_cut(s, start, end) : end;
  if (cut <= start || cut >= end) {
    return push(s, (struct unit){ start, end, size, ends_paragraph }, e);
  }
  TRY(add(s, start, cut, 0, e)); /* depth: log2 of the length */
  TRY(add(s, cut, end, ends_paragraph, e));
out:
  return st;
}

/* Words before a full stop that end no sentence. */
static int is_abbreviation(const char *t, size_t dot)
{
  static const char *const words[] = { "mr", "mrs", "ms", "dr", "prof", "st", "no", "nos", "art", "arts", "sec", "secs", "par", "para",
                                       "cf", "etc", "vs", "v", "inc", "ltd", "co", "corp", "fig", "vol", "pp", "ed", "al", "e.g", "i.e",
                                       "u.s", "u.s.c", "c.f.r", "approx", "jan", "feb", "aug", "sept", "oct", "nov", "dec", NULL };
  size_t a = dot;
  while (a > 0 && dot - a < 12 && !is_space(t[a - 1]) && strchr("(\"'[", t[a - 1]) == NULL) {
    a--;
  }
  size_t n = dot - a;
  char low[16];
  if (n == 0 || n >= sizeof low) {
    return 0;
  }
  for (size_t i = 0; i < n; i++) {
    low[i] = (char)(t[a + i] >= 'A' && t[a + i] <= 'Z' ? t[a + i] + 32 : t[a + i]);
  }
  low[n] = '\0';
  if (n == 1 && t[a] >= 'A' && t[a] <= 'Z') {
    return 1; /* an initial */
  }
  for (const char *const *w = words; *w != NULL; w++) {
    if (strcmp(low, *w) == 0) {
      return 1;
    }
  }
  return 0;
}

/* Bytes of a sentence end at i (with closing quotes), 0 when there is none. */
static size_t sentence_end(struct span t, size_t i)
{
  static const char *const wide[] = { "\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f" }; /* 。！？ need no space behind */
  for (size_t k = 0; k < 3; k++) {
    if (i + 3 <= t.n && memcmp(t.p + i, wide[k], 3) == 0) {
      return 3;
    }
  }
  if (strchr(".!?", t.p[i]) == NULL || t.p[i] == '\0' || (t.p[i] == '.' && is_abbreviation(t.p, i))) {
    return 0;
  }
  size_t k = i + 1;
  while (k < t.n && strchr(".!?\"')]", t.p[k]) != NULL && t.p[k] != '\0') {
    k++;
  }
  return k >= t.n || is_space(t.p[k]) ? k - i : 0;
}

static enum status find_units(struct splitter *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct span t = s->text;
  size_t start = 0;
  for (size_t i = 0; i < t.n;) {
    size_t len = sentence_end(t, i), k = i + len;
    int newlines = 0;
    if (len == 0 && t.p[i] != '\n') {
      i++;
      continue;
    }
    while (k < t.n && is_space(t.p[k])) {
      newlines += t.p[k] == '\n';
      k++;
    }
    if (len == 0 && newlines < 2) { /* a line end inside a sentence */
      i = k;
      continue;
    }
    TRY(add(s, start, k, newlines >= 2, e));
    start = i = k;
  }
  if (start < t.n) {
    TRY(add(s, start, t.n, 1, e));
  }
out:
  return st;
}

static struct span trim(struct span t)
{
  while (t.n > 0 && is_space(t.p[0])) {
    t.p++;
    t.n--;
  }
  while (t.n > 0 && is_space(t.p[t.n - 1])) {
    t.n--;
  }
  return t;
}

/* Last unit (exclusive) of the passage that starts at `from`; units before `seen` are overlap, so it must reach beyond. */
static enum status fill(struct splitter *s, size_t from, size_t seen, size_t *to, struct err *e)
{
  enum status st = STATUS_OK;
  size_t sum = 0, j = from, paragraph = 0;
  while (j < s->n && (j == from || sum + s->unit[j].size <= s->o->max)) {
    sum += s->unit[j].size;
    j++;
    if (s->unit[j - 1].ends_paragraph && sum * 2 >= s->o->max && j > seen) {
      paragraph = j;
    }
  }
  if (j < s->n && paragraph > 0) {
    j = paragraph;
  }
  while (s->o->unit == SPLIT_TOKENS && j > from + 1 && j > seen + 1) { /* sizes of pieces do not add up exactly */
    struct span piece = trim((struct span){ s->text.p + s->unit[from].start, s->unit[j - 1].end - s->unit[from].start });
    size_t a = (size_t)(piece.p - s->text.p), size;
    TRY(measure(s, a, a + piece.n, &size, e));
    if (size <= s->o->max) {
      break;
    }
    j--;
  }
  *to = j;
out:
  return st;
}

enum status split_text(const struct split_options *o, struct span text, split_piece f, void *ctx, struct err *e)
{
  enum status st = STATUS_OK;
  struct splitter s = { .o = o, .text = text };
  size_t index = 0;
  if (o->unit == SPLIT_NONE) {
    text = trim(text);
    return text.n > 0 ? f(ctx, text, 1, e) : STATUS_OK;
  }
  s.scratch = arena_new(0);
  if (s.scratch == NULL) {
    return err_nomem(e, 64);
  }
  TRY(find_units(&s, e));
  for (size_t from = 0, seen = 0, to; from < s.n;) {
    TRY(fill(&s, from, seen, &to, e));
    struct span piece = trim((struct span){ text.p + s.unit[from].start, s.unit[to - 1].end - s.unit[from].start });
    if (piece.n > 0) {
      TRY(f(ctx, piece, ++index, e));
    }
    size_t back = to, sum = 0;
    while (to < s.n && back > from + 1 && sum + s.unit[back - 1].size <= o->overlap) {
      sum += s.unit[--back].size;
    }
    while (back < to && sum + s.unit[to < s.n ? to : to - 1].size > o->max) { /* leave room for something new */
      sum -= s.unit[back++].size;
    }
    from = back;
    seen = to;
  }
out:
  mem_free(s.unit);
  arena_free(s.scratch);
  return st;
}
