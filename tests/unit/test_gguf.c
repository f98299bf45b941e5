/* SPDX-License-Identifier: Apache-2.0
 * GGUF files made by hand: metadata, configuration, the interleaved Q/K rows, and every way a file can be wrong.
 * The order of interleaved rows comes from llama.cpp's converter: reshape(heads, 2, dh/2).swapaxes(1, 2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>
#include "scratch_file.h"
#include "weights.h"

enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STR = 8, ARR = 9, U64 = 10 };

struct made {
  struct buf kv, dir, data;
  uint64_t n_kv, n_tensor;
};

static void kv_u32(struct made *g, const char *key, uint32_t v) {
  put_str(&g->kv, key);
  put_u32(&g->kv, U32);
  put_u32(&g->kv, v);
  g->n_kv++;
}
static void kv_f32(struct made *g, const char *key, float v) {
  put_str(&g->kv, key);
  put_u32(&g->kv, F32);
  put_f32(&g->kv, v);
  g->n_kv++;
}
static void kv_str(struct made *g, const char *key, const char *v) {
  put_str(&g->kv, key);
  put_u32(&g->kv, STR);
  put_str(&g->kv, v);
  g->n_kv++;
}

/* F32 tensor whose value at (row, col) is 100 row + col; d1 = 0: one dimension. */
static void tensor(struct made *g, const char *name, uint64_t d0, uint64_t d1) {
  put_str(&g->dir, name);
  put_u32(&g->dir, d1 ? 2 : 1);
  if (d1) put_u64(&g->dir, d1);
  put_u64(&g->dir, d0);
  put_u32(&g->dir, 0);
  put_u64(&g->dir, g->data.n);
  for (uint64_t r = 0; r < d0; r++) {
    for (uint64_t c = 0; c < (d1 ? d1 : 1); c++) put_f32(&g->data, (float)(100 * r + c));
  }
  while (g->data.n % 32) put_bytes(&g->data, "", 1);
  g->n_tensor++;
}

static const char *finish(struct made *g, uint32_t version) {
  struct buf b = { 0 };
  put_bytes(&b, "GGUF", 4);
  put_u32(&b, version);
  put_u64(&b, g->n_tensor);
  put_u64(&b, g->n_kv);
  put_bytes(&b, g->kv.p, g->kv.n);
  put_bytes(&b, g->dir.p, g->dir.n);
  while (b.n % 32) put_bytes(&b, "", 1);
  put_bytes(&b, g->data.p, g->data.n);
  const char *path = scratch_write("x.gguf", b.p, b.n);
  buf_free(&b);
  buf_free(&g->kv);
  buf_free(&g->dir);
  buf_free(&g->data);
  assert_non_null(path);
  return path;
}

/* One layer, 2 heads of 4, 1 key/value head. */
static void tiny(struct made *g, const char *arch) {
  char key[80];
  memset(g, 0, sizeof *g);
  kv_str(g, "general.architecture", arch);
  const struct { const char *key; uint32_t v; } n[] = { { "block_count", 1 }, { "embedding_length", 8 }, { "context_length", 64 },
    { "feed_forward_length", 6 }, { "attention.head_count", 2 }, { "attention.head_count_kv", 1 } };
  for (size_t i = 0; i < sizeof n / sizeof n[0]; i++) {
    snprintf(key, sizeof key, "%s.%s", arch, n[i].key);
    kv_u32(g, key, n[i].v);
  }
  snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
  kv_f32(g, key, 1e-6f);
  tensor(g, "token_embd.weight", 5, 8);
  tensor(g, "blk.0.attn_q.weight", 8, 8);
  tensor(g, "blk.0.attn_k.weight", 4, 8);
}

static struct weights *open_ok(const char *path) {
  struct weights *w = NULL;
  struct err e = { 0 };
  if (weights_open(path, &w, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return w;
}

static void refused(const char *path, const char *why) {
  struct weights *w = NULL;
  struct err e = { 0 };
  enum status st = weights_open(path, &w, &e);
  weights_close(w);
  if (st != STATUS_DATA || strstr(e.msg, why) == NULL) fail_msg("wanted DATA with '%s', got %s: %s", why, status_name(st), e.msg);
  assert_non_null(strstr(e.msg, "x.gguf"));
}

static void undoes_interleaving(void **state) {
  (void)state;
  struct made g;
  struct err e;
  tiny(&g, "llama");
  struct weights *w = open_ok(finish(&g, 3));
  /* HF row -> row of the file, dh = 4: halves (0 1)(2 3) were stored as pairs (0 2)(1 3) -> HF 0 1 2 3 at 0 2 1 3 */
  const int at[8] = { 0, 2, 1, 3, 4, 6, 5, 7 };
  float v[8 * 8];
  assert_int_equal(weights_read(weights_find(w, "model.layers.0.self_attn.q_proj.weight"), 0, 8, v, &e), STATUS_OK);
  for (int r = 0; r < 8; r++) assert_true(v[8 * r + 3] == (float)(100 * at[r] + 3));
  assert_int_equal(weights_read(weights_find(w, "model.layers.0.self_attn.k_proj.weight"), 1, 2, v, &e), STATUS_OK);
  assert_true(v[0] == 200.0f && v[8] == 100.0f);
  assert_int_equal(weights_find(w, "model.layers.0.self_attn.q_proj.weight")->permuted_heads, 2);
  weights_close(w);
  tiny(&g, "qwen3"); /* stored as HF has it */
  w = open_ok(finish(&g, 2));
  assert_int_equal(weights_read(weights_find(w, "model.layers.0.self_attn.q_proj.weight"), 1, 1, v, &e), STATUS_OK);
  assert_true(v[0] == 100.0f);
  assert_int_equal(weights_config(w)->qk_norm, 1);
  weights_close(w);
}

static void reads_configuration(void **state) {
  (void)state;
  struct made g;
  tiny(&g, "llama");
  kv_f32(&g, "llama.rope.freq_base", 5e5f);
  kv_u32(&g, "tokenizer.ggml.eos_token_id", 2);
  kv_u32(&g, "tokenizer.ggml.eot_token_id", 4);
  kv_u32(&g, "tokenizer.ggml.bos_token_id", 99); /* outside the vocabulary: none */
  struct weights *w = open_ok(finish(&g, 3));
  const struct model_config *c = weights_config(w);
  assert_string_equal(c->arch, "llama");
  assert_int_equal(c->n_layer, 1);
  assert_int_equal(c->hidden, 8);
  assert_int_equal(c->head_dim, 4);
  assert_int_equal(c->vocab, 5);
  assert_int_equal(c->n_head[0], 2);
  assert_int_equal(c->n_kv_head[0], 1);
  assert_int_equal(c->ffn[0], 6);
  assert_int_equal(c->tied, 1);
  assert_int_equal(c->bos, -1);
  assert_int_equal(c->eos, 2);
  assert_int_equal(c->n_eos_extra, 1);
  assert_int_equal(c->eos_extra[0], 4);
  assert_true(c->norm_eps == 1e-6f && c->rope_theta == 5e5f);
  struct span s;
  int64_t i;
  double d;
  assert_true(gguf_str(w, "general.architecture", &s) && s.n == 5);
  assert_false(gguf_str(w, "llama.block_count", &s));
  assert_false(gguf_int(w, "general.architecture", &i));
  assert_true(gguf_num(w, "llama.block_count", &d) && d == 1.0);
  assert_false(gguf_int(w, "nothing", &i));
  weights_close(w);
}

/* rope_freqs of a llama-3 model as llama.cpp's converter makes them (formula of transformers' llama3 rope). */
static void finds_llama3_scaling_again(void **state) {
  (void)state;
  const struct { float factor, low, high, old; } cases[] = { { 8, 1, 4, 64 }, { 32, 1, 4, 128 }, { 8, 1, 2, 64 } };
  for (int k = 0; k < 3; k++) {
    struct made g;
    memset(&g, 0, sizeof g);
    kv_str(&g, "general.architecture", "llama");
    kv_u32(&g, "llama.block_count", 1);
    kv_u32(&g, "llama.embedding_length", 32);
    kv_u32(&g, "llama.feed_forward_length", 6);
    kv_u32(&g, "llama.attention.head_count", 2);
    kv_f32(&g, "llama.rope.freq_base", 500.0f);
    tensor(&g, "token_embd.weight", 5, 32);
    tensor(&g, "rope_freqs.weight", 8, 0);
    float *f = (float *)(void *)(g.data.p + g.data.n - 32);
    for (int i = 0; i < 8; i++) {
      double inv = pow(500.0, -2.0 * i / 16), wave = 2 * 3.14159265358979323846 / inv;
      double lo = cases[k].old / cases[k].low, hi = cases[k].old / cases[k].high;
      double smooth = (cases[k].old / wave - cases[k].low) / (cases[k].high - cases[k].low);
      f[i] = (float)(wave > lo ? cases[k].factor : wave < hi ? 1 : 1 / ((1 - smooth) / cases[k].factor + smooth));
    }
    struct weights *w = open_ok(finish(&g, 3));
    const struct model_config *c = weights_config(w);
    assert_int_equal(c->rope_kind, ROPE_LLAMA3);
    assert_true(c->rope_factor == cases[k].factor && c->rope_original_ctx == cases[k].old && c->rope_high == cases[k].high);
    weights_close(w);
  }
  struct made g;
  tiny(&g, "llama");
  tensor(&g, "rope_freqs.weight", 2, 0); /* 0, 100: no llama-3 curve */
  refused(finish(&g, 3), "llama-3");
}

/* Overwrites n bytes of the file at `at`. */
static const char *patch(const char *path, long at, const void *bytes, size_t n) {
  FILE *f = fopen(path, "r+b");
  assert_non_null(f);
  assert_int_equal(fseek(f, at, SEEK_SET), 0);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  return path;
}

static void refuses_bad_headers(void **state) {
  (void)state;
  struct made g;
  const uint64_t huge = UINT64_MAX, many = 1000000;
  refused(scratch_write("x.gguf", "", 0), "magic");
  refused(scratch_write("x.gguf", "GGUF", 4), "magic");
  tiny(&g, "llama");
  refused(patch(finish(&g, 3), 0, "GGML", 4), "magic");
  tiny(&g, "llama");
  refused(finish(&g, 1), "version 1");
  tiny(&g, "llama");
  refused(finish(&g, 0x03000000u), "big-endian");
  tiny(&g, "llama");
  refused(patch(finish(&g, 3), 8, &huge, 8), "speaks of");
  tiny(&g, "llama");
  refused(patch(finish(&g, 3), 16, &many, 8), "speaks of");
  tiny(&g, "llama");
  refused(patch(finish(&g, 3), 24, &huge, 8), "metadata key"); /* length of the first key */
  tiny(&g, "mamba");
  refused(finish(&g, 3), "mamba");
  memset(&g, 0, sizeof g);
  refused(finish(&g, 3), "general.architecture");
  tiny(&g, "llama");
  kv_u32(&g, "llama.block_count", 2);
  refused(finish(&g, 3), "stands twice");
  tiny(&g, "llama");
  kv_u32(&g, "general.alignment", 24);
  refused(finish(&g, 3), "alignment");
  tiny(&g, "llama");
  kv_u32(&g, "llama.rope.dimension_count", 2);
  refused(finish(&g, 3), "rotates 2 of 4");
  tiny(&g, "llama");
  kv_str(&g, "llama.rope.scaling.type", "yarn");
  refused(finish(&g, 3), "yarn");
}

static void refuses_bad_tensors(void **state) {
  (void)state;
  struct made g;
  uint64_t v;
  uint32_t u;
  tiny(&g, "llama");
  tensor(&g, "token_embd.weight", 1, 1);
  refused(finish(&g, 3), "stands twice");
  /* The directory entry of a last tensor of one dimension ends with: u64 dim, u32 type, u64 offset. */
  const struct { size_t back; uint64_t value; size_t n; const char *why; } cases[] = {
    { 8, 4, 8, "multiple of" }, { 8, 0, 8, "overlap" }, { 8, 1 << 20, 8, "it is cut" }, { 8, UINT64_MAX - 31, 8, "it is cut" },
    { 12, 13, 4, "Q5_K" }, { 12, 77, 4, "type 77" }, { 20, 0, 8, "dimension 0" }, { 20, UINT64_MAX, 8, "dimension" }, { 20, (uint64_t)1 << 39, 8, "it is cut" },
    { 24, 9, 4, "9 dimensions" }, { 12, 2, 4, "blocks" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    tiny(&g, "llama");
    tensor(&g, "output_norm.weight", 8, 0);
    v = cases[i].value, u = (uint32_t)v;
    memcpy(g.dir.p + g.dir.n - cases[i].back, cases[i].n == 8 ? (void *)&v : (void *)&u, cases[i].n);
    refused(finish(&g, 3), cases[i].why);
  }
  tiny(&g, "llama");
  g.n_tensor++; /* the directory is shorter than the header says */
  refused(finish(&g, 3), "x.gguf");
  tiny(&g, "llama");
  tensor(&g, "blk.0.attn_k.bias", 5, 0);
  refused(finish(&g, 3), "5 rows");
}

/* Every prefix of a good file is refused or opens: never a crash. The whole file opens. */
static void survives_every_cut(void **state) {
  (void)state;
  struct made g;
  tiny(&g, "llama");
  struct buf b = { 0 };
  struct err e;
  assert_int_equal(file_read(finish(&g, 3), 1 << 20, &b, &e), STATUS_OK);
  for (size_t n = 0; n < b.n; n++) {
    struct weights *w = NULL;
    enum status st = weights_open(scratch_write("x.gguf", b.p, n), &w, &e);
    weights_close(w);
    if (st != STATUS_DATA) fail_msg("cut at %zu of %zu: %s %s", n, b.n, status_name(st), e.msg);
  }
  buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(undoes_interleaving), cmocka_unit_test(reads_configuration), cmocka_unit_test(finds_llama3_scaling_again),
    cmocka_unit_test(refuses_bad_headers), cmocka_unit_test(refuses_bad_tensors), cmocka_unit_test(survives_every_cut),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
