/* SPDX-License-Identifier: Apache-2.0
 * AdamW, clipping, schedule. */
#include "optim.h"
#include <math.h>
#include "mem.h"

enum status optim_open(struct optim *o, struct model *m, struct err *e) {
  memset(o, 0, sizeof *o);
  (void)model_param_block(m, &o->n_floats);
  size_t bytes = (size_t)o->n_floats * sizeof(float);
  void *mom = NULL, *var = NULL;
  o->dev = model_device(m);
  enum status st = device_block(o->dev, bytes, "first moments", &mom, e);
  if (st == STATUS_OK) {
    st = device_block(o->dev, bytes, "second moments", &var, e);
  }
  o->mom = mom;
  o->var = var;
  if (st != STATUS_OK) {
    optim_close(o);
  }
  return st;
}

void optim_close(struct optim *o) {
  size_t bytes = (size_t)o->n_floats * sizeof(float);
  if (o->dev != NULL) {
    device_block_free(o->dev, o->mom, bytes);
    device_block_free(o->dev, o->var, bytes);
  }
  o->mom = o->var = NULL;
}

double optim_norm(const struct model *m, const float *grads, int64_t n_floats) {
  return sqrt(model_kernels(m)->sum_squares(model_device(m)->d, n_floats, grads)); /* padding between tensors is zero */
}

void optim_update(struct optim *o, struct model *m, const float *grads, double norm, double lr, const struct optim_params *p) {
  int64_t n_floats;
  float *block = model_param_block(m, &n_floats);
  double scale = p->clip > 0 ? fmin(1, p->clip / (norm + 1e-6)) : 1;
  o->step++;
  for (size_t i = 0; i < model_param_count_list(m); i++) {
    const struct param *t = model_param_at(m, i);
    int64_t n = t->rows * (t->cols > 0 ? t->cols : 1), at = t->offset;
    model_kernels(m)->adamw(model_device(m)->d, n, block + at, grads + at, o->mom + at, o->var + at, lr, p->beta1, p->beta2, p->eps,
                            t->cols > 0 ? p->weight_decay : 0, scale, o->step);
  }
}

double schedule_lr(enum schedule s, double lr, double share, double warmup, double end) {
  if (warmup > 0 && share < warmup) {
    return lr * share / warmup;
  }
  if (s == SCHEDULE_CONSTANT || warmup >= 1) {
    return lr;
  }
  double x = (fmin(share, 1) - warmup) / (1 - warmup), pi = 3.14159265358979323846;
  return lr * (end + (1 - end) * 0.5 * (1 + cos(pi * x)));
}
