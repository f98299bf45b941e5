/* SPDX-License-Identifier: Apache-2.0
 * AdamW over the parameters of a model: moments in blocks laid out like the parameters, decay on 2-d tensors only
 * (embedding included), gradients clipped by their global norm; and the learning-rate schedule, a function of the share
 * of the token budget that is done. */
#ifndef TRAIN_OPTIM_H
#define TRAIN_OPTIM_H
#include "err.h"
#include "model.h"

struct optim_params { double lr, beta1, beta2, eps, weight_decay, clip; /* clip 0 = none */ };
struct optim {
  const struct device *dev; /* the model's; the moments lie there */
  float *mom, *var;   /* blocks of n_floats */
  int64_t n_floats;
  int64_t step;       /* updates done */
};
MUST_USE enum status optim_open(struct optim *o, struct model *m, struct err *e);
void optim_close(struct optim *o);
/* L2 norm over all parameters, before clipping. */
double optim_norm(const struct model *m, const float *grads, int64_t n_floats);
/* One update at learning rate lr; grads are multiplied by min(1, clip / (norm + 1e-6)). */
void optim_update(struct optim *o, struct model *m, const float *grads, double norm, double lr, const struct optim_params *p);

enum schedule { SCHEDULE_COSINE, SCHEDULE_CONSTANT };
/* share in [0, 1] of the budget done; linear warm-up over the first `warmup` of it, then down to end * lr by cosine. */
double schedule_lr(enum schedule s, double lr, double share, double warmup, double end);
#endif
