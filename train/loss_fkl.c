/* SPDX-License-Identifier: Apache-2.0
 * Forward KL over the full vocabulary (sheet A2): L = sum p (log p - log q), dL/dz = (q - p) / T. The true KL, with the
 * teacher's entropy in it: it is 0 for equal distributions and can be compared with other divergences. */
#include "loss.h"

LOSS_FN double position(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  float inv_t = (float)(1 / p->temperature);
  double z_lse = v->lse(x->vocab, x->z, inv_t);
  double y_lse = v->lse(x->vocab, x->y, inv_t);
  float scale = (float)(x->grad_scale * loss_grad_scale(p));
  return v->fkl(x->vocab, x->z, x->y, inv_t, z_lse, y_lse, scale, x->dz) * loss_value_scale(p);
}

LOSS_ROW(fkl, "sum p (log p - log q)", LOSS_TEACHER | LOSS_ZERO, position)
