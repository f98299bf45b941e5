/* SPDX-License-Identifier: Apache-2.0
 * Losses are rows of a table (train/losses.def): one small file each with the value and gradient of one position.
 * The driver (train/loss_driver.h) fuses output projection and loss over row chunks; logits never exist as a whole.
 * Value convention: sum over unmasked positions / number of unmasked positions of the whole optimiser step; a loss called
 * KL is the true KL. algorithms.md part A has each formula.
 *
 * To add a loss: (1) write train/loss_NAME.c with LOSS_ROW(NAME, ...); (2) add LOSS(NAME) to losses.def and the file to
 * loss_files.cuh; (3) put its goldens beside the others in tests/golden/data/loss: the tests iterate over the table and demand one. */
#ifndef TRAIN_LOSS_H
#define TRAIN_LOSS_H
#include <math.h>
#include <stdint.h>
#include <string.h>

/* A loss file is compiled twice: as C, where one thread computes a position, and by train/loss_rows.cu, where all threads of a
 * block run the row function together (this is its CUDA form: nothing more is to be written). So in a loss file
 * - whatever loops over the vocabulary is a loop of struct loss_loops or loss_tail_lse: on the device all threads take part, so
 *   every thread must come to the same ones (conditions on p and x are fine, on values of single threads there are none);
 * - dz is written by loops, else inside LOSS_ONCE(statement), which is one thread's work between two barriers;
 * - k values that outlive the overwriting of z are LOSS_KEPT_FIELD / LOSS_KEPT_ROOM, since a stack of 16 KB a thread is none there;
 * - functions are LOSS_FN, rows LOSS_ROW; the text is C and C++ (no designators, no void pointers without a cast). */
#if defined(LOSS_DEVICE)
#define LOSS_FN static __device__
#define LOSS_ONCE(...)        \
  do {                        \
    __syncthreads();          \
    if (threadIdx.x == 0) {   \
      __VA_ARGS__;            \
    }                         \
    __syncthreads();          \
  } while (0)
#define LOSS_KEPT_FIELD(name) float *name
#define LOSS_KEPT_ROOM(name, x) name = (x)->room
#define LOSS_ROW(id, formula, needs, function)                                                                                          \
  struct loss_row_##id {                                                                                                                \
    static __device__ double at(const struct loss_loops *v, const struct loss_params *p, const struct loss_position *x) { return function(v, p, x); } \
  };
#else
#include "err.h"
#include "loss_loops.h"
#define LOSS_FN static
#define LOSS_ONCE(...) \
  do {                 \
    __VA_ARGS__;       \
  } while (0)
#define LOSS_KEPT_FIELD(name) float name[LOSS_MAX_K]
#define LOSS_KEPT_ROOM(name, x) (void)(x)
#define LOSS_ROW(id, formula, needs, function) const struct loss loss_##id = { #id, formula, needs, function };
#endif

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
  float *room;              /* (k) on the device, else not used */
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
LOSS_FN inline double loss_value_scale(const struct loss_params *p) { return p->t2 ? p->temperature * p->temperature : 1; }
LOSS_FN inline double loss_grad_scale(const struct loss_params *p) { return p->t2 ? p->temperature : 1 / p->temperature; }
/* log sum exp(z / T) over the ids that are not in x->top_id; -INFINITY when there are none. */
#if !defined(LOSS_DEVICE)
double loss_tail_lse(const struct loss_loops *v, const struct loss_position *x, float inv_t);
#endif
LOSS_FN inline double loss_add_logs(double a, double b) {
  double hi = a > b ? a : b, lo = a > b ? b : a;
  return lo == -INFINITY ? hi : hi + log1p(exp(lo - hi));
}
#endif
