/* SPDX-License-Identifier: Apache-2.0
 * Cross entropy against the token that follows (sheet A1): L = -log q[label], dL/dz = q - onehot(label). The temperature
 * belongs to teachers and is not applied here. */
#include "loss.h"

LOSS_FN double position(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  (void)p;
  double lse = v->lse(x->vocab, x->z, 1);
  double value = lse - (double)x->z[x->label];
  if (x->dz != NULL) {
    v->softmax(x->vocab, x->z, 1, lse, x->grad_scale, x->dz);
    LOSS_ONCE(x->dz[x->label] -= x->grad_scale);
  }
  return value;
}

LOSS_ROW(ce, "-log q[label]", LOSS_LABEL, position)
