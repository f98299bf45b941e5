/* SPDX-License-Identifier: Apache-2.0
 * Why a model gave numbers that are not finite: looked for only after that was seen, since it reads every weight. */
#include <math.h>
#include "model.h"

enum { CHUNK_VALUES = 1 << 18 };

static enum status tensor_finite(const struct weights *w, const struct tensor *t, float *chunk, struct err *e) {
  int64_t rows = t->n_dim > 0 ? t->dim[0] : 1, cols = 1;
  for (int d = 1; d < t->n_dim; d++) cols *= t->dim[d];
  if (rows < 1 || cols < 1 || cols > CHUNK_VALUES || (t->n_dim < 2 && rows > CHUNK_VALUES)) return STATUS_OK; /* not of any model that ran */
  int64_t step = t->n_dim < 2 ? rows : CHUNK_VALUES / cols; /* a vector is read whole */
  for (int64_t r = 0; r < rows; r += step) {
    int64_t n = rows - r < step ? rows - r : step;
    enum status st = weights_read(t, r, n, chunk, e);
    if (st != STATUS_OK) return st;
    for (int64_t i = 0; i < n * cols; i++) {
      if (isfinite(chunk[i])) continue;
      return err_set(e, STATUS_DATA, "'%s': tensor '%s' holds %g at row %lld, column %lld", weights_path(w), t->name, (double)chunk[i],
                     (long long)(r + i / cols), (long long)(i % cols));
    }
  }
  return STATUS_OK;
}

static enum status weights_finite(const struct weights *w, struct err *e) {
  enum status st = STATUS_OK;
  float *chunk = mem_alloc((size_t)CHUNK_VALUES * sizeof *chunk);
  if (chunk == NULL) return err_nomem(e, (size_t)CHUNK_VALUES * sizeof *chunk);
  for (size_t i = 0; i < weights_count(w) && st == STATUS_OK; i++) st = tensor_finite(w, weights_at(w, i), chunk, e);
  mem_free(chunk);
  return st;
}

enum status model_not_finite(const struct model *m, const char *what, struct err *e) {
  const struct weights *w = model_weights(m);
  struct err why = { STATUS_OK, "" };
  enum status st = w != NULL ? weights_finite(w, &why) : STATUS_OK;
  if (st == STATUS_DATA) return err_set(e, STATUS_DATA, "%s not finite: %s", what, why.msg);
  return err_set(e, STATUS_DATA, "%s not finite, though every weight of '%s' is: values in between are beyond float32; the weights are damaged or too large",
                 what, w != NULL ? weights_path(w) : "the model");
}
