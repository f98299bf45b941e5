/* SPDX-License-Identifier: Apache-2.0
 * The model's configuration from GGUF metadata, and the marks on Q and K rows that llama-style files store interleaved.
 * What this program cannot compute exactly is refused here by name instead of giving wrong numbers later. */
#include <math.h>
#include "log.h"
#include "span.h"
#include "weights_impl.h"

static const struct { const char *arch; int permutes, qkv_bias, qk_norm; } archs[] = {
  { "llama", 1, 0, 0 }, /* Mistral files say llama too */
  { "qwen2", 0, 1, 0 },
  { "qwen3", 0, 0, 1 },
};
#define COUNT(x) (sizeof(x) / sizeof (x)[0])

int gguf_arch_permutes(const char *arch) { return strcmp(arch, "llama") == 0 || strcmp(arch, "mistral") == 0; }

/* ARCH.key as an int32 >= min; dflt when absent (INT32_MIN: must be there). */
static enum status number(const struct weights *w, const char *key, int64_t min, int64_t dflt, int32_t *out, struct err *e) {
  char full[128];
  int64_t v = dflt;
  snprintf(full, sizeof full, "%s.%s", w->config.arch, key);
  int found = gguf_int(w, full, &v);
  if (!found && dflt == INT32_MIN) return err_set(e, STATUS_DATA, "'%s': metadata '%s' is missing or no whole number", w->path, full);
  if (found && (v < min || v > INT32_MAX)) return err_set(e, STATUS_DATA, "'%s': metadata '%s' is %lld", w->path, full, (long long)v);
  *out = (int32_t)v;
  return STATUS_OK;
}

/* ARCH.key as one number for all layers or an array of one a layer; dflt[] when absent. */
static enum status per_layer(const struct weights *w, const char *key, const int32_t *dflt, int32_t *out, struct err *e) {
  char full[128];
  int64_t one, *many;
  uint64_t n;
  int n_layer = w->config.n_layer;
  snprintf(full, sizeof full, "%s.%s", w->config.arch, key);
  int is_one = gguf_int(w, full, &one);
  int is_many = !is_one && gguf_array_ints(w, full, w->a, &many, &n);
  if (!is_one && !is_many && dflt == NULL) return err_set(e, STATUS_DATA, "'%s': metadata '%s' is missing", w->path, full);
  if (is_many && n < (uint64_t)n_layer) {
    return err_set(e, STATUS_DATA, "'%s': metadata '%s' has %llu values for %d layers", w->path, full, (unsigned long long)n, n_layer);
  }
  for (int l = 0; l < n_layer; l++) {
    int64_t v = is_one ? one : is_many ? many[l] : dflt[l];
    if (v < 1 || v > INT32_MAX) return err_set(e, STATUS_DATA, "'%s': metadata '%s' is %lld in layer %d", w->path, full, (long long)v, l);
    out[l] = (int32_t)v;
  }
  return STATUS_OK;
}

/* llama.cpp stores llama-3 scaling as a tensor of divisors and forgets its four parameters. They are found again among
 * low = 1, high = 4 (what every published model uses) and other whole high/low with original lengths 2^k; the fit must
 * reproduce every divisor, so what comes out computes the same angles. */
static enum status rope_from_divisors(struct weights *w, const struct tensor *t, struct err *e) {
  struct model_config *c = &w->config;
  enum status st = STATUS_OK;
  int half = c->head_dim / 2;
  if (t->type != DT_F32 || t->n_dim != 1 || t->dim[0] != half) {
    return err_set(e, STATUS_DATA, "'%s': rope_freqs.weight has another type or size than %d F32 values", w->path, half);
  }
  float *have = mem_alloc(2 * (size_t)half * sizeof *have), *want = have ? have + half : NULL;
  if (have == NULL) return err_nomem(e, 2 * (size_t)half * sizeof *have);
  memcpy(have, t->data, (size_t)half * sizeof *have);
  float most = 1;
  int plain = 1;
  for (int i = 0; i < half; i++) {
    if (have[i] > most) most = have[i];
    if (have[i] != 1) plain = 0;
  }
  if (plain) goto out;
  c->rope_kind = ROPE_LLAMA3;
  c->rope_factor = most;
  c->rope_low = 1;
  for (int high = 4, turn = 0; turn < 15; turn++, high = turn <= 2 ? turn + 1 : turn + 2) { /* 4 first, then 2 3 5 6 ... */
    c->rope_high = (float)high;
    for (int k = 4; k < 24; k++) {
      c->rope_original_ctx = (float)(1 << k);
      config_rope_factors(c, want);
      int fits = 1;
      for (int i = 0; i < half && fits; i++) fits = fabsf(have[i] - want[i]) <= 1e-5f * want[i];
      if (fits) goto out;
    }
  }
  st = err_set(e, STATUS_DATA, "'%s': rope_freqs.weight does not follow llama-3 scaling; other scalings cannot be computed", w->path);
out:
  mem_free(have);
  return st;
}

static enum status rope(struct weights *w, struct err *e) {
  struct model_config *c = &w->config;
  char key[128];
  double v = 10000;
  struct span kind;
  snprintf(key, sizeof key, "%s.rope.freq_base", c->arch);
  (void)gguf_num(w, key, &v);
  c->rope_theta = (float)v;
  c->rope_factor = 1;
  int32_t dims;
  enum status st = number(w, "rope.dimension_count", 1, c->head_dim, &dims, e);
  if (st != STATUS_OK) return st;
  if (dims != c->head_dim) {
    return err_set(e, STATUS_DATA, "'%s': rotates %d of %d channels of a head; only whole heads can be computed", w->path, dims, c->head_dim);
  }
  snprintf(key, sizeof key, "%s.rope.scaling.type", c->arch);
  if (gguf_str(w, key, &kind) && !span_is(kind, "none")) {
    snprintf(key, sizeof key, "%s.rope.scaling.factor", c->arch);
    if (!span_is(kind, "linear") || !gguf_num(w, key, &v) || !(v > 0)) {
      return err_set(e, STATUS_DATA, "'%s': rope scaling '%.*s' cannot be computed (none, linear and llama-3 can)", w->path,
                     (int)(kind.n < 40 ? kind.n : 40), kind.p);
    }
    c->rope_kind = ROPE_LINEAR;
    c->rope_factor = (float)v;
  }
  const struct tensor *t = weights_find(w, "rope_freqs.weight");
  return t ? rope_from_divisors(w, t, e) : STATUS_OK;
}

static int32_t token(const struct weights *w, const char *key, int32_t vocab) {
  int64_t v;
  if (!gguf_int(w, key, &v)) return -1;
  if (v >= 0 && v < vocab) return (int32_t)v;
  if (v != -1 && v != UINT32_MAX) log_warn("'%s': metadata '%s' is %lld and ignored, expected 0 to %d", w->path, key, (long long)v, vocab - 1);
  return -1;
}

static void ids(struct weights *w) {
  struct model_config *c = &w->config;
  c->bos = token(w, "tokenizer.ggml.bos_token_id", c->vocab);
  c->eos = token(w, "tokenizer.ggml.eos_token_id", c->vocab);
  c->pad = token(w, "tokenizer.ggml.padding_token_id", c->vocab);
  c->unk = token(w, "tokenizer.ggml.unknown_token_id", c->vocab);
  int32_t eot = token(w, "tokenizer.ggml.eot_token_id", c->vocab);
  if (eot >= 0 && eot != c->eos) c->eos_extra[c->n_eos_extra++] = eot;
}

/* Q and K of llama files: mark the head count, so that weights_read gives HF's order. */
static enum status mark_permuted(struct weights *w, struct err *e) {
  const struct model_config *c = &w->config;
  for (size_t i = 0; i < w->n; i++) {
    struct tensor *t = &w->t[i];
    int layer, at = 0;
    if (strncmp(t->name, "model.layers.", 13) != 0) continue;
    char tail[8] = "";
    if (sscanf(t->name, "model.layers.%d.self_attn.%1[qk]_proj.%n", &layer, tail, &at) != 2 || at == 0 || layer >= c->n_layer) continue;
    int heads = tail[0] == 'q' ? c->n_head[layer] : c->n_kv_head[layer];
    if (t->dim[0] != (int64_t)heads * c->head_dim) {
      return err_set(e, STATUS_DATA, "'%s': tensor '%s' has %lld rows, %d heads of %d need %lld", w->path, t->name, (long long)t->dim[0], heads,
                     c->head_dim, (long long)heads * c->head_dim);
    }
    if (t->n_dim > 2 || (t->n_dim == 1 && dtype_block(t->type) > 1)) {
      return err_set(e, STATUS_DATA, "'%s': tensor '%s' is a %d-dimensional %s, which is not expected here", w->path, t->name, t->n_dim,
                     dtype_name(t->type));
    }
    t->permuted_heads = heads;
  }
  return STATUS_OK;
}

enum status gguf_config(struct weights *w, struct err *e) {
  enum status st = STATUS_OK;
  struct model_config *c = &w->config;
  struct span arch;
  size_t row = 0;
  if (!gguf_str(w, "general.architecture", &arch)) return err_set(e, STATUS_DATA, "'%s': metadata 'general.architecture' is missing", w->path);
  while (row < COUNT(archs) && !span_is(arch, archs[row].arch)) row++;
  if (row == COUNT(archs)) {
    return err_set(e, STATUS_DATA, "'%s': architecture '%.*s' is not known; llama, qwen2 and qwen3 are", w->path,
                   (int)(arch.n < 40 ? arch.n : 40), arch.p);
  }
  snprintf(c->arch, sizeof c->arch, "%s", archs[row].arch);
  c->qkv_bias = archs[row].qkv_bias || weights_find(w, "model.layers.0.self_attn.q_proj.bias") != NULL;
  c->qk_norm = archs[row].qk_norm;
  TRY(number(w, "block_count", 1, INT32_MIN, &c->n_layer, e));
  if (c->n_layer > MODEL_MAX_LAYERS) return err_set(e, STATUS_DATA, "'%s': %d layers, at most %d can be computed", w->path, c->n_layer, MODEL_MAX_LAYERS);
  TRY(number(w, "embedding_length", 1, INT32_MIN, &c->hidden, e));
  TRY(number(w, "context_length", 1, 2048, &c->max_ctx, e));
  TRY(number(w, "attention.sliding_window", 0, 0, &c->window, e));
  TRY(per_layer(w, "attention.head_count", NULL, c->n_head, e));
  TRY(per_layer(w, "attention.head_count_kv", c->n_head, c->n_kv_head, e));
  TRY(per_layer(w, "feed_forward_length", NULL, c->ffn, e));
  int32_t values;
  TRY(number(w, "attention.key_length", 1, c->hidden / c->n_head[0], &c->head_dim, e));
  TRY(number(w, "attention.value_length", 1, c->head_dim, &values, e));
  if (values != c->head_dim) return err_set(e, STATUS_DATA, "'%s': value heads of %d beside key heads of %d", w->path, values, c->head_dim);
  char key[128];
  double eps = 1e-5;
  snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", c->arch);
  (void)gguf_num(w, key, &eps);
  c->norm_eps = (float)eps;
  const struct tensor *embed = weights_find(w, "model.embed_tokens.weight");
  if (embed == NULL || embed->n_dim != 2 || embed->dim[0] > INT32_MAX) return err_set(e, STATUS_DATA, "'%s': tensor token_embd.weight is missing or has no shape (vocab, hidden)", w->path);
  c->vocab = (int32_t)embed->dim[0];
  c->tied = weights_find(w, "lm_head.weight") == NULL;
  ids(w);
  c->rope_theta = 1; /* read below, when head_dim is known to be sane */
  TRY(config_check(c, w->path, e));
  TRY(rope(w, e));
  TRY(config_check(c, w->path, e));
  if (archs[row].permutes) TRY(mark_permuted(w, e));
out:
  return st;
}
