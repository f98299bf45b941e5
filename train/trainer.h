/* SPDX-License-Identifier: Apache-2.0
 * One training step after another: forward over micro-batches, fused loss, backward, clipping, update. Knows no files: the
 * stage (train.c) feeds it samples and keeps its state in checkpoints. The loss is averaged over the unmasked tokens of
 * the whole step, never of a micro-batch. Same bits at any number of threads. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H
#include "err.h"
#include "loss_driver.h"
#include "mem.h"
#include "micro.h"
#include "model.h"
#include "optim.h"
#include "ranks.h"
#include "target.h"

struct trainer_options {
  const struct loss *loss;
  struct loss_params params;
  struct optim_params optim;
  int64_t micro_tokens;     /* a forward pass takes as many whole samples as fit, at least one */
  int64_t context;          /* tokens of the longest sample */
  int recompute;            /* RUN_RECOMPUTE */
  int want_kl;              /* measure the true KL when a teacher is there */
};
struct trainer {
  struct trainer_options o;
  struct model *student;    /* not owned */
  struct target *target;    /* not owned */
  struct ranks ranks;       /* {0, 1} unless the caller joined others: then micro-batches are shared out and gradients summed */
  struct run *run;
  struct loss_driver *driver;
  struct optim optim;
  float *grads, *dhidden;
  int64_t n_floats, max_tok;
  struct arena *arena;      /* of one micro-batch */
  /* what a checkpoint keeps beside parameters and moments */
  int64_t step, tokens, bad_in_a_row; /* steps taken, input tokens seen, non-finite steps since the last good one */
};
/* Where the time of a step goes. */
enum step_part { PART_TEACHER, PART_FORWARD, PART_LOSS, PART_BACKWARD, PART_UPDATE, PART_COUNT };
const char *step_part_name(enum step_part p); /* "teacher" "forward" "loss" "backward" "update" (norm and AdamW) */
struct step_result {
  struct loss_sums sums;
  int64_t tokens;           /* input tokens of the step */
  double norm, flops;       /* gradient norm before clipping; operations of student and teacher */
  double seconds[PART_COUNT];
  int finite, updated;      /* a step without finite loss and gradient, or without any unmasked token, changes nothing */
};
/* The student is trained in place. */
MUST_USE enum status trainer_open(struct trainer *t, struct model *student, struct target *target, const struct trainer_options *o,
                                  struct err *e);
void trainer_close(struct trainer *t);
uint64_t trainer_bytes(const struct trainer *t); /* planned: activations, logits, gradients, moments */
/* Gradients of one step into t->grads (zeroed first). STATUS_STOPPED when stop was asked for (of any rank) between micro-batches.
 * Every rank is given the same samples, takes every nth micro-batch and ends with the same sums and gradients. */
MUST_USE enum status trainer_gradients(struct trainer *t, const struct sample *s, int64_t n, struct step_result *r, struct err *e);
/* trainer_gradients and one update at learning rate lr; counts the step. */
MUST_USE enum status trainer_step(struct trainer *t, const struct sample *s, int64_t n, double lr, struct step_result *r, struct err *e);
/* Floating-point operations of a forward pass over m (projection of m->n positions). */
double model_forward_flops(const struct model *m, const struct micro *b, int with_body);
/* Lowest non-finite tensor of the gradients, NULL when all are finite. */
const char *trainer_bad_tensor(const struct trainer *t);
#endif
