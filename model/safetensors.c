/* SPDX-License-Identifier: Apache-2.0
 * Reading safetensors: 8 bytes little-endian header length, a JSON header {"name": {"dtype", "shape", "data_offsets"}},
 * then the data. As strict as the reference: no holes, no overlap, nothing after the last tensor. The header goes through
 * the record scanner (core/span.h), which keeps duplicate keys, so that a name given twice is seen. */
#include "span.h"
#include "weights_impl.h"

#define HEADER_MAX 100000000u /* the reference implementation's cap */
#define NAME_BYTES_MAX 255    /* of a file */

static const struct { const char *name; enum dtype type; } st_types[] = {
  { "F32", DT_F32 }, { "F16", DT_F16 }, { "BF16", DT_BF16 }, { "F64", DT_F64 }, { "I32", DT_I32 }, { "I64", DT_I64 }, { "U8", DT_U8 },
  { "BOOL", DT_U8 }, { "I8", DT_COUNT }, { "F8_E4M3", DT_COUNT }, { "F8_E5M2", DT_COUNT },
};

static uint64_t le64(const unsigned char *p) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
  return v;
}

/* "[1, 2]": at most max non-negative integers below 2^62; -1 when it is anything else. */
static int int_list(struct span s, uint64_t *out, int max) {
  size_t i = 0;
  int n = 0;
#define BLANK() while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\n' || s.p[i] == '\r')) i++
  if (s.n < 2 || s.p[i++] != '[') return -1;
  BLANK();
  if (i < s.n && s.p[i] == ']') return i + 1 == s.n ? 0 : -1;
  for (;;) {
    uint64_t v = 0;
    size_t start = i;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
      if (v > ((uint64_t)1 << 62) / 10 - 1) return -1;
      v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (i == start || n == max) return -1;
    out[n++] = v;
    BLANK();
    if (i >= s.n) return -1;
    if (s.p[i] == ']') return i + 1 == s.n ? n : -1;
    if (s.p[i++] != ',') return -1;
    BLANK();
  }
#undef BLANK
}

struct st_file {
  const char *path;
  const unsigned char *data;
  uint64_t data_bytes, data_at; /* data_at: offset of the data in the file */
};

static enum status read_entry(struct weights *w, const struct st_file *f, struct span name, struct span value, struct err *e) {
  enum status st = STATUS_OK;
  struct record r = { 0 };
  struct tensor t = { 0 };
  struct span type = { 0 };
  uint64_t dims[4], at[2], values, bytes;
  if (memchr(name.p, '\0', name.n) != NULL) return err_set(e, STATUS_DATA, "'%s': a tensor name holds a NUL byte", f->path);
  t.name = arena_strndup(w->a, name.p, name.n);
  if (t.name == NULL) return err_nomem(e, name.n);
  if (span_type(value) != '{') return err_set(e, STATUS_DATA, "'%s': header entry '%.200s' is not an object", f->path, t.name);
  TRY(record_split(value, w->a, &r, e));
  struct span dt = record_get(&r, "dtype");
  if (span_type(dt) != 's') return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' has no dtype", f->path, t.name);
  TRY(span_string(dt, w->a, &type, e));
  t.type = DT_COUNT;
  for (size_t i = 0; i < sizeof st_types / sizeof st_types[0]; i++) {
    if (span_is(type, st_types[i].name)) t.type = st_types[i].type;
  }
  if (t.type == DT_COUNT) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' has type '%.*s'; F32, F16 and BF16 weights can be read", f->path, t.name,
                   (int)(type.n < 40 ? type.n : 40), type.p);
  }
  t.n_dim = int_list(record_get(&r, "shape"), dims, 4);
  if (t.n_dim < 0) return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' has a bad shape (at most 4 whole numbers)", f->path, t.name);
  for (int i = 0; i < t.n_dim; i++) t.dim[i] = (int64_t)dims[i];
  if (!tensor_size(&t, &values, &bytes)) return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' has an impossible shape", f->path, t.name);
  if (int_list(record_get(&r, "data_offsets"), at, 2) != 2) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' has no data_offsets [begin, end]", f->path, t.name);
  }
  if (at[0] > at[1] || at[1] > f->data_bytes) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' lies at [%llu, %llu) of %llu data bytes; the file is cut or the header is wrong",
                   f->path, t.name, (unsigned long long)at[0], (unsigned long long)at[1], (unsigned long long)f->data_bytes);
  }
  if (at[1] - at[0] != bytes) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' has %llu bytes, its shape and type need %llu", f->path, t.name,
                   (unsigned long long)(at[1] - at[0]), (unsigned long long)bytes);
  }
  if ((f->data_at + at[0]) % dtype_bytes(t.type, 1) != 0) {
    return err_set(e, STATUS_DATA, "'%s': tensor '%.200s' begins at byte %llu, which is not aligned to its type; write the file again with a "
                   "current safetensors", f->path, t.name, (unsigned long long)(f->data_at + at[0]));
  }
  t.data = f->data + at[0];
  t.bytes = bytes;
  TRY(weights_add(w, &t, e));
out:
  return st == STATUS_OK ? st : err_prefix(e, "'%s'", f->path);
}

enum status safetensors_read(struct weights *w, const char *path, struct err *e) {
  enum status st = STATUS_OK;
  struct record r = { 0 };
  struct file_map *m;
  TRY(weights_map(w, path, &m, e));
  if (m->bytes < 10) return err_set(e, STATUS_DATA, "'%s' is no safetensors file: %llu bytes", path, (unsigned long long)m->bytes);
  uint64_t n = le64(m->p);
  if (n > HEADER_MAX || n > m->bytes - 8) {
    return err_set(e, STATUS_DATA, "'%s': header of %llu bytes in a file of %llu; it is cut or no safetensors file", path,
                   (unsigned long long)n, (unsigned long long)m->bytes);
  }
  struct st_file f = { path, m->p + 8 + n, m->bytes - 8 - n, 8 + n };
  struct span head = { (const char *)m->p + 8, (size_t)n };
  st = record_split(head, w->a, &r, e);
  if (st != STATUS_OK) return err_prefix(e, "'%s': header", path);
  size_t first = w->n;
  uint64_t covered = 0;
  for (size_t i = 0; i < r.n_fields; i++) {
    if (span_key_is(r.field[i].key, "__metadata__")) continue;
    /* The raw key has no quotes; span_string wants them: they stand around it in the line. */
    struct span quoted = { r.field[i].key.p - 1, r.field[i].key.n + 2 }, name;
    TRY(span_string(quoted, w->a, &name, e));
    TRY(read_entry(w, &f, name, r.field[i].value, e));
    covered += w->t[w->n - 1].bytes;
  }
  TRY(tensors_apart(w, first, UINT64_MAX, path, e));
  if (covered != f.data_bytes) {
    return err_set(e, STATUS_DATA, "'%s': %llu data bytes, of which its tensors use %llu; the header or the file is damaged", path,
                   (unsigned long long)f.data_bytes, (unsigned long long)covered);
  }
out:
  return st;
}

static enum status read_index(struct weights *w, const char *folder, const char *index, struct err *e) {
  enum status st = STATUS_OK;
  struct json *root = NULL;
  TRY(weights_json(index, (size_t)256 << 20, &root, e));
  const struct json *map = json_get(root, "weight_map");
  if (json_type(map) != JSON_OBJECT || json_size(map) == 0) {
    st = err_set(e, STATUS_DATA, "'%s' has no weight_map", index);
    goto out;
  }
  void *it = NULL;
  struct span key;
  const struct json *val;
  const char *last = "";
  while (json_next(map, &it, &key, &val)) { /* files in order of first mention */
    const char *file = json_cstr(val, NULL);
    if (file == NULL || file[0] == '\0' || file[0] == '.' || strchr(file, '/') != NULL) {
      st = err_set(e, STATUS_DATA, "'%s': tensor '%.*s' points to '%.80s', not to a file of the same folder", index,
                   (int)(key.n < 200 ? key.n : 200), key.p, file ? file : "");
      goto out;
    }
    if (strlen(file) > NAME_BYTES_MAX) {
      st = err_set(e, STATUS_DATA, "'%s': tensor '%.*s' points to a name of %zu bytes, '%.100s...', expected at most %d", index,
                   (int)(key.n < 200 ? key.n : 200), key.p, strlen(file), file, NAME_BYTES_MAX);
      goto out;
    }
    if (strcmp(file, last) == 0) continue;
    last = file;
    char *path = path_join(w->a, folder, file);
    if (path == NULL) {
      st = err_nomem(e, strlen(file));
      goto out;
    }
    int seen = 0; /* a few files, many names: names are compared only where the file changes */
    for (size_t i = 0; i < w->n_map && !seen; i++) seen = strcmp(w->map_path[i], path) == 0;
    if (!seen) TRY(safetensors_read(w, path, e));
  }
  if (json_size(map) != w->n) {
    st = err_set(e, STATUS_DATA, "'%s' lists %zu tensors, its files hold %zu", index, json_size(map), w->n);
  }
out:
  json_free(root);
  return st;
}

enum status safetensors_read_folder(struct weights *w, const char *folder, struct err *e) {
  char *one = path_join(w->a, folder, "model.safetensors");
  char *index = path_join(w->a, folder, "model.safetensors.index.json");
  if (one == NULL || index == NULL) return err_nomem(e, strlen(folder));
  if (file_exists(one)) return safetensors_read(w, one, e);
  if (file_exists(index)) return read_index(w, folder, index, e);
  return err_set(e, STATUS_DATA, "'%s' has neither model.safetensors nor model.safetensors.index.json", folder);
}
