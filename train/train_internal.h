/* SPDX-License-Identifier: Apache-2.0
 * One run of `retort train`, shared by train.c (opening and the loop) and train_finish.c (what it leaves). */
#ifndef TRAIN_TRAIN_INTERNAL_H
#define TRAIN_TRAIN_INTERNAL_H
#include "checkpoint.h"
#include "evaluate.h"
#include "run_dir.h"
#include "stage.h"
#include "train_options.h"

struct training {
  const struct train_options *o;
  struct ctx *c;
  struct shard_reader *shards, *held_out;
  struct model *student;
  struct target target;
  const struct loss *loss;
  struct trainer trainer;
  struct feed feed;
  struct run_dir dir;         /* of rank 0, the only one that writes */
  struct ranks ranks;
  struct arena *step_arena;
  struct buf line;
  unsigned char student_id[32];
  int64_t budget, saved_step;
  double start, seconds_before, loss_now, kl_now; /* seconds of earlier sessions */
  const char *teacher_terms;  /* of an online teacher, after the gate; else those that the shards carry; "" = no teacher */
  struct loss_sums eval_sums;
  int has_eval;
};

double training_seconds(const struct training *t); /* of all sessions */
double training_mean(double sum, const struct loss_sums *s); /* over what it was taken over; 0 for nothing */
MUST_USE enum status training_put_field(struct buf *b, const char *key, double v, struct err *e); /* ,"key":v */
/* SHA-256 of a shard folder's manifest, which itself holds that of every file. */
MUST_USE enum status training_shards_hash(const char *folder, struct arena *a, char hex[65], struct err *e);
MUST_USE enum status training_measure(struct training *t, struct err *e); /* held-out shards, into the metrics */
MUST_USE enum status training_save(struct training *t, struct err *e);    /* a checkpoint, unless it is there already */
/* Last measurement, last checkpoint, student, manifest, rename. */
MUST_USE enum status training_finish(struct training *t, struct err *e);
#endif
