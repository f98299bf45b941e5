/* SPDX-License-Identifier: Apache-2.0
 * The hand-written splitters against the patterns of the same rows run by PCRE2, piece by piece: every code point in every kind of
 * neighbourhood, all short texts over an alphabet of troublemakers, random texts; and ids that come out of the cache of words
 * against those of a tokenizer that has never seen the word, merged by rank alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "mem.h"
#include "pretok.h"
#include "rng.h"
#include "tokenizer_impl.h"
#include "tokenizer_utf8.h"

#define DATA TEST_SOURCE "/tests/golden/data/tokenizer/"

struct pair { struct pretok_row row; struct pretok *ours, *theirs; struct pretok_pass a, b; };

static size_t pairs_open(struct pair *p) {
  size_t n = 0;
  for (const struct pretok_row *r = pretok_table; r->name; r++) {
    if (!r->split) continue;
    struct pair *k = &p[n++];
    k->row = *r, k->row.split = NULL;
    assert_int_equal(pretok_new(r, &k->ours, NULL), STATUS_OK);
    assert_int_equal(pretok_new(&k->row, &k->theirs, NULL), STATUS_OK);
    assert_int_equal(pretok_begin(k->ours, &k->a, NULL), STATUS_OK);
    assert_int_equal(pretok_begin(k->theirs, &k->b, NULL), STATUS_OK);
  }
  assert_int_equal(n, 4);
  return n;
}

static void pairs_close(struct pair *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    pretok_end(&p[i].a);
    pretok_end(&p[i].b);
    pretok_free(p[i].ours);
    pretok_free(p[i].theirs);
  }
}

/* The text in memory of exactly its size, so that AddressSanitizer sees reads behind it. */
static void same_pieces(struct pair *p, size_t n_pair, const char *text, size_t n) {
  char *own = mem_alloc(n);
  memcpy(own, text, n);
  for (size_t k = 0; k < n_pair; k++) {
    size_t x[7], y[16], nx, ny, ix = 0, iy = 0; /* other sizes, so that batches end in other places */
    pretok_text(&p[k].a, (struct span){ own, n });
    pretok_text(&p[k].b, (struct span){ own, n });
    nx = ny = 0;
    for (;;) {
      if (ix == nx) assert_int_equal(pretok_next(&p[k].a, x, 7, &nx, NULL), STATUS_OK), ix = 0;
      if (iy == ny) assert_int_equal(pretok_next(&p[k].b, y, 16, &ny, NULL), STATUS_OK), iy = 0;
      if (!nx && !ny) break;
      if (!nx || !ny || x[ix] != y[iy]) {
        struct buf hex = { 0 };
        for (size_t i = 0; i < n && i < 60; i++) assert_int_equal(buf_printf(&hex, NULL, "%02x ", (unsigned char)own[i]), STATUS_OK);
        fail_msg("%s: a piece ends at %zd, the pattern's at %zd, in %s", p[k].row.name, nx ? (ssize_t)x[ix] : -1, ny ? (ssize_t)y[iy] : -1, hex.p);
      }
      ix++, iy++;
    }
  }
  mem_free(own);
}

static size_t put(char *at, uint32_t c) { return (size_t)utf8_encode(c, at); }

/* Alone between letters, digits, blanks, line ends, punctuation and itself: tells every class from every other. */
static void every_code_point(void **state) {
  (void)state;
  static const char *const around[] = { "", "a", "1", " ", "\n", "!", "'", "\xc3\xa9", " \xe3\x80\x80", "'l" };
  enum { AROUND = sizeof around / sizeof *around };
  struct pair p[8];
  size_t n = pairs_open(p);
  struct buf b = { 0 };
  for (uint32_t c = 0; c < 0x110000; c++) {
    if (c >= 0xd800 && c < 0xe000) continue;
    char u[4];
    size_t k = put(u, c);
    int lone = c >= 0x33000 && c < 0xe0000; /* unassigned planes: one pair of neighbours each */
    int full = c % 16 == 0 || c < 0x300; /* all pairs of neighbours, else the pairs of one */
    for (int i = 0; i < AROUND; i++)
      for (int j = 0; j < AROUND; j++) {
        if (lone && (i != (int)(c % AROUND) || j != (int)(c / AROUND % AROUND))) continue;
        if (!full && !lone && i != (int)(c / 16 % AROUND) && j) continue;
        assert_int_equal(buf_puts(&b, around[i], NULL), STATUS_OK);
        assert_int_equal(buf_put(&b, u, k, NULL), STATUS_OK);
        assert_int_equal(buf_puts(&b, around[j], NULL), STATUS_OK);
        assert_int_equal(buf_put(&b, u, k, NULL), STATUS_OK);
      }
    if (b.n > 4096 || c == 0x10ffff) {
      same_pieces(p, n, b.p, b.n);
      buf_clear(&b);
    }
  }
  buf_free(&b);
  pairs_close(p, n);
}

/* Blanks and ends of lines of every kind, letters that fold, digits of other scripts, marks, an emoji of several characters. */
static const uint32_t trouble[] = { ' ', '\n', '\'', 'a', '1', '!', '\r', '\t', 's', 'L', 'e', 'R', 'v', 0x17f, 0xa0, 0x3000, 0x85, 0x2028, 0x180e, 0x200b, 0x200d, 0x2019, 0x301, 0xe9,
  0x3042, 0x6f22, 0x661, 0xb2, 0x2167, 0x1f468, 0x1f3fd, 0xfe0f, 0, 0x7f, 0x10ffff, 'Z', '[', '`', '{', '@', '/', ':', '\v', 'T', 'm', 'D', 0x212a, 0x1d7ce, '-', '=' };
enum { TROUBLE = sizeof trouble / sizeof *trouble };

static void all_short_texts(void **state) {
  (void)state;
  struct pair p[8];
  size_t n = pairs_open(p);
  char text[32];
  for (uint32_t x = 0; x < 20 * 20 * 20 * 20; x++) {
    size_t k = put(text, trouble[x % 20]);
    k += put(text + k, trouble[x / 20 % 20]);
    k += put(text + k, trouble[x / 400 % 20]);
    k += put(text + k, trouble[x / 8000]);
    same_pieces(p, n, text, k);
  }
  pairs_close(p, n);
}

/* Words of all lengths around the 16 bytes that are looked at together, runs, and anything from the alphabet. */
static void random_text(struct rng *r, struct buf *b) {
  buf_clear(b);
  for (int part = (int)(rng_u64(r) % 12); part >= 0; part--) {
    uint64_t kind = rng_u64(r);
    uint32_t one = trouble[kind % TROUBLE];
    int times = kind >> 20 & 1 ? (int)(rng_u64(r) % 40) : 1;
    char u[4];
    if (kind >> 21 & 1) assert_int_equal(buf_putc(b, ' ', NULL), STATUS_OK);
    for (int i = 0; i < times; i++) {
      if ((kind >> 22 & 3) == 1) one = (uint32_t)('a' + rng_u64(r) % 26);
      if ((kind >> 22 & 3) == 2) one = trouble[rng_u64(r) % TROUBLE];
      assert_int_equal(buf_put(b, u, put(u, one), NULL), STATUS_OK);
    }
  }
}

static void random_texts(void **state) {
  (void)state;
  struct pair p[8];
  struct buf b = { 0 };
  struct rng r = { .seed = 1 };
  size_t n = pairs_open(p);
  for (int i = 0; i < 200000; i++) {
    random_text(&r, &b);
    same_pieces(p, n, b.p, b.n);
  }
  buf_free(&b);
  pairs_close(p, n);
}

/* Rank + 1 of every pair of ids, 0 = none; of a pair listed twice the last rank counts. */
static uint32_t *all_ranks(const struct tokenizer *t) {
  uint32_t *rank = mem_calloc((size_t)t->n * (size_t)t->n, sizeof *rank);
  assert_non_null(rank);
  for (size_t k = 0; k < t->bpe.n_merge; k++) rank[(size_t)t->bpe.merge[k].a * (size_t)t->n + (size_t)t->bpe.merge[k].b] = (uint32_t)k + 1;
  return rank;
}

/* The lowest rank first, leftmost of equals, over all pairs each time: the definition. */
static size_t plain_bpe(const struct tokenizer *t, const uint32_t *rank, const char *w, size_t n_byte, int32_t *id) {
  size_t n = 0;
  for (size_t i = 0; i < n_byte; i++) {
    int32_t b = t->bpe.byte_id[(unsigned char)w[i]];
    if (b < 0) b = t->bpe_unk;
    if (b >= 0) id[n++] = b;
  }
  for (;;) {
    uint32_t best = UINT32_MAX;
    size_t at = 0;
    for (size_t i = 0; i + 1 < n; i++) {
      uint32_t k = rank[(size_t)id[i] * (size_t)t->n + (size_t)id[i + 1]];
      if (k && k < best) best = k, at = i;
    }
    if (best == UINT32_MAX) return n;
    id[at] = t->bpe.merge[best - 1].to;
    memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
    n--;
  }
}

static void ids_of_plain_bpe(void **state) {
  (void)state;
  static const char *const name[] = { "qwen2_small", "gpt2_style" };
  struct rng r = { .seed = 2 };
  struct arena *a = arena_new(0);
  struct buf b = { 0 };
  for (int m = 0; m < 2; m++) {
    char path[4096];
    struct tokenizer *t = NULL;
    snprintf(path, sizeof path, DATA "%s.tokenizer.json", name[m]);
    assert_int_equal(tokenizer_open(path, &t, NULL), STATUS_OK);
    struct pretok_row row = *t->pre;
    uint32_t *rank = all_ranks(t);
    struct pretok *pattern = NULL;
    struct pretok_pass pass;
    row.split = NULL;
    assert_int_equal(pretok_new(&row, &pattern, NULL), STATUS_OK);
    assert_int_equal(pretok_begin(pattern, &pass, NULL), STATUS_OK);
    for (int i = 0; i < 1500; i++) {
      static int32_t want[1 << 16];
      size_t n = 0, end, got, at = 0, *ends = NULL;
      struct tokens cold, again;
      struct span s;
      arena_reset(a);
      random_text(&r, &b);
      if (!b.n) continue;
      assert_int_equal(t->nfc ? utf8_nfc((struct span){ b.p, b.n }, a, &s, NULL, NULL) : (s = (struct span){ b.p, b.n }, STATUS_OK), STATUS_OK);
      assert_int_equal(tokenizer_encode(t, s, 0, a, &cold, NULL), STATUS_OK);
      assert_int_equal(tokenizer_encode_ends(t, s, 0, a, &again, &ends, NULL), STATUS_OK);
      assert_false(t->prefix_space);
      pretok_text(&pass, s);
      for (;;) {
        assert_int_equal(pretok_next(&pass, &end, 1, &got, NULL), STATUS_OK);
        if (!got) break;
        n += plain_bpe(t, rank, s.p + at, end - at, want + n);
        at = end;
      }
      assert_int_equal(cold.n, n);
      assert_int_equal(again.n, n);
      assert_memory_equal(cold.id, want, n * sizeof *want);
      assert_memory_equal(again.id, want, n * sizeof *want);
      for (size_t k = 0, sum = 0; k < n; k++) assert_int_equal(ends[k], sum += tokenizer_token_bytes(t, want[k]).n);
    }
    pretok_end(&pass);
    pretok_free(pattern);
    mem_free(rank);
    tokenizer_close(t);
  }
  buf_free(&b);
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(every_code_point), cmocka_unit_test(all_short_texts), cmocka_unit_test(random_texts),
                                      cmocka_unit_test(ids_of_plain_bpe) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
