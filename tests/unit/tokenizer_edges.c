/* SPDX-License-Identifier: Apache-2.0
 * Corners of the tokenizer: bytes that a vocabulary lacks, very long words and runs, hostile combining marks, the files of
 * a Hugging Face folder, errors that name what was found, every allocation failing once, threads sharing one tokenizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "file.h"
#include "log.h"
#include "pool.h"
#include "template.h"
#include "tokenizer_impl.h"
#include "tokenizer_utf8.h"

#define DATA TEST_SOURCE "/tests/golden/data/tokenizer/"
#define SEEDS TEST_SOURCE "/tests/fuzz/seeds/fuzz_tokenizer/"

static struct tokenizer *open_file(const char *path) {
  struct tokenizer *t = NULL;
  struct err e = { 0 };
  if (tokenizer_open(path, &t, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return t;
}

static void ids_are(const struct tokenizer *t, const char *text, size_t n, const int32_t *want, size_t n_want) {
  struct arena *a = arena_new(0);
  struct tokens k;
  assert_int_equal(tokenizer_encode(t, (struct span){ text, n }, 1, a, &k, NULL), STATUS_OK);
  assert_int_equal(k.n, n_want);
  assert_memory_equal(k.id, want, n_want * sizeof *want);
  arena_free(a);
}

/* digits.json holds only printable ASCII, "!" (id 1) is its unk_token. Without one the byte vanishes, as in HF. */
static void lacking_bytes(void **state) {
  (void)state;
  struct tokenizer *t = open_file(SEEDS "digits.json");
  assert_int_equal(t->bpe_unk, 1);
  ids_are(t, "a\x04" "b", 3, (int32_t[]){ 'a' - 32, 1, 'b' - 32 }, 3);
  tokenizer_close(t);
  t = open_file(SEEDS "digits.json"); /* words that were met are kept */
  t->bpe_unk = -1;
  ids_are(t, "a\x04" "b", 3, (int32_t[]){ 'a' - 32, 'b' - 32 }, 2);
  ids_are(t, "\x04\x06", 2, NULL, 0);
  struct arena *a = arena_new(0);
  struct tokens k;
  size_t *end = NULL;
  assert_int_equal(tokenizer_encode_ends(t, (struct span){ "\x04" "a\x04", 3 }, 1, a, &k, &end, NULL), STATUS_OK);
  assert_int_equal(k.n, 1);
  assert_int_equal(end[0], 2); /* a word without tokens has no end */
  arena_free(a);
  tokenizer_close(t);
}

/* llama3.json has the word "end" (id 267) without merges that lead to it (HF's tokenizers gives the same ids). */
static void words_without_merges(void **state) {
  (void)state;
  struct tokenizer *t = open_file(SEEDS "llama3.json");
  assert_int_equal(t->ignore_merges, 1);
  ids_are(t, "end the", 7, (int32_t[]){ 267, 258 }, 2);
  tokenizer_close(t);
  t = open_file(SEEDS "llama3.json");
  t->ignore_merges = 0;
  ids_are(t, "end the", 7, (int32_t[]){ 'e', 'n', 'd', 258 }, 4);
  tokenizer_close(t);
}

/* Runs of one character: no limit of PCRE2 may cut them, no time may grow with their square, and the tokens are the text. */
static void long_runs(void **state) {
  (void)state;
  static const struct { const char *unit; size_t times; } run[] = { { "a", 1 << 20 }, { " ", 1 << 20 }, { "\n", 1 << 20 }, { "ab", 1 << 19 }, { "1", 1 << 20 },
    { "\xe3\x81\x82", 1 << 18 }, { "-", 1 << 20 }, { " \t", 1 << 19 }, { "\xcc\x81\xcc\xa3", 1 << 18 }, { "<|im_", 1 << 18 } };
  static const char *const name[] = { "qwen2_small", "gpt2_style" };
  double start = clock_seconds();
  for (int m = 0; m < 2; m++) {
    char path[4096];
    snprintf(path, sizeof path, DATA "%s.tokenizer.json", name[m]);
    struct tokenizer *t = open_file(path);
    for (size_t r = 0; r < sizeof run / sizeof *run; r++) {
      struct buf b = { 0 }, back = { 0 };
      struct arena *a = arena_new(0);
      struct tokens k;
      struct err e = { 0 };
      for (size_t i = 0; i < run[r].times; i++) assert_int_equal(buf_puts(&b, run[r].unit, NULL), STATUS_OK);
      if (tokenizer_encode(t, (struct span){ b.p, b.n }, 1, a, &k, &e) != STATUS_OK) fail_msg("'%s': %s", run[r].unit, e.msg);
      assert_int_equal(tokenizer_decode(t, k.id, k.n, 0, &back, NULL), STATUS_OK);
      assert_int_equal(back.n, b.n);
      if (!strchr(run[r].unit, '\xcc')) assert_memory_equal(back.p, b.p, b.n); /* NFC orders the marks */
      buf_free(&b);
      buf_free(&back);
      arena_free(a);
    }
    tokenizer_close(t);
  }
  double took = clock_seconds() - start;
  if (took > 120) fail_msg("took %.0f s (4 s observed)", took); /* quadratic work would take hours */
}

static void nfc_orders_and_composes(void **state) {
  (void)state;
  static const struct { const char *in, *out; } c[] = {
    { "e\xcc\x81", "\xc3\xa9" }, { "a\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81" }, { "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c" },
    { "\xed\x95\x98\xe1\x86\xab", "\xed\x95\x9c" }, { "\xe3\x81\x8b\xe3\x82\x99x", "\xe3\x81\x8cx" }, { "\xe2\x84\xab", "\xc3\x85" }, { "\xef\xac\x81", "\xef\xac\x81" },
    { "plain \xe6\xbc\xa2", "plain \xe6\xbc\xa2" }, { "\xef\xa4\x80", "\xe8\xb1\x88" } };
  struct arena *a = arena_new(0);
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    struct span s = { c[i].in, strlen(c[i].in) }, out;
    assert_int_equal(utf8_nfc(s, a, &out, NULL, NULL), STATUS_OK);
    if (out.n != strlen(c[i].out) || memcmp(out.p, c[i].out, out.n) != 0) fail_msg("case %zu", i);
  }
  arena_free(a);
}

static void folder_files(void **state) {
  (void)state;
  char folder[] = "/tmp/retort-tok-XXXXXX", path[4096];
  struct buf b = { 0 };
  struct tokenizer *t;
  assert_non_null(mkdtemp(folder));
  assert_int_equal(file_read(SEEDS "llama3.json", 1 << 20, &b, NULL), STATUS_OK);
  const struct { const char *name, *text; } file[] = {
    { "tokenizer.json", b.p },
    { "tokenizer_config.json", "{\"eos_token\":{\"content\":\"the\"},\"pad_token\":null,\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"},{\"name\":\"default\",\"template\":\"D\"}]}" },
    { "config.json", "{\"bos_token_id\":5,\"eos_token_id\":[7,8],\"pad_token_id\":9}" } };
  for (size_t i = 0; i < 3; i++) {
    struct file_atomic f = { 0 };
    snprintf(path, sizeof path, "%s/%s", folder, file[i].name);
    assert_int_equal(file_atomic_open(&f, path, NULL), STATUS_OK);
    fputs(file[i].text, f.fp);
    assert_int_equal(file_atomic_commit(&f, NULL), STATUS_OK);
  }
  t = open_file(folder);
  assert_int_equal(tokenizer_bos(t), 5);      /* config.json, as tokenizer_config.json does not say */
  assert_int_equal(tokenizer_eos(t), tokenizer_id(t, "the"));
  assert_int_equal(tokenizer_pad(t), -1);     /* null is an answer */
  assert_int_equal(tokenizer_add_bos(t), 1);  /* TemplateProcessing */
  assert_string_equal(tokenizer_template(t), "D");
  tokenizer_close(t);
  struct file_atomic f = { 0 };
  snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
  assert_int_equal(file_atomic_open(&f, path, NULL), STATUS_OK);
  fputs("J", f.fp);
  assert_int_equal(file_atomic_commit(&f, NULL), STATUS_OK);
  t = open_file(folder);
  assert_string_equal(tokenizer_template(t), "J");
  tokenizer_close(t);
  assert_int_equal(folder_remove(folder, NULL), STATUS_OK);
  buf_free(&b);
}

static void errors_name_what_was_found(void **state) {
  (void)state;
#define BL "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}"
  static const struct { const char *text, *word; } c[] = {
    { "", "bad.json" }, { "[]", "\"BPE\"" }, { "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "WordPiece" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}," BL ",\"normalizer\":{\"type\":\"NFKC\"}}", "NFKC" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":{\"type\":\"Metaspace\"}}", "Metaspace" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":null}", "pre_tokenizer" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"x+\"},"
      "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"use_regex\":false,\"add_prefix_space\":false}]}}", "unknown pattern" },
    { "{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}," BL "}", "has id -1" },
    { "{\"model\":{\"vocab\":{\"a\":4000000000},\"merges\":[]}," BL "}", "has id 4000000000" },
    { "{\"model\":{\"vocab\":{\"a\":\"x\"},\"merges\":[]}," BL "}", "has id -1" },
    { "{\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}," BL "}", "belongs to \"a\" and \"b\"" },
    { "{\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"ab\"]}," BL "}", "merges[0]" },
    { "{\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[[\"a\",\"b\",\"c\"]]}," BL "}", "merges[0]" },
    { "{\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}," BL "}", "not in the vocabulary" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"byte_fallback\":true}," BL "}", "byte_fallback" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}," BL "}", "end_of_word_suffix" },
    { "{\"model\":{\"vocab\":{},\"merges\":[]}," BL "}", "empty" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}," BL ",\"added_tokens\":[{\"id\":0,\"content\":\"b\"}]}", "has the id of \"a\"" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}," BL ",\"added_tokens\":[{\"id\":1,\"content\":\"a\"}]}", "is 0 in the vocabulary" },
    { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}," BL ",\"added_tokens\":[{\"id\":1}]}", "added_tokens[0]" },
  };
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    struct tokenizer *t = NULL;
    struct err e = { 0 };
    assert_int_equal(tokenizer_parse_json((struct span){ c[i].text, strlen(c[i].text) }, "bad.json", NULL, (struct span){ NULL, 0 }, &t, &e), STATUS_DATA);
    assert_null(t);
    if (!strstr(e.msg, c[i].word)) fail_msg("case %zu: '%s' does not say '%s'", i, e.msg, c[i].word);
  }
}

static void every_allocation_fails_once(void **state) {
  (void)state;
  struct buf b = { 0 };
  const char *chat = "[{\"role\":\"user\",\"content\":\"the e\xcc\x81\"},{\"role\":\"assistant\",\"content\":\"Hello\"}]";
  assert_int_equal(file_read(SEEDS "qwen.json", 1 << 20, &b, NULL), STATUS_OK);
  int whole = 0;
  for (long n = 1; n < 5000 && !whole; n++) {
    struct tokenizer *t = NULL;
    struct json *m = NULL;
    struct tokens k;
    struct err e = { 0 };
    unsigned char *mask = NULL;
    const struct chat_template *row = NULL;
    enum status st;
    assert_int_equal(json_parse((struct span){ chat, strlen(chat) }, "chat", &m, NULL), STATUS_OK);
    assert_int_equal(template_find("chatml", NULL, &row, NULL), STATUS_OK);
    mem_fail_at(n);
    struct arena *a = arena_new(0);
    st = a ? tokenizer_parse_json((struct span){ b.p, b.n }, "seed", NULL, (struct span){ "x", 1 }, &t, &e) : STATUS_NOMEM;
    if (st == STATUS_OK) st = template_tokens(row, t, m, NULL, 1, a, &k, &mask, &e);
    if (st == STATUS_OK) st = tokenizer_encode(t, (struct span){ "a\xff", 2 }, 1, a, &k, &e);
    int hit = mem_failed();
    mem_fail_at(0);
    /* OK although one failed: PCRE2 goes on without its JIT. The mask and the ids must be whole then. */
    if (st != STATUS_OK && !(hit && st == STATUS_NOMEM)) fail_msg("allocation %ld: status %d: %s", n, (int)st, e.msg);
    if (st == STATUS_OK) assert_true(k.n == 4 && k.id[0] == 'a');
    whole = !hit;
    tokenizer_close(t);
    arena_free(a);
    json_free(m);
  }
  assert_true(whole);
  buf_free(&b);
}

struct shared { const struct tokenizer *t; struct span text; uint64_t sum[64]; };

static void encode_task(void *ctx, int i, int worker) {
  struct shared *s = ctx;
  struct arena *a = arena_new(0);
  struct tokens k;
  (void)worker;
  if (tokenizer_encode(s->t, s->text, 1, a, &k, NULL) == STATUS_OK)
    for (size_t j = 0; j < k.n; j++) s->sum[i] = s->sum[i] * 31 + (uint64_t)k.id[j];
  arena_free(a);
}

static void threads_share(void **state) {
  (void)state;
  struct buf b = { 0 };
  assert_int_equal(file_read(DATA "cases.jsonl", 1 << 20, &b, NULL), STATUS_OK);
  struct shared s = { open_file(DATA "qwen2_small.tokenizer.json"), { b.p, b.n }, { 0 } };
  assert_int_equal(pool_setup(3, NULL), STATUS_OK);
  pool_run(6, encode_task, &s);
  for (int i = 1; i < 6; i++) assert_true(s.sum[i] == s.sum[0] && s.sum[0]);
  pool_close();
  tokenizer_close((struct tokenizer *)s.t);
  buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(lacking_bytes), cmocka_unit_test(words_without_merges), cmocka_unit_test(long_runs), cmocka_unit_test(nfc_orders_and_composes),
                                      cmocka_unit_test(folder_files), cmocka_unit_test(errors_name_what_was_found),
                                      cmocka_unit_test(every_allocation_fails_once), cmocka_unit_test(threads_share) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
