/* SPDX-License-Identifier: Apache-2.0
 * Opening a model's weights whatever the container, finding tensors by name, reading rows as float32.
 * The containers themselves are in safetensors.c and gguf.c. */
#include "weights.h"
#include <sys/stat.h>
#include "hash.h"
#include "log.h"
#include "weights_impl.h"

/* ---- index of names ---- */

enum status name_index_new(struct name_index *x, struct arena *a, size_t n_names, struct err *e) {
  size_t n = 16;
  while (n < 2 * n_names) n *= 2;
  x->slot = arena_calloc(a, n, sizeof *x->slot);
  x->n_slot = n;
  return x->slot ? STATUS_OK : err_nomem(e, n * sizeof *x->slot);
}

uint32_t *name_index_slot(const struct name_index *x, struct span name, name_of key, const void *ctx) {
  size_t at = (size_t)xxh3(name.p, name.n) & (x->n_slot - 1);
  while (x->slot[at] != 0) {
    struct span k = key(ctx, x->slot[at] - 1);
    if (k.n == name.n && memcmp(k.p, name.p, name.n) == 0) break;
    at = (at + 1) & (x->n_slot - 1);
  }
  return &x->slot[at];
}

static struct span tensor_key(const void *ctx, size_t i) {
  const char *name = ((const struct weights *)ctx)->t[i].name;
  return (struct span){ name, strlen(name) };
}

enum status weights_reserve(struct weights *w, size_t more, struct err *e) {
  if (w->n + more <= w->cap) return STATUS_OK;
  size_t cap = w->n + more;
  struct tensor *t = mem_realloc(w->t, cap * sizeof *t);
  if (t == NULL) return err_nomem(e, cap * sizeof *t);
  w->t = t, w->cap = cap;
  return STATUS_OK;
}

/* Asked before opening: a FIFO without a writer would hold the caller for ever, a device might never end. */
static enum status regular(const char *path, struct err *e) {
  struct stat s;
  if (stat(path, &s) != 0 || S_ISREG(s.st_mode)) return STATUS_OK; /* what is not there is told by whoever opens it */
  const char *found = S_ISFIFO(s.st_mode) ? "a FIFO" : S_ISDIR(s.st_mode) ? "a folder" : S_ISSOCK(s.st_mode) ? "a socket" : "a device";
  return err_set(e, STATUS_DATA, "'%.300s' is %s, expected a file", path, found);
}

enum status weights_json(const char *path, size_t max_bytes, struct json **root, struct err *e) {
  *root = NULL;
  enum status st = regular(path, e);
  if (st == STATUS_OK) st = json_parse_file(path, max_bytes, root, e);
  return st == STATUS_LIMIT ? err_set(e, STATUS_DATA, "'%.300s' is larger than %zu bytes, which no file of a model is", path, max_bytes) : st;
}

enum status weights_map(struct weights *w, const char *path, struct file_map **m, struct err *e) {
  enum status st = regular(path, e);
  if (st != STATUS_OK) return st;
  size_t n = w->n_map + 1;
  struct file_map *maps = mem_realloc(w->map, n * sizeof *maps);
  if (maps != NULL) w->map = maps;
  const char **paths = mem_realloc(w->map_path, n * sizeof *paths);
  if (paths != NULL) w->map_path = paths;
  char *copy = arena_strndup(w->a, path, strlen(path));
  if (maps == NULL || paths == NULL || copy == NULL) return err_nomem(e, n * sizeof *maps);
  st = file_map_open(path, &w->map[w->n_map], e);
  if (st != STATUS_OK) return st;
  w->map_path[w->n_map] = copy;
  *m = &w->map[w->n_map++];
  return STATUS_OK;
}

enum status weights_add(struct weights *w, const struct tensor *t, struct err *e) {
  if (w->n == w->cap) {
    enum status st = weights_reserve(w, w->cap ? w->cap : 64, e);
    if (st != STATUS_OK) return st;
  }
  w->t[w->n++] = *t;
  return STATUS_OK;
}

enum status weights_finish(struct weights *w, struct err *e) {
  enum status st = name_index_new(&w->by_name, w->a, w->n, e);
  if (st != STATUS_OK) return st;
  for (size_t i = 0; i < w->n; i++) {
    uint32_t *slot = name_index_slot(&w->by_name, tensor_key(w, i), tensor_key, w);
    if (*slot != 0) return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' stands twice", w->path, w->t[i].name);
    *slot = (uint32_t)(i + 1);
  }
  return STATUS_OK;
}

/* ---- checks shared by the containers ---- */

int tensor_size(const struct tensor *t, uint64_t *values, uint64_t *bytes) {
  uint64_t n = 1, most = (uint64_t)1 << 60;
  for (int i = 0; i < t->n_dim; i++) {
    if (t->dim[i] < 0) return 0;
    if (t->dim[i] != 0 && n > most / (uint64_t)t->dim[i]) return 0;
    n *= (uint64_t)t->dim[i];
  }
  int64_t block = dtype_block(t->type);
  if (block > 1 && (t->n_dim == 0 || t->dim[t->n_dim - 1] % block != 0)) return 0;
  *values = n;
  *bytes = dtype_bytes(t->type, (int64_t)n);
  return 1;
}

static int by_place(const void *a, const void *b) {
  const struct tensor *x = *(const struct tensor *const *)a, *y = *(const struct tensor *const *)b;
  const unsigned char *p = x->data, *q = y->data;
  return p != q ? (p < q ? -1 : 1) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

enum status tensors_apart(const struct weights *w, size_t from, uint64_t padding, const char *path, struct err *e) {
  size_t n = w->n - from;
  const struct tensor **order = mem_alloc((n + 1) * sizeof *order);
  if (order == NULL) return err_nomem(e, (n + 1) * sizeof *order);
  for (size_t i = 0; i < n; i++) order[i] = &w->t[from + i];
  qsort(order, n, sizeof *order, by_place);
  enum status st = STATUS_OK;
  for (size_t i = 1; i < n && st == STATUS_OK; i++) {
    const unsigned char *end = (const unsigned char *)order[i - 1]->data + order[i - 1]->bytes;
    if ((const unsigned char *)order[i]->data < end) {
      st = err_set(e, STATUS_DATA, "'%s': tensors '%.200s' and '%.200s' overlap", path, order[i - 1]->name, order[i]->name);
    } else if ((uint64_t)((const unsigned char *)order[i]->data - end) >= padding) {
      const struct tensor *t = order[i - 1];
      st = err_set(e, STATUS_DATA, "'%s': tensor '%.200s' needs %llu bytes as %s, but %llu stand before '%.200s': its type or shape is not what was stored",
                   path, t->name, (unsigned long long)t->bytes, dtype_name(t->type),
                   (unsigned long long)((const unsigned char *)order[i]->data - (const unsigned char *)t->data), order[i]->name);
    }
  }
  mem_free(order);
  return st;
}

/* ---- opening ---- */

static int ends_with(const char *s, const char *tail) {
  size_t n = strlen(s), k = strlen(tail);
  return n >= k && strcmp(s + n - k, tail) == 0;
}

static enum status open_folder(struct weights *w, const char *path, struct err *e) {
  char *student = path_join(w->a, path, "student");
  char *config = path_join(w->a, path, "config.json");
  if (student == NULL || config == NULL) return err_nomem(e, strlen(path));
  if (!file_exists(config)) {
    char *inner = path_join(w->a, student, "config.json");
    if (inner == NULL) return err_nomem(e, strlen(path));
    if (!file_exists(inner)) {
      return err_set(e, STATUS_DATA, "'%s' is no model: it has neither config.json nor student/config.json", path);
    }
    path = student;
  }
  w->path = mem_strdup(path);
  w->folder = mem_strdup(path);
  if (w->path == NULL || w->folder == NULL) return err_nomem(e, strlen(path));
  enum status st = config_read(path, &w->config, e);
  if (st != STATUS_OK) return st;
  w->has_config = 1;
  return safetensors_read_folder(w, path, e);
}

static enum status open_safetensors(struct weights *w, const char *path, struct err *e) {
  const char *slash = strrchr(path, '/');
  w->path = mem_strdup(path);
  w->folder = slash == NULL ? mem_strdup(".") : slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
  if (w->path == NULL || w->folder == NULL) return err_nomem(e, strlen(path));
  enum status st = safetensors_read(w, path, e);
  char *config = path_join(w->a, w->folder, "config.json");
  if (st == STATUS_OK && config == NULL) return err_nomem(e, strlen(path));
  if (st == STATUS_OK && file_exists(config)) {
    st = config_read(w->folder, &w->config, e);
    w->has_config = st == STATUS_OK;
  }
  return st;
}

/* A configuration of fewer layers than are stored would be another model, whose numbers look fine. What belongs to no layer of this
 * program's architectures (heads that predict further tokens, say) is only named. */
static enum status no_layer_left(const struct weights *w, struct err *e) {
  size_t other = 0, first = 0;
  for (size_t i = 0; i < w->n; i++) {
    int layer, at = 0;
    if (sscanf(w->t[i].name, "model.layers.%9d.%n", &layer, &at) != 1 || at == 0 || layer < w->config.n_layer) continue;
    if (strcmp(w->t[i].name + at, "self_attn.q_proj.weight") == 0) {
      return err_set(e, STATUS_DATA, "'%s': the weights hold layer %d ('%.200s'), the configuration says %d layers: one of them belongs to another model",
                     w->path, layer, w->t[i].name, w->config.n_layer);
    }
    if (other++ == 0) first = i;
  }
  if (other > 0) {
    log_warn("'%s': %zu tensors behind the last of %d layers are not used, '%.200s' first", w->path, other, w->config.n_layer, w->t[first].name);
  }
  return STATUS_OK;
}

enum status weights_open(const char *path, struct weights **out, struct err *e) {
  *out = NULL;
  enum status st = STATUS_OK;
  struct weights *w = mem_calloc(1, sizeof *w);
  if (w == NULL) return err_nomem(e, sizeof *w);
  w->a = arena_new(0);
  if (w->a == NULL) {
    st = err_nomem(e, sizeof *w);
    goto out;
  }
  if (folder_exists(path)) {
    TRY(open_folder(w, path, e));
  } else if (ends_with(path, ".safetensors")) {
    TRY(open_safetensors(w, path, e));
  } else {
    w->path = mem_strdup(path);
    if (w->path == NULL) {
      st = err_nomem(e, strlen(path));
      goto out;
    }
    w->is_gguf = 1;
    TRY(gguf_read(w, path, e));
  }
  TRY(weights_finish(w, e));
  if (w->is_gguf) {
    TRY(gguf_config(w, e));
    w->has_config = 1;
  }
  if (w->has_config) TRY(no_layer_left(w, e));
out:
  if (st != STATUS_OK) weights_close(w);
  else *out = w;
  return st;
}

void weights_forget(const struct weights *w) {
  for (size_t i = 0; w != NULL && i < w->n_map; i++) file_map_forget(&w->map[i]);
}

void weights_close(struct weights *w) {
  if (w == NULL) return;
  for (size_t i = 0; i < w->n_map; i++) file_map_close(&w->map[i]);
  mem_free(w->map);
  mem_free(w->map_path);
  mem_free(w->t);
  mem_free(w->path);
  mem_free(w->folder);
  arena_free(w->a);
  mem_free(w);
}

/* ---- looking ---- */

const char *weights_path(const struct weights *w) { return w->path; }
const struct model_config *weights_config(const struct weights *w) { return w->has_config ? &w->config : NULL; }
size_t weights_count(const struct weights *w) { return w->n; }
const struct tensor *weights_at(const struct weights *w, size_t i) { return i < w->n ? &w->t[i] : NULL; }
int weights_is_gguf(const struct weights *w) { return w->is_gguf; }

const struct tensor *weights_find(const struct weights *w, const char *name) {
  uint32_t at = *name_index_slot(&w->by_name, (struct span){ name, strlen(name) }, tensor_key, w);
  return at ? &w->t[at - 1] : NULL;
}

enum status weights_need(const struct weights *w, const char *name, int64_t d0, int64_t d1, const struct tensor **out, struct err *e) {
  const struct tensor *t = weights_find(w, name);
  *out = t;
  if (t == NULL) return err_set(e, STATUS_DATA, "'%s': tensor '%s' is missing", w->path, name);
  if (t->type == DT_I32 || t->type == DT_I64 || t->type == DT_U8 || t->type == DT_F64) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%s' has type %s, expected weights as F32, F16 or BF16 (or of a quantised type of GGUF)", w->path, name,
                   dtype_name(t->type));
  }
  int want = d1 > 0 ? 2 : 1;
  if (t->n_dim == want && t->dim[0] == d0 && (want == 1 || t->dim[1] == d1)) return STATUS_OK;
  char have[128] = "scalar";
  size_t at = 0;
  for (int i = 0; i < t->n_dim; i++) {
    at += (size_t)snprintf(have + at, sizeof have - at, "%s%lld", i ? " x " : "", (long long)t->dim[i]);
  }
  if (want == 1) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%s' has shape %s, its configuration says %lld", w->path, name, have, (long long)d0);
  }
  return err_set(e, STATUS_DATA, "'%s': tensor '%s' has shape %s, its configuration says %lld x %lld", w->path, name, have,
                 (long long)d0, (long long)d1);
}

enum status weights_file(const struct weights *w, const char *name, struct arena *a, const char **path, int *found, struct err *e) {
  *path = NULL, *found = 0;
  if (w->folder == NULL) return STATUS_OK;
  char *p = path_join(a, w->folder, name);
  if (p == NULL) return err_nomem(e, strlen(name));
  *path = p;
  *found = file_exists(p);
  return STATUS_OK;
}

/* ---- reading ---- */

static void plain_numbers(const struct tensor *t, const unsigned char *src, int64_t n, float *dst) {
  for (int64_t i = 0; i < n; i++) {
    switch (t->type) {
      case DT_F64: { double v; memcpy(&v, src + 8 * i, 8); dst[i] = (float)v; break; }
      case DT_I64: { int64_t v; memcpy(&v, src + 8 * i, 8); dst[i] = (float)v; break; }
      case DT_I32: { int32_t v; memcpy(&v, src + 4 * i, 4); dst[i] = (float)v; break; }
      default: dst[i] = (float)src[i];
    }
  }
}

/* Row of the file that holds HF row r: llama.cpp turns each head's (2, dh/2) halves into (dh/2, 2) pairs. */
static int64_t stored_row(const struct tensor *t, int64_t r) {
  if (t->permuted_heads <= 0) return r;
  int64_t dh = t->dim[0] / t->permuted_heads, head = r / dh, in = r % dh;
  return head * dh + (in % (dh / 2)) * 2 + in / (dh / 2);
}

enum status weights_read(const struct tensor *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  int64_t all = t->n_dim > 0 ? t->dim[0] : 1, width = 1;
  if (t->n_dim < 2 && (row0 != 0 || rows != all)) row0 = -1; /* 1-d: only as a whole */
  if (row0 < 0 || rows < 0 || row0 > all || rows > all - row0) {
    return err_set(e, STATUS_USAGE, "tensor '%s': rows [%lld, +%lld) asked of %lld", t->name, (long long)row0, (long long)rows, (long long)all);
  }
  for (int i = 1; i < t->n_dim; i++) width *= t->dim[i];
  const struct kernels *k = kernels_cpu();
  const unsigned char *src = t->data;
  size_t row_bytes = dtype_bytes(t->type, width);
  int plain = t->type >= DT_I32;
  if (t->permuted_heads <= 0) {
    src += row_bytes * (size_t)row0;
    if (plain) plain_numbers(t, src, rows * width, dst);
    else k->decode(NULL, t->type, rows * width, src, dst);
    return STATUS_OK;
  }
  for (int64_t i = 0; i < rows; i++) {
    const unsigned char *p = src + row_bytes * (size_t)stored_row(t, row0 + i);
    if (plain) plain_numbers(t, p, width, dst + i * width);
    else k->decode(NULL, t->type, width, p, dst + i * width);
  }
  return STATUS_OK;
}

/* ---- identity ---- */

static enum status hash_config(const struct model_config *c, struct sha256 *s, struct err *e) {
  struct buf b = { 0 };
  enum status st = STATUS_OK;
  TRY(buf_printf(&b, e, "%s %d %d %d %d %d %d%d%d %.9g %.9g %d %.9g %.9g %.9g %.9g", c->arch, c->n_layer, c->hidden, c->head_dim, c->vocab,
                 c->window, c->tied, c->qkv_bias, c->qk_norm, (double)c->norm_eps, (double)c->rope_theta, (int)c->rope_kind,
                 (double)c->rope_factor, (double)c->rope_low, (double)c->rope_high, (double)c->rope_original_ctx));
  for (int l = 0; l < c->n_layer; l++) TRY(buf_printf(&b, e, " %d/%d/%d", c->n_head[l], c->n_kv_head[l], c->ffn[l]));
  sha256_add(s, b.p, b.n);
out:
  buf_free(&b);
  return st;
}

/* Tokenizer and template decide what the model is asked, so they belong to the identity. */
static enum status hash_tokenizer(const struct weights *w, struct sha256 *s, struct err *e) {
  static const char *const files[] = { "tokenizer.json", "tokenizer_config.json", "chat_template.jinja" };
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  if (a == NULL) return err_nomem(e, 1);
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    const char *path;
    int found;
    unsigned char d[32];
    TRY(weights_file(w, files[i], a, &path, &found, e));
    if (!found) continue;
    TRY(sha256_of_file(path, d, e));
    sha256_add(s, files[i], strlen(files[i]));
    sha256_add(s, d, sizeof d);
  }
  for (size_t i = 0; i < w->n_kv; i++) {
    const struct gguf_kv *kv = &w->kv[i];
    if (kv->key.n < 10 || memcmp(kv->key.p, "tokenizer.", 10) != 0) continue;
    sha256_add(s, kv->key.p, kv->key.n);
    sha256_add(s, kv->p, gguf_value_bytes(kv));
  }
out:
  arena_free(a);
  return st;
}

enum status weights_identity(const struct weights *w, unsigned char out[32], struct err *e) {
  struct sha256 *s = sha256_new();
  if (s == NULL) return err_nomem(e, 32);
  if (w->has_config) {
    enum status st = hash_config(&w->config, s, e);
    if (st == STATUS_OK) st = hash_tokenizer(w, s, e);
    if (st != STATUS_OK) {
      sha256_free(s);
      return st;
    }
  }
  for (size_t i = 0; i < w->n; i++) {
    const struct tensor *t = &w->t[i];
    char head[160];
    int n = snprintf(head, sizeof head, "\n%s %d %lld %lld %lld %lld %d ", dtype_name(t->type), t->n_dim, (long long)t->dim[0],
                     (long long)t->dim[1], (long long)t->dim[2], (long long)t->dim[3], t->permuted_heads);
    sha256_add(s, head, (size_t)n);
    sha256_add(s, t->name, strlen(t->name));
    if (t->bytes > 0) sha256_add(s, t->data, (size_t)t->bytes);
  }
  sha256_end(s, out);
  return STATUS_OK;
}
