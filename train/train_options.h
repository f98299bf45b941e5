/* SPDX-License-Identifier: Apache-2.0
 * Options of `retort train`, and what follows from them. */
#ifndef TRAIN_TRAIN_OPTIONS_H
#define TRAIN_TRAIN_OPTIONS_H
#include "device.h"
#include "opt.h"
#include "optim.h"
#include "shard.h"
#include "target.h"
#include "trainer.h"

struct train_options {
  const char *student, *shards, *loss, *teacher, *teacher_terms, *targets, *out, *schedule, *eval_shards, *dump_grads, *dtype;
  uint64_t tokens, tokens_per_step, micro_tokens, eval_tokens;
  double epochs, lr, lr_end, warmup, weight_decay, beta1, beta2, eps, clip, temperature;
  int64_t seed, eval_every, checkpoint_every;
  int t2, recompute;
  struct device_options dev;
};
extern const struct opt_row train_option_rows[];
/* What must be there and fit together, before anything is opened. */
MUST_USE enum status train_options_check(const struct train_options *o, struct err *e);
/* The options that decide what comes out, as canonical JSON: without paths (inputs count by their hashes) and without what
 * only says how often to save. */
MUST_USE enum status train_options_json(const struct train_options *o, struct buf *out, struct err *e);
/* Source of the teacher's signal and the row that trains on it. `--loss fkl` on stored top-k targets becomes topk. */
MUST_USE enum status train_choose(const struct train_options *o, const struct shard_info *info, enum target_mode *mode, const struct loss **loss,
                                  struct err *e);
#endif
