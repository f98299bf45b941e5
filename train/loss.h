/* SPDX-License-Identifier: Apache-2.0
 * Losses are rows of a table (train/losses.def): one small file each with the value and gradient of one position.
 * The driver (train/loss_driver.h) fuses output projection and loss over row chunks; logits never exist as a whole.
 * Value convention: sum over unmasked positions / number of unmasked positions of the whole optimiser step; a loss called
 * KL is the true KL. algorithms.md part A has each formula.
 *
 * To add a loss: (1) write train/loss_NAME.c with `const struct loss loss_NAME`; (2) add LOSS(NAME) to losses.def;
 * (3) put its goldens beside the others in tests/golden/data/loss: the tests iterate over the table and demand one. */
#ifndef TRAIN_LOSS_H
#define TRAIN_LOSS_H
#include <stdint.h>
#include "err.h"
#include "loss_loops.h"

/* The biggest number of sparse targets a position (row functions keep that many floats on the stack). */
#define LOSS_MAX_K 4096

struct loss_params {
  double temperature; /* > 0; logits are divided by it on both sides (ce: always 1) */
  int t2;             /* multiply value and gradient by temperature^2 */
  double beta, skew, alpha; /* of losses that have them */
};
/* One position. All pointers belong to the caller. */
struct loss_position {
  int64_t vocab;
  const float *z;           /* (vocab) student logits */
  const float *y;           /* (vocab) teacher logits, NULL when the row does not need them */
  int32_t label;            /* token that follows, -1 = none */
  int32_t k;                /* sparse targets, 0 = none, at most LOSS_MAX_K; distinct ids in [0, vocab) */
  const int32_t *top_id;    /* (k) */
  const float *top_logprob; /* (k) teacher log-probabilities at the temperature of the loss */
  float rest;               /* log of the teacher's exact remaining mass, -INFINITY when none */
  float grad_scale;         /* dz is multiplied by it: 1 / unmasked positions of the step */
  float *dz;                /* (vocab) out: d value / dz * grad_scale; may be z itself; NULL = value only */
};
enum { LOSS_LABEL = 1, LOSS_TEACHER = 2 /* dense teacher logits */, LOSS_TOPK = 4, LOSS_DRAWS = 16 /* ids drawn from the teacher as top_id, log of their weights as top_logprob */,
       LOSS_ZERO = 8 /* promise, tested: value and gradient are 0 where the two distributions are equal */ };
struct loss {
  const char *name;      /* "ce" "fkl" "topk" "sample" */
  const char *formula;   /* one line for help */
  unsigned needs;        /* what it reads and promises: LOSS_LABEL | ... */
  /* Value in nats. Pure and thread safe; the same bits for the same position wherever it runs on one instruction set. */
  double (*position)(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x);
};
extern const struct loss *const loss_table[]; /* ends with NULL */
const struct loss *loss_find(const char *name); /* NULL when unknown */
/* Factors of the temperature: value * loss_value_scale, gradient (d/dz of a function of z / T) * loss_grad_scale. */
double loss_value_scale(const struct loss_params *p);
double loss_grad_scale(const struct loss_params *p);
#endif
