/* SPDX-License-Identifier: Apache-2.0
 * A whole Hugging Face folder: weights in one safetensors file or several with an index, tokenizer files, config.json last. */
#include "span.h"
#include "tokenizer.h"
#include "weights_impl.h"

#define SHARD_BYTES_DEFAULT ((uint64_t)5000000000)

/* Files that make up a tokenizer in a Hugging Face folder; whichever exist are copied. */
static const char *const tokenizer_files[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                               "vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json" };

static enum status copy_file(const char *from, const char *to, struct err *e) {
  enum status st = STATUS_OK;
  struct file_map m = { 0 };
  struct file_atomic f = { 0 };
  TRY(file_map_open(from, &m, e));
  TRY(file_atomic_open(&f, to, e));
  TRY(file_put(f.fp, to, m.p, (size_t)m.bytes, e));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  file_map_close(&m);
  return st;
}

static enum status write_tokenizer(const char *folder, const struct weights *src, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct tokenizer *t = NULL;
  int found = 0;
  const char *path;
  if (src->folder != NULL) TRY(weights_file(src, "tokenizer.json", a, &path, &found, e));
  if (!found && !src->is_gguf) return STATUS_OK; /* weights without a tokenizer stay without one */
  if (src->is_gguf) {
    uint64_t n;
    if (!gguf_array_n(src, "tokenizer.ggml.tokens", &n)) return STATUS_OK;
    TRY(tokenizer_from_weights(src, &t, e));
    TRY(tokenizer_write_hf(t, folder, e));
    goto out;
  }
  for (size_t i = 0; i < sizeof tokenizer_files / sizeof tokenizer_files[0]; i++) {
    TRY(weights_file(src, tokenizer_files[i], a, &path, &found, e));
    char *to = path_join(a, folder, tokenizer_files[i]);
    if (to == NULL) {
      st = err_nomem(e, strlen(folder));
      goto out;
    }
    if (found) TRY(copy_file(path, to, e));
  }
out:
  tokenizer_close(t);
  return st;
}

static uint64_t bytes_of(const struct tensor_out *t) {
  uint64_t n = 1;
  for (int i = 0; i < t->n_dim; i++) n *= (uint64_t)t->dim[i];
  return dtype_bytes(t->type, (int64_t)n);
}

/* The first tensor of each file: greedy in list order, a tensor is never split. first[files] = n. */
static size_t split(const struct tensor_out *t, size_t n, uint64_t limit, size_t *first) {
  size_t files = 0;
  uint64_t here = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t b = bytes_of(&t[i]);
    if (i == 0 || here + b > limit) first[files++] = i, here = 0;
    here += b;
  }
  first[files] = n;
  return files;
}

static enum status write_index(const char *folder, const struct tensor_out *t, const size_t *first, size_t files, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct file_atomic f = { 0 };
  uint64_t total = 0;
  char *path = path_join(a, folder, "model.safetensors.index.json");
  if (path == NULL) return err_nomem(e, strlen(folder));
  for (size_t i = 0; i < first[files]; i++) total += bytes_of(&t[i]);
  TRY(buf_printf(&b, e, "{\n  \"metadata\": {\"total_size\": %llu},\n  \"weight_map\": {", (unsigned long long)total));
  for (size_t k = 0; k < files; k++) {
    for (size_t i = first[k]; i < first[k + 1]; i++) {
      TRY(buf_puts(&b, i ? ",\n    " : "\n    ", e));
      TRY(json_put_cstr(&b, t[i].name, e));
      TRY(buf_printf(&b, e, ": \"model-%05zu-of-%05zu.safetensors\"", k + 1, files));
    }
  }
  TRY(buf_puts(&b, "\n  }\n}\n", e));
  TRY(file_atomic_open(&f, path, e));
  TRY(file_put(f.fp, path, b.p, b.n, e));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  buf_free(&b);
  return st;
}

static const char *torch_name(enum dtype d) { return d == DT_BF16 ? "bfloat16" : d == DT_F16 ? "float16" : "float32"; }

enum status model_folder_write(const char *folder, const struct model_config *c, const struct tensor_out *t, size_t n, enum dtype dtype,
                               uint64_t shard_bytes, const struct weights *tokenizer_from, tensor_fill fill, void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  if (a == NULL) return err_nomem(e, 1);
  struct tensor_out *typed = arena_alloc(a, (n + 1) * sizeof *typed);
  size_t *first = arena_alloc(a, (n + 2) * sizeof *first);
  if (typed == NULL || first == NULL) {
    st = err_nomem(e, (n + 1) * sizeof *typed);
    goto out;
  }
  for (size_t i = 0; i < n; i++) typed[i] = t[i], typed[i].type = dtype;
  TRY(folder_make(folder, e));
  size_t files = split(typed, n, shard_bytes ? shard_bytes : SHARD_BYTES_DEFAULT, first);
  for (size_t k = 0; k < files; k++) {
    char name[64] = "model.safetensors";
    if (files > 1) snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", k + 1, files);
    char *path = path_join(a, folder, name);
    if (path == NULL) {
      st = err_nomem(e, strlen(folder));
      goto out;
    }
    TRY(safetensors_write(path, typed + first[k], first[k + 1] - first[k], NULL, fill, ctx, e));
  }
  if (files > 1) TRY(write_index(folder, typed, first, files, a, e));
  if (tokenizer_from != NULL) TRY(write_tokenizer(folder, tokenizer_from, a, e));
  TRY(config_write(folder, c, torch_name(dtype), e));
out:
  arena_free(a);
  return st;
}
