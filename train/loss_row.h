/* SPDX-License-Identifier: Apache-2.0
 * One position of the loss driver: what is measured beside the loss, then the loss. The same text for the CPU (loss_driver.c, a
 * thread a position) and for the device (loss_rows.cu, a block a position); see LOSS_FN in loss.h. */
#ifndef TRAIN_LOSS_ROW_H
#define TRAIN_LOSS_ROW_H
#include "loss.h"

/* Measured beside the loss at every position, each costing about one more pass over the row of logits. */
enum {
  LOSS_WANT_CE = 1,    /* -log q[label] */
  LOSS_WANT_KL = 2,    /* true KL(p||q) at temperature 1; with sparse targets only: the ghost bucket's lower bound of it */
  LOSS_WANT_AGREE = 4  /* greatest logit of the student = the teacher's */
};
/* Weighted sums over positions, in nats. */
struct loss_sums { double loss, ce, kl, agree, weight; int64_t n; };

/* Numbers of the losses: rows of losses.def. */
enum loss_number {
  LOSS_NONE = -1, /* only what is wanted */
#define LOSS(name) LOSS_NUMBER_##name,
#include "losses.def"
#undef LOSS
  LOSS_NUMBERS
};

/* Rows of logits in hand; every pointer lies in the back end's memory. */
struct loss_chunk {
  int32_t loss;             /* enum loss_number */
  int32_t is_kl;            /* the loss is the true KL: not measured twice */
  struct loss_params params;
  unsigned want;
  int32_t grad;             /* gradients go over z */
  int64_t vocab, n;
  int32_t k;                /* sparse targets, 0 = none */
  float *z;                 /* (n, vocab) */
  const float *y;           /* (n, vocab) or NULL */
  const int32_t *label;     /* (n) or NULL */
  const float *weight;      /* (n) or NULL = all 1 */
  const int32_t *top_id;    /* (n, k) */
  const float *top_logprob, *rest; /* (n, k) (n); rest NULL = the targets are draws */
  float *room;              /* (n, k) on a device */
  double grad_scale;
  struct loss_sums *each;   /* (n) out */
};

#if defined(LOSS_DEVICE)
#define LOSS_ROW_FN template <class Main> static __device__
#define LOSS_CALL(id) loss_row_##id::at
#define LOSS_MAIN(c) Main::at
#else
#define LOSS_ROW_FN static inline
#define LOSS_CALL(id) loss_##id.position
#define LOSS_MAIN(c) loss_table[(c)->loss]->position
#define LOSS(name) extern const struct loss loss_##name;
#include "losses.def"
#undef LOSS
#endif

/* What is wanted beside the loss; before the loss, which may put its gradient over the logits. */
LOSS_FN inline void loss_row_measure(const struct loss_loops *v, const struct loss_position *x, unsigned want, int draws, struct loss_sums *s) {
  struct loss_params plain = { 1, 0, 0, 0, 0 };
  struct loss_position at = *x;
  at.dz = NULL;
  if (want & LOSS_WANT_CE) {
    s->ce = LOSS_CALL(ce)(v, &plain, &at);
  }
  if ((want & LOSS_WANT_KL) && x->y != NULL) {
    s->kl = LOSS_CALL(fkl)(v, &plain, &at);
  } else if ((want & LOSS_WANT_KL) && x->k > 0 && !draws) {
    s->kl = LOSS_CALL(topk)(v, &plain, &at);
  }
  if ((want & LOSS_WANT_AGREE) && x->y != NULL) {
    s->agree = v->argmax(x->vocab, x->z) == v->argmax(x->vocab, x->y);
  } else if ((want & LOSS_WANT_AGREE) && x->k > 0 && !draws) {
    s->agree = v->argmax(x->vocab, x->z) == x->top_id[0]; /* stored best first */
  }
}

LOSS_ROW_FN void loss_row_run(const struct loss_loops *v, const struct loss_chunk *c, int64_t r, struct loss_sums *s) {
  double weight = c->weight != NULL ? (double)c->weight[r] : 1;
  struct loss_position x;
  memset(s, 0, sizeof *s);
  memset(&x, 0, sizeof x);
  x.vocab = c->vocab;
  x.z = c->z + r * c->vocab;
  x.y = c->y != NULL ? c->y + r * c->vocab : NULL;
  x.label = c->label != NULL ? c->label[r] : -1;
  x.grad_scale = (float)(c->grad_scale * weight);
  x.dz = c->grad ? c->z + r * c->vocab : NULL;
  if (c->k > 0) {
    x.k = c->k;
    x.top_id = c->top_id + r * c->k;
    x.top_logprob = c->top_logprob + r * c->k;
    x.rest = c->rest != NULL ? c->rest[r] : -INFINITY;
    x.room = c->room != NULL ? c->room + r * c->k : NULL;
  }
  loss_row_measure(v, &x, c->is_kl ? c->want & ~(unsigned)LOSS_WANT_KL : c->want, c->rest == NULL, s);
  if (c->loss != LOSS_NONE) {
    s->loss = LOSS_MAIN(c)(v, &c->params, &x);
    s->kl = c->is_kl ? s->loss : s->kl;
  }
  s->weight = weight;
  s->n = 1;
  s->loss *= weight;
  s->ce *= weight;
  s->kl *= weight;
  s->agree *= weight;
}
#endif
