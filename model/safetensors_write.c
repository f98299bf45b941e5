/* SPDX-License-Identifier: Apache-2.0
 * Writing one safetensors file. Tensors with wide types come first, so that each begins at a multiple of its type's size,
 * which the reference writer promises too; inside a type they keep the caller's order. */
#include "span.h"
#include "weights_impl.h"

static const char *st_name(enum dtype t) { return t == DT_F32 ? "F32" : t == DT_F16 ? "F16" : t == DT_BF16 ? "BF16" : NULL; }

static enum status header(const struct tensor_out *t, const size_t *order, size_t n, const char *metadata, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t at = 0;
  TRY(buf_printf(b, e, "{\"__metadata__\":%s", metadata ? metadata : "{\"format\":\"pt\"}"));
  for (size_t i = 0; i < n; i++) {
    const struct tensor_out *x = &t[order[i]];
    uint64_t values = 1;
    TRY(buf_putc(b, ',', e));
    TRY(json_put_cstr(b, x->name, e));
    TRY(buf_printf(b, e, ":{\"dtype\":\"%s\",\"shape\":[", st_name(x->type)));
    for (int k = 0; k < x->n_dim; k++) {
      TRY(buf_printf(b, e, "%s%lld", k ? "," : "", (long long)x->dim[k]));
      values *= (uint64_t)x->dim[k];
    }
    uint64_t end = at + dtype_bytes(x->type, (int64_t)values);
    TRY(buf_printf(b, e, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)end));
    at = end;
  }
  TRY(buf_putc(b, '}', e));
  while (b->n % 8 != 0) TRY(buf_putc(b, ' ', e));
out:
  return st;
}

enum status safetensors_write(const char *path, const struct tensor_out *t, size_t n, const char *metadata_json, tensor_fill fill,
                              void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  struct file_atomic f = { 0 };
  struct buf head = { 0 };
  unsigned char len[8];
  size_t at = 0, *order = mem_alloc((n + 1) * sizeof *order);
  if (order == NULL) return err_nomem(e, (n + 1) * sizeof *order);
  for (size_t i = 0; i < n; i++) {
    if (st_name(t[i].type) == NULL) {
      st = err_set(e, STATUS_USAGE, "'%s': tensor '%s' cannot be written as %s; safetensors take F32, F16, BF16", path, t[i].name, dtype_name(t[i].type));
      goto out;
    }
    if (t[i].type == DT_F32) order[at++] = i;
  }
  for (size_t i = 0; i < n; i++) {
    if (t[i].type != DT_F32) order[at++] = i;
  }
  TRY(header(t, order, n, metadata_json, &head, e));
  for (int i = 0; i < 8; i++) len[i] = (unsigned char)((uint64_t)head.n >> (8 * i));
  TRY(file_atomic_open(&f, path, e));
  TRY(file_put(f.fp, path, len, 8, e));
  TRY(file_put(f.fp, path, head.p, head.n, e));
  for (size_t i = 0; i < n; i++) TRY(tensor_put(f.fp, path, &t[order[i]], t[order[i]].type, 0, fill, ctx, e));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  buf_free(&head);
  mem_free(order);
  return st;
}
