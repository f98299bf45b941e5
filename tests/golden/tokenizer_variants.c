/* SPDX-License-Identifier: Apache-2.0
 * Forms of tokenizer.json beside the three golden files (variants.jsonl, made by Hugging Face's tokenizers): Llama-3's
 * pattern with ignore_merges, Digits before ByteLevel, add_prefix_space, flags of added tokens. Also: what the writer writes
 * reads back as the same tokenizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "file.h"
#include "json.h"
#include "span.h"
#include "tokenizer_impl.h"
#include "weights.h"

#define DATA TEST_SOURCE "/tests/golden/data/tokenizer/"

static void slurp(const char *path, struct buf *b) {
  struct err e = { 0 };
  buf_clear(b);
  if (file_read(path, 1 << 28, b, &e) != STATUS_OK) fail_msg("%s", e.msg);
}

static struct tokenizer *parse(const char *text, size_t n) {
  struct tokenizer *t = NULL;
  struct err e = { 0 };
  if (tokenizer_parse_json((struct span){ text, n }, "variant", NULL, (struct span){ NULL, 0 }, &t, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return t;
}

/* The base file with the fields of `head` in place of its own. */
static struct tokenizer *make_variant(const struct json *head) {
  char path[4096];
  struct buf base = { 0 }, text = { 0 }, raw[8] = { { 0 } };
  struct arena *a = arena_new(0);
  struct record r;
  struct field_edit edit[8];
  size_t n = 0;
  struct span key;
  const struct json *v;
  void *it = NULL;
  snprintf(path, sizeof path, DATA "%s.tokenizer.json", json_cstr(json_get(head, "base"), "?"));
  slurp(path, &base);
  while (base.n && base.p[base.n - 1] == '\n') base.n--;
  while (n < 8 && json_next(json_get(head, "fields"), &it, &key, &v)) {
    assert_int_equal(json_put(&raw[n], v, NULL), STATUS_OK);
    edit[n] = (struct field_edit){ arena_strndup(a, key.p, key.n), { raw[n].p, raw[n].n } };
    n++;
  }
  assert_int_equal(record_split((struct span){ base.p, base.n }, a, &r, NULL), STATUS_OK);
  assert_int_equal(record_edit(&r, edit, n, &text, NULL), STATUS_OK);
  char *flag = strstr(text.p, "\"ignore_merges\":false");
  assert_non_null(flag);
  if (json_bool(json_get(head, "ignore_merges"), 0)) memcpy(flag + 16, "true ", 5);
  struct tokenizer *t = parse(text.p, text.n);
  assert_int_equal(t->ignore_merges, json_bool(json_get(head, "ignore_merges"), 0));
  while (n) buf_free(&raw[--n]);
  buf_free(&base);
  buf_free(&text);
  arena_free(a);
  return t;
}

static void check(const struct tokenizer *t, const char *name, struct span text, int special, const struct json *want) {
  struct arena *a = arena_new(0);
  struct tokens k;
  size_t *end = NULL;
  assert_int_equal(tokenizer_encode(t, text, special, a, &k, NULL), STATUS_OK);
  size_t n = json_size(want);
  for (size_t i = 0; i < n || i < k.n; i++) {
    int64_t w = i < n ? json_int(json_at(want, i), -1) : -1;
    int64_t g = i < k.n ? k.id[i] : -1;
    if (w != g) fail_msg("%s special=%d '%.*s': token %zu is %lld, expected %lld", name, special, (int)text.n, text.p, i, (long long)g, (long long)w);
  }
  struct tokens again;
  assert_int_equal(tokenizer_encode_ends(t, text, special, a, &again, &end, NULL), STATUS_OK);
  assert_int_equal(again.n, k.n);
  for (size_t i = 0; i < k.n; i++) {
    assert_int_equal(again.id[i], k.id[i]);
    assert_true(end[i] <= text.n && (i == 0 || end[i] >= end[i - 1]));
  }
  if (k.n) assert_int_equal(end[k.n - 1], text.n);
  arena_free(a);
}

static void variants(void **state) {
  (void)state;
  struct buf b = { 0 };
  struct tokenizer *t = NULL;
  struct json *j = NULL;
  char name[64] = "";
  int rows = 0, heads = 0;
  slurp(DATA "variants.jsonl", &b);
  for (char *p = b.p, *end = b.p + b.n; p < end;) {
    char *nl = memchr(p, '\n', (size_t)(end - p));
    assert_non_null(nl);
    assert_int_equal(json_parse((struct span){ p, (size_t)(nl - p) }, "golden", &j, NULL), STATUS_OK);
    if (json_get(j, "variant")) {
      tokenizer_close(t);
      t = make_variant(j);
      snprintf(name, sizeof name, "%s", json_cstr(json_get(j, "variant"), "?"));
      heads++;
    } else {
      struct span text = json_str(json_get(j, "text"));
      check(t, name, text, 1, json_get(j, "ids"));
      check(t, name, text, 0, json_get(j, json_get(j, "ids_text") ? "ids_text" : "ids"));
      rows++;
    }
    json_free(j);
    p = nl + 1;
  }
  tokenizer_close(t);
  buf_free(&b);
  assert_int_equal(heads, 4);
  assert_true(rows > 400);
}

static void write_and_read(struct tokenizer *t, const char *what) {
  char folder[] = "/tmp/retort-tok-XXXXXX";
  struct tokenizer *back = NULL;
  struct err e = { 0 };
  unsigned char one[32], two[32];
  assert_non_null(mkdtemp(folder));
  if (tokenizer_write_hf(t, folder, &e) != STATUS_OK) fail_msg("%s: %s", what, e.msg);
  if (tokenizer_open(folder, &back, &e) != STATUS_OK) fail_msg("%s: %s", what, e.msg);
  tokenizer_hash(t, one);
  tokenizer_hash(back, two);
  assert_memory_equal(one, two, 32);
  assert_int_equal(back->bos, t->bos);
  assert_int_equal(back->eos, t->eos);
  assert_int_equal(back->pad, t->pad);
  assert_int_equal(back->unk, t->unk);
  assert_int_equal(tokenizer_add_bos(back), tokenizer_add_bos(t));
  assert_int_equal(back->prefix_space, t->prefix_space);
  if (t->chat_template) assert_string_equal(back->chat_template, t->chat_template);
  else assert_null(back->chat_template);
  struct buf x = { 0 }, y = { 0 };
  assert_int_equal(tokenizer_vocab(t), tokenizer_vocab(back));
  for (int32_t i = 0; i < tokenizer_vocab(t); i++) {
    buf_clear(&x);
    buf_clear(&y);
    assert_int_equal(tokenizer_token_text(t, i, &x, NULL), STATUS_OK);
    assert_int_equal(tokenizer_token_text(back, i, &y, NULL), STATUS_OK);
    assert_string_equal(x.p, y.p);
    assert_int_equal(tokenizer_token_type(t, i), tokenizer_token_type(back, i));
  }
  buf_free(&x);
  buf_free(&y);
  tokenizer_close(back);
  assert_int_equal(folder_remove(folder, &e), STATUS_OK);
}

static enum status fill_zero(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  (void)ctx, (void)row0, (void)e;
  memset(dst, 0, (size_t)rows * (size_t)(t->n_dim > 1 ? t->dim[1] : 1) * sizeof *dst);
  return STATUS_OK;
}

/* Folder -> GGUF -> the same tokenizer, in a model of one tiny layer. */
static void through_gguf(struct tokenizer *t, const char *what) {
  char folder[] = "/tmp/retort-tok-XXXXXX", path[64];
  struct model_config c = { .arch = "llama", .n_layer = 1, .hidden = 8, .head_dim = 4, .vocab = tokenizer_vocab(t), .max_ctx = 64, .n_head = { 2 }, .n_kv_head = { 2 },
    .ffn = { 8 }, .tied = 1, .norm_eps = 1e-5f, .rope_theta = 1e4f, .bos = -1, .eos = -1, .pad = -1, .unk = -1 };
  struct tensor_out *list = NULL;
  size_t n = 0;
  struct weights *w = NULL;
  struct tokenizer *back = NULL;
  struct err e = { 0 };
  struct arena *a = arena_new(0);
  unsigned char one[32], two[32];
  assert_non_null(mkdtemp(folder));
  assert_int_equal(model_tensor_list(&c, DT_F32, a, &list, &n, &e), STATUS_OK);
  snprintf(path, sizeof path, "%s/m", folder);
  if (model_folder_write(path, &c, list, n, DT_F32, 1 << 30, NULL, fill_zero, NULL, &e) != STATUS_OK) fail_msg("%s: %s", what, e.msg);
  if (tokenizer_write_hf(t, path, &e) != STATUS_OK) fail_msg("%s: %s", what, e.msg);
  if (weights_open(path, &w, &e) != STATUS_OK) fail_msg("%s: %s", what, e.msg);
  snprintf(path, sizeof path, "%s/m.gguf", folder);
  if (gguf_write(path, &c, list, n, DT_F32, NULL, w, fill_zero, NULL, &e) != STATUS_OK) fail_msg("%s: %s", what, e.msg);
  if (tokenizer_open(path, &back, &e) != STATUS_OK) fail_msg("%s: %s", what, e.msg);
  tokenizer_hash(t, one);
  tokenizer_hash(back, two);
  if (memcmp(one, two, 32) != 0) fail_msg("%s: another tokenizer comes back from GGUF", what);
  assert_int_equal(back->bos, t->bos);
  assert_int_equal(back->add_bos, t->add_bos);
  weights_close(w);
  tokenizer_close(back);
  arena_free(a);
  assert_int_equal(folder_remove(folder, &e), STATUS_OK);
}

static void written_is_read(void **state) {
  (void)state;
  static const char *const name[] = { "qwen2_small", "gpt2_style" };
  struct buf b = { 0 };
  struct tokenizer *t = NULL;
  char path[4096];
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, DATA "%s.tokenizer.json", name[i]);
    assert_int_equal(tokenizer_open(path, &t, NULL), STATUS_OK);
    t->add_bos = 1, t->bos = tokenizer_id(t, "<|endoftext|>"), t->eos = t->bos; /* a TemplateProcessing is written */
    write_and_read(t, name[i]);
    through_gguf(t, name[i]);
    tokenizer_close(t);
  }
  struct json *j = NULL;
  slurp(DATA "variants.jsonl", &b);
  for (char *p = b.p, *end = b.p + b.n; p < end; p = (char *)memchr(p, '\n', (size_t)(end - p)) + 1) {
    if (strncmp(p, "{\"variant\"", 10) != 0) continue;
    assert_int_equal(json_parse((struct span){ p, (size_t)((char *)memchr(p, '\n', (size_t)(end - p)) - p) }, "golden", &j, NULL), STATUS_OK);
    t = make_variant(j);
    write_and_read(t, json_cstr(json_get(j, "variant"), "?"));
    through_gguf(t, json_cstr(json_get(j, "variant"), "?"));
    tokenizer_close(t);
    json_free(j);
  }
  buf_free(&b);
}

static void smollm2_written(void **state) {
  (void)state;
  const char *cache = getenv("RETORT_CACHE");
  char path[4096];
  struct tokenizer *t = NULL;
  struct err e = { 0 };
  if (!cache || !*cache) skip(); /* the GGUF lies there */
  snprintf(path, sizeof path, "%s/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
  if (tokenizer_open(path, &t, &e) != STATUS_OK) fail_msg("%s", e.msg);
  assert_int_equal(tokenizer_vocab(t), 49152);
  assert_int_equal(tokenizer_bos(t), 1);
  assert_int_equal(tokenizer_eos(t), 2);
  assert_string_equal(tokenizer_pre_name(t), "smollm");
  assert_int_equal(tokenizer_merge_count(t), 48900);
  write_and_read(t, "smollm2");
  tokenizer_close(t);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(variants), cmocka_unit_test(written_is_read), cmocka_unit_test(smollm2_written) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
