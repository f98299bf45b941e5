/* SPDX-License-Identifier: Apache-2.0
 * Random-sampling KD (sheet A11): cross entropy against ids drawn from the teacher, -sum w_i log q_i with w_i = how often i was
 * drawn / draws (for another proposal than the teacher itself: times p/r, not made to sum to 1). Its gradient W q - w is an
 * unbiased estimate of that of the forward KL; its value is one of the cross entropy, teacher's entropy included. Targets with
 * log-probability -inf fill up the array and do not count. */
#include <math.h>
#include "loss.h"

LOSS_FN double position(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) {
  float inv_t = (float)(1 / p->temperature), scale = (float)(x->grad_scale * loss_grad_scale(p));
  double lse = v->lse(x->vocab, x->z, inv_t), value = 0, all = 0;
  for (int32_t i = 0; i < x->k; i++) {
    double w = exp((double)x->top_logprob[i]);
    if (w > 0) {
      value += w * (lse - (double)(x->z[x->top_id[i]] * inv_t));
      all += w;
    }
  }
  if (x->dz != NULL) {
    v->softmax(x->vocab, x->z, inv_t, lse, (float)((double)scale * all), x->dz);
    LOSS_ONCE(for (int32_t i = 0; i < x->k; i++) {
      double w = exp((double)x->top_logprob[i]);
      if (w > 0) {
        x->dz[x->top_id[i]] = (float)((double)x->dz[x->top_id[i]] - (double)scale * w); /* an id may stand there more than once */
      }
    });
  }
  return value * loss_value_scale(p);
}

LOSS_ROW(sample, "-sum w log q over ids drawn from the teacher (unbiased)", LOSS_DRAWS, position)
