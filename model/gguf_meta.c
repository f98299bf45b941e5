/* SPDX-License-Identifier: Apache-2.0
 * Metadata of a GGUF that is written. Key names and the types of their values are those of llama.cpp's converter. */
#include "gguf_meta.h"
#include "tokenizer.h"
#include "weights_impl.h"

enum status gguf_put_u32(struct buf *b, uint32_t v, struct err *e) { return buf_put(b, &v, sizeof v, e); }
enum status gguf_put_u64(struct buf *b, uint64_t v, struct err *e) { return buf_put(b, &v, sizeof v, e); }

enum status gguf_put_string(struct buf *b, struct span s, struct err *e) {
  enum status st = gguf_put_u64(b, s.n, e);
  return st == STATUS_OK && s.n > 0 ? buf_put(b, s.p, s.n, e) : st;
}

/* A growing list of pairs; the first error stays and everything after it does nothing. */
struct list {
  struct buf *b;
  uint64_t *pairs;
  const char *arch; /* put before keys that begin with a dot */
  enum status st;
  struct err *e;
};

static void raw(struct list *x, const void *p, size_t n) {
  if (x->st == STATUS_OK && n > 0) x->st = buf_put(x->b, p, n, x->e);
}
static void word(struct list *x, uint32_t v) { raw(x, &v, sizeof v); }
static void text(struct list *x, struct span s) {
  uint64_t n = s.n;
  raw(x, &n, sizeof n);
  raw(x, s.p, s.n);
}
static void key(struct list *x, const char *name, uint32_t type) {
  char full[128];
  snprintf(full, sizeof full, "%s%s", name[0] == '.' ? x->arch : "", name);
  text(x, (struct span){ full, strlen(full) });
  word(x, type);
  (*x->pairs)++;
}
static void put_int(struct list *x, const char *name, int64_t v) {
  key(x, name, GGUF_U32);
  word(x, (uint32_t)v);
}
static void put_bool(struct list *x, const char *name, int v) {
  unsigned char c = v != 0;
  key(x, name, GGUF_BOOL);
  raw(x, &c, 1);
}
static void put_real(struct list *x, const char *name, float v) {
  key(x, name, GGUF_F32);
  raw(x, &v, sizeof v);
}
static void put_text(struct list *x, const char *name, const char *v) {
  key(x, name, GGUF_STRING);
  text(x, (struct span){ v, strlen(v) });
}
static void array(struct list *x, const char *name, uint32_t item, uint64_t n) {
  key(x, name, GGUF_ARRAY);
  word(x, item);
  raw(x, &n, sizeof n);
}
/* One number when all layers agree, else an array: what llama.cpp reads. */
static void put_layers(struct list *x, const char *name, const int32_t *v, int n) {
  int same = 1;
  for (int i = 1; i < n; i++) same = same && v[i] == v[0];
  if (same) {
    put_int(x, name, v[0]);
    return;
  }
  array(x, name, GGUF_I32, (uint64_t)n);
  raw(x, v, (size_t)n * sizeof *v);
}

/* llama.cpp's number of a file type (enum llama_ftype). */
static uint32_t file_type(enum dtype t) { return t == DT_F32 ? 0 : t == DT_F16 ? 1 : t == DT_Q4_1 ? 3 : t == DT_Q8_0 ? 7 : 32; }

enum status gguf_put_meta(struct buf *b, uint64_t *pairs, const struct model_config *c, enum dtype dtype, const char *const *strings, struct err *e) {
  const char *arch = strcmp(c->arch, "mistral") == 0 ? "llama" : c->arch;
  struct list x = { b, pairs, arch, STATUS_OK, e };
  put_text(&x, "general.architecture", arch);
  put_text(&x, "general.type", "model");
  for (size_t i = 0; strings != NULL && strings[i] != NULL; i += 2) put_text(&x, strings[i], strings[i + 1]);
  put_int(&x, "general.file_type", file_type(dtype));
  put_int(&x, "general.quantization_version", 2);
  put_int(&x, ".block_count", c->n_layer);
  put_int(&x, ".context_length", c->max_ctx);
  put_int(&x, ".embedding_length", c->hidden);
  put_int(&x, ".vocab_size", c->vocab);
  put_layers(&x, ".feed_forward_length", c->ffn, c->n_layer);
  put_layers(&x, ".attention.head_count", c->n_head, c->n_layer);
  put_layers(&x, ".attention.head_count_kv", c->n_kv_head, c->n_layer);
  put_int(&x, ".attention.key_length", c->head_dim);
  put_int(&x, ".attention.value_length", c->head_dim);
  put_real(&x, ".attention.layer_norm_rms_epsilon", c->norm_eps);
  put_int(&x, ".rope.dimension_count", c->head_dim);
  put_real(&x, ".rope.freq_base", c->rope_theta);
  if (c->rope_kind == ROPE_LINEAR) {
    put_text(&x, ".rope.scaling.type", "linear");
    put_real(&x, ".rope.scaling.factor", c->rope_factor);
  }
  if (c->window > 0) put_int(&x, ".attention.sliding_window", c->window);
  return x.st;
}

static void copy_pair(struct list *x, const struct gguf_kv *kv) {
  text(x, kv->key);
  word(x, kv->type);
  if (kv->type == GGUF_ARRAY) word(x, kv->item);
  if (kv->type == GGUF_ARRAY || kv->type == GGUF_STRING) raw(x, &kv->n, sizeof kv->n);
  raw(x, kv->p, gguf_value_bytes(kv));
  (*x->pairs)++;
}

static enum status from_gguf(struct list *x, const struct model_config *c, const struct weights *src) {
  uint64_t n;
  if (gguf_array_n(src, "tokenizer.ggml.tokens", &n) && n != (uint64_t)c->vocab) {
    return err_set(x->e, STATUS_DATA, "'%s': its tokenizer has %llu tokens, the model %d", src->path, (unsigned long long)n, c->vocab);
  }
  for (size_t i = 0; i < src->n_kv; i++) {
    const struct gguf_kv *kv = &src->kv[i];
    if (kv->key.n > 10 && memcmp(kv->key.p, "tokenizer.", 10) == 0) copy_pair(x, kv);
  }
  return x->st;
}

static void put_vocabulary(struct list *x, const struct tokenizer *t, int32_t vocab) {
  int32_t known = tokenizer_vocab(t);
  struct buf one = { 0 };
  array(x, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)vocab);
  for (int32_t i = 0; i < vocab && x->st == STATUS_OK; i++) {
    buf_clear(&one);
    /* models pad their vocabulary; the converter's filler keeps every text different */
    if (i < known) x->st = tokenizer_token_text(t, i, &one, x->e);
    else x->st = buf_printf(&one, x->e, "[PAD%d]", i);
    if (x->st == STATUS_OK) text(x, (struct span){ one.p, one.n });
  }
  array(x, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)vocab);
  for (int32_t i = 0; i < vocab; i++) word(x, i < known ? (uint32_t)tokenizer_token_type(t, i) : (uint32_t)TOKEN_UNUSED);
  size_t merges = tokenizer_merge_count(t);
  array(x, "tokenizer.ggml.merges", GGUF_STRING, merges);
  for (size_t i = 0; i < merges && x->st == STATUS_OK; i++) {
    int32_t left, right;
    tokenizer_merge_at(t, i, &left, &right);
    buf_clear(&one);
    x->st = tokenizer_token_text(t, left, &one, x->e);
    if (x->st == STATUS_OK) x->st = buf_putc(&one, ' ', x->e);
    if (x->st == STATUS_OK) x->st = tokenizer_token_text(t, right, &one, x->e);
    if (x->st == STATUS_OK) text(x, (struct span){ one.p, one.n });
  }
  buf_free(&one);
}

/* Keys of ours for what GGUF has none for: without them a model would read its own tokenizer differently after export. */
static void put_quirks(struct list *x, const struct tokenizer *t) {
  struct token_quirks q = tokenizer_quirks(t);
  uint64_t n = 0;
  put_bool(x, "tokenizer.ggml.add_space_prefix", q.prefix_space);
  put_bool(x, "tokenizer.retort.nfc", q.nfc);
  put_bool(x, "tokenizer.retort.ignore_merges", q.ignore_merges);
  if (q.bpe_unk >= 0) put_int(x, "tokenizer.retort.bpe_unk", q.bpe_unk);
  for (int32_t i = 0; i < tokenizer_vocab(t); i++) n += tokenizer_added_flags(t, i) != 0;
  if (n == 0) return;
  array(x, "tokenizer.retort.added_flags", GGUF_I32, 2 * n);
  for (int32_t i = 0; i < tokenizer_vocab(t); i++) {
    if (!tokenizer_added_flags(t, i)) continue;
    word(x, (uint32_t)i);
    word(x, (uint32_t)tokenizer_added_flags(t, i));
  }
}

static enum status from_folder(struct list *x, const struct model_config *c, const struct weights *src) {
  struct tokenizer *t = NULL;
  struct arena *a = arena_new(0);
  const char *path;
  int found = 0;
  enum status st = a ? weights_file(src, "tokenizer.json", a, &path, &found, x->e) : err_nomem(x->e, 1);
  arena_free(a);
  if (st != STATUS_OK || !found) return st;
  st = tokenizer_from_weights(src, &t, x->e);
  if (st != STATUS_OK) return st;
  if (tokenizer_vocab(t) > c->vocab) {
    st = err_set(x->e, STATUS_DATA, "'%s': its tokenizer has %d tokens, the model only %d", src->path, tokenizer_vocab(t), c->vocab);
    tokenizer_close(t);
    return st;
  }
  put_text(x, "tokenizer.ggml.model", "gpt2");
  put_text(x, "tokenizer.ggml.pre", tokenizer_pre_name(t));
  put_vocabulary(x, t, c->vocab);
  const struct { const char *key; int32_t id; } ids[] = {
    { "tokenizer.ggml.bos_token_id", tokenizer_bos(t) >= 0 ? tokenizer_bos(t) : c->bos },
    { "tokenizer.ggml.eos_token_id", tokenizer_eos(t) >= 0 ? tokenizer_eos(t) : c->eos },
    { "tokenizer.ggml.padding_token_id", tokenizer_pad(t) >= 0 ? tokenizer_pad(t) : c->pad },
    { "tokenizer.ggml.unknown_token_id", tokenizer_unk(t) >= 0 ? tokenizer_unk(t) : c->unk },
  };
  for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
    if (ids[i].id >= 0) put_int(x, ids[i].key, ids[i].id);
  }
  put_bool(x, "tokenizer.ggml.add_bos_token", tokenizer_add_bos(t));
  put_quirks(x, t);
  if (tokenizer_template(t) != NULL) put_text(x, "tokenizer.chat_template", tokenizer_template(t));
  tokenizer_close(t);
  return x->st;
}

enum status gguf_put_tokenizer(struct buf *b, uint64_t *pairs, const struct model_config *c, const struct weights *src, struct err *e) {
  struct list x = { b, pairs, c->arch, STATUS_OK, e };
  return src->is_gguf ? from_gguf(&x, c, src) : from_folder(&x, c, src);
}
