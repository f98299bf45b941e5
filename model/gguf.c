/* SPDX-License-Identifier: Apache-2.0
 * Reading GGUF v2 and v3 (little-endian) by memory map: header, metadata, tensor directory. Metadata values stay in the
 * map and are looked up by key. Layout: magic, u32 version, u64 tensors, u64 pairs, pairs, directory, padding, data. */
#include "weights_impl.h"

#define KV_BYTES_MIN 13     /* 8 key length + 4 type + 1 value */
#define TENSOR_BYTES_MIN 32 /* 8 name length + 4 dims + 8 one dim + 4 type + 8 offset */
#define KEY_MAX 65535       /* the format's own limit */

/* Bytes of a value of each type; 0 = string or array. */
static const unsigned char type_bytes[GGUF_TYPES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

static const struct { uint32_t code; const char *name; enum dtype type; } ggml_types[] = {
  { 0, "F32", DT_F32 }, { 1, "F16", DT_F16 }, { 30, "BF16", DT_BF16 }, { 2, "Q4_0", DT_Q4_0 }, { 3, "Q4_1", DT_Q4_1 },
  { 8, "Q8_0", DT_Q8_0 }, { 12, "Q4_K", DT_Q4_K }, { 14, "Q6_K", DT_Q6_K },
  { 6, "Q5_0", DT_COUNT }, { 7, "Q5_1", DT_COUNT }, { 10, "Q2_K", DT_COUNT }, { 11, "Q3_K", DT_COUNT }, { 13, "Q5_K", DT_COUNT },
  { 20, "IQ4_NL", DT_COUNT }, { 23, "IQ4_XS", DT_COUNT }, { 28, "F64", DT_COUNT },
};

/* A cursor that never leaves the file. */
struct cur {
  const char *path;
  const unsigned char *start, *p, *end;
};

static enum status cut(const struct cur *c, const char *what, struct err *e) {
  return err_set(e, STATUS_DATA, "'%s': ends inside %s at byte %llu; the file is cut or damaged", c->path, what,
                 (unsigned long long)(c->p - c->start));
}

static enum status take(struct cur *c, void *dst, size_t n, const char *what, struct err *e) {
  memset(dst, 0, n);
  if ((uint64_t)(c->end - c->p) < n) return cut(c, what, e);
  memcpy(dst, c->p, n); /* this program runs on little-endian machines only: checked in gguf_read */
  c->p += n;
  return STATUS_OK;
}

static enum status take_string(struct cur *c, struct span *s, const char *what, struct err *e) {
  uint64_t n;
  *s = (struct span){ NULL, 0 };
  enum status st = take(c, &n, 8, what, e);
  if (st != STATUS_OK) return st;
  if (n > (uint64_t)(c->end - c->p)) return cut(c, what, e);
  *s = (struct span){ (const char *)c->p, (size_t)n };
  c->p += n;
  return STATUS_OK;
}

static enum status take_value(struct cur *c, struct gguf_kv *kv, struct err *e) {
  enum status st = take(c, &kv->type, 4, "a metadata type", e);
  if (st != STATUS_OK) return st;
  if (kv->type >= GGUF_TYPES) {
    return err_set(e, STATUS_DATA, "'%s': metadata '%.*s' has unknown type %u", c->path, (int)kv->key.n, kv->key.p, kv->type);
  }
  if (kv->type == GGUF_STRING) {
    struct span s;
    st = take_string(c, &s, "a metadata string", e);
    if (st == STATUS_OK) kv->p = (const unsigned char *)s.p, kv->n = s.n;
    return st;
  }
  if (kv->type != GGUF_ARRAY) {
    size_t n = type_bytes[kv->type];
    if ((uint64_t)(c->end - c->p) < n) return cut(c, "a metadata value", e);
    kv->p = c->p, kv->n = 1;
    c->p += n;
    return STATUS_OK;
  }
  if ((st = take(c, &kv->item, 4, "an array", e)) != STATUS_OK || (st = take(c, &kv->n, 8, "an array", e)) != STATUS_OK) return st;
  if (kv->item >= GGUF_TYPES || kv->item == GGUF_ARRAY) {
    return err_set(e, STATUS_DATA, "'%s': metadata '%.*s' is an array of type %u, which the format does not have", c->path,
                   (int)kv->key.n, kv->key.p, kv->item);
  }
  uint64_t each = kv->item == GGUF_STRING ? 8 : type_bytes[kv->item];
  if (kv->n > (uint64_t)(c->end - c->p) / each) return cut(c, "an array", e);
  kv->p = c->p;
  if (kv->item != GGUF_STRING) {
    c->p += kv->n * each;
    return STATUS_OK;
  }
  for (uint64_t i = 0; i < kv->n && st == STATUS_OK; i++) {
    struct span s;
    st = take_string(c, &s, "an array of strings", e);
  }
  return st;
}

static struct span kv_key(const void *ctx, size_t i) { return ((const struct weights *)ctx)->kv[i].key; }

static enum status read_pairs(struct weights *w, struct cur *c, uint64_t n, struct err *e) {
  enum status st = STATUS_OK;
  w->kv = arena_calloc(w->a, (size_t)n + 1, sizeof *w->kv);
  if (w->kv == NULL) return err_nomem(e, n * sizeof *w->kv);
  TRY(name_index_new(&w->by_key, w->a, (size_t)n, e));
  for (uint64_t i = 0; i < n; i++) {
    struct gguf_kv *kv = &w->kv[i];
    TRY(take_string(c, &kv->key, "a metadata key", e));
    if (kv->key.n == 0 || kv->key.n > KEY_MAX) {
      return err_set(e, STATUS_DATA, "'%s': metadata key %llu has %zu bytes", c->path, (unsigned long long)i, kv->key.n);
    }
    TRY(take_value(c, kv, e));
    uint32_t *slot = name_index_slot(&w->by_key, kv->key, kv_key, w);
    if (*slot != 0) return err_set(e, STATUS_DATA, "'%s': metadata key '%.*s' stands twice", c->path, (int)kv->key.n, kv->key.p);
    w->n_kv = (size_t)i + 1;
    *slot = (uint32_t)(i + 1);
  }
out:
  return st;
}

static enum status read_entry(struct weights *w, struct cur *c, struct tensor *t, uint64_t *offset, struct err *e) {
  enum status st = STATUS_OK;
  struct span name;
  uint32_t n_dim, code;
  uint64_t dim[4], values;
  TRY(take_string(c, &name, "a tensor name", e));
  if (name.n == 0 || name.n > 1024 || memchr(name.p, '\0', name.n) != NULL) {
    return err_set(e, STATUS_DATA, "'%s': tensor %zu has a bad name of %zu bytes", c->path, w->n, name.n);
  }
  t->name = gguf_name_to_hf(name, w->a);
  if (t->name == NULL) return err_nomem(e, name.n);
  TRY(take(c, &n_dim, 4, "a tensor's shape", e));
  if (n_dim < 1 || n_dim > 4) return err_set(e, STATUS_DATA, "'%s': tensor '%s' has %u dimensions, 1 to 4 expected", c->path, t->name, n_dim);
  TRY(take(c, dim, 8 * (size_t)n_dim, "a tensor's shape", e));
  t->n_dim = (int)n_dim;
  for (uint32_t i = 0; i < n_dim; i++) { /* the file gives the innermost first */
    if (dim[i] == 0 || dim[i] > (uint64_t)1 << 40) {
      return err_set(e, STATUS_DATA, "'%s': tensor '%s' has dimension %llu", c->path, t->name, (unsigned long long)dim[i]);
    }
    t->dim[n_dim - 1 - i] = (int64_t)dim[i];
  }
  TRY(take(c, &code, 4, "a tensor's type", e));
  const char *type = NULL;
  t->type = DT_COUNT;
  for (size_t i = 0; i < sizeof ggml_types / sizeof ggml_types[0]; i++) {
    if (ggml_types[i].code == code) t->type = ggml_types[i].type, type = ggml_types[i].name;
  }
  if (t->type == DT_COUNT) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%s' has type %u%s%s; F32 F16 BF16 Q4_0 Q4_1 Q8_0 Q4_K Q6_K can be read", c->path, t->name,
                   code, type ? " = " : "", type ? type : "");
  }
  if (!tensor_size(t, &values, &t->bytes)) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%s' has a shape too large or not made of whole %s blocks", c->path, t->name, type);
  }
  TRY(take(c, offset, 8, "a tensor's offset", e));
out:
  return st;
}

static enum status read_directory(struct weights *w, struct cur *c, uint64_t n, uint64_t align, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t *offset = mem_alloc((size_t)(n + 1) * sizeof *offset);
  if (offset == NULL) return err_nomem(e, n * sizeof *offset);
  TRY(weights_reserve(w, (size_t)n, e));
  for (uint64_t i = 0; i < n; i++) {
    struct tensor t = { 0 };
    TRY(read_entry(w, c, &t, &offset[i], e));
    TRY(weights_add(w, &t, e));
  }
  uint64_t at = (uint64_t)(c->p - c->start), all = (uint64_t)(c->end - c->start);
  at = (at + align - 1) / align * align;
  for (uint64_t i = 0; i < n; i++) {
    struct tensor *t = &w->t[i];
    if (offset[i] % align != 0) {
      st = err_set(e, STATUS_DATA, "'%s': tensor '%s' is at offset %llu, not a multiple of %llu", c->path, t->name,
                   (unsigned long long)offset[i], (unsigned long long)align);
      goto out;
    }
    if (at > all || offset[i] > all - at || t->bytes > all - at - offset[i]) {
      st = err_set(e, STATUS_DATA, "'%s': tensor '%s' needs %llu bytes at offset %llu, the file has %llu bytes of data; it is cut or damaged",
                   c->path, t->name, (unsigned long long)t->bytes, (unsigned long long)offset[i],
                   (unsigned long long)(at > all ? 0 : all - at));
      goto out;
    }
    t->data = c->start + at + offset[i];
  }
  TRY(tensors_apart(w, 0, align, c->path, e));
out:
  mem_free(offset);
  return st;
}

enum status gguf_read(struct weights *w, const char *path, struct err *e) {
  enum status st = STATUS_OK;
  const union { uint32_t v; unsigned char b[4]; } probe = { 1 };
  struct file_map *m;
  uint32_t version;
  uint64_t n_tensor, n_kv;
  if (probe.b[0] != 1) return err_set(e, STATUS_DEVICE, "GGUF is read on little-endian machines only");
  TRY(weights_map(w, path, &m, e));
  if (m->bytes < 24 || memcmp(m->p, "GGUF", 4) != 0) {
    return err_set(e, STATUS_DATA, "'%s' is neither a folder nor a .safetensors file nor a GGUF file (no magic 'GGUF' in %llu bytes)", path,
                   (unsigned long long)m->bytes);
  }
  struct cur c = { path, m->p, m->p + 4, m->p + m->bytes }; /* an empty file has no address to count from */
  TRY(take(&c, &version, 4, "the header", e));
  if (version != 2 && version != 3) {
    return err_set(e, STATUS_DATA, "'%s': GGUF version %u%s, 2 or 3 expected", path, version,
                   version == 0x03000000u || version == 0x02000000u ? " (a big-endian file)" : "");
  }
  TRY(take(&c, &n_tensor, 8, "the header", e));
  TRY(take(&c, &n_kv, 8, "the header", e));
  if (n_kv > m->bytes / KV_BYTES_MIN || n_tensor > m->bytes / TENSOR_BYTES_MIN || n_kv > UINT32_MAX / 4 || n_tensor > UINT32_MAX / 4) {
    return err_set(e, STATUS_DATA, "'%s': header speaks of %llu tensors and %llu metadata pairs in %llu bytes", path,
                   (unsigned long long)n_tensor, (unsigned long long)n_kv, (unsigned long long)m->bytes);
  }
  TRY(read_pairs(w, &c, n_kv, e));
  int64_t align = 32;
  (void)gguf_int(w, "general.alignment", &align);
  if (align < 8 || align > (1 << 20) || (align & (align - 1)) != 0) {
    return err_set(e, STATUS_DATA, "'%s': general.alignment is %lld, a power of two from 8 expected", path, (long long)align);
  }
  TRY(read_directory(w, &c, n_tensor, (uint64_t)align, e));
out:
  return st;
}

/* ---- metadata ---- */

size_t gguf_value_bytes(const struct gguf_kv *kv) {
  if (kv->type == GGUF_STRING) return (size_t)kv->n;
  if (kv->type != GGUF_ARRAY) return type_bytes[kv->type];
  if (kv->item != GGUF_STRING) return (size_t)kv->n * type_bytes[kv->item];
  const unsigned char *end = kv->p; /* walked and checked when the file was opened */
  for (uint64_t i = 0; i < kv->n; i++) {
    uint64_t n;
    memcpy(&n, end, 8);
    end += 8 + n;
  }
  return (size_t)(end - kv->p);
}

static const struct gguf_kv *find(const struct weights *w, const char *key) {
  if (!w->is_gguf || w->by_key.slot == NULL) return NULL;
  uint32_t at = *name_index_slot(&w->by_key, (struct span){ key, strlen(key) }, kv_key, w);
  return at ? &w->kv[at - 1] : NULL;
}

/* Whole number at p, unaligned; 0 when the type is none or it does not fit. */
static int whole(uint32_t type, const unsigned char *p, int64_t *out) {
  uint64_t u = 0;
  switch (type) {
    case GGUF_U8: case GGUF_BOOL: *out = p[0]; return 1;
    case GGUF_I8: *out = (int8_t)p[0]; return 1;
    case GGUF_U16: { uint16_t v; memcpy(&v, p, 2); *out = v; return 1; }
    case GGUF_I16: { int16_t v; memcpy(&v, p, 2); *out = v; return 1; }
    case GGUF_U32: { uint32_t v; memcpy(&v, p, 4); *out = v; return 1; }
    case GGUF_I32: { int32_t v; memcpy(&v, p, 4); *out = v; return 1; }
    case GGUF_I64: memcpy(out, p, 8); return 1;
    case GGUF_U64:
      memcpy(&u, p, 8);
      *out = (int64_t)u;
      return u <= INT64_MAX;
    default: return 0;
  }
}

int gguf_str(const struct weights *w, const char *key, struct span *out) {
  const struct gguf_kv *kv = find(w, key);
  if (kv == NULL || kv->type != GGUF_STRING) return 0;
  *out = (struct span){ (const char *)kv->p, (size_t)kv->n };
  return 1;
}

int gguf_int(const struct weights *w, const char *key, int64_t *out) {
  const struct gguf_kv *kv = find(w, key);
  int64_t v;
  if (kv == NULL || !whole(kv->type, kv->p, &v)) return 0;
  *out = v;
  return 1;
}

int gguf_num(const struct weights *w, const char *key, double *out) {
  const struct gguf_kv *kv = find(w, key);
  int64_t v;
  float f;
  if (kv == NULL) return 0;
  if (kv->type == GGUF_F32) memcpy(&f, kv->p, 4), *out = (double)f;
  else if (kv->type == GGUF_F64) memcpy(out, kv->p, 8);
  else if (whole(kv->type, kv->p, &v)) *out = (double)v;
  else return 0;
  return 1;
}

int gguf_array_n(const struct weights *w, const char *key, uint64_t *n) {
  const struct gguf_kv *kv = find(w, key);
  if (kv == NULL || kv->type != GGUF_ARRAY) return 0;
  *n = kv->n;
  return 1;
}

int gguf_array_strings(const struct weights *w, const char *key, struct arena *a, struct span **out, uint64_t *n) {
  const struct gguf_kv *kv = find(w, key);
  if (kv == NULL || kv->type != GGUF_ARRAY || kv->item != GGUF_STRING) return 0;
  struct span *s = arena_calloc(a, (size_t)kv->n + 1, sizeof *s);
  if (s == NULL) return 0;
  const unsigned char *p = kv->p; /* walked and checked when the file was opened */
  for (uint64_t i = 0; i < kv->n; i++) {
    uint64_t len;
    memcpy(&len, p, 8);
    s[i] = (struct span){ (const char *)p + 8, (size_t)len };
    p += 8 + len;
  }
  *out = s, *n = kv->n;
  return 1;
}

int gguf_array_ints(const struct weights *w, const char *key, struct arena *a, int64_t **out, uint64_t *n) {
  const struct gguf_kv *kv = find(w, key);
  if (kv == NULL || kv->type != GGUF_ARRAY || type_bytes[kv->item] == 0) return 0;
  int64_t *v = arena_calloc(a, (size_t)kv->n + 1, sizeof *v);
  if (v == NULL) return 0;
  for (uint64_t i = 0; i < kv->n; i++) {
    if (!whole(kv->item, kv->p + i * type_bytes[kv->item], &v[i])) return 0;
  }
  *out = v, *n = kv->n;
  return 1;
}
