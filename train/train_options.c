/* SPDX-License-Identifier: Apache-2.0
 * The option table of `retort train`. */
#include "train_options.h"
#include <string.h>
#include "log.h"

#define ROW(field, name, letter, type, dflt, range, arg, help) OPT_ROW(train_options, field, name, letter, type, dflt, range, arg, help)
const struct opt_row train_option_rows[] = {
  ROW(student, "student", 0, OPT_STR, NULL, NULL, "MODEL", "the model to train: a Hugging Face folder, a GGUF file or a run folder"),
  ROW(shards, "shards", 0, OPT_STR, NULL, NULL, "DIR", "token shards made by 'retort shard'"),
  ROW(out, "output", 'o', OPT_STR, NULL, NULL, "RUN", "run folder to write; an unfinished one is resumed"),
  ROW(loss, "loss", 0, OPT_STR, "fkl", NULL, "NAME", "fkl (forward KL), ce (supervised), topk (stored targets); see 'retort loss -h'"),
  ROW(teacher, "teacher", 0, OPT_STR, NULL, NULL, "MODEL", "online teacher, or the one whose hidden states the shards hold"),
  ROW(teacher_terms, "teacher-terms", 0, OPT_STR, NULL, NULL, "ID", "licence or terms of the online teacher when it does not say them itself"),
  ROW(targets, "targets", 0, OPT_ENUM, "auto", "auto|online|hidden|topk|sample|none", NULL, "where the teacher's distribution comes from"),
  ROW(tokens, "tokens", 0, OPT_COUNT, NULL, "0..", "N", "stop after this many input tokens (2M = two million); 0 = --epochs decides"),
  ROW(epochs, "epochs", 0, OPT_NUM, "1", "0..1000000", "N", "passes over the shards when --tokens is not given"),
  ROW(tokens_per_step, "tokens-per-step", 0, OPT_COUNT, "1024", "1..", "N", "input tokens of one optimiser step, in whole samples"),
  ROW(micro_tokens, "micro-tokens", 0, OPT_COUNT, "1024", "1..", "N", "input tokens of one forward pass: less takes less memory; another value changes results within rounding, so it is part of the run's key"),
  ROW(lr, "lr", 0, OPT_NUM, "3e-4", "0..", "X", "peak learning rate"),
  ROW(schedule, "schedule", 0, OPT_ENUM, "cosine", "cosine|constant", NULL, "learning rate after the warm-up"),
  ROW(warmup, "warmup", 0, OPT_NUM, "0.05", "0..1", "SHARE", "share of the tokens over which the learning rate rises"),
  ROW(lr_end, "lr-end", 0, OPT_NUM, "0.1", "0..1", "SHARE", "share of the peak that the cosine ends at"),
  ROW(weight_decay, "weight-decay", 0, OPT_NUM, "0.1", "0..", "X", "decoupled decay of 2-d tensors"),
  ROW(beta1, "beta1", 0, OPT_NUM, "0.9", "0..0.999999", "X", "AdamW's first moment"),
  ROW(beta2, "beta2", 0, OPT_NUM, "0.95", "0..0.999999", "X", "AdamW's second moment"),
  ROW(eps, "eps", 0, OPT_NUM, "1e-8", "0..", "X", "AdamW's epsilon"),
  ROW(clip, "clip", 0, OPT_NUM, "1", "0..", "X", "greatest norm of a step's gradient, 0 = none"),
  ROW(temperature, "temperature", 0, OPT_NUM, "1", "0.01..100", "T", "divides the logits of both sides of a divergence"),
  ROW(t2, "t2", 0, OPT_FLAG, NULL, NULL, NULL, "multiply loss and gradient by the square of the temperature"),
  ROW(seed, "seed", 0, OPT_INT, "1", "0..", "N", "order of the samples"),
  ROW(eval_shards, "eval-shards", 0, OPT_STR, NULL, NULL, "DIR", "held-out shards to measure while training"),
  ROW(eval_every, "eval-every", 0, OPT_INT, "0", "0..", "STEPS", "measure each so many steps; 0 = at the start and the end only"),
  ROW(eval_tokens, "eval-tokens", 0, OPT_COUNT, "0", "0..", "N", "measure on the first N tokens of --eval-shards; 0 = all"),
  ROW(checkpoint_every, "checkpoint-every", 0, OPT_INT, "100", "1..", "STEPS", "save each so many steps; the last two are kept"),
  ROW(recompute, "recompute", 0, OPT_FLAG, NULL, NULL, NULL, "compute activations again in the backward pass: less memory, more time"),
  ROW(dtype, "dtype", 0, OPT_ENUM, "f32", "f32|f16|bf16", NULL, "number type of the student's weights in RUN/student"),
  ROW(dump_grads, "dump-grads", 0, OPT_STR, NULL, NULL, "FILE", "write the first step's gradients (before clipping) as safetensors and end"),
  DEVICE_OPTION_ROWS(train_options, dev),
  OPT_END
};

enum status train_options_check(const struct train_options *o, struct err *e) {
  const char *missing = o->student == NULL ? "--student" : o->shards == NULL ? "--shards" : o->out == NULL && o->dump_grads == NULL ? "-o" : NULL;
  if (missing != NULL) {
    return err_set(e, STATUS_USAGE, "'%s' is missing; see 'retort train -h'", missing);
  }
  if (loss_find(o->loss) == NULL) {
    char known[1000] = "";
    for (size_t i = 0; loss_table[i] != NULL; i++) {
      size_t n = strlen(known);
      snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", loss_table[i]->name);
    }
    return err_set(e, STATUS_USAGE, "'%s' is not a loss; known: %s", o->loss, known);
  }
  if (o->temperature != 1 && strncmp(o->loss, "topk", 4) == 0) {
    return err_set(e, STATUS_USAGE, "stored targets are log-probabilities at temperature 1: '--temperature %g' needs an online teacher", o->temperature);
  }
  return STATUS_OK;
}

enum status train_options_json(const struct train_options *o, struct buf *out, struct err *e) {
  static const char *const leave[] = { "student", "shards", "output", "teacher", "eval-shards", "checkpoint-every", "dump-grads",
                                       "device", "precision" /* kernel_contract() says what they changed */ };
  struct opt_row rows[sizeof train_option_rows / sizeof *train_option_rows];
  size_t n = 0;
  for (const struct opt_row *r = train_option_rows; r->name != NULL; r++) {
    int left = 0;
    for (size_t i = 0; i < sizeof leave / sizeof *leave; i++) {
      left |= strcmp(r->name, leave[i]) == 0;
    }
    if (!left) {
      rows[n++] = *r;
    }
  }
  rows[n] = (struct opt_row)OPT_END;
  return opt_canonical(rows, o, out, e);
}

static enum status choose_mode(const struct train_options *o, const struct shard_info *info, const struct loss *loss, enum target_mode *mode, struct err *e) {
  static const enum target_mode named[] = { TARGET_NONE, TARGET_ONLINE, TARGET_HIDDEN, TARGET_TOPK, TARGET_SAMPLE };
  for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
    if (strcmp(o->targets, target_mode_name(named[i])) == 0) {
      *mode = named[i];
      return STATUS_OK;
    }
  }
  int stored = info->top_k > 0 && o->temperature == 1;
  if (loss->needs & LOSS_TOPK) {
    *mode = TARGET_TOPK;
  } else if (loss->needs & LOSS_DRAWS) {
    *mode = TARGET_SAMPLE;
  } else if (o->teacher != NULL) {
    *mode = info->hidden > 0 ? TARGET_HIDDEN : TARGET_ONLINE;
  } else {
    *mode = stored ? TARGET_TOPK : info->draws > 0 && o->temperature == 1 && strcmp(loss->name, "fkl") == 0 ? TARGET_SAMPLE : TARGET_NONE;
  }
  if (*mode == TARGET_NONE && loss->needs & LOSS_TEACHER) {
    return err_set(e, STATUS_USAGE, "loss '%s' needs a teacher: give --teacher, or shards made with --targets topk:K (they hold %s)", loss->name,
                   info->top_k > 0 ? "targets at temperature 1 only" : info->hidden > 0 ? "hidden states, which need the teacher's head" : "none");
  }
  return STATUS_OK;
}

enum status train_choose(const struct train_options *o, const struct shard_info *info, enum target_mode *mode, const struct loss **out, struct err *e) {
  const struct loss *loss = loss_find(o->loss);
  enum status st = choose_mode(o, info, loss, mode, e);
  if (st != STATUS_OK) {
    return st;
  }
  if (*mode == TARGET_TOPK && strcmp(loss->name, "fkl") == 0) {
    if (o->temperature != 1) {
      return err_set(e, STATUS_USAGE, "stored targets are log-probabilities at temperature 1: '--temperature %g' needs an online teacher", o->temperature);
    }
    log_info("forward KL on the %d stored top-k targets and one bucket of their exact remaining mass", (int)info->top_k);
    loss = loss_find("topk");
  }
  if (*mode == TARGET_SAMPLE && info->draws > 0 && (strcmp(loss->name, "fkl") == 0 || strcmp(loss->name, "sample") == 0)) {
    if (o->temperature != 1) {
      return err_set(e, STATUS_USAGE, "draws are from the teacher at temperature 1: '--temperature %g' needs an online teacher", o->temperature);
    }
    log_info("cross entropy against the %d stored draws a position: its gradient is, on average, that of forward KL", (int)info->draws);
    loss = loss_find("sample");
  }
  int dense = *mode == TARGET_ONLINE || *mode == TARGET_HIDDEN;
  if ((loss->needs & LOSS_TEACHER && !dense) || (loss->needs & LOSS_TOPK && *mode != TARGET_TOPK) ||
      (loss->needs & LOSS_DRAWS && *mode != TARGET_SAMPLE)) {
    return err_set(e, STATUS_USAGE, "loss '%s' cannot train on targets '%s'", loss->name, target_mode_name(*mode));
  }
  *out = loss;
  return STATUS_OK;
}
