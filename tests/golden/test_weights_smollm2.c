/* SPDX-License-Identifier: Apache-2.0
 * The SmolLM2 GGUF (Q4_1, Q8_0, F32): configuration, parameter count, opening time, and sums of dequantised tensors in
 * HF order as gguf-py 0.19's dequantize gives them after undoing the converter's reshape/swapaxes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>
#include "scratch_file.h"
#include "weights.h"

static char path[1024];

static int find_model(void **state) {
  (void)state;
  const char *cache = getenv("RETORT_CACHE");
  path[0] = '\0';
  if (cache && cache[0]) snprintf(path, sizeof path, "%s/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
  return 0;
}

static struct weights *open_model(void) {
  if (!path[0]) {
    print_message("RETORT_CACHE is not set: no SmolLM2\n");
    skip();
  }
  struct weights *w = NULL;
  struct err e = { 0 };
  if (weights_open(path, &w, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return w;
}

static void configuration(void **state) {
  (void)state;
  struct timespec t0, t1;
  clock_gettime(CLOCK_MONOTONIC, &t0);
  struct weights *w = open_model();
  clock_gettime(CLOCK_MONOTONIC, &t1);
  double ms = 1e3 * (double)(t1.tv_sec - t0.tv_sec) + 1e-6 * (double)(t1.tv_nsec - t0.tv_nsec);
  print_message("opened in %.2f ms\n", ms);
  assert_true(ms < 1000); /* observed 1 to 4 ms */
  const struct model_config *c = weights_config(w);
  assert_string_equal(c->arch, "llama");
  assert_int_equal(c->n_layer, 30);
  assert_int_equal(c->hidden, 576);
  assert_int_equal(c->head_dim, 64);
  assert_int_equal(c->n_head[29], 9);
  assert_int_equal(c->n_kv_head[29], 3);
  assert_int_equal(c->ffn[29], 1536);
  assert_int_equal(c->vocab, 49152);
  assert_int_equal(c->max_ctx, 8192);
  assert_int_equal(c->tied, 1);
  assert_int_equal(c->bos, 1);
  assert_int_equal(c->eos, 2);
  assert_true(c->rope_theta == 1e5f && c->norm_eps == 1e-5f && c->rope_kind == ROPE_PLAIN);
  assert_int_equal(model_param_count(c), 134515008);
  uint64_t n;
  struct arena *a = arena_new(0);
  struct span *s;
  assert_true(gguf_array_strings(w, "tokenizer.ggml.merges", a, &s, &n));
  assert_int_equal(n, 48900);
  /* every tensor of the list is there with its shape, and nothing else */
  struct tensor_out *t;
  size_t n_t;
  struct err e = { 0 };
  assert_int_equal(model_tensor_list(c, DT_F32, a, &t, &n_t, &e), STATUS_OK);
  assert_int_equal(n_t, weights_count(w));
  for (size_t i = 0; i < n_t; i++) {
    const struct tensor *have;
    if (weights_need(w, t[i].name, t[i].dim[0], t[i].n_dim > 1 ? t[i].dim[1] : 0, &have, &e) != STATUS_OK) fail_msg("%s", e.msg);
  }
  arena_free(a);
  weights_close(w);
}

static void values(void **state) {
  (void)state;
  static const struct { const char *name; double sum, squares, by_row, first[3]; } want[] = {
    { "model.embed_tokens.weight", -15353.04449415207, 520415.71544763993, -312506157.53272057, { -0.0238037109375, -0.015869140625, -0.0396728515625 } },
    { "model.layers.0.self_attn.q_proj.weight", 59.22322082519531, 26749.573275085306, 25876.190353393555, { -0.1591796875, 0.39794921875, -0.0198974609375 } },
    { "model.layers.29.self_attn.k_proj.weight", 87.89241790771484, 1902.811550046259, 11799.602088928223, { 0.05859375, -0.02734375, 0.1015625 } },
    { "model.layers.3.mlp.down_proj.weight", 81.66989135742188, 30308.778811718337, 66734.18661499023, { -0.50390625, 0.1087646484375, 0.21087646484375 } },
    { "model.norm.weight", 1038.33203125, 1921.7355499267578, 298738.12109375, { 1.7578125, 1.8203125, 1.78125 } },
  };
  struct weights *w = open_model();
  struct err e = { 0 };
  for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
    const struct tensor *t = weights_find(w, want[i].name);
    assert_non_null(t);
    int64_t rows = t->dim[0], width = t->n_dim > 1 ? t->dim[1] : 1;
    float *v = mem_alloc((size_t)(rows * width) * sizeof *v);
    assert_non_null(v);
    if (weights_read(t, 0, rows, v, &e) != STATUS_OK) fail_msg("%s", e.msg);
    double sum = 0, squares = 0, by_row = 0;
    for (int64_t k = 0; k < rows * width; k++) {
      double x = (double)v[k];
      sum += x, squares += x * x, by_row += x * (double)(k / width);
    }
    print_message("%s: %.2g %.2g %.2g\n", want[i].name, fabs(sum / want[i].sum - 1), fabs(squares / want[i].squares - 1), fabs(by_row / want[i].by_row - 1));
    /* sums of exactly dequantised values: only the order of double additions differs (numpy adds pairwise; observed 8.4e-11) */
    assert_true(fabs(sum - want[i].sum) <= 1e-9 * fabs(want[i].sum));
    assert_true(fabs(squares - want[i].squares) <= 1e-9 * want[i].squares);
    assert_true(fabs(by_row - want[i].by_row) <= 1e-9 * fabs(want[i].by_row));
    for (int k = 0; k < 3; k++) assert_true((double)v[(width > 1 ? width : 0) + k] == want[i].first[k]);
    mem_free(v);
  }
  unsigned char id[32], again[32];
  assert_int_equal(weights_identity(w, id, &e), STATUS_OK);
  assert_int_equal(weights_identity(w, again, &e), STATUS_OK);
  assert_memory_equal(id, again, 32);
  weights_close(w);
}

static void same_strings(const struct weights *a, const struct weights *b, const char *key, struct arena *m) {
  struct span *x = NULL, *y = NULL;
  uint64_t n = 0, k = 1;
  assert_true(gguf_array_strings(a, key, m, &x, &n) && gguf_array_strings(b, key, m, &y, &k));
  assert_int_equal(n, k);
  for (uint64_t i = 0; i < n; i++) {
    if (x[i].n != y[i].n || memcmp(x[i].p, y[i].p, x[i].n) != 0) fail_msg("%s %llu: '%.*s' and '%.*s'", key, (unsigned long long)i, (int)x[i].n, x[i].p, (int)y[i].n, y[i].p);
  }
}

static enum status few_rows(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  (void)ctx, (void)row0, (void)e;
  memset(dst, 0, (size_t)rows * (size_t)(t->n_dim > 1 ? t->dim[1] : 1) * sizeof *dst);
  return STATUS_OK;
}

/* GGUF -> Hugging Face folder -> GGUF: the tokenizer of the second GGUF is made from tokenizer.json and must be the first's. */
static void tokenizer_comes_back(void **state) {
  (void)state;
  struct weights *w = open_model(), *h = NULL, *g = NULL;
  struct err e = { 0 };
  struct arena *a = arena_new(0);
  struct model_config c = *weights_config(w); /* a tiny body: only the vocabulary has to be real */
  c.hidden = 32, c.n_layer = 1, c.n_head[0] = c.n_kv_head[0] = 1, c.ffn[0] = 32, c.head_dim = 32;
  struct tensor_out *t;
  size_t n;
  assert_int_equal(model_tensor_list(&c, DT_F16, a, &t, &n, &e), STATUS_OK);
  if (model_folder_write(scratch_path("hf"), &c, t, n, DT_F16, 1 << 20, w, few_rows, NULL, &e) != STATUS_OK) fail_msg("%s", e.msg);
  assert_true(file_exists(scratch_path("hf/model.safetensors.index.json")));
  if (weights_open(scratch_path("hf"), &h, &e) != STATUS_OK) fail_msg("%s", e.msg);
  if (gguf_write(scratch_path("t.gguf"), weights_config(h), t, n, DT_F16, NULL, h, few_rows, NULL, &e) != STATUS_OK) fail_msg("%s", e.msg);
  if (weights_open(scratch_path("t.gguf"), &g, &e) != STATUS_OK) fail_msg("%s", e.msg);
  same_strings(w, g, "tokenizer.ggml.tokens", a);
  same_strings(w, g, "tokenizer.ggml.merges", a);
  int64_t *x = NULL, *y = NULL, u = 0, v = 1;
  uint64_t nx = 0, ny = 1;
  assert_true(gguf_array_ints(w, "tokenizer.ggml.token_type", a, &x, &nx) && gguf_array_ints(g, "tokenizer.ggml.token_type", a, &y, &ny));
  assert_int_equal(nx, ny);
  for (uint64_t i = 0; i < nx; i++) assert_int_equal(x[i], y[i]);
  static const char *const numbers[] = { "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.unknown_token_id",
                                         "tokenizer.ggml.padding_token_id", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_space_prefix" };
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    assert_true(gguf_int(w, numbers[i], &u) && gguf_int(g, numbers[i], &v));
    assert_int_equal(u, v);
  }
  static const char *const texts[] = { "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.chat_template" };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct span p, q;
    assert_true(gguf_str(w, texts[i], &p) && gguf_str(g, texts[i], &q));
    assert_int_equal(p.n, q.n);
    assert_memory_equal(p.p, q.p, p.n);
  }
  weights_close(g);
  weights_close(h);
  weights_close(w);
  arena_free(a);
}

static int begin(void **state) { return find_model(state) || scratch_begin(state); }

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(configuration), cmocka_unit_test(values), cmocka_unit_test(tokenizer_comes_back) };
  return cmocka_run_group_tests(tests, begin, scratch_end);
}
