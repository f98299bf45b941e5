/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints of a training run (docs/formats.md "Checkpoint"): folders RUN/checkpoints/step-NNNNNNNN that are complete or
 * absent, holding parameters and moments as safetensors and the counters as state.json. Loading one gives back every bit,
 * so a resumed run ends with the same bytes as an uninterrupted one. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H
#include "err.h"
#include "micro.h"
#include "trainer.h"

struct checkpoint_state {
  int64_t step, tokens, updates, bad_in_a_row; /* of the trainer */
  int64_t epoch, at;                           /* of the feed */
  uint64_t seed;
  double seconds;                              /* of training so far, for the metrics */
  double loss, kl;                             /* of the last step, for the manifest */
};
/* Saves under dir/checkpoints and removes all but the last `keep`. */
MUST_USE enum status checkpoint_save(const char *dir, const struct trainer *t, const struct checkpoint_state *s, int keep, struct err *e);
/* Loads the newest whole one into t (parameters in place); a damaged one is named in the log and passed over.
 * *found = 0 when there is none. The caller sets its counters from *s. */
MUST_USE enum status checkpoint_load(const char *dir, struct trainer *t, struct checkpoint_state *s, int *found, struct err *e);
/* A block laid out like the parameters as a safetensors file, names as they are behind prefix ("" = none). */
MUST_USE enum status checkpoint_write_block(const char *path, const struct model *m, const float *block, struct err *e);
#endif
