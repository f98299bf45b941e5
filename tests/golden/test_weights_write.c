/* SPDX-License-Identifier: Apache-2.0
 * Writing the six golden models and reading them again: bitwise in F32 (safetensors, GGUF with its interleaved rows and its
 * rope divisors), within half a step of each block when quantised, configuration the same; nothing is left after an error.
 * The readers are tested on their own (test_gguf, test_safetensors, test_weights_smollm2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>
#include "scratch_file.h"
#include "weights.h"

static const char *const models[] = { "llama_tied", "llama_untied_rope3", "qwen2", "qwen3", "mistral", "mistral_window" };
#define MODELS (sizeof models / sizeof models[0])

static struct weights *open_ok(const char *path) {
  struct weights *w = NULL;
  struct err e = { 0 };
  if (weights_open(path, &w, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return w;
}

static struct weights *open_model(const char *name) {
  char path[1024];
  snprintf(path, sizeof path, TEST_SOURCE "/tests/golden/data/model/%s", name);
  return open_ok(path);
}

static float *values(const struct weights *w, const struct tensor_out *t, int64_t *n) {
  struct err e = { 0 };
  *n = t->dim[0] * (t->n_dim > 1 ? t->dim[1] : 1);
  float *v = mem_alloc((size_t)*n * sizeof *v);
  assert_non_null(v);
  if (weights_fill((void *)(uintptr_t)w, t, 0, t->dim[0], v, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return v;
}

static void same_config(const struct model_config *a, const struct model_config *b, int from_gguf) {
  if (from_gguf && strcmp(a->arch, "mistral") == 0) assert_string_equal(b->arch, "llama");
  else assert_string_equal(a->arch, b->arch);
  assert_int_equal(a->n_layer, b->n_layer);
  assert_int_equal(a->hidden, b->hidden);
  assert_int_equal(a->head_dim, b->head_dim);
  assert_int_equal(a->vocab, b->vocab);
  assert_int_equal(a->max_ctx, b->max_ctx);
  assert_int_equal(a->window, b->window);
  assert_int_equal(a->tied, b->tied);
  assert_int_equal(a->qkv_bias, b->qkv_bias);
  assert_int_equal(a->qk_norm, b->qk_norm);
  assert_int_equal(a->rope_kind, b->rope_kind);
  assert_true(a->norm_eps == b->norm_eps && a->rope_theta == b->rope_theta);
  assert_true(a->rope_factor == b->rope_factor && a->rope_low == b->rope_low && a->rope_high == b->rope_high && a->rope_original_ctx == b->rope_original_ctx);
  for (int l = 0; l < a->n_layer; l++) {
    assert_int_equal(a->n_head[l], b->n_head[l]);
    assert_int_equal(a->n_kv_head[l], b->n_kv_head[l]);
    assert_int_equal(a->ffn[l], b->ffn[l]);
  }
  if (!from_gguf) { /* without a tokenizer a GGUF names no special tokens */
    assert_int_equal(a->bos, b->bos);
    assert_int_equal(a->eos, b->eos);
    assert_int_equal(a->pad, b->pad);
  }
}

static void same_values(const struct weights *a, const struct weights *b) {
  struct arena *m = arena_new(0);
  struct err e = { 0 };
  struct tensor_out *t;
  size_t n;
  assert_int_equal(model_tensor_list(weights_config(a), DT_F32, m, &t, &n, &e), STATUS_OK);
  assert_true(n <= weights_count(b));
  for (size_t i = 0; i < n; i++) {
    int64_t count;
    float *x = values(a, &t[i], &count), *y = values(b, &t[i], &count);
    if (memcmp(x, y, (size_t)count * sizeof *x) != 0) fail_msg("%s differs", t[i].name);
    mem_free(x);
    mem_free(y);
  }
  arena_free(m);
}

static void gguf_f32_is_bitwise(void **state) {
  (void)state;
  for (size_t k = 0; k < MODELS; k++) {
    struct arena *m = arena_new(0);
    struct err e = { 0 };
    struct tensor_out *t;
    size_t n;
    struct weights *w = open_model(models[k]);
    assert_int_equal(model_tensor_list(weights_config(w), DT_F32, m, &t, &n, &e), STATUS_OK);
    const char *const strings[] = { "general.name", models[k], "general.license", "apache-2.0", NULL };
    if (gguf_write(scratch_path("m.gguf"), weights_config(w), t, n, DT_F32, strings, NULL, weights_fill, w, &e) != STATUS_OK) fail_msg("%s", e.msg);
    struct weights *g = open_ok(scratch_path("m.gguf"));
    same_config(weights_config(w), weights_config(g), 1);
    same_values(w, g);
    struct span s;
    assert_true(gguf_str(g, "general.license", &s) && s.n == 10 && memcmp(s.p, "apache-2.0", 10) == 0);
    const struct tensor *q = weights_find(g, "model.layers.1.self_attn.q_proj.weight"), *h = weights_find(w, "model.layers.1.self_attn.q_proj.weight");
    int turned = memcmp(q->data, h->data, (size_t)h->bytes) != 0; /* llama's rows really lie in another order in the file */
    assert_int_equal(turned, strncmp(models[k], "qwen", 4) != 0);
    weights_close(g);
    weights_close(w);
    arena_free(m);
  }
}

/* Largest step between two stored values of the block that i lies in, times 1/2, plus float rounding. */
static double half_step(const float *x, int64_t i, enum dtype type, int64_t width) {
  double lo = 1e30, hi = -1e30, most = 0;
  if (type == DT_F16) return fabs((double)x[i]) * 0x1p-11 + 0x1p-25;
  if (type == DT_BF16) return fabs((double)x[i]) * 0x1p-8 + 1e-40;
  int64_t at = i / width * width + i % width / 32 * 32;
  for (int64_t k = at; k < at + 32; k++) {
    lo = fmin(lo, (double)x[k]), hi = fmax(hi, (double)x[k]), most = fmax(most, fabs((double)x[k]));
  }
  /* scale and offset are themselves rounded to F16: 2^-11 relative, met 127 (or 15) times and once */
  if (type == DT_Q8_0) return most / 127 / 2 + most * 0x1p-10;
  return (hi - lo) / 15 / 2 + (hi - lo) * 0x1p-10 + most * 0x1p-10;
}

static void quantised_within_half_a_step(void **state) {
  (void)state;
  const struct { enum dtype ask, matrix, embed; const char *model; } cases[] = {
    { DT_F16, DT_F16, DT_F16, "llama_tied" }, { DT_BF16, DT_BF16, DT_BF16, "qwen3" }, { DT_Q8_0, DT_Q8_0, DT_Q8_0, "mistral" },
    { DT_Q4_1, DT_Q4_1, DT_Q8_0, "mistral" }, { DT_Q4_1, DT_F16, DT_F16, "llama_tied" /* 48 is no multiple of 32 */ },
  };
  for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
    struct arena *m = arena_new(0);
    struct err e = { 0 };
    struct tensor_out *t;
    size_t n;
    struct weights *w = open_model(cases[k].model);
    assert_int_equal(model_tensor_list(weights_config(w), DT_F32, m, &t, &n, &e), STATUS_OK);
    if (gguf_write(scratch_path("q.gguf"), weights_config(w), t, n, cases[k].ask, NULL, NULL, weights_fill, w, &e) != STATUS_OK) fail_msg("%s", e.msg);
    struct weights *g = open_ok(scratch_path("q.gguf"));
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
      int64_t count;
      const struct tensor *have = weights_find(g, t[i].name);
      enum dtype want = t[i].n_dim < 2 ? DT_F32 : i == 0 ? cases[k].embed : t[i].dim[1] % 32 ? DT_F16 : cases[k].matrix;
      if (cases[k].ask == DT_BF16 && t[i].n_dim > 1) want = DT_BF16;
      if (strcmp(t[i].name, "lm_head.weight") == 0) want = cases[k].embed;
      if (cases[k].matrix == DT_F16 && t[i].n_dim > 1 && cases[k].ask == DT_Q4_1) want = t[i].dim[1] % 32 ? DT_F16 : DT_Q4_1;
      if ((int)have->type != (int)want) fail_msg("%s is %s, wanted %s", t[i].name, dtype_name(have->type), dtype_name(want));
      float *x = values(w, &t[i], &count), *y = values(g, &t[i], &count);
      for (int64_t j = 0; j < count && t[i].n_dim > 1; j++) {
        double step = half_step(x, j, want, t[i].dim[1]), off = fabs((double)x[j] - (double)y[j]);
        if (off > step) fail_msg("%s[%lld]: %g became %g", t[i].name, (long long)j, (double)x[j], (double)y[j]);
        worst = fmax(worst, off / step);
      }
      if (t[i].n_dim < 2) assert_memory_equal(x, y, (size_t)count * sizeof *x);
      mem_free(x);
      mem_free(y);
    }
    print_message("%s: worst is %.3f of half a step\n", dtype_name(cases[k].ask), worst);
    assert_true(worst > 0.5); /* something was rounded at all; observed 0.87 to 1.0 */
    weights_close(g);
    weights_close(w);
    arena_free(m);
  }
}

static enum status fails_late(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  if (strcmp(t->name, "model.norm.weight") == 0) return err_set(e, STATUS_IO, "the source went away");
  return weights_fill(ctx, t, row0, rows, dst, e);
}

static void nothing_is_left_after_an_error(void **state) {
  (void)state;
  struct arena *m = arena_new(0);
  struct err e = { 0 };
  struct tensor_out *t;
  size_t n;
  const char **names;
  struct weights *w = open_model("qwen2");
  assert_int_equal(model_tensor_list(weights_config(w), DT_F32, m, &t, &n, &e), STATUS_OK);
  assert_int_equal(folder_make(scratch_path("late"), &e), STATUS_OK);
  assert_int_equal(gguf_write(scratch_path("late/a.gguf"), weights_config(w), t, n, DT_F32, NULL, NULL, fails_late, w, &e), STATUS_IO);
  assert_int_equal(safetensors_write(scratch_path("late/a.safetensors"), t, n, NULL, fails_late, w, &e), STATUS_IO);
  assert_int_equal(gguf_write(scratch_path("late/b.gguf"), weights_config(w), t, n, DT_Q6_K, NULL, NULL, weights_fill, w, &e), STATUS_USAGE);
  t[3].type = DT_Q8_0;
  assert_int_equal(safetensors_write(scratch_path("late/b.safetensors"), t, n, NULL, weights_fill, w, &e), STATUS_USAGE);
  assert_int_equal(folder_list(scratch_path("late"), m, &names, &n, &e), STATUS_OK);
  assert_int_equal(n, 0);
  weights_close(w);
  arena_free(m);
}

static void mixed_types_stay_aligned(void **state) {
  (void)state;
  struct weights *w = open_model("qwen2");
  struct err e = { 0 };
  const struct tensor *q = weights_find(w, "model.layers.0.self_attn.k_proj.bias"), *v = weights_find(w, "model.norm.weight");
  struct tensor_out t[3] = { { q->name, 1, { q->dim[0] }, DT_BF16 }, { v->name, 1, { v->dim[0] }, DT_F32 }, { "model.layers.0.self_attn.v_proj.bias", 1, { q->dim[0] }, DT_F16 } };
  if (safetensors_write(scratch_path("mixed.safetensors"), t, 3, "{\"step\":\"3\"}", weights_fill, w, &e) != STATUS_OK) fail_msg("%s", e.msg);
  struct weights *g = open_ok(scratch_path("mixed.safetensors"));
  assert_int_equal(weights_find(g, q->name)->type, DT_BF16);
  int64_t n;
  float *x = values(w, &t[1], &n), *y = values(g, &t[1], &n);
  assert_memory_equal(x, y, (size_t)n * sizeof *x);
  mem_free(x);
  mem_free(y);
  weights_close(g);
  weights_close(w);
}

/* Every allocation fails once: only NOMEM may come out, nothing may stand under the output's name. */
static void any_allocation_may_fail(void **state) {
  (void)state;
  char path[1024];
  snprintf(path, sizeof path, TEST_SOURCE "/tests/golden/data/model/llama_untied_rope3");
  int done[3] = { 0 };
  for (long nth = 1; nth < 5000 && !(done[0] && done[1] && done[2]); nth++) {
    for (int kind = 0; kind < 3; kind++) {
      struct arena *m = arena_new(0);
      struct weights *w = NULL;
      struct err e = { 0 };
      struct tensor_out *t;
      size_t n;
      if (kind > 0) {
        w = open_ok(path);
        assert_int_equal(model_tensor_list(weights_config(w), DT_F32, m, &t, &n, &e), STATUS_OK);
      }
      const char *out = scratch_path(kind == 1 ? "torture.gguf" : "torture");
      mem_fail_at(nth);
      enum status st = kind == 0 ? weights_open(path, &w, &e)
                       : kind == 1 ? gguf_write(out, weights_config(w), t, n, DT_F16, NULL, NULL, weights_fill, w, &e)
                                   : model_folder_write(out, weights_config(w), t, n, DT_F32, 100000, NULL, weights_fill, w, &e);
      int hit = mem_failed();
      mem_fail_at(0);
      /* a commit without memory to name the folder skips its fsync and says nothing: then the output has to be there */
      if (hit && kind > 0 && st == STATUS_OK) assert_true(file_exists(kind == 1 ? out : scratch_path("torture/config.json")));
      else if (hit && st != STATUS_NOMEM) fail_msg("kind %d, allocation %ld: %s %s", kind, nth, status_name(st), e.msg);
      if (!hit && st != STATUS_OK) fail_msg("kind %d: %s", kind, e.msg);
      if (st != STATUS_OK && kind == 1) assert_false(file_exists(out));
      if (st != STATUS_OK && kind == 2) assert_false(file_exists(scratch_path("torture/config.json")));
      done[kind] = !hit;
      assert_int_equal(folder_remove(out, &e), STATUS_OK);
      weights_close(w);
      arena_free(m);
    }
  }
  assert_true(done[0] && done[1] && done[2]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(gguf_f32_is_bitwise), cmocka_unit_test(quantised_within_half_a_step), cmocka_unit_test(nothing_is_left_after_an_error),
    cmocka_unit_test(mixed_types_stay_aligned), cmocka_unit_test(any_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
