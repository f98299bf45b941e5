/* SPDX-License-Identifier: Apache-2.0
 * The fused output projection and loss (decision 6): logits of student and teacher exist for one chunk of positions at a
 * time, positions outside the loss are never projected, gradients come out as d loss / d hidden and d loss / d head.
 * Used by train and eval. Results are the same bits at any number of threads (fixed chunks, sums in order of position). */
#ifndef TRAIN_LOSS_DRIVER_H
#define TRAIN_LOSS_DRIVER_H
#include <stdint.h>
#include "err.h"
#include "device.h"
#include "loss_row.h"

struct loss_work {
  const struct loss *loss;  /* NULL = only what is wanted */
  struct loss_params params;
  unsigned want;
  int64_t vocab, n;         /* n positions in the loss; 0 gives zeros */
  const int32_t *row;       /* (n) row of hidden that predicts */
  const int32_t *label;     /* (n) token predicted */
  const float *weight;      /* (n) or NULL = all 1 */
  const float *hidden;      /* (rows, width) student's last hidden state; on the device, as head, t_head, dhidden and dhead */
  const float *head;        /* (vocab, width) */
  int64_t width;
  const float *t_hidden;    /* teacher's; NULL = no dense teacher */
  const int32_t *t_row;     /* (n) rows of t_hidden, which lies on the device; NULL = row i for position i, in the host's memory */
  const float *t_head;      /* (vocab, t_width) */
  int64_t t_width;
  int same_teacher;         /* the call before had the same teacher rows and n <= one chunk: its logits are used again */
  int32_t k;                /* sparse targets, 0 = none */
  const int32_t *top_id;    /* (n, k) */
  const float *top_logprob; /* (n, k) */
  const float *rest;        /* (n); NULL = the targets are draws and say nothing of KL or agreement */
  double grad_scale;        /* 1 / sum of weights of the whole optimiser step */
  float *dhidden;           /* (rows, width): the rows named by `row` are set, others left; NULL = no gradient */
  float *dhead;             /* (vocab, width): added to; NULL = none */
};
void loss_sums_add(struct loss_sums *to, const struct loss_sums *more);

struct loss_driver;
/* Plans for rows of at most vocab logits and hidden states of at most width (student) and t_width (teacher, 0 = none). */
MUST_USE enum status loss_driver_new(const struct device *dev, int64_t vocab, int64_t width, int64_t t_width, struct loss_driver **d,
                                     struct err *e);
void loss_driver_free(struct loss_driver *d);
int64_t loss_driver_chunk(const struct loss_driver *d); /* positions projected at a time */
uint64_t loss_driver_bytes(const struct loss_driver *d);
/* One block of positions. each, when not NULL, gets the sums of every single position (n of them): bootstrap needs them. */
MUST_USE enum status loss_driver_run(struct loss_driver *d, const struct loss_work *w, struct loss_sums *sums, struct loss_sums *each, struct err *e);
#endif
