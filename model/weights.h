/* SPDX-License-Identifier: Apache-2.0
 * Weights on disk: safetensors (one file or sharded index), GGUF v2/v3, read by memory map; and the model's configuration
 * from config.json or GGUF metadata. Tensor names are Hugging Face's ("model.layers.0.self_attn.q_proj.weight") whatever
 * the file says; GGUF's llama-style Q/K row permutation is undone on reading and done on writing.
 * Every size that comes from a file is checked before it is used; tensors and files above 4 GB work. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H
#include <stdint.h>
#include "err.h"
#include "json.h"
#include "kernel.h"
#include "mem.h"

#define MODEL_MAX_LAYERS 512
enum rope_scaling { ROPE_PLAIN, ROPE_LLAMA3, ROPE_LINEAR };
struct model_config {
  char arch[16];               /* "llama" "mistral" "qwen2" "qwen3" */
  int32_t n_layer, hidden, head_dim, vocab, max_ctx, window; /* window 0 = none */
  int32_t n_head[MODEL_MAX_LAYERS], n_kv_head[MODEL_MAX_LAYERS], ffn[MODEL_MAX_LAYERS]; /* per layer (pruned models) */
  int tied;                    /* output projection = embedding table */
  int qkv_bias, qk_norm;
  float norm_eps, rope_theta;
  enum rope_scaling rope_kind;
  float rope_factor, rope_low, rope_high, rope_original_ctx; /* llama3 */
  int32_t bos, eos, pad, unk;  /* -1 = none */
  int32_t eos_extra[8], n_eos_extra; /* eos_token_id may be a list */
};

struct tensor {
  const char *name;     /* HF name */
  enum dtype type;
  int n_dim;
  int64_t dim[4];       /* row-major, outermost first: (out, in) */
  const void *data;     /* in the map */
  uint64_t bytes;
  int permuted_heads;   /* > 0: GGUF row order of Q/K with this many heads; weights_read undoes it */
};

struct weights;
/* path: a .gguf file, a .safetensors file, a Hugging Face folder (config.json + model.safetensors or *.index.json), or a run
 * folder (its student/ is taken). Errors: STATUS_DATA names the file, the tensor and what is wrong. */
MUST_USE enum status weights_open(const char *path, struct weights **w, struct err *e);
void weights_close(struct weights *w);
/* After the tensors were read into memory: the file's pages leave the resident set until touched again. Accepts NULL. */
void weights_forget(const struct weights *w);
const char *weights_path(const struct weights *w);
const struct model_config *weights_config(const struct weights *w); /* NULL for a bare .safetensors without config.json */
size_t weights_count(const struct weights *w);
const struct tensor *weights_at(const struct weights *w, size_t i);
const struct tensor *weights_find(const struct weights *w, const char *name);
MUST_USE enum status weights_need(const struct weights *w, const char *name, int64_t d0, int64_t d1 /* 0 = 1-d */, const struct tensor **t, struct err *e);
/* Rows [row0, row0 + rows) of a 2-d tensor (or the whole 1-d one) as float32 in HF order. */
MUST_USE enum status weights_read(const struct tensor *t, int64_t row0, int64_t rows, float *dst, struct err *e);
/* Raw file access for tokenizer and template: tokenizer.json path, GGUF metadata. */
int weights_is_gguf(const struct weights *w);
MUST_USE enum status weights_file(const struct weights *w, const char *name, struct arena *a, const char **path, int *found, struct err *e);
/* GGUF metadata: strings, numbers, arrays. Return 0 when absent or of another type. */
int gguf_str(const struct weights *w, const char *key, struct span *out);
int gguf_int(const struct weights *w, const char *key, int64_t *out);
int gguf_num(const struct weights *w, const char *key, double *out);
/* arrays: length, then element access in order (strings are variable length, so they are walked once) */
int gguf_array_n(const struct weights *w, const char *key, uint64_t *n);
int gguf_array_strings(const struct weights *w, const char *key, struct arena *a, struct span **out, uint64_t *n);
int gguf_array_ints(const struct weights *w, const char *key, struct arena *a, int64_t **out, uint64_t *n);
/* SHA-256 over all tensor bytes, the configuration, the tokenizer and its template: the identity of a local teacher. Cached
 * beside nothing: computed (0.1 s for 100 MB). */
MUST_USE enum status weights_identity(const struct weights *w, unsigned char out[32], struct err *e);

/* ---- writing ---- */
/* Tensors are given by a callback that fills float32 rows in HF order, so nothing bigger than a few MB is held (1-d tensors
 * are asked for as a whole: row0 = 0, rows = dim[0]). Every file is atomic: complete under its name or absent. */
struct tensor_out {
  const char *name;   /* HF name */
  int n_dim;
  int64_t dim[4];
  enum dtype type;    /* safetensors_write: stored type (F32 F16 BF16); the other writers take their own dtype argument */
};
typedef enum status (*tensor_fill)(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e);
/* A fill for copying: ctx is the struct weights to read from; the tensor there must have the same shape. */
MUST_USE enum status weights_fill(void *weights, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e);
MUST_USE enum status safetensors_write(const char *path, const struct tensor_out *t, size_t n, const char *metadata_json /* object of strings; NULL = {"format":"pt"} */,
                                       tensor_fill fill, void *ctx, struct err *e);
/* config.json with explicit head_dim (and per-layer lists under "retort_layers" when widths differ) into folder. */
MUST_USE enum status config_write(const char *folder, const struct model_config *c, const char *dtype /* "float32" */, struct err *e);
/* Whole HF folder: model.safetensors (split above shard_bytes with an index; 0 = 5 GB), tokenizer files taken from
 * tokenizer_from (copied, or made from GGUF metadata by the tokenizer writer; NULL = none), config.json last, so that a
 * folder cut short is no model. The folder is made when missing; folder_atomic_begin/commit around it make it all or nothing.
 * dtype: DT_F32 DT_F16 DT_BF16. */
MUST_USE enum status model_folder_write(const char *folder, const struct model_config *c, const struct tensor_out *t, size_t n,
                                        enum dtype dtype, uint64_t shard_bytes, const struct weights *tokenizer_from,
                                        tensor_fill fill, void *ctx, struct err *e);
/* GGUF v3 with metadata of c and the tokenizer of tokenizer_from (NULL = none). dtype: DT_F32 DT_F16 DT_BF16 DT_Q8_0 DT_Q4_1.
 * strings: further metadata as key, value, key, value, ..., NULL (general.name, general.license); may be NULL. */
MUST_USE enum status gguf_write(const char *path, const struct model_config *c, const struct tensor_out *t, size_t n, enum dtype dtype,
                                const char *const *strings, const struct weights *tokenizer_from, tensor_fill fill, void *ctx, struct err *e);
/* The type that gguf_write gives a tensor: F32 when it is 1-d; Q8_0 for the embedding and the output of a Q4_1 file; F16 when
 * its rows are no whole blocks. */
enum dtype gguf_tensor_type(const struct tensor_out *t, enum dtype dtype);
/* The list of tensors a configuration must have, in file order (arena memory). */
MUST_USE enum status model_tensor_list(const struct model_config *c, enum dtype dtype, struct arena *a, struct tensor_out **t, size_t *n, struct err *e);
uint64_t model_param_count(const struct model_config *c);

#endif
