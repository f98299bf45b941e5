/* SPDX-License-Identifier: Apache-2.0
 * Ids, decoding, streaming and lossy reading against tests/golden/data/tokenizer (made by Hugging Face's tokenizers,
 * llama.cpp and tiktoken, see its README). SmolLM2 comes from the GGUF in RETORT_CACHE; the full Qwen vocabulary is tested
 * when $RETORT_CACHE/qwen/tokenizer.json exists (make_qwen_full.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "file.h"
#include "json.h"
#include "tokenizer.h"
#include "tokenizer_impl.h"

#define DATA TEST_SOURCE "/tests/golden/data/tokenizer/"

static struct tokenizer *open_one(const char *name) {
  struct tokenizer *t = NULL;
  struct err e = { 0 };
  char path[4096];
  const char *cache = getenv("RETORT_CACHE");
  snprintf(path, sizeof path, DATA "%s.tokenizer.json", name);
  if (strcmp(name, "smollm2") == 0 || strcmp(name, "qwen2_full") == 0) {
    if (!cache || !*cache) return NULL;
    snprintf(path, sizeof path, "%s/%s", cache, *name == 's' ? "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" : "qwen/tokenizer.json");
    if (*name == 'q' && !file_exists(path)) return NULL;
  }
  if (tokenizer_open(path, &t, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return t;
}

/* Calls f for every line of a file. */
static int each_line(const char *file, void (*f)(const struct json *row, struct tokenizer *t, const char *name), struct tokenizer *t, const char *name) {
  struct buf b = { 0 };
  struct err e = { 0 };
  int n = 0;
  if (file_read(file, 1 << 28, &b, &e) != STATUS_OK) fail_msg("%s", e.msg);
  for (char *p = b.p, *end = b.p + b.n; p < end;) {
    char *nl = memchr(p, '\n', (size_t)(end - p));
    size_t len = nl ? (size_t)(nl - p) : (size_t)(end - p);
    struct json *j = NULL;
    if (json_parse((struct span){ p, len }, "golden", &j, &e) != STATUS_OK) fail_msg("%s", e.msg);
    f(j, t, name);
    json_free(j);
    n++, p += len + 1;
  }
  buf_free(&b);
  return n;
}

static void same_ids(const char *id, const struct json *want, const struct tokens *got) {
  size_t n = json_size(want);
  for (size_t i = 0; i < n && i < got->n; i++)
    if (got->id[i] != json_int(json_at(want, i), -1)) fail_msg("%s: token %zu is %d, expected %lld", id, i, got->id[i], (long long)json_int(json_at(want, i), -1));
  if (got->n != n) fail_msg("%s: %zu tokens, expected %zu", id, got->n, n);
}

static void check_ends(const char *id, const struct tokenizer *t, struct span text, int special, struct arena *a, const struct tokens *want) {
  struct err e = { 0 };
  struct tokens k;
  size_t *end = NULL, last = 0, at = 0;
  if (tokenizer_encode_ends(t, text, special, a, &k, &end, &e) != STATUS_OK) fail_msg("%s: %s", id, e.msg);
  assert_int_equal(k.n, want->n);
  assert_memory_equal(k.id, want->id, k.n * sizeof *k.id);
  for (size_t i = 0; i < k.n; i++) {
    if (end[i] < last) fail_msg("%s: end of token %zu goes back from %zu to %zu", id, i, last, end[i]);
    last = end[i];
    /* Where NFC changed nothing, a token's bytes are the text between the ends. */
    struct span w = tokenizer_token_bytes(t, k.id[i]);
    at += w.n;
    if (!t->nfc) {
      assert_int_equal(end[i], at);
      assert_memory_equal(w.p, text.p + at - w.n, w.n);
    }
  }
  assert_int_equal(last, text.n);
}

static void encode_case(const struct json *row, struct tokenizer *t, const char *name) {
  struct err e = { 0 };
  struct arena *a = arena_new(0);
  struct tokens k;
  struct buf b = { 0 };
  struct span text = json_str(json_get(row, "text"));
  int special = json_bool(json_get(row, "special"), 1);
  const char *id = json_cstr(json_get(row, "id"), "?");
  if (tokenizer_encode(t, text, special, a, &k, &e) != STATUS_OK) fail_msg("%s: %s", id, e.msg);
  same_ids(id, json_get(row, name), &k);
  check_ends(id, t, text, special, a, &k);
  if (t->nfc && json_get(row, "nfc")) text = json_str(json_get(row, "nfc"));
  assert_int_equal(tokenizer_decode(t, k.id, k.n, 0, &b, &e), STATUS_OK);
  if (b.n != text.n || (b.n && memcmp(b.p, text.p, b.n) != 0)) fail_msg("%s: decoded text differs", id);
  buf_free(&b);
  arena_free(a);
}

static void hex_bytes(const char *hex, struct buf *b) {
  for (; hex[0]; hex += 2) {
    char h[3] = { hex[0], hex[1], 0 };
    assert_int_equal(buf_putc(b, (char)strtoul(h, NULL, 16), NULL), STATUS_OK);
  }
}

static void same_text(const char *id, const struct buf *got, struct span want) {
  if (got->n != want.n || (want.n && memcmp(got->p, want.p, want.n) != 0)) fail_msg("%s: got '%s', expected '%.*s'", id, got->p ? got->p : "", (int)want.n, want.p);
}

static void decode_case(const struct json *row, struct tokenizer *t, const char *name) {
  if (strcmp(json_cstr(json_get(row, "tokenizer"), ""), name) != 0) return;
  const char *id = json_cstr(json_get(row, "id"), "?");
  const struct json *ids = json_get(row, "ids"), *stream = json_get(row, "stream");
  size_t n = json_size(ids);
  int32_t k[64];
  struct buf b = { 0 }, want = { 0 };
  assert_true(n > 0 && n <= 64 && json_size(stream) == n + 1);
  struct utf8_stream s = { { 0 }, 0 };
  for (size_t i = 0; i < n; i++) {
    k[i] = (int32_t)json_int(json_at(ids, i), -1);
    buf_clear(&b);
    assert_int_equal(utf8_stream_put(&s, tokenizer_token_bytes(t, k[i]), &b, NULL), STATUS_OK);
    same_text(id, &b, json_str(json_at(stream, i)));
  }
  buf_clear(&b);
  assert_int_equal(utf8_stream_flush(&s, &b, NULL), STATUS_OK);
  same_text(id, &b, json_str(json_at(stream, n)));
  buf_clear(&b);
  hex_bytes(json_cstr(json_get(row, "hex"), ""), &want);
  assert_int_equal(tokenizer_decode(t, k, n, 0, &b, NULL), STATUS_OK);
  same_text(id, &b, (struct span){ want.p, want.n });
  /* Whole text through the stream in one go is the lossy text; so is it one byte at a time. */
  for (int one = 0; one < 2; one++) {
    struct buf out = { 0 };
    s = (struct utf8_stream){ { 0 }, 0 };
    for (size_t i = 0; i < b.n; i += one ? 1 : b.n) assert_int_equal(utf8_stream_put(&s, (struct span){ b.p + i, one ? 1 : b.n }, &out, NULL), STATUS_OK);
    assert_int_equal(utf8_stream_flush(&s, &out, NULL), STATUS_OK);
    same_text(id, &out, json_str(json_get(row, "text")));
    buf_free(&out);
  }
  buf_clear(&b);
  assert_int_equal(tokenizer_decode(t, k, n, 1, &b, NULL), STATUS_OK);
  buf_clear(&want);
  s = (struct utf8_stream){ { 0 }, 0 };
  assert_int_equal(utf8_stream_put(&s, (struct span){ b.p, b.n }, &want, NULL), STATUS_OK);
  assert_int_equal(utf8_stream_flush(&s, &want, NULL), STATUS_OK);
  same_text(id, &want, json_str(json_get(row, "text_skip_special")));
  buf_free(&b);
  buf_free(&want);
}

static void bytes_case(const struct json *row, struct tokenizer *t, const char *name) {
  const struct json *want = json_get(json_get(row, "ids_lossy"), name);
  struct arena *a = arena_new(0);
  struct buf b = { 0 };
  struct tokens k;
  if (json_type(want) != JSON_ARRAY) goto out;
  hex_bytes(json_cstr(json_get(row, "hex"), ""), &b);
  assert_int_equal(tokenizer_encode(t, (struct span){ b.p, b.n }, 0, a, &k, NULL), STATUS_OK);
  same_ids(json_cstr(json_get(row, "id"), "?"), want, &k);
out:
  buf_free(&b);
  arena_free(a);
}

static void golden(const char *name) {
  struct tokenizer *t = open_one(name);
  if (!t) {
    print_message("%s: needs RETORT_CACHE%s\n", name, *name == 'q' ? " with qwen/tokenizer.json (tests/golden/make_qwen_full.py)" : "");
    skip();
  }
  assert_int_equal(each_line(DATA "cases.jsonl", encode_case, t, name), 483);
  assert_int_equal(each_line(DATA "decode.jsonl", decode_case, t, name), 480);
  assert_int_equal(each_line(DATA "bytes.jsonl", bytes_case, t, name), 60);
  tokenizer_close(t);
}

static void smollm2(void **state) {
  (void)state;
  golden("smollm2");
}
static void qwen2_small(void **state) {
  (void)state;
  golden("qwen2_small");
}
static void gpt2_style(void **state) {
  (void)state;
  golden("gpt2_style");
}
static void qwen2_full(void **state) {
  (void)state;
  golden("qwen2_full");
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(smollm2), cmocka_unit_test(qwen2_small), cmocka_unit_test(gpt2_style), cmocka_unit_test(qwen2_full) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
