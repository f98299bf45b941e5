/* SPDX-License-Identifier: Apache-2.0
 * Writing GGUF v3 as llama.cpp's converter does: architecture keys, interleaved Q/K rows for llama, divisors of llama-3 rope
 * scaling as a tensor, the tokenizer copied from a GGUF or made from tokenizer.json. The metadata part is in gguf_meta.c. */
#include "gguf_meta.h"
#include "weights_impl.h"

#define ALIGN 32

enum dtype gguf_tensor_type(const struct tensor_out *t, enum dtype dtype) {
  if (t->n_dim < 2) return DT_F32;
  /* the vocabulary matrices of a 4-bit file keep 8 bits, as llama.cpp's own Q4_1 files do */
  if (dtype == DT_Q4_1 && (strcmp(t->name, "model.embed_tokens.weight") == 0 || strcmp(t->name, "lm_head.weight") == 0)) dtype = DT_Q8_0;
  return t->dim[t->n_dim - 1] % dtype_block(dtype) == 0 ? dtype : DT_F16;
}

static uint32_t type_code(enum dtype t) {
  return t == DT_F16 ? 1 : t == DT_BF16 ? 30 : t == DT_Q4_1 ? 3 : t == DT_Q8_0 ? 8 : 0;
}

static uint64_t padded(uint64_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* The divisors as a tensor of their own; filled here, not by the caller. */
struct fills {
  tensor_fill fill;
  void *ctx;
  const struct model_config *c;
};

static enum status fill_any(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  const struct fills *f = ctx;
  if (strcmp(t->name, "rope_freqs.weight") != 0) return f->fill(f->ctx, t, row0, rows, dst, e);
  config_rope_factors(f->c, dst);
  return STATUS_OK;
}

/* Heads whose rows must be interleaved, 0 = none. */
static int heads_to_turn(const struct tensor_out *t, const struct model_config *c) {
  int layer, at = 0;
  char which[2] = "";
  if (!gguf_arch_permutes(c->arch) || strncmp(t->name, "model.layers.", 13) != 0) return 0;
  if (sscanf(t->name, "model.layers.%d.self_attn.%1[qk]_proj.%n", &layer, which, &at) != 2 || at == 0) return 0;
  return which[0] == 'q' ? c->n_head[layer] : c->n_kv_head[layer];
}

static enum status put_directory(struct buf *b, const struct tensor_out *t, size_t n, enum dtype dtype, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t at = 0;
  for (size_t i = 0; i < n; i++) {
    const char *name = gguf_name_from_hf(t[i].name, a);
    if (name == NULL) return err_nomem(e, 64);
    enum dtype type = gguf_tensor_type(&t[i], dtype);
    uint64_t values = 1;
    TRY(gguf_put_string(b, (struct span){ name, strlen(name) }, e));
    TRY(gguf_put_u32(b, (uint32_t)t[i].n_dim, e));
    for (int k = t[i].n_dim - 1; k >= 0; k--) {
      TRY(gguf_put_u64(b, (uint64_t)t[i].dim[k], e));
      values *= (uint64_t)t[i].dim[k];
    }
    TRY(gguf_put_u32(b, type_code(type), e));
    TRY(gguf_put_u64(b, at, e));
    at += padded(dtype_bytes(type, (int64_t)values));
  }
out:
  return st;
}

static enum status put_padding(FILE *fp, const char *path, uint64_t n, struct err *e) {
  static const unsigned char zero[ALIGN];
  return file_put(fp, path, zero, (size_t)(padded(n) - n), e);
}

/* The caller's tensors and, for llama-3 scaling, the divisors behind them. */
static enum status with_divisors(const struct model_config *c, const struct tensor_out *t, size_t *n, struct arena *a, const struct tensor_out **out, struct err *e) {
  struct tensor_out *all = arena_calloc(a, *n + 1, sizeof *all);
  if (all == NULL) return err_nomem(e, (*n + 1) * sizeof *all);
  if (*n > 0) memcpy(all, t, *n * sizeof *all);
  if (c->rope_kind == ROPE_LLAMA3) {
    if (!gguf_arch_permutes(c->arch)) return err_set(e, STATUS_USAGE, "llama-3 rope scaling cannot be written to a GGUF of architecture %s; write an HF folder", c->arch);
    all[*n].name = "rope_freqs.weight";
    all[*n].n_dim = 1;
    all[*n].dim[0] = c->head_dim / 2;
    (*n)++;
  }
  *out = all;
  return STATUS_OK;
}

enum status gguf_write(const char *path, const struct model_config *c, const struct tensor_out *t, size_t n, enum dtype dtype,
                       const char *const *strings, const struct weights *tokenizer_from, tensor_fill fill, void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  struct file_atomic f = { 0 };
  struct buf b = { 0 }, kv = { 0 };
  struct fills fills = { fill, ctx, c };
  uint64_t pairs = 0;
  struct arena *a = arena_new(0);
  if (a == NULL) return err_nomem(e, 1);
  if (dtype != DT_F32 && dtype != DT_F16 && dtype != DT_BF16 && dtype != DT_Q8_0 && dtype != DT_Q4_1) {
    st = err_set(e, STATUS_USAGE, "'%s': GGUF is written as F32, F16, BF16, Q8_0 or Q4_1, not as %s", path, dtype_name(dtype));
    goto out;
  }
  TRY(with_divisors(c, t, &n, a, &t, e));
  TRY(gguf_put_meta(&kv, &pairs, c, dtype, strings, e));
  if (tokenizer_from != NULL) TRY(gguf_put_tokenizer(&kv, &pairs, c, tokenizer_from, e));
  TRY(buf_put(&b, "GGUF", 4, e));
  TRY(gguf_put_u32(&b, 3, e));
  TRY(gguf_put_u64(&b, n, e));
  TRY(gguf_put_u64(&b, pairs, e));
  TRY(buf_put(&b, kv.p, kv.n, e));
  TRY(put_directory(&b, t, n, dtype, a, e));
  TRY(file_atomic_open(&f, path, e));
  TRY(file_put(f.fp, path, b.p, b.n, e));
  TRY(put_padding(f.fp, path, b.n, e));
  for (size_t i = 0; i < n; i++) {
    enum dtype type = gguf_tensor_type(&t[i], dtype);
    uint64_t values = 1;
    for (int k = 0; k < t[i].n_dim; k++) values *= (uint64_t)t[i].dim[k];
    TRY(tensor_put(f.fp, path, &t[i], type, heads_to_turn(&t[i], c), fill_any, &fills, e));
    TRY(put_padding(f.fp, path, dtype_bytes(type, (int64_t)values), e));
  }
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  buf_free(&b);
  buf_free(&kv);
  arena_free(a);
  return st;
}
