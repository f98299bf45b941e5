/* SPDX-License-Identifier: Apache-2.0
 * Inside of model/weights*.c, safetensors*.c, gguf*.c and config*.c; nobody else includes it. */
#ifndef MODEL_WEIGHTS_IMPL_H
#define MODEL_WEIGHTS_IMPL_H
#include "file.h"
#include "weights.h"

/* Names -> positions, open addressing. Filled once while a file is read. */
struct name_index {
  uint32_t *slot; /* position + 1, 0 = free */
  size_t n_slot;  /* power of two, at least twice the number of names */
};
MUST_USE enum status name_index_new(struct name_index *x, struct arena *a, size_t n_names, struct err *e);
/* Where name stands or would stand: *slot of the result is 0 when it is new. key(ctx, i) gives name i. */
typedef struct span (*name_of)(const void *ctx, size_t i);
uint32_t *name_index_slot(const struct name_index *x, struct span name, name_of key, const void *ctx);

/* GGUF's value types by their number in the file. */
enum gguf_type {
  GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64,
  GGUF_F64, GGUF_TYPES
};
struct gguf_kv {
  struct span key;
  uint32_t type, item; /* item: element type of an array */
  uint64_t n;          /* array length, or bytes of a string */
  const unsigned char *p; /* value in the map: number, first byte of a string, first element of an array */
};

struct weights {
  char *path;            /* file or folder that was opened, after a run folder was resolved */
  char *folder;          /* where tokenizer.json and the like stand; NULL for a GGUF */
  struct arena *a;
  struct file_map *map;
  const char **map_path; /* (n_map) in a */
  size_t n_map;
  struct tensor *t;
  size_t n, cap;
  struct name_index by_name;
  struct model_config config;
  int has_config, is_gguf;
  struct gguf_kv *kv;
  size_t n_kv;
  struct name_index by_key;
};

/* Maps one more file; *m is valid until the next call. */
MUST_USE enum status weights_map(struct weights *w, const char *path, struct file_map **m, struct err *e);
/* One more tensor; grows the list. Duplicates are found by weights_finish. */
MUST_USE enum status weights_add(struct weights *w, const struct tensor *t, struct err *e);
MUST_USE enum status weights_reserve(struct weights *w, size_t more, struct err *e);
/* Builds the name index; STATUS_DATA when a name stands twice. */
MUST_USE enum status weights_finish(struct weights *w, struct err *e);
/* Values of t and its bytes from type and dims, every product checked; 0 = does not fit or is no whole block. */
int tensor_size(const struct tensor *t, uint64_t *values, uint64_t *bytes);
/* No two of the tensors [from, n) share a byte of the file, and fewer than `padding` bytes lie between two neighbours. */
MUST_USE enum status tensors_apart(const struct weights *w, size_t from, uint64_t padding, const char *path, struct err *e);
/* A JSON file that belongs to a model: refused (STATUS_DATA) when it is no regular file or larger than such a file can be. */
MUST_USE enum status weights_json(const char *path, size_t max_bytes, struct json **root, struct err *e);

MUST_USE enum status safetensors_read(struct weights *w, const char *path, struct err *e);
MUST_USE enum status safetensors_read_folder(struct weights *w, const char *folder, struct err *e);
MUST_USE enum status gguf_read(struct weights *w, const char *path, struct err *e);
/* Bytes that a value takes in the map from kv->p on. */
size_t gguf_value_bytes(const struct gguf_kv *kv);
MUST_USE enum status gguf_config(struct weights *w, struct err *e);
/* HF name of a GGUF tensor name (arena memory), or the name itself when no row of the table fits. */
const char *gguf_name_to_hf(struct span name, struct arena *a);
/* The other way; {NULL} never: unknown names stay. */
const char *gguf_name_from_hf(const char *name, struct arena *a);
/* 1 when the architecture's GGUF stores Q and K rows interleaved. */
int gguf_arch_permutes(const char *arch);

MUST_USE enum status config_read(const char *folder, struct model_config *c, struct err *e);
/* Ranges and relations that every reader of a configuration relies on. */
MUST_USE enum status config_check(const struct model_config *c, const char *what, struct err *e);
/* The factors of llama-3 rope scaling for each of head_dim / 2 frequencies: angle = pos * freq / factor. */
void config_rope_factors(const struct model_config *c, float *factor);

/* ---- writers ---- */
#define FILL_VALUES ((int64_t)1 << 20) /* floats asked for at a time, unless one row (or head) is longer */
/* n values into their stored type; dst has dtype_bytes(type, n). */
void values_encode(enum dtype type, int64_t n, const float *src, void *dst);
/* The whole tensor in HF order, encoded, to fp. permute_heads > 0: rows leave in llama.cpp's interleaved order. */
MUST_USE enum status tensor_put(FILE *fp, const char *path, const struct tensor_out *t, enum dtype type, int permute_heads,
                                tensor_fill fill, void *ctx, struct err *e);
MUST_USE enum status file_put(FILE *fp, const char *path, const void *p, size_t n, struct err *e);

#endif
