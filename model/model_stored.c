/* SPDX-License-Identifier: Apache-2.0
 * Weights that stay in the file in the type it stores them in: 90 MB of Q4_1 instead of 540 MB of float32, and as little to
 * read a token. A pointer into the map where rows stand in HF order; a copy with the rows put in order where GGUF permutes
 * q and k. Products over many rows decode a matrix into scratch first: 2 % of their time. */
#include "model_private.h"

static int usable(const struct tensor *t, const struct param *p) {
  switch (t->type) {
    case DT_F32: case DT_F16: case DT_BF16: case DT_Q4_0: case DT_Q4_1: case DT_Q8_0: case DT_Q4_K: case DT_Q6_K:
      break;
    default:
      return 0;
  }
  /* block types need no more than the alignment of their float16 scale */
  return (uintptr_t)t->data % (t->type == DT_F32 ? 4 : 2) == 0 && p->cols % dtype_block(t->type) == 0 && t->n_dim == 2 &&
         t->dim[0] == p->rows && t->dim[1] == p->cols && (uint64_t)p->rows * dtype_bytes(t->type, p->cols) <= t->bytes;
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

enum status model_store(struct model *m, size_t i, int *found, struct err *e) {
  struct stored *s = &m->stored[i];
  const struct param *p = &m->param[i];
  const struct tensor *t = p->cols ? weights_find(m->w, p->name) : NULL;
  enum status st = STATUS_OK;
  *found = t && usable(t, p);
  if (!*found) {
    return STATUS_OK;
  }
  s->type = t->type;
  s->data = t->data;
  if (t->permuted_heads > 0) {
    st = unpermute(s, t, p, e);
  }
  return st;
}

static size_t side_part(size_t bytes) { return (bytes + 255) / 256 * 256; }

enum status model_side(struct model *m, struct err *e) {
  size_t freq = (size_t)(m->config.head_dim / 2) * sizeof *m->inv_freq, at = side_part(freq);
  if (!m->k->on_device) {
    return STATUS_OK;
  }
  for (size_t i = 0; i < m->n_param; i++) {
    const struct param *p = &m->param[i];
    m->side_bytes += p->offset < 0 ? side_part((size_t)p->rows * dtype_bytes(m->stored[i].type, p->cols)) : 0;
  }
  m->side_bytes += at;
  enum status st = device_block(m->dev, m->side_bytes, "the model's weights", &m->side, e);
  if (st != STATUS_OK) {
    return st;
  }
  m->k->upload(m->d, m->side, m->inv_freq, freq);
  m->inv_freq = m->side;
  for (size_t i = 0; i < m->n_param; i++) {
    const struct param *p = &m->param[i];
    struct stored *s = &m->stored[i];
    if (p->offset < 0) {
      size_t bytes = (size_t)p->rows * dtype_bytes(s->type, p->cols);
      m->k->upload(m->d, (char *)m->side + at, s->data, bytes);
      s->data = (char *)m->side + at;
      at += side_part(bytes);
    }
  }
  return device_check(m->dev, e);
}

const float *model_matrix(const struct model *m, int32_t param, float *scratch) {
  const struct param *p = &m->param[param];
  const struct stored *s = &m->stored[param];
  if (p->offset >= 0) {
    return m->block + p->offset;
  }
  if (s->type == DT_F32) {
    return s->data;
  }
  m->k->decode(m->d, s->type, p->rows * p->cols, s->data, scratch);
  return scratch;
}

const void *model_stored(const struct model *m, int32_t param, enum dtype *type) {
  const struct stored *s = &m->stored[param];
  *type = s->type;
  return s->data;
}
