/* SPDX-License-Identifier: Apache-2.0
 * config.json of a model that this program made, in today's layout with the older rope keys beside it, so that old and new
 * versions of transformers read the same numbers. head_dim is always explicit: pruned models are no longer hidden / heads. */
#include "span.h"
#include "weights_impl.h"

static const struct { const char *arch, *class_name; } classes[] = {
  { "llama", "LlamaForCausalLM" }, { "mistral", "MistralForCausalLM" }, { "qwen2", "Qwen2ForCausalLM" }, { "qwen3", "Qwen3ForCausalLM" },
};

/* Shortest decimal that reads back to the same float, always with a point or an exponent: a Python reader takes it as float. */
static enum status put_real(struct buf *b, float v, struct err *e) {
  char s[40];
  for (int digits = 6; digits <= 9; digits++) {
    snprintf(s, sizeof s, "%.*g", digits, (double)v);
    if (strtof(s, NULL) == v) break;
  }
  return buf_printf(b, e, "%s%s", s, strpbrk(s, ".e") ? "" : ".0");
}

static enum status put_rope(struct buf *b, const struct model_config *c, struct err *e) {
  enum status st = STATUS_OK;
  const char *kind = c->rope_kind == ROPE_LLAMA3 ? "llama3" : c->rope_kind == ROPE_LINEAR ? "linear" : "default";
  struct buf more = { 0 };
  if (c->rope_kind != ROPE_PLAIN) {
    TRY(buf_puts(&more, ", \"factor\": ", e));
    TRY(put_real(&more, c->rope_factor, e));
  }
  if (c->rope_kind == ROPE_LLAMA3) {
    TRY(buf_puts(&more, ", \"low_freq_factor\": ", e));
    TRY(put_real(&more, c->rope_low, e));
    TRY(buf_puts(&more, ", \"high_freq_factor\": ", e));
    TRY(put_real(&more, c->rope_high, e));
    TRY(buf_printf(&more, e, ", \"original_max_position_embeddings\": %d", (int)c->rope_original_ctx));
  }
  TRY(buf_puts(b, "  \"rope_theta\": ", e));
  TRY(put_real(b, c->rope_theta, e));
  if (c->rope_kind != ROPE_PLAIN) TRY(buf_printf(b, e, ",\n  \"rope_scaling\": {\"rope_type\": \"%s\"%s}", kind, more.p));
  TRY(buf_puts(b, ",\n  \"rope_parameters\": {\"rope_theta\": ", e));
  TRY(put_real(b, c->rope_theta, e));
  TRY(buf_printf(b, e, ", \"rope_type\": \"%s\"%s}", kind, more.p ? more.p : ""));
out:
  buf_free(&more);
  return st;
}

static enum status put_id(struct buf *b, const char *key, int32_t id, struct err *e) {
  if (id < 0) return buf_printf(b, e, "  \"%s\": null,\n", key);
  return buf_printf(b, e, "  \"%s\": %d,\n", key, id);
}

static enum status put_list(struct buf *b, const char *key, const int32_t *v, int n, const char *end, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_printf(b, e, "\"%s\": [", key));
  for (int i = 0; i < n; i++) TRY(buf_printf(b, e, "%s%d", i ? ", " : "", v[i]));
  TRY(buf_printf(b, e, "]%s", end));
out:
  return st;
}

static int varies(const int32_t *v, int n) {
  for (int i = 1; i < n; i++) {
    if (v[i] != v[0]) return 1;
  }
  return 0;
}

static enum status put_config(struct buf *b, const struct model_config *c, const char *dtype, struct err *e) {
  enum status st = STATUS_OK;
  const char *class_name = "LlamaForCausalLM";
  int n = c->n_layer;
  for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
    if (strcmp(c->arch, classes[i].arch) == 0) class_name = classes[i].class_name;
  }
  TRY(buf_printf(b, e, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n  \"dtype\": \"%s\",\n  \"torch_dtype\": \"%s\",\n", class_name,
                 c->arch, dtype, dtype));
  TRY(buf_printf(b, e, "  \"hidden_act\": \"silu\",\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n  \"num_hidden_layers\": %d,\n"
                 "  \"num_attention_heads\": %d,\n  \"num_key_value_heads\": %d,\n  \"head_dim\": %d,\n  \"vocab_size\": %d,\n"
                 "  \"max_position_embeddings\": %d,\n", c->hidden, c->ffn[0], n, c->n_head[0], c->n_kv_head[0], c->head_dim, c->vocab, c->max_ctx));
  TRY(buf_printf(b, e, "  \"tie_word_embeddings\": %s,\n  \"attention_bias\": %s,\n  \"attention_dropout\": 0.0,\n  \"mlp_bias\": false,\n"
                 "  \"initializer_range\": 0.02,\n  \"use_cache\": true,\n  \"rms_norm_eps\": ", c->tied ? "true" : "false",
                 c->qkv_bias && strcmp(c->arch, "qwen2") != 0 ? "true" : "false"));
  TRY(put_real(b, c->norm_eps, e));
  TRY(buf_puts(b, ",\n", e));
  if (strcmp(c->arch, "mistral") == 0 && c->window == 0) TRY(buf_puts(b, "  \"sliding_window\": null,\n", e));
  if (c->window > 0) TRY(buf_printf(b, e, "  \"sliding_window\": %d,\n", c->window));
  if (strncmp(c->arch, "qwen", 4) == 0) TRY(buf_printf(b, e, "  \"use_sliding_window\": %s,\n", c->window > 0 ? "true" : "false"));
  if (strncmp(c->arch, "qwen", 4) == 0 && c->window > 0) TRY(buf_printf(b, e, "  \"max_window_layers\": 0,\n"));
  TRY(put_id(b, "bos_token_id", c->bos, e));
  TRY(put_id(b, "pad_token_id", c->pad, e));
  if (c->n_eos_extra == 0) {
    TRY(put_id(b, "eos_token_id", c->eos, e));
  } else {
    TRY(buf_printf(b, e, "  \"eos_token_id\": [%d", c->eos));
    for (int i = 0; i < c->n_eos_extra; i++) TRY(buf_printf(b, e, ", %d", c->eos_extra[i]));
    TRY(buf_puts(b, "],\n", e));
  }
  if (varies(c->n_head, n) || varies(c->n_kv_head, n) || varies(c->ffn, n)) {
    TRY(buf_puts(b, "  \"retort_layers\": {", e));
    TRY(put_list(b, "num_attention_heads", c->n_head, n, ", ", e));
    TRY(put_list(b, "num_key_value_heads", c->n_kv_head, n, ", ", e));
    TRY(put_list(b, "intermediate_size", c->ffn, n, "},\n", e));
  }
  TRY(put_rope(b, c, e));
  TRY(buf_puts(b, "\n}\n", e));
out:
  return st;
}

enum status config_write(const char *folder, const struct model_config *c, const char *dtype, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct file_atomic f = { 0 };
  struct arena *a = arena_new(0);
  char *path = a ? path_join(a, folder, "config.json") : NULL;
  if (path == NULL) {
    st = err_nomem(e, strlen(folder));
    goto out;
  }
  TRY(put_config(&b, c, dtype, e));
  TRY(file_atomic_open(&f, path, e));
  TRY(file_put(f.fp, path, b.p, b.n, e));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  buf_free(&b);
  arena_free(a);
  return st;
}
