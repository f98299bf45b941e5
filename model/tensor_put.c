/* SPDX-License-Identifier: Apache-2.0
 * Streaming one tensor into a file: rows come as float32 from a callback, leave in the stored type. Used by the
 * safetensors and GGUF writers; holds a few MB at a time. */
#include <errno.h>
#include <math.h>
#include "weights_impl.h"

enum status file_put(FILE *fp, const char *path, const void *p, size_t n, struct err *e) {
  if (n == 0 || fwrite(p, 1, n, fp) == n) return STATUS_OK;
  return err_sys(e, STATUS_IO, "'%s' cannot be written", path);
}

void values_encode(enum dtype type, int64_t n, const float *src, void *dst) {
  if (type == DT_F32) memcpy(dst, src, (size_t)n * sizeof *src);
  else kernels_cpu()->encode(NULL, type, n, src, dst);
}

/* HF rows of whole heads -> llama.cpp's: row (half s, pair j) of a head goes to 2j + s. */
static void interleave(const float *src, float *dst, int64_t heads, int64_t dh, int64_t width) {
  for (int64_t h = 0; h < heads; h++) {
    for (int64_t r = 0; r < dh; r++) {
      int64_t to = (r % (dh / 2)) * 2 + r / (dh / 2);
      memcpy(dst + (h * dh + to) * width, src + (h * dh + r) * width, (size_t)width * sizeof *src);
    }
  }
}

/* Up to here every type stores every value as a finite one; only what reaches beyond is read back. */
#define SAFE_MOST 65000.0f

static int all_safe(const float *v, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; i++) bad += !(fabsf(v[i]) <= SAFE_MOST); /* without an early end: vector instructions */
  return bad == 0;
}

/* encoded: the n values of src as they are about to be written, the first of them at row0 of t. */
static enum status check_stored(const struct tensor_out *t, enum dtype type, int64_t row0, int64_t width, int64_t n, const float *src,
                                const void *encoded, struct err *e) {
  if (all_safe(src, n)) return STATUS_OK;
  float *back = mem_alloc((size_t)n * sizeof *back);
  if (back == NULL) return err_nomem(e, (size_t)n * sizeof *back);
  if (type == DT_F32) memcpy(back, src, (size_t)n * sizeof *back);
  else kernels_cpu()->decode(NULL, type, n, encoded, back);
  enum status st = STATUS_OK;
  for (int64_t i = 0; i < n && st == STATUS_OK; i++) {
    long long row = (long long)(row0 + i / width), col = (long long)(i % width);
    if (!isfinite(src[i])) {
      st = err_set(e, STATUS_DATA, "tensor '%s' holds %g at row %lld, column %lld: such weights are not written", t->name, (double)src[i], row, col);
    } else if (!isfinite(back[i])) {
      st = err_set(e, STATUS_DATA, "tensor '%s' holds %g at row %lld, column %lld%s: too large for %s; --type f32%s holds it", t->name,
                   (double)src[i], row, col, dtype_block(type) > 1 ? " (or beside it)" : "", dtype_name(type), fabsf(src[i]) < 0x1.ffp127f && type != DT_BF16 ? " or bf16" : "");
    }
  }
  mem_free(back);
  return st;
}

enum status tensor_put(FILE *fp, const char *path, const struct tensor_out *t, enum dtype type, int permute_heads,
                       tensor_fill fill, void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  int64_t all = t->n_dim > 0 ? t->dim[0] : 1, width = 1, unit = 1;
  for (int i = 1; i < t->n_dim; i++) width *= t->dim[i];
  if (t->n_dim < 2) unit = all;
  else if (permute_heads > 0) unit = all / permute_heads;
  if (all == 0 || width == 0) return STATUS_OK;
  int64_t step = FILL_VALUES / (width * unit) * unit;
  if (step < unit) step = unit;
  if (step > all) step = all;
  size_t floats = (size_t)(step * width);
  float *in = mem_alloc(floats * sizeof *in), *turned = permute_heads > 0 ? mem_alloc(floats * sizeof *turned) : NULL;
  void *out_bytes = mem_alloc(dtype_bytes(type, (int64_t)floats));
  if (in == NULL || out_bytes == NULL || (permute_heads > 0 && turned == NULL)) {
    st = err_nomem(e, 2 * floats * sizeof *in);
    goto out;
  }
  for (int64_t row = 0; row < all; row += step) {
    int64_t rows = all - row < step ? all - row : step;
    TRY(fill(ctx, t, row, rows, in, e));
    const float *src = in;
    if (permute_heads > 0) {
      int64_t dh = all / permute_heads;
      interleave(in, turned, rows / dh, dh, width);
      src = turned;
    }
    values_encode(type, rows * width, src, out_bytes);
    TRY(check_stored(t, type, row, width, rows * width, src, out_bytes, e)); /* a turned head names its row as stored */
    TRY(file_put(fp, path, out_bytes, dtype_bytes(type, rows * width), e));
  }
out:
  mem_free(in);
  mem_free(turned);
  mem_free(out_bytes);
  return st;
}

enum status weights_fill(void *weights, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  const struct tensor *have;
  enum status st = weights_need(weights, t->name, t->dim[0], t->n_dim > 1 ? t->dim[1] : 0, &have, e);
  return st == STATUS_OK ? weights_read(have, row0, rows, dst, e) : st;
}
