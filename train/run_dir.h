/* SPDX-License-Identifier: Apache-2.0
 * A run folder while it grows (docs/formats.md "Run folder"). RUN.part is worked in and renamed to RUN when the training is
 * complete, so RUN is complete or absent. The key is the hash of inputs and options: the same key resumes or leaves alone,
 * another one is refused without force. A lock keeps two processes from training into one folder. */
#ifndef TRAIN_RUN_DIR_H
#define TRAIN_RUN_DIR_H
#include <stdio.h>
#include "err.h"
#include "mem.h"
#include "span.h"

struct run_dir {
  char *path, *part;     /* RUN, RUN.part */
  char key[65];
  int lock_fd, complete; /* complete: RUN is there with the same key, nothing to do */
  int resumes;           /* RUN.part was there with the same key */
  int replace;           /* RUN is there with another key and goes at the end (--force) */
  FILE *metrics;
};
/* about: one JSON object with options and inputs, what the key is made of; kept as RUN/run.json. */
MUST_USE enum status run_dir_open(struct run_dir *d, const char *path, struct span about, int force, struct err *e);
/* Opens metrics.jsonl, without the lines of steps after `step` that a killed process wrote. */
MUST_USE enum status run_dir_metrics(struct run_dir *d, int64_t step, struct err *e);
MUST_USE enum status run_dir_metric(struct run_dir *d, struct span line, struct err *e); /* one JSON object, flushed */
/* Writes manifest.json and renames RUN.part to RUN. */
MUST_USE enum status run_dir_commit(struct run_dir *d, struct span manifest, struct err *e);
void run_dir_close(struct run_dir *d);
MUST_USE enum status file_write_text(const char *path, struct span text, struct err *e); /* atomic, with a final newline */
#endif
