/* SPDX-License-Identifier: Apache-2.0
 * GGUF's tensor names and Hugging Face's, one row each; used by the reader and the writer. */
#include "weights_impl.h"

static const struct { const char *gguf, *hf; } whole_names[] = {
  { "token_embd.weight", "model.embed_tokens.weight" },
  { "output_norm.weight", "model.norm.weight" },
  { "output.weight", "lm_head.weight" },
};
static const struct { const char *gguf, *hf; } layer_names[] = { /* blk.N.X <-> model.layers.N.Y */
  { "attn_norm", "input_layernorm" }, { "attn_q", "self_attn.q_proj" }, { "attn_k", "self_attn.k_proj" },
  { "attn_v", "self_attn.v_proj" }, { "attn_output", "self_attn.o_proj" }, { "attn_q_norm", "self_attn.q_norm" },
  { "attn_k_norm", "self_attn.k_norm" }, { "ffn_norm", "post_attention_layernorm" }, { "ffn_gate", "mlp.gate_proj" },
  { "ffn_up", "mlp.up_proj" }, { "ffn_down", "mlp.down_proj" },
};
#define COUNT(x) (sizeof(x) / sizeof (x)[0])

/* Splits "PREFIX<number>.<middle>.<weight|bias>" into its parts; 0 when name has another form. */
static int split(const char *name, const char *prefix, int *layer, struct span *middle, const char **tail) {
  size_t n = strlen(prefix);
  if (strncmp(name, prefix, n) != 0) return 0;
  const char *p = name + n, *digits = p;
  int v = 0;
  while (*p >= '0' && *p <= '9' && p - digits < 6) v = v * 10 + (*p++ - '0');
  if (p == digits || *p != '.' || (digits[0] == '0' && p - digits > 1)) return 0;
  const char *dot = strrchr(++p, '.');
  if (dot == NULL || (strcmp(dot, ".weight") != 0 && strcmp(dot, ".bias") != 0)) return 0;
  *layer = v, *middle = (struct span){ p, (size_t)(dot - p) }, *tail = dot;
  return 1;
}

static int same(struct span s, const char *t) { return strlen(t) == s.n && memcmp(s.p, t, s.n) == 0; }

const char *gguf_name_to_hf(struct span raw, struct arena *a) {
  char *name = arena_strndup(a, raw.p, raw.n);
  if (name == NULL) return NULL;
  for (size_t i = 0; i < COUNT(whole_names); i++) {
    if (strcmp(name, whole_names[i].gguf) == 0) return whole_names[i].hf;
  }
  int layer;
  struct span middle;
  const char *tail;
  if (!split(name, "blk.", &layer, &middle, &tail)) return name;
  for (size_t i = 0; i < COUNT(layer_names); i++) {
    if (same(middle, layer_names[i].gguf)) return arena_printf(a, "model.layers.%d.%s%s", layer, layer_names[i].hf, tail);
  }
  return name;
}

const char *gguf_name_from_hf(const char *name, struct arena *a) {
  for (size_t i = 0; i < COUNT(whole_names); i++) {
    if (strcmp(name, whole_names[i].hf) == 0) return whole_names[i].gguf;
  }
  int layer;
  struct span middle;
  const char *tail;
  if (!split(name, "model.layers.", &layer, &middle, &tail)) return name;
  for (size_t i = 0; i < COUNT(layer_names); i++) {
    if (same(middle, layer_names[i].hf)) return arena_printf(a, "blk.%d.%s%s", layer, layer_names[i].gguf, tail);
  }
  return name;
}
