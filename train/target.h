/* SPDX-License-Identifier: Apache-2.0
 * Where the teacher's distribution comes from (decision 8): an online teacher (a forward pass in this process), stored
 * last hidden states through its output head, stored top-k log-probabilities or draws, or nowhere. Used by train and eval. */
#ifndef TRAIN_TARGET_H
#define TRAIN_TARGET_H
#include "err.h"
#include "loss_driver.h"
#include "micro.h"
#include "model.h"
#include "shard.h"

enum target_mode { TARGET_NONE, TARGET_ONLINE, TARGET_HIDDEN, TARGET_TOPK, TARGET_SAMPLE };
const char *target_mode_name(enum target_mode m); /* "none" "online" "hidden" "topk" "sample" */

struct target {
  enum target_mode mode;
  struct model *model;      /* online */
  struct run *run;
  const float *head;        /* (vocab, width); inside model, or own_head */
  const struct device *dev; /* of own_head */
  float *own_head;          /* hidden: the teacher's output head alone */
  size_t own_bytes;
  int64_t width;            /* of the dense teacher, 0 = none */
  unsigned char identity[32];
  int has_identity;
};
/* mode: TARGET_NONE with a teacher or stored targets is allowed (they are not used). TARGET_ONLINE and TARGET_HIDDEN need
 * the teacher's path, TARGET_HIDDEN, TARGET_TOPK and TARGET_SAMPLE need them in the shards. A vocabulary or tokenizer other than the
 * shards', and hidden states of another teacher, are errors. */
MUST_USE enum status target_open(struct target *t, enum target_mode mode, const char *teacher, const struct shard_info *info,
                                 int64_t max_tok, struct err *e);
void target_close(struct target *t);
/* Runs the teacher over m (online) and sets the teacher's fields of w, which must name m's positions. */
MUST_USE enum status target_fill(struct target *t, const struct micro *m, struct loss_work *w, struct err *e);

/* The model's vocabulary and tokenizer (when one is stored with it) must be those of the shards. */
MUST_USE enum status target_check_vocab(const char *what, const char *path, const struct model_config *c, const struct shard_info *info,
                                        struct err *e);
#endif
