/* SPDX-License-Identifier: Apache-2.0
 * config.json of a Hugging Face folder, in today's layout (rope_parameters) and the older one (rope_theta, rope_scaling),
 * with each family's defaults for absent keys. What this program cannot compute exactly is refused by name. */
#include <math.h>
#include "json.h"
#include "log.h"
#include "weights_impl.h"

#define CONFIG_BYTES_MAX ((size_t)4 << 20)

/* Defaults of transformers' configuration classes where a key is absent. head_dim 0 = hidden / heads. */
static const struct family {
  const char *arch;
  int qkv_bias, qk_norm, head_dim, window;
  int64_t max_ctx;
} families[] = {
  { "llama", 0, 0, 0, 0, 2048 },
  { "mistral", 0, 0, 0, 4096, 131072 }, /* MistralConfig's sliding_window is 4096 when the key is absent, none when null */
  { "qwen2", 1, 0, 0, 0, 32768 },
  { "qwen3", 0, 1, 128, 0, 32768 },
};
#define COUNT(x) (sizeof(x) / sizeof (x)[0])

static enum status bad(const char *path, struct err *e, const char *key, const char *why) {
  return err_set(e, STATUS_DATA, "'%s': %s %s", path, key, why);
}

static enum status whole(const struct json *root, const char *key, const char *path, int64_t dflt, int32_t *out, struct err *e) {
  const struct json *j = json_get(root, key);
  if (json_type(j) == JSON_NONE || json_type(j) == JSON_NULL) {
    if (dflt < 0) return bad(path, e, key, "is missing");
    *out = (int32_t)dflt;
    return STATUS_OK;
  }
  int64_t v = json_int(j, -1);
  if (json_type(j) != JSON_INT || v < 1 || v > INT32_MAX) return bad(path, e, key, "is not a whole number from 1 to 2147483647");
  *out = (int32_t)v;
  return STATUS_OK;
}

static enum status real(const struct json *obj, const char *key, const char *path, double dflt, float *out, struct err *e) {
  const struct json *j = json_get(obj, key);
  double v = json_num(j, dflt);
  if ((json_type(j) != JSON_NONE && json_type(j) != JSON_NULL && json_type(j) != JSON_INT && json_type(j) != JSON_REAL) || !isfinite(v) || !(v > 0)) {
    return bad(path, e, key, "is not a number above 0");
  }
  *out = (float)v;
  return STATUS_OK;
}

/* One token id, or -1 when absent or null; what is no id of the vocabulary is named and counts as absent. */
static int32_t token(const struct json *j, const char *key, const char *path, int32_t vocab) {
  int64_t v = json_int(j, -1);
  if (json_type(j) == JSON_INT && v >= 0 && v < vocab) return (int32_t)v;
  if (json_type(j) == JSON_INT && v != -1) log_warn("'%s': %s %lld is ignored, expected 0 to %d", path, key, (long long)v, vocab - 1);
  else if (json_type(j) != JSON_INT && json_type(j) != JSON_NONE && json_type(j) != JSON_NULL) log_warn("'%s': %s is ignored: it is no token id", path, key);
  return -1;
}

static void add_eos(struct model_config *c, int32_t id) {
  if (id < 0 || id == c->eos) return;
  if (c->eos < 0) {
    c->eos = id;
    return;
  }
  for (int i = 0; i < c->n_eos_extra; i++) {
    if (c->eos_extra[i] == id) return;
  }
  if (c->n_eos_extra < (int)COUNT(c->eos_extra)) c->eos_extra[c->n_eos_extra++] = id;
}

static void add_eos_of(struct model_config *c, const struct json *root, const char *path) {
  const struct json *j = json_get(root, "eos_token_id");
  if (json_type(j) != JSON_ARRAY) {
    add_eos(c, token(j, "eos_token_id", path, c->vocab));
    return;
  }
  for (size_t i = 0; i < json_size(j); i++) add_eos(c, token(json_at(j, i), "eos_token_id", path, c->vocab));
}

static enum status read_rope(const struct json *root, const char *path, struct model_config *c, struct err *e) {
  enum status st = STATUS_OK;
  const struct json *now = json_get(root, "rope_parameters"), *old = json_get(root, "rope_scaling");
  const struct json *p = json_type(now) == JSON_OBJECT ? now : old;
  float partial;
  double theta = json_num(json_get(root, "rope_theta"), 10000);
  if (json_type(json_get(p, "full_attention")) == JSON_OBJECT) return bad(path, e, "rope_parameters", "differ by kind of layer, which cannot be computed");
  TRY(real(p, "rope_theta", path, theta, &c->rope_theta, e));
  TRY(real(p, "partial_rotary_factor", path, json_num(json_get(root, "partial_rotary_factor"), 1), &partial, e));
  if (partial != 1) return bad(path, e, "partial_rotary_factor", "is not 1; only whole heads can be rotated");
  const char *kind = json_cstr(json_get(p, "rope_type"), json_cstr(json_get(p, "type"), "default"));
  c->rope_factor = 1;
  if (strcmp(kind, "default") == 0) return STATUS_OK;
  TRY(real(p, "factor", path, 1, &c->rope_factor, e));
  if (strcmp(kind, "linear") == 0) {
    c->rope_kind = ROPE_LINEAR;
  } else if (strcmp(kind, "llama3") == 0) {
    c->rope_kind = ROPE_LLAMA3;
    TRY(real(p, "low_freq_factor", path, 1, &c->rope_low, e));
    TRY(real(p, "high_freq_factor", path, 4, &c->rope_high, e));
    TRY(real(p, "original_max_position_embeddings", path, c->max_ctx, &c->rope_original_ctx, e));
  } else {
    return err_set(e, STATUS_DATA, "'%s': rope_type '%.40s' cannot be computed (default, linear and llama3 can)", path, kind);
  }
out:
  return st;
}

static enum status read_window(const struct json *root, const char *path, const struct family *f, struct model_config *c, struct err *e) {
  const struct json *win = json_get(root, "sliding_window"), *kinds = json_get(root, "layer_types");
  int used = strcmp(f->arch, "mistral") == 0;
  if (strncmp(f->arch, "qwen", 4) == 0 && json_bool(json_get(root, "use_sliding_window"), 0)) {
    int64_t first = json_int(json_get(root, "max_window_layers"), 28); /* layers from here on have the window */
    if (first > 0 && first < c->n_layer) return bad(path, e, "use_sliding_window", "is true for some layers only, which cannot be computed");
    used = first <= 0;
  }
  int sliding = 0;
  for (size_t i = 0; i < json_size(kinds); i++) sliding += strcmp(json_cstr(json_at(kinds, i), ""), "sliding_attention") == 0;
  if (sliding > 0 && sliding < c->n_layer) return bad(path, e, "layer_types", "mixes windows and full attention, which cannot be computed");
  if (json_type(kinds) == JSON_ARRAY && json_size(kinds) > 0) used = sliding > 0;
  if (!used || json_type(win) == JSON_NULL) return STATUS_OK;
  return whole(root, "sliding_window", path, f->window, &c->window, e);
}

static enum status read_list(const struct json *lists, const char *key, const char *path, int n_layer, int32_t *out, struct err *e) {
  const struct json *list = json_get(lists, key);
  if (json_type(list) == JSON_NONE) return STATUS_OK;
  if (json_type(list) != JSON_ARRAY || json_size(list) != (size_t)n_layer) return bad(path, e, key, "in retort_layers has not one number a layer");
  for (int l = 0; l < n_layer; l++) {
    int64_t v = json_int(json_at(list, (size_t)l), -1);
    if (v < 1 || v > INT32_MAX) return bad(path, e, key, "in retort_layers holds something else than whole numbers from 1");
    out[l] = (int32_t)v;
  }
  return STATUS_OK;
}

static enum status read_shape(const struct json *root, const char *path, const struct family *f, struct model_config *c, struct err *e) {
  enum status st = STATUS_OK;
  int32_t heads, kv, ffn;
  TRY(whole(root, "num_hidden_layers", path, -1, &c->n_layer, e));
  if (c->n_layer > MODEL_MAX_LAYERS) {
    return err_set(e, STATUS_DATA, "'%s': %d layers, at most %d can be computed", path, c->n_layer, MODEL_MAX_LAYERS);
  }
  TRY(whole(root, "hidden_size", path, -1, &c->hidden, e));
  TRY(whole(root, "vocab_size", path, -1, &c->vocab, e));
  TRY(whole(root, "num_attention_heads", path, -1, &heads, e));
  TRY(whole(root, "num_key_value_heads", path, heads, &kv, e));
  TRY(whole(root, "intermediate_size", path, -1, &ffn, e));
  TRY(whole(root, "max_position_embeddings", path, f->max_ctx, &c->max_ctx, e));
  TRY(whole(root, "head_dim", path, f->head_dim ? f->head_dim : c->hidden / heads, &c->head_dim, e));
  for (int l = 0; l < c->n_layer; l++) c->n_head[l] = heads, c->n_kv_head[l] = kv, c->ffn[l] = ffn;
  const struct json *lists = json_get(root, "retort_layers");
  TRY(read_list(lists, "num_attention_heads", path, c->n_layer, c->n_head, e));
  TRY(read_list(lists, "num_key_value_heads", path, c->n_layer, c->n_kv_head, e));
  TRY(read_list(lists, "intermediate_size", path, c->n_layer, c->ffn, e));
out:
  return st;
}

static enum status read_root(const struct json *root, const char *path, struct model_config *c, struct err *e) {
  enum status st = STATUS_OK;
  const char *type = json_cstr(json_get(root, "model_type"), "");
  const struct family *f = NULL;
  for (size_t i = 0; i < COUNT(families); i++) {
    if (strcmp(type, families[i].arch) == 0) f = &families[i];
  }
  if (f == NULL) return err_set(e, STATUS_DATA, "'%s': model_type '%.40s' is not known; llama, mistral, qwen2 and qwen3 are", path, type);
  snprintf(c->arch, sizeof c->arch, "%s", f->arch);
  c->qk_norm = f->qk_norm;
  /* llama's attention_bias puts a bias on the output projection too, which no operation here has */
  if (json_bool(json_get(root, "attention_bias"), 0) && !f->qkv_bias) return bad(path, e, "attention_bias", "is true, which cannot be computed for this family");
  if (json_bool(json_get(root, "mlp_bias"), 0)) return bad(path, e, "mlp_bias", "is true, which cannot be computed");
  c->qkv_bias = f->qkv_bias;
  const char *act = json_cstr(json_get(root, "hidden_act"), "silu");
  if (strcmp(act, "silu") != 0) return err_set(e, STATUS_DATA, "'%s': hidden_act '%.40s' cannot be computed, only silu", path, act);
  if (json_type(json_get(root, "quantization_config")) == JSON_OBJECT) return bad(path, e, "quantization_config", "is set; quantised safetensors cannot be read, take the GGUF");
  c->tied = json_bool(json_get(root, "tie_word_embeddings"), 0);
  TRY(read_shape(root, path, f, c, e));
  TRY(real(root, "rms_norm_eps", path, 1e-6, &c->norm_eps, e));
  TRY(read_rope(root, path, c, e));
  TRY(read_window(root, path, f, c, e));
  c->bos = token(json_get(root, "bos_token_id"), "bos_token_id", path, c->vocab);
  c->pad = token(json_get(root, "pad_token_id"), "pad_token_id", path, c->vocab);
  c->unk = token(json_get(root, "unk_token_id"), "unk_token_id", path, c->vocab);
  c->eos = -1;
  add_eos_of(c, root, path);
  TRY(config_check(c, path, e));
out:
  return st;
}

enum status config_read(const char *folder, struct model_config *c, struct err *e) {
  enum status st = STATUS_OK;
  struct json *root = NULL, *more = NULL;
  struct arena *a = arena_new(0);
  memset(c, 0, sizeof *c);
  char *path = a ? path_join(a, folder, "config.json") : NULL;
  char *generation = a ? path_join(a, folder, "generation_config.json") : NULL;
  if (path == NULL || generation == NULL) {
    st = err_nomem(e, 4096);
    goto out;
  }
  TRY(weights_json(path, CONFIG_BYTES_MAX, &root, e));
  TRY(read_root(root, path, c, e));
  if (file_exists(generation)) { /* chat models list their end-of-turn tokens only here */
    TRY(weights_json(generation, CONFIG_BYTES_MAX, &more, e));
    add_eos_of(c, more, generation);
  }
out:
  json_free(root);
  json_free(more);
  arena_free(a);
  return st;
}

enum status config_check(const struct model_config *c, const char *what, struct err *e) {
  /* Bounds far above every real model; they keep products of two sizes inside 64 bits. */
  if (c->hidden > 1 << 20 || c->vocab > 1 << 24 || c->head_dim > 1 << 13 || c->head_dim < 2 || c->head_dim % 2 != 0) {
    return err_set(e, STATUS_DATA, "'%s': hidden %d, vocab %d, head_dim %d: too large, or a head that cannot be rotated in pairs", what, c->hidden,
                   c->vocab, c->head_dim);
  }
  for (int l = 0; l < c->n_layer; l++) {
    if (c->n_head[l] < 1 || c->n_head[l] > 1 << 12 || c->n_kv_head[l] < 1 || c->n_head[l] % c->n_kv_head[l] != 0 || c->ffn[l] < 1 || c->ffn[l] > 1 << 22) {
      return err_set(e, STATUS_DATA, "'%s': layer %d has %d heads, %d key/value heads, feed-forward width %d, which do not fit together", what, l,
                     c->n_head[l], c->n_kv_head[l], c->ffn[l]);
    }
  }
  if (!(c->norm_eps > 0) || !(c->norm_eps < 1) || !(c->rope_theta > 0)) {
    return err_set(e, STATUS_DATA, "'%s': norm epsilon %g or rope base %g is out of range", what, (double)c->norm_eps, (double)c->rope_theta);
  }
  return STATUS_OK;
}

void config_rope_factors(const struct model_config *c, float *factor) {
  const double two_pi = 6.283185307179586476925;
  for (int i = 0; i < c->head_dim / 2; i++) {
    double wavelen = two_pi * pow((double)c->rope_theta, 2.0 * i / c->head_dim);
    double turns = (double)c->rope_original_ctx / wavelen; /* how often it turns within the original length */
    double f = 1;
    if (c->rope_kind == ROPE_LINEAR) {
      f = (double)c->rope_factor;
    } else if (c->rope_kind == ROPE_LLAMA3) {
      double low = (double)c->rope_low, high = (double)c->rope_high;
      if (turns < low) {
        f = (double)c->rope_factor;
      } else if (turns <= high) {
        double smooth = (turns - low) / (high - low);
        f = 1 / ((1 - smooth) / (double)c->rope_factor + smooth);
      }
    }
    factor[i] = (float)f;
  }
}
