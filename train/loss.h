/* SPDX-License-Identifier: Apache-2.0
 * Losses are rows of a table (train/losses.def): one small file each with the value and gradient of one position.
 * The driver (train/loss_driver.c) fuses output projection and loss over row chunks; logits never exist as a whole.
 * Value convention: sum over unmasked positions / number of unmasked positions of the whole optimiser step; forward KL is
 * the true KL. algorithms.md part A has each formula. */
#ifndef TRAIN_LOSS_H
#define TRAIN_LOSS_H
#include <stdint.h>
#include "err.h"
#include "kernel.h"

struct loss_params { double temperature; int t2; double beta, skew, alpha; };
/* One position. z: student logits (vocab), y: teacher logits (vocab) or NULL, label: next token. Writes dL/dz to dz (may be z
 * itself) scaled by grad_scale and returns the value in nats (float64). Row functions are pure and thread safe. */
struct loss_position {
  int64_t vocab;
  const float *z, *y;
  float z_lse, y_lse;      /* log-sum-exp of z / T and y / T */
  int32_t label;           /* -1 = none */
  int32_t k; const int32_t *top_id; const float *top_logprob; float rest; /* sparse targets, k = 0: none */
  float grad_scale;
  float *dz;
};
enum { LOSS_LABEL = 1, LOSS_TEACHER = 2 /* dense teacher logits */, LOSS_TOPK = 4 };
struct loss {
  const char *name;      /* "ce" "fkl" "topk" */
  const char *formula;   /* one line for help */
  unsigned needs;        /* LOSS_LABEL | LOSS_TEACHER | LOSS_TOPK */
  double (*position)(const struct loss_params *p, const struct loss_position *x);
};
extern const struct loss *const loss_table[]; /* ends with NULL */
const struct loss *loss_find(const char *name);
#endif
