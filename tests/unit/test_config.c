/* SPDX-License-Identifier: Apache-2.0
 * config.json: both layouts of rope, each family's defaults (from transformers' configuration classes), end tokens from two
 * files, per-layer widths, and what must be refused because it would be computed wrongly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>
#include "scratch_file.h"
#include "weights_impl.h"

#define SIZES "\"hidden_size\":40,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"vocab_size\":320,\"intermediate_size\":72"

static enum status load(const char *json, struct model_config *c, struct err *e) {
  assert_non_null(scratch_write("config.json", json, strlen(json)));
  memset(e, 0, sizeof *e);
  return config_read(scratch_dir, c, e);
}

static void good(const char *json, struct model_config *c) {
  struct err e;
  if (load(json, c, &e) != STATUS_OK) fail_msg("%s", e.msg);
}

static void refused(const char *json, const char *why) {
  static struct model_config c;
  struct err e;
  enum status st = load(json, &c, &e);
  if (st != STATUS_DATA || strstr(e.msg, why) == NULL || strstr(e.msg, "config.json") == NULL) fail_msg("wanted '%s', got %s: %s", why, status_name(st), e.msg);
}

static struct model_config c;

static void both_rope_layouts(void **state) {
  (void)state;
  good("{\"model_type\":\"llama\"," SIZES ",\"rope_parameters\":{\"rope_theta\":5e5,\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,"
       "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}}", &c);
  assert_true(c.rope_theta == 5e5f && c.rope_kind == ROPE_LLAMA3 && c.rope_factor == 8 && c.rope_original_ctx == 64 && c.rope_high == 4);
  good("{\"model_type\":\"llama\"," SIZES ",\"rope_theta\":5e5,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}", &c);
  assert_true(c.rope_theta == 5e5f && c.rope_kind == ROPE_LINEAR && c.rope_factor == 2);
  good("{\"model_type\":\"llama\"," SIZES ",\"rope_scaling\":null}", &c);
  assert_true(c.rope_theta == 1e4f && c.rope_kind == ROPE_PLAIN);
  assert_true(c.norm_eps == 1e-6f);
  assert_int_equal(c.head_dim, 10);
  assert_int_equal(c.n_kv_head[1], 4);
  assert_int_equal(c.max_ctx, 2048);
  assert_int_equal(c.tied, 0);
  assert_int_equal(c.eos, -1);
  assert_int_equal(c.window, 0);
}

static void family_defaults(void **state) {
  (void)state;
  good("{\"model_type\":\"qwen2\"," SIZES ",\"use_sliding_window\":false,\"sliding_window\":8}", &c);
  assert_int_equal(c.qkv_bias, 1);
  assert_int_equal(c.window, 0);
  good("{\"model_type\":\"qwen2\"," SIZES ",\"use_sliding_window\":true,\"sliding_window\":8,\"max_window_layers\":0}", &c);
  assert_int_equal(c.window, 8);
  good("{\"model_type\":\"qwen2\"," SIZES ",\"use_sliding_window\":true,\"sliding_window\":8,\"max_window_layers\":2}", &c);
  assert_int_equal(c.window, 0);
  good("{\"model_type\":\"qwen3\"," SIZES "}", &c);
  assert_int_equal(c.qk_norm, 1);
  assert_int_equal(c.head_dim, 128);
  good("{\"model_type\":\"mistral\"," SIZES "}", &c);
  assert_int_equal(c.window, 4096);
  good("{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":null,\"head_dim\":16}", &c);
  assert_int_equal(c.window, 0);
  assert_int_equal(c.head_dim, 16);
  good("{\"model_type\":\"qwen2\"," SIZES ",\"sliding_window\":8,\"layer_types\":[\"full_attention\",\"full_attention\"]}", &c);
  assert_int_equal(c.window, 0);
}

static void tokens_and_layers(void **state) {
  (void)state;
  const char *g = "{\"eos_token_id\":[7,9,5]}";
  assert_non_null(scratch_write("generation_config.json", g, strlen(g)));
  good("{\"model_type\":\"llama\"," SIZES ",\"eos_token_id\":[5,6],\"bos_token_id\":1,\"pad_token_id\":null,\"retort_layers\":{\"intermediate_size\":[72,64],"
       "\"num_attention_heads\":[4,2],\"num_key_value_heads\":[2,2]}}", &c);
  assert_int_equal(unlink(scratch_path("generation_config.json")), 0);
  assert_int_equal(c.eos, 5);
  assert_int_equal(c.n_eos_extra, 3);
  assert_int_equal(c.eos_extra[0], 6);
  assert_int_equal(c.eos_extra[2], 9);
  assert_int_equal(c.bos, 1);
  assert_int_equal(c.pad, -1);
  assert_int_equal(c.ffn[1], 64);
  assert_int_equal(c.n_head[1], 2);
}

static void refuses_what_it_cannot_compute(void **state) {
  (void)state;
  refused("{\"model_type\":\"gpt2\"," SIZES "}", "gpt2");
  refused("{" SIZES "}", "model_type");
  refused("{\"model_type\":\"llama\",\"hidden_size\":40}", "num_hidden_layers is missing");
  refused("{\"model_type\":\"llama\"," SIZES ",\"hidden_act\":\"gelu\"}", "gelu");
  refused("{\"model_type\":\"llama\"," SIZES ",\"attention_bias\":true}", "attention_bias");
  refused("{\"model_type\":\"llama\"," SIZES ",\"mlp_bias\":true}", "mlp_bias");
  refused("{\"model_type\":\"llama\"," SIZES ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4}}", "yarn");
  refused("{\"model_type\":\"llama\"," SIZES ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor");
  refused("{\"model_type\":\"llama\"," SIZES ",\"num_key_value_heads\":3}", "do not fit");
  refused("{\"model_type\":\"llama\"," SIZES ",\"num_key_value_heads\":-2}", "num_key_value_heads");
  refused("{\"model_type\":\"llama\"," SIZES ",\"num_key_value_heads\":\"2\"}", "num_key_value_heads");
  refused("{\"model_type\":\"llama\"," SIZES ",\"head_dim\":7}", "head_dim");
  refused("{\"model_type\":\"llama\"," SIZES ",\"rms_norm_eps\":0}", "rms_norm_eps");
  refused("{\"model_type\":\"llama\"," SIZES ",\"quantization_config\":{}}", "quantization_config");
  refused("{\"model_type\":\"qwen3\"," SIZES ",\"use_sliding_window\":true,\"max_window_layers\":1,\"sliding_window\":8}", "use_sliding_window");
  refused("{\"model_type\":\"llama\"," SIZES ",\"retort_layers\":{\"intermediate_size\":[72]}}", "one number a layer");
  refused("{\"model_type\":\"llama\",\"hidden_size\":40,\"num_hidden_layers\":100000,\"num_attention_heads\":4,\"vocab_size\":320,\"intermediate_size\":72}", "at most 512");
  refused("{\"model_type\":\"llama\"", "config.json");
  refused("[]", "model_type");
}

/* transformers' llama3 formula in double, written out by hand for three frequencies (theta 5e5, head_dim 16, old 64). */
static void rope_factors(void **state) {
  (void)state;
  good("{\"model_type\":\"llama\"," SIZES ",\"head_dim\":16,\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
       "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}}", &c);
  float f[8];
  config_rope_factors(&c, f);
  double smooth = (64 / (2 * 3.14159265358979323846 * pow(5e5, 2.0 / 16)) - 1) / 3;
  assert_true(f[0] == 1.0f);
  assert_true(fabs((double)f[1] - 1 / ((1 - smooth) / 8 + smooth)) < 1e-6);
  for (int i = 2; i < 8; i++) assert_true(f[i] == 8.0f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(both_rope_layouts), cmocka_unit_test(family_defaults), cmocka_unit_test(tokens_and_layers),
    cmocka_unit_test(refuses_what_it_cannot_compute), cmocka_unit_test(rope_factors),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
