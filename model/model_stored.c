/* SPDX-License-Identifier: Apache-2.0
 * Weights for decoding in the type the file stores them in: reading 90 MB of Q4_1 a token instead of 540 MB of float32. A
 * pointer into the map where rows stand in HF order; a copy with the rows put in order where GGUF permutes q and k. */
#include "model_private.h"

static int usable(const struct model *m, const struct tensor *t, const struct param *p) {
  if (m->flags & MODEL_TRAIN) {
    return 0; /* parameters change under training: the file is stale */
  }
  switch (t->type) {
    case DT_F16: case DT_BF16: case DT_Q4_0: case DT_Q4_1: case DT_Q8_0: case DT_Q4_K: case DT_Q6_K:
      break;
    default:
      return 0;
  }
  return p->cols % dtype_block(t->type) == 0 && (uint64_t)p->rows * dtype_bytes(t->type, p->cols) <= t->bytes;
}

/* HF row of GGUF row: inside a head of 2 * half rows GGUF interleaves the two rotary halves. */
static enum status unpermute(struct stored *s, const struct tensor *t, const struct param *p, struct err *e) {
  size_t row_bytes = dtype_bytes(t->type, p->cols);
  int64_t dh = p->rows / t->permuted_heads, half = dh / 2;
  s->own_bytes = (size_t)p->rows * row_bytes;
  s->own = mem_block(s->own_bytes);
  if (!s->own) {
    return err_nomem(e, s->own_bytes);
  }
  for (int64_t h = 0; h < t->permuted_heads; h++) {
    for (int64_t r = 0; r < dh; r++) {
      int64_t from = h * dh + (r % half) * 2 + r / half;
      memcpy((char *)s->own + (size_t)(h * dh + r) * row_bytes, (const char *)t->data + (size_t)from * row_bytes, row_bytes);
    }
  }
  s->data = s->own;
  return STATUS_OK;
}

enum status model_prepare_stored(struct model *m, struct err *e) {
  for (size_t i = 0; i < m->n_param; i++) {
    struct stored *s = &m->stored[i];
    const struct param *p = &m->param[i];
    if (s->data) {
      continue;
    }
    s->data = m->block + p->offset;
    s->type = DT_F32;
    const struct tensor *t = m->w && p->cols ? weights_find(m->w, p->name) : NULL;
    if (!t || !usable(m, t, p)) {
      continue;
    }
    if (t->permuted_heads > 0) {
      enum status st = unpermute(s, t, p, e);
      if (st != STATUS_OK) {
        return st;
      }
    } else if ((uintptr_t)t->data % 2 == 0) {
      s->data = t->data;
    } else {
      continue;
    }
    s->type = t->type;
  }
  return STATUS_OK;
}

const void *model_stored(const struct model *m, int32_t param, enum dtype *type) {
  const struct stored *s = &m->stored[param];
  *type = s->type;
  return s->data;
}
