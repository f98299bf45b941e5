/* SPDX-License-Identifier: Apache-2.0
 * Text to ids, in the order of Hugging Face's tokenizers: added tokens on the raw text, NFC of what lies between, added
 * tokens on the normalised text, pre-tokeniser, byte-pair merging. */
#include "tokenizer.h"
#include "tokenizer_impl.h"
#include "tokenizer_utf8.h"
#include "word_cache.h"

_Static_assert(TOKEN_ID_LIMIT <= 1 << WORD_COUNT_SHIFT, "word_cache.h keeps a count above an id");

struct enc {
  const struct tokenizer *t;
  struct arena *a;
  int special;
  const struct text_range *guard; /* of the caller's text, ascending */
  size_t n_guard;
  int32_t *id;
  size_t *end;        /* NULL unless asked for */
  size_t n, cap;
  struct pretok_pass pass;
  struct word_cache *cache;
  struct bpe_scratch scratch;
  /* Position of the segment in hand: bytes of its text up to `piece`, in the caller's text. */
  size_t source;      /* offset of the segment in the caller's text */
  struct nfc_map map; /* of the segment, n = 0 when NFC left it alone */
  size_t map_at;
  struct err *e;
};

static enum status grow(struct enc *c, size_t more) {
  if (c->cap - c->n >= more) return STATUS_OK;
  size_t cap = c->cap + c->cap / 2 + more;
  int32_t *id = arena_alloc(c->a, cap * sizeof *id);
  size_t *end = c->end ? arena_alloc(c->a, cap * sizeof *end) : NULL;
  if (!id || (c->end && !end)) return err_nomem(c->e, cap * (sizeof *id + sizeof *end));
  if (c->n) memcpy(id, c->id, c->n * sizeof *id);
  if (c->n && end) memcpy(end, c->end, c->n * sizeof *end);
  c->id = id, c->end = end, c->cap = cap;
  return STATUS_OK;
}

/* Offset in the caller's text of offset `at` of the (normalised) segment. */
static size_t source_of(struct enc *c, size_t at) {
  const struct nfc_map *m = &c->map;
  if (!m->n) return c->source + at;
  while (c->map_at + 1 < m->n && m->stop[c->map_at].to < at) c->map_at++;
  /* Stops come in pairs around a changed stretch: even = unchanged text up to it, odd = the stretch's end. */
  if (c->map_at % 2 == 0) return c->source + m->stop[c->map_at].from - (m->stop[c->map_at].to - at);
  return c->source + m->stop[c->map_at].from;
}

/* ---- words ---- */

/* Merges the bytes of w behind the ids so far; *n = how many ids. len, when not NULL, gets the bytes of each (w.n of room). */
static enum status merge_word(struct enc *c, struct span w, uint32_t *len, size_t *n) {
  enum status st = STATUS_OK;
  TRY(grow(c, w.n));
  int32_t *id = c->id + c->n;
  /* A byte without a token counts with the symbol after it (before it at the end), so that ends stay right. */
  uint32_t skipped = 0;
  *n = 0;
  for (size_t i = 0; i < w.n; i++) {
    int32_t b = c->t->bpe.byte_id[(unsigned char)w.p[i]];
    if (b < 0) b = c->t->bpe_unk;
    skipped++;
    if (b < 0) continue;
    if (len) len[*n] = skipped;
    id[(*n)++] = b, skipped = 0;
  }
  TRY(bpe_apply(&c->t->bpe, id, len, n, &c->scratch, c->a, c->e));
  if (len && *n) len[*n - 1] += skipped;
out:
  return st;
}

/* Ends of the n tokens that w just got. */
static enum status put_ends(struct enc *c, struct span w, size_t at, size_t n) {
  enum status st = STATUS_OK;
  size_t sum = 0;
  uint32_t *len = NULL;
  const int32_t *id = c->id + c->n;
  for (size_t i = 0; i < n; i++) sum += tokenizer_token_bytes(c->t, id[i]).n;
  if (sum != w.n && n) { /* bytes without a token: only merging again tells whose they are */
    len = arena_alloc(c->a, w.n * sizeof *len);
    if (!len) return err_nomem(c->e, w.n * sizeof *len);
    TRY(merge_word(c, w, len, &n));
    id = c->id + c->n;
  }
  for (size_t i = 0; i < n; i++) {
    at += len ? len[i] : tokenizer_token_bytes(c->t, id[i]).n;
    c->end[c->n + i] = source_of(c, at);
  }
out:
  return st;
}

/* A word that the cache's short lines do not have: its ids behind those so far, and into the cache. */
static enum status put_new(struct enc *c, struct span w, const struct word_key *key, size_t *n) {
  enum status st = STATUS_OK;
  const int32_t *known = word_cache_long(c->cache, w, n);
  if (known) {
    TRY(grow(c, *n));
    if (*n) memcpy(c->id + c->n, known, *n * sizeof *known);
    goto out;
  }
  int32_t id = c->t->ignore_merges ? word_map_get(&c->t->words, w) : -1;
  if (id >= 0 && c->t->flag[id] & IN_VOCAB) {
    TRY(grow(c, 1));
    c->id[c->n] = id, *n = 1;
  } else {
    TRY(merge_word(c, w, NULL, n));
  }
  word_cache_put(c->cache, w, key, c->id + c->n, *n);
out:
  return st;
}

enum { BATCH = 64 }; /* words whose places in the cache are fetched before the first is read */

/* The pieces of s that end at end[0..n), the first begins at `at`; s begins at `from` in the normalised segment. */
static enum status put_words(struct enc *c, struct span s, size_t at, const size_t *end, size_t n, size_t from) {
  enum status st = STATUS_OK;
  struct word_key key[BATCH];
  size_t start = at;
  for (size_t i = 0; i < n; at = end[i++]) {
    struct span w = { s.p + at, end[i] - at };
    if (w.n <= WORD_SHORT) {
      key[i] = word_key_of(w, s.p + s.n);
      __builtin_prefetch(&c->cache->line[key[i].line]);
    } else {
      key[i].hi = 0;
    }
  }
  at = start;
  for (size_t i = 0; i < n; at = end[i++]) {
    struct span w = { s.p + at, end[i] - at };
    const struct word_entry *known = key[i].hi ? word_cache_short(c->cache, &key[i]) : NULL;
    size_t got;
    if (c->cap - c->n < WORD_IDS) TRY(grow(c, WORD_IDS));
    if (known) {
      memcpy(c->id + c->n, known->id, sizeof known->id);
      got = (uint32_t)known->id[0] >> WORD_COUNT_SHIFT;
      c->id[c->n] &= (1 << WORD_COUNT_SHIFT) - 1;
    } else {
      TRY(put_new(c, w, &key[i], &got));
    }
    if (c->end) TRY(put_ends(c, w, from + at, got));
    c->n += got;
  }
out:
  return st;
}

/* Plain text between added tokens; `from` = its offset in the normalised segment. */
static enum status put_text(struct enc *c, struct span s, size_t from) {
  enum status st = STATUS_OK;
  size_t extra = 0, end[BATCH], got, at = 0;
  if (c->t->prefix_space && s.n && s.p[0] != ' ') {
    char *p = arena_alloc(c->a, s.n + 1);
    if (!p) return err_nomem(c->e, s.n + 1);
    p[0] = ' ';
    memcpy(p + 1, s.p, s.n);
    s = (struct span){ p, s.n + 1 };
    extra = 1;
  }
  pretok_text(&c->pass, s);
  for (;;) {
    TRY(pretok_next(&c->pass, end, BATCH, &got, c->e));
    if (!got) break;
    TRY(put_words(c, s, at, end, got, from - extra)); /* may wrap below 0 for the blank in front; ends are in range again */
    at = end[got - 1];
  }
out:
  return st;
}

/* ---- added tokens ---- */

/* Longest added token at p, -1 when none; *n = its length. */
static int32_t trie_match(const struct trie *t, const char *p, size_t left, size_t *n) {
  int32_t at = 0, id = -1;
  for (size_t i = 0; i < left; i++) {
    int32_t k = t->node[at].child;
    while (k >= 0 && t->node[k].byte != (unsigned char)p[i]) k = t->node[k].sib;
    if (k < 0) break;
    if (t->node[k].id >= 0) id = t->node[k].id, *n = i + 1;
    at = k;
  }
  return id;
}

/* Next place from i on where an added token may begin. */
static size_t trie_next(const struct trie *t, struct span s, size_t i) {
  if (t->n_first == 1) {
    const char *p = memchr(s.p + i, t->only, s.n - i);
    return p ? (size_t)(p - s.p) : s.n;
  }
  while (i < s.n && !t->first[(unsigned char)s.p[i]]) i++;
  return i;
}

static size_t char_before(const char *p, size_t at) {
  do at--;
  while (at > 0 && ((unsigned char)p[at] & 0xc0) == 0x80);
  return at;
}

static int word_before(struct span s, size_t at) {
  int len;
  return at > 0 && utf8_is_word(utf8_decode(s.p + char_before(s.p, at), &len));
}

static int word_at(struct span s, size_t at) {
  int len;
  return at < s.n && utf8_is_word(utf8_decode(s.p + at, &len));
}

static size_t strip_left(struct span s, size_t at, size_t floor) {
  int len;
  while (at > floor && utf8_is_space(utf8_decode(s.p + char_before(s.p, at), &len))) at = char_before(s.p, at);
  return at;
}

static size_t strip_right(struct span s, size_t at) {
  int len;
  while (at < s.n && utf8_is_space(utf8_decode(s.p + at, &len))) at += (size_t)len;
  return at;
}

static int guarded(const struct enc *c, size_t from, size_t to) {
  size_t lo = 0, hi = c->n_guard; /* first range that ends behind from */
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (c->guard[mid].to <= from) lo = mid + 1;
    else hi = mid;
  }
  return lo < c->n_guard && c->guard[lo].from < to;
}

/* Calls text() for what lies between added tokens of the trie and puts their ids. The leftmost match counts, of several the
 * longest; a match that its flags forbid is text, and the search goes on behind it. As in HF it goes on inside of white space that
 * rstrip took, so a token of white space there counts too. */
static enum status split_added(struct enc *c, const struct trie *t, struct span s, enum status (*text)(struct enc *, struct span, size_t)) {
  enum status st = STATUS_OK;
  size_t done = 0; /* text before it is put */
  for (size_t i = 0; t->n && (i = trie_next(t, s, i)) < s.n;) {
    size_t n = 0;
    int32_t id = trie_match(t, s.p + i, s.n - i, &n);
    if (id < 0) {
      i++;
      continue;
    }
    size_t from = i, to = i + n;
    unsigned flag = c->t->flag[id];
    i = to;
    if (!c->special && c->t->type[id] == TOKEN_CONTROL) continue;
    if (c->n_guard && c->t->type[id] == TOKEN_CONTROL && guarded(c, source_of(c, from), source_of(c, to))) {
      i = from + 1; /* a shorter or later token may begin inside */
      continue;
    }
    if (flag & ADDED_SINGLE_WORD && (word_before(s, from) || word_at(s, to))) continue;
    if (flag & ADDED_LSTRIP) from = strip_left(s, from, done);
    if (flag & ADDED_RSTRIP) to = strip_right(s, to);
    if (from > done) TRY(text(c, (struct span){ s.p + done, from - done }, done));
    TRY(grow(c, 1));
    if (c->end) c->end[c->n] = source_of(c, to);
    c->id[c->n++] = id;
    done = to;
  }
  if (done < s.n) TRY(text(c, (struct span){ s.p + done, s.n - done }, done));
out:
  return st;
}

/* Text between raw added tokens: its own NFC, its own map of offsets. */
static enum status put_segment(struct enc *c, struct span s, size_t from) {
  enum status st = STATUS_OK;
  c->source = from;
  if (c->t->nfc) TRY(utf8_nfc(s, c->a, &s, c->end ? &c->map : NULL, c->e));
  c->map_at = 0;
  st = split_added(c, &c->t->norm, s, put_text);
  c->source = 0, c->map = (struct nfc_map){ NULL, 0 }, c->map_at = 0;
out:
  return st;
}

/* A cache that no other thread has in hand now. */
static enum status take_cache(const struct tokenizer *t, struct word_cache **c, struct err *e) {
  for (int i = 0; i < TOKENIZER_CACHES; i++)
    if (atomic_load_explicit(&t->cache[i], memory_order_relaxed) && (*c = atomic_exchange(&t->cache[i], NULL))) return STATUS_OK;
  return word_cache_new(c, e);
}

static void give_cache(const struct tokenizer *t, struct word_cache *c) {
  for (int i = 0; c && i < TOKENIZER_CACHES; i++) {
    struct word_cache *none = NULL;
    if (atomic_compare_exchange_strong(&t->cache[i], &none, c)) return;
  }
  word_cache_free(c);
}

static enum status encode(const struct tokenizer *t, struct span text, int special, const struct text_range *guard, size_t n_guard, struct arena *a,
                          struct tokens *out, size_t **end, struct err *e) {
  enum status st = STATUS_OK;
  struct enc c = { .t = t, .a = a, .special = special, .guard = guard, .n_guard = n_guard, .e = e };
  size_t first = text.n / 3 + 16; /* English has about four bytes a token */
  out->id = NULL, out->n = 0;
  c.id = arena_alloc(a, first * sizeof *c.id);
  if (end) c.end = arena_alloc(a, first * sizeof *c.end);
  if (!c.id || (end && !c.end)) return err_nomem(e, first * sizeof *c.id);
  c.cap = first;
  TRY(take_cache(t, &c.cache, e));
  TRY(pretok_begin(t->pretok, &c.pass, e));
  TRY(split_added(&c, &t->raw, text, put_segment));
  out->id = c.id, out->n = c.n;
  for (size_t i = 1; end && i < c.n; i++)
    if (c.end[i] < c.end[i - 1]) c.end[i] = c.end[i - 1]; /* only after such white space */
  if (end) *end = c.end;
out:
  pretok_end(&c.pass);
  give_cache(t, c.cache);
  return st;
}

enum status tokenizer_encode(const struct tokenizer *t, struct span text, int special, struct arena *a, struct tokens *out, struct err *e) {
  if (utf8_valid_prefix(text) == text.n) return encode(t, text, special, NULL, 0, a, out, NULL, e);
  struct buf b = { 0 };
  enum status st = utf8_lossy(text, &b, e);
  if (st == STATUS_OK) st = encode(t, (struct span){ b.p, b.n }, special, NULL, 0, a, out, NULL, e);
  buf_free(&b);
  return st;
}

enum status tokenizer_encode_ends(const struct tokenizer *t, struct span text, int special, struct arena *a, struct tokens *out, size_t **end,
                                  struct err *e) {
  size_t good = utf8_valid_prefix(text);
  if (good != text.n) return err_set(e, STATUS_DATA, "byte %zu is not UTF-8", good);
  return encode(t, text, special, NULL, 0, a, out, end, e);
}

enum status tokenizer_encode_guarded(const struct tokenizer *t, struct span text, const struct text_range *guard, size_t n_guard, struct arena *a,
                                     struct tokens *out, size_t **end, struct err *e) {
  size_t good = utf8_valid_prefix(text);
  if (good != text.n) return err_set(e, STATUS_DATA, "byte %zu is not UTF-8", good);
  return encode(t, text, 1, guard, n_guard, a, out, end, e);
}
