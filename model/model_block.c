/* SPDX-License-Identifier: Apache-2.0
 * Blocks laid out like the parameters (parameters, gradients, moments) as the host sees them: where they lie on the CPU, as
 * copies of a device's. For checkpoints and what a finished run writes. */
#include "model_private.h"

static enum status copy_new(const struct model *m, float **host, struct err *e) {
  *host = mem_block((size_t)m->n_floats * sizeof **host);
  return *host ? STATUS_OK : err_nomem(e, (unsigned long long)m->n_floats * sizeof **host);
}

enum status model_block_fetch(const struct model *m, const float *block, const float **host, struct err *e) {
  float *copy;
  *host = block;
  if (!m->k->on_device) {
    return STATUS_OK;
  }
  enum status st = copy_new(m, &copy, e);
  *host = copy;
  if (st == STATUS_OK) {
    m->k->download(m->d, copy, block, (size_t)m->n_floats * sizeof *copy);
    st = device_check(m->dev, e);
  }
  if (st != STATUS_OK) {
    model_block_drop(m, copy);
    *host = NULL;
  }
  return st;
}

enum status model_block_stage(const struct model *m, float *block, float **host, struct err *e) {
  *host = block;
  return m->k->on_device ? copy_new(m, host, e) : STATUS_OK;
}

enum status model_block_send(const struct model *m, float *block, const float *host, struct err *e) {
  if (!m->k->on_device) {
    return STATUS_OK;
  }
  m->k->upload(m->d, block, host, (size_t)m->n_floats * sizeof *host);
  return device_check(m->dev, e);
}

void model_block_drop(const struct model *m, const float *host) {
  union { const float *in; float *out; } p = {host}; /* a copy is ours */
  if (m->k->on_device && host) {
    mem_block_free(p.out, (size_t)m->n_floats * sizeof *host);
  }
}
