/* SPDX-License-Identifier: Apache-2.0
 * `retort train`: opens what the options name, resumes or begins, feeds the trainer until the tokens are used up, writes
 * metrics, checkpoints, and at the end the student. The numbers are made in trainer.c, the folder is kept by run_dir.c. */
#include <math.h>
#include <string.h>
#include "file.h"
#include "hidden_error.h"
#include "hash.h"
#include "log.h"
#include "pool.h"
#include "stop.h"
#include "teacher.h"
#include "train_internal.h"
#include "weights.h"

enum { BAD_MOST = 3, KEEP = 2 };

/* ---- opening ---- */

/* Decision 13: a teacher that trains here goes through the gate; stored targets went through it in `shard`. */
static enum status gate(struct training *t, struct err *e) {
  const char *stored = shard_info(t->shards)->terms;
  t->teacher_terms = t->target.mode != TARGET_NONE && stored != NULL ? stored : "";
  if (t->target.mode != TARGET_ONLINE) {
    return STATUS_OK;
  }
  return teacher_terms_gate(model_weights(t->target.model), t->o->teacher_terms, ctx_common(t->c)->accept_terms, ctx_arena(t->c), &t->teacher_terms, e);
}

static enum status open_inputs(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  const struct train_options *o = t->o;
  enum target_mode mode;
  TRY(shard_open(o->shards, &t->shards, e));
  const struct shard_info *info = shard_info(t->shards);
  TRY(train_choose(o, info, &mode, &t->loss, e));
  TRY(model_open(o->student, MODEL_TRAIN, &t->student, e));
  TRY(target_check_vocab("student", o->student, model_config(t->student), info, e));
  TRY(weights_identity(model_weights(t->student), t->student_id, e));
  weights_forget(model_weights(t->student)); /* else a whole copy of the weights stays resident beside the parameters */
  /* no forward pass has more than a step, nor more than there is */
  uint64_t most = o->tokens_per_step + (uint64_t)info->context;
  if (most > (uint64_t)info->n_tokens) most = (uint64_t)info->n_tokens;
  int64_t micro = (int64_t)(o->micro_tokens < most ? o->micro_tokens : most), max_tok = micro > info->context ? micro : info->context;
  if (o->eval_shards != NULL) {
    TRY(shard_open(o->eval_shards, &t->held_out, e));
    TRY(target_check_vocab("student", o->student, model_config(t->student), shard_info(t->held_out), e));
    max_tok = max_tok > shard_info(t->held_out)->context ? max_tok : shard_info(t->held_out)->context;
  }
  TRY(target_open(&t->target, mode, o->teacher, info, max_tok, e));
  TRY(hidden_error_report(&t->target, t->shards, e));
  TRY(gate(t, e));
  t->budget = o->tokens > 0 ? (int64_t)o->tokens : (int64_t)ceil(o->epochs * (double)info->n_tokens);
  if (info->n_targets == 0) {
    st = err_set(e, STATUS_DATA, "'%s' has no token in the loss: every mask is 0", o->shards);
    goto out;
  }
  struct trainer_options p = { .loss = t->loss, .params = { .temperature = o->temperature, .t2 = o->t2 },
                               .optim = { o->lr, o->beta1, o->beta2, o->eps, o->weight_decay, o->clip },
                               .micro_tokens = micro, .context = max_tok, .recompute = o->recompute,
                               .want_kl = mode != TARGET_NONE && mode != TARGET_SAMPLE };
  TRY(trainer_open(&t->trainer, t->student, &t->target, &p, e));
  TRY(feed_open(&t->feed, t->shards, (uint64_t)o->seed, e));
out:
  return st;
}

/* {"options":..,"inputs":..}: what decides the result, and the key of the folder. Inputs count by hash, not by path. */
static enum status put_about(struct training *t, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  char hex[65];
  TRY(buf_puts(b, "{\"options\":", e));
  TRY(train_options_json(t->o, b, e));
  hash_hex(t->student_id, 32, hex);
  TRY(buf_printf(b, e, ",\"targets\":\"%s\",\"student\":\"%s\"", target_mode_name(t->target.mode), hex));
  TRY(training_shards_hash(t->o->shards, ctx_arena(t->c), hex, e));
  TRY(buf_printf(b, e, ",\"shards\":\"%s\"", hex));
  if (t->target.has_identity) {
    hash_hex(t->target.identity, 32, hex);
    TRY(buf_printf(b, e, ",\"teacher\":\"%s\"", hex));
  }
  if (t->held_out != NULL) {
    TRY(training_shards_hash(t->o->eval_shards, ctx_arena(t->c), hex, e));
    TRY(buf_printf(b, e, ",\"eval_shards\":\"%s\"", hex));
  }
  TRY(buf_printf(b, e, ",\"kernels\":\"%s\"}", kernel_contract()));
out:
  return st;
}

static enum status resume(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct checkpoint_state s = { 0 };
  int found = 0;
  TRY(checkpoint_load(t->dir.part, &t->trainer, &s, &found, e));
  if (found) {
    t->trainer.step = s.step;
    t->trainer.tokens = s.tokens;
    t->trainer.optim.step = s.updates;
    t->trainer.bad_in_a_row = s.bad_in_a_row;
    t->feed.epoch = s.epoch;
    t->feed.at = s.at;
    t->seconds_before = s.seconds;
    t->loss_now = s.loss;
    t->kl_now = s.kl;
    t->saved_step = s.step;
    log_info("resuming '%s' after step %lld (%lld of %lld tokens)", t->dir.path, (long long)s.step, (long long)s.tokens, (long long)t->budget);
  }
  TRY(run_dir_metrics(&t->dir, found ? s.step : -1, e));
out:
  return st;
}

/* ---- while training ---- */

enum status training_save(struct training *t, struct err *e) {
  if (t->saved_step == t->trainer.step || t->ranks.rank > 0) {
    return STATUS_OK;
  }
  struct checkpoint_state s = { .step = t->trainer.step, .tokens = t->trainer.tokens, .updates = t->trainer.optim.step,
                                .bad_in_a_row = t->trainer.bad_in_a_row, .epoch = t->feed.epoch, .at = t->feed.at, .seed = t->feed.seed,
                                .seconds = training_seconds(t), .loss = t->loss_now, .kl = t->kl_now };
  enum status st = checkpoint_save(t->dir.part, &t->trainer, &s, KEEP, e);
  if (st == STATUS_OK) {
    t->saved_step = t->trainer.step;
  }
  return st;
}

static enum status write_metric(struct training *t, const struct step_result *r, double lr, double took, struct err *e) {
  enum status st = STATUS_OK;
  struct buf *b = &t->line;
  if (t->ranks.rank > 0) {
    return STATUS_OK;
  }
  buf_clear(b);
  TRY(buf_printf(b, e, "{\"step\":%lld,\"tokens\":%lld", (long long)t->trainer.step, (long long)t->trainer.tokens));
  TRY(training_put_field(b, "loss", t->loss_now, e));
  if (t->trainer.o.want_kl) {
    TRY(training_put_field(b, "kl", t->kl_now, e));
  }
  TRY(training_put_field(b, "lr", lr, e));
  TRY(training_put_field(b, "grad_norm", r->norm, e));
  TRY(buf_printf(b, e, ",\"loss_tokens\":%lld,\"updated\":%s", (long long)r->sums.n, r->updated ? "true" : "false"));
  TRY(training_put_field(b, "tok_s", (double)r->tokens / took, e));
  TRY(training_put_field(b, "gflops", r->flops / took / 1e9, e));
  TRY(training_put_field(b, "time", training_seconds(t), e));
  for (int p = 0; p < PART_COUNT; p++) {
    TRY(buf_printf(b, e, "%s\"%s\":%.4f", p == 0 ? ",\"seconds\":{" : ",", step_part_name((enum step_part)p), r->seconds[p]));
  }
  TRY(buf_puts(b, "}}", e));
  TRY(run_dir_metric(&t->dir, (struct span){ b->p, b->n }, e));
out:
  return st;
}

/* Held-out loss, with the runs of the training itself: nothing more is allocated. */
enum status training_measure(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct buf *b = &t->line;
  if (t->held_out == NULL || t->ranks.rank > 0) {
    return STATUS_OK;
  }
  struct target none = { 0 };
  const struct shard_info *info = shard_info(t->held_out);
  int same_kind = (t->target.mode != TARGET_TOPK || info->top_k > 0) && (t->target.mode != TARGET_HIDDEN || info->hidden > 0) &&
                  t->target.mode != TARGET_SAMPLE; /* draws give no KL */
  struct subject s = { .model = t->student, .run = t->trainer.run };
  struct evaluation v = { .data = source_of_shards(t->held_out), .target = same_kind ? &t->target : &none, .driver = t->trainer.driver,
                          .max_tok = t->trainer.max_tok, .token_limit = (int64_t)t->o->eval_tokens };
  TRY(evaluate(&v, &s, 1, e));
  t->eval_sums = s.sums;
  t->has_eval = 1;
  buf_clear(b);
  TRY(buf_printf(b, e, "{\"step\":%lld,\"tokens\":%lld,\"eval\":{\"loss_tokens\":%lld", (long long)t->trainer.step, (long long)t->trainer.tokens,
                 (long long)s.sums.n));
  TRY(training_put_field(b, "loss", training_mean(s.sums.ce, &s.sums), e));
  if (v.target->mode != TARGET_NONE) {
    TRY(training_put_field(b, "kl", training_mean(s.sums.kl, &s.sums), e));
    TRY(training_put_field(b, "agreement", training_mean(s.sums.agree, &s.sums), e));
    TRY(buf_printf(b, e, ",\"targets\":\"%s\"", target_mode_name(v.target->mode)));
  }
  TRY(buf_putc(b, '}', e));
  TRY(training_put_field(b, "time", training_seconds(t), e));
  TRY(buf_putc(b, '}', e));
  TRY(run_dir_metric(&t->dir, (struct span){ b->p, b->n }, e));
  if (v.target->mode != TARGET_NONE) {
    log_info("step %lld: held-out loss %.4f, KL %.4f, agreement %.3f", (long long)t->trainer.step, training_mean(s.sums.ce, &s.sums), training_mean(s.sums.kl, &s.sums), training_mean(s.sums.agree, &s.sums));
  } else {
    log_info("step %lld: held-out loss %.4f", (long long)t->trainer.step, training_mean(s.sums.ce, &s.sums));
  }
out:
  return st;
}

/* Training that produces no numbers any more is ended with what is needed to look into it. */
static enum status report_bad(struct training *t, const struct sample *s, int64_t n, const struct step_result *r, struct err *e) {
  const char *bad = trainer_bad_tensor(&t->trainer);
  log_warn("step %lld: loss %g, gradient norm %g (first non-finite tensor: %s); the step is left out", (long long)t->trainer.step, r->sums.loss, r->norm,
           bad != NULL ? bad : "none");
  if (t->trainer.bad_in_a_row < BAD_MOST) {
    return STATUS_OK;
  }
  struct buf rows = { 0 };
  struct err none;
  for (int64_t i = 0; i < n && i < 8; i++) {
    for (int32_t d = 0; d < s[i].n_doc && d < 8; d++) {
      if (buf_printf(&rows, &none, " %s", s[i].row_id[d] != NULL ? s[i].row_id[d] : "?") != STATUS_OK) {
        break;
      }
    }
  }
  enum status st = err_set(e, STATUS_DATA,
                           "the gradients of %d steps in a row were not finite, the last at step %lld, first in '%s', rows%s; lower --lr (now %g) or look at these rows; "
                           "the last whole state is kept in '%s.part/checkpoints'",
                           BAD_MOST, (long long)t->trainer.step, bad != NULL ? bad : "the loss", rows.p != NULL ? rows.p : "", t->o->lr, t->o->out);
  buf_free(&rows);
  return st;
}

static enum status one_step(struct training *t, struct progress *bar, struct err *e) {
  enum status st = STATUS_OK;
  struct sample *s = NULL;
  struct step_result r;
  int64_t n = 0, tok = 0;
  struct feed before = t->feed; /* a step that is stopped half-way is taken anew */
  char note[64];
  arena_reset(t->step_arena);
  TRY(feed_step(&t->feed, (int64_t)t->o->tokens_per_step, t->step_arena, &s, &n, e));
  (void)samples_fitting(s, n, INT64_MAX, &tok);
  double share = (double)(t->trainer.tokens + tok) / (double)t->budget, begin = clock_seconds();
  double lr = schedule_lr(strcmp(t->o->schedule, "constant") == 0 ? SCHEDULE_CONSTANT : SCHEDULE_COSINE, t->o->lr, share, t->o->warmup, t->o->lr_end);
  st = trainer_step(&t->trainer, s, n, lr, &r, e);
  if (st != STATUS_OK) {
    t->feed.epoch = before.epoch;
    t->feed.at = before.at;
    goto out;
  }
  if (r.sums.weight > 0) {
    t->loss_now = training_mean(r.sums.loss, &r.sums);
    t->kl_now = training_mean(r.sums.kl, &r.sums);
  }
  TRY(write_metric(t, &r, lr, clock_seconds() - begin, e));
  if (t->trainer.o.want_kl && t->loss->needs & LOSS_LABEL) {
    snprintf(note, sizeof note, "loss %.3f, KL %.3f", t->loss_now, t->kl_now);
  } else {
    snprintf(note, sizeof note, "loss %.3f", t->loss_now);
  }
  progress_set(bar, (uint64_t)t->trainer.tokens, note);
  if (!r.finite) {
    TRY(report_bad(t, s, n, &r, e));
  }
out:
  return st;
}

static int evaluation_due(const struct training *t) {
  int64_t every = t->o->eval_every;
  return every > 0 && t->trainer.step % every == 0 && t->trainer.tokens < t->budget;
}

static enum status train_loop(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct progress *bar = NULL;
  if (t->trainer.step == 0 || evaluation_due(t)) { /* a resumed run makes that of its saved step anew */
    TRY(training_measure(t, e));
  }
  bar = progress_new("training", "tok", (uint64_t)t->budget); /* after the measurement, which is no part of its rate */
  progress_from(bar, (uint64_t)t->trainer.tokens);
  while (t->trainer.tokens < t->budget) {
    st = one_step(t, bar, e);
    if (st == STATUS_STOPPED) {
      break;
    }
    TRY(st);
    if (evaluation_due(t)) {
      st = training_measure(t, e);
      if (st == STATUS_STOPPED) {
        break;
      }
      TRY(st);
    }
    if (t->trainer.step % t->o->checkpoint_every == 0) {
      TRY(training_save(t, e));
    }
    TRY(lease_yield(e));
  }
  if (st == STATUS_STOPPED) {
    struct err again;
    if (training_save(t, &again) != STATUS_OK) {
      *e = again;
      st = again.code;
      goto out;
    }
    size_t n = strlen(t->o->out);
    while (n > 1 && t->o->out[n - 1] == '/') n--;
    st = err_set(e, STATUS_STOPPED, "stopped after step %lld, saved in '%.*s.part'; the same command goes on from there", (long long)t->trainer.step, (int)n, t->o->out);
  }
out:
  progress_free(bar);
  return st;
}

static enum status dump_grads(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct sample *s = NULL;
  struct step_result r;
  int64_t n = 0;
  TRY(feed_step(&t->feed, (int64_t)t->o->tokens_per_step, t->step_arena, &s, &n, e));
  TRY(trainer_gradients(&t->trainer, s, n, &r, e));
  const float *grads;
  TRY(model_block_fetch(t->student, t->trainer.grads, &grads, e));
  st = checkpoint_write_block(t->o->dump_grads, t->student, grads, e);
  model_block_drop(t->student, grads);
  TRY(st);
  log_info("gradients of %lld tokens (%lld in the loss, loss %.6f, norm %.6f) in '%s'", (long long)r.tokens, (long long)r.sums.n, training_mean(r.sums.loss, &r.sums),
           r.norm, t->o->dump_grads);
out:
  return st;
}

/* Rank 0 has opened the folder and found a state there or none; the others get it from rank 0 as sums with zeros. */
static enum status share_state(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  const struct device *dev = model_device(t->student);
  struct trainer *r = &t->trainer;
  int64_t n;
  float *block[] = { model_param_block(t->student, &n), r->optim.mom, r->optim.var };
  if (t->ranks.n == 1) {
    return STATUS_OK;
  }
  double x[] = { t->dir.complete, (double)r->step, (double)r->tokens, (double)r->optim.step, (double)r->bad_in_a_row, (double)t->feed.epoch, (double)t->feed.at };
  for (size_t i = 0; t->ranks.rank > 0 && i < sizeof x / sizeof *x; i++) {
    x[i] = 0;
  }
  TRY(ranks_sum(&t->ranks, dev, x, sizeof x / sizeof *x, e));
  t->dir.complete = x[0] > 0;
  r->step = (int64_t)x[1];
  r->tokens = (int64_t)x[2];
  r->optim.step = (int64_t)x[3];
  r->bad_in_a_row = (int64_t)x[4];
  t->feed.epoch = (int64_t)x[5];
  t->feed.at = (int64_t)x[6];
  for (int i = 0; i < 3; i++) {
    if (t->ranks.rank > 0) {
      dev->k->zero(dev->d, block[i], (size_t)n * sizeof(float));
    }
    dev->k->reduce_ranks(dev->d, n, DT_F32, block[i]);
  }
  st = device_check(dev, e);
out:
  return st;
}

static enum status train_into(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct buf about = { 0 };
  char meet[4096];
  snprintf(meet, sizeof meet, "%s.ranks", t->o->out);
  TRY(ranks_join(&t->ranks, model_device(t->student), meet, e));
  t->trainer.ranks = t->ranks;
  TRY(put_about(t, &about, e));
  if (t->ranks.rank == 0) {
    TRY(run_dir_open(&t->dir, t->o->out, (struct span){ about.p, about.n }, ctx_common(t->c)->force, e));
    if (!t->dir.complete) {
      TRY(resume(t, e));
    }
  }
  TRY(share_state(t, e));
  if (t->dir.complete) {
    log_info("'%s' is complete and was made from the same inputs and options: left alone", t->o->out);
    goto out;
  }
  log_info("%lld parameters, loss %s, targets %s, %lld tokens; %.2f GB planned beside the weights", (long long)model_params(t->student), t->loss->name,
           target_mode_name(t->target.mode), (long long)t->budget, (double)trainer_bytes(&t->trainer) / 1e9);
  TRY(train_loop(t, e));
  if (t->ranks.rank == 0) {
    TRY(training_finish(t, e));
  }
out:
  buf_free(&about);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  int leased = 0;
  struct device *dev = NULL;
  struct training t = { .o = options, .c = c, .saved_step = -1 };
  t.dir.lock_fd = -1;
  if (args->n > 0) {
    return err_set(e, STATUS_USAGE, "'%s': no argument was expected; the student is named by --student", args->item[0]);
  }
  TRY(train_options_check(t.o, e));
  t.step_arena = arena_new(0);
  if (t.step_arena == NULL) {
    return err_nomem(e, 0);
  }
  t.start = clock_seconds();
  TRY(ranks_find(&t.ranks, e));
  if (t.ranks.n > 1 && t.o->dump_grads != NULL) {
    st = err_set(e, STATUS_USAGE, "--dump-grads writes one process's gradients, found %d ranks", t.ranks.n);
    goto out;
  }
  if (t.ranks.rank == 0) { /* ranks of one job do not wait for each other here */
    TRY(lease_take(e));
    leased = 1;
  }
  TRY(device_start(&t.o->dev, &dev, e));
  TRY(open_inputs(&t, e));
  TRY(t.o->dump_grads != NULL ? dump_grads(&t, e) : train_into(&t, e));
out:
  if (leased) {
    lease_give();
  }
  run_dir_close(&t.dir);
  feed_close(&t.feed);
  if (t.trainer.student != NULL) {
    trainer_close(&t.trainer);
  }
  target_close(&t.target);
  model_close(t.student);
  device_close(dev);
  shard_close(t.shards);
  shard_close(t.held_out);
  arena_free(t.step_arena);
  buf_free(&t.line);
  return st;
}

const struct stage stage_train = {
  .name = "train",
  .args = "--student MODEL --shards DIR -o RUN",
  .summary = "distil a student from shards and a teacher into a run folder",
  .details = "Trains the student on the tokens in the shards' mask with AdamW. The teacher's distribution comes from\n"
             "an online --teacher, from the shards' top-k targets, or from their hidden states through --teacher's\n"
             "output head. RUN holds manifest.json, metrics.jsonl, checkpoints/ and student/ (Hugging Face layout).\n"
             "Until it is complete it is RUN.part; the same command goes on from its last checkpoint, bit for bit.\n\n"
             "  retort train --student pruned/ --shards shards/ --teacher T.gguf --tokens 200K -o run/\n"
             "  retort train --student pruned/ --shards shards/ --loss ce --epochs 2 --lr 1e-3 -o sft/\n",
  .flags = STAGE_COMPUTE,
  .options = train_option_rows,
  .options_bytes = sizeof(struct train_options),
  .run = run,
};
