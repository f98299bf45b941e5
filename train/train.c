/* SPDX-License-Identifier: Apache-2.0
 * `retort train`: opens what the options name, resumes or begins, feeds the trainer until the tokens are used up, writes
 * metrics, checkpoints, and at the end the student. The numbers are made in trainer.c, the folder is kept by run_dir.c. */
#include <math.h>
#include <string.h>
#include "checkpoint.h"
#include "evaluate.h"
#include "file.h"
#include "hash.h"
#include "log.h"
#include "pool.h"
#include "run_dir.h"
#include "stage.h"
#include "stop.h"
#include "train_options.h"
#include "weights.h"

enum { BAD_MOST = 3, KEEP = 2 };

struct training {
  const struct train_options *o;
  struct ctx *c;
  struct shard_reader *shards, *held_out;
  struct model *student;
  struct target target;
  const struct loss *loss;
  struct trainer trainer;
  struct feed feed;
  struct run_dir dir;
  struct arena *step_arena;
  struct buf line;
  unsigned char student_id[32];
  int64_t budget, saved_step;
  double start, seconds_before, loss_now, kl_now; /* seconds of earlier sessions */
  struct loss_sums eval_sums;
  int has_eval;
};

static double seconds_so_far(const struct training *t) {
  return t->seconds_before + clock_seconds() - t->start;
}

/* ---- opening ---- */

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
  int64_t max_tok = (int64_t)o->micro_tokens > info->context ? (int64_t)o->micro_tokens : info->context;
  if (o->eval_shards != NULL) {
    TRY(shard_open(o->eval_shards, &t->held_out, e));
    TRY(target_check_vocab("student", o->student, model_config(t->student), shard_info(t->held_out), e));
    max_tok = max_tok > shard_info(t->held_out)->context ? max_tok : shard_info(t->held_out)->context;
  }
  TRY(target_open(&t->target, mode, o->teacher, info, max_tok, e));
  t->budget = o->tokens > 0 ? (int64_t)o->tokens : (int64_t)ceil(o->epochs * (double)info->n_tokens);
  if (info->n_targets == 0) {
    st = err_set(e, STATUS_DATA, "'%s' has no token in the loss: every mask is 0", o->shards);
    goto out;
  }
  struct trainer_options p = { .loss = t->loss, .params = { .temperature = o->temperature, .t2 = o->t2 },
                               .optim = { o->lr, o->beta1, o->beta2, o->eps, o->weight_decay, o->clip },
                               .micro_tokens = (int64_t)o->micro_tokens, .context = max_tok, .recompute = o->recompute,
                               .want_kl = mode != TARGET_NONE };
  TRY(trainer_open(&t->trainer, t->student, &t->target, &p, e));
  TRY(feed_open(&t->feed, t->shards, (uint64_t)o->seed, e));
out:
  return st;
}

/* SHA-256 of a shard folder's manifest, which itself holds that of every file. */
static enum status shards_hash(const char *folder, struct arena *a, char hex[65], struct err *e) {
  unsigned char hash[32];
  char *path = path_join(a, folder, "manifest.json");
  if (path == NULL) {
    return err_nomem(e, strlen(folder));
  }
  enum status st = sha256_of_file(path, hash, e);
  if (st == STATUS_OK) {
    hash_hex(hash, 32, hex);
  }
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
  TRY(shards_hash(t->o->shards, ctx_arena(t->c), hex, e));
  TRY(buf_printf(b, e, ",\"shards\":\"%s\"", hex));
  if (t->target.has_identity) {
    hash_hex(t->target.identity, 32, hex);
    TRY(buf_printf(b, e, ",\"teacher\":\"%s\"", hex));
  }
  if (t->held_out != NULL) {
    TRY(shards_hash(t->o->eval_shards, ctx_arena(t->c), hex, e));
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

static enum status save(struct training *t, struct err *e) {
  if (t->saved_step == t->trainer.step) {
    return STATUS_OK;
  }
  struct checkpoint_state s = { .step = t->trainer.step, .tokens = t->trainer.tokens, .updates = t->trainer.optim.step,
                                .bad_in_a_row = t->trainer.bad_in_a_row, .epoch = t->feed.epoch, .at = t->feed.at, .seed = t->feed.seed,
                                .seconds = seconds_so_far(t), .loss = t->loss_now, .kl = t->kl_now };
  enum status st = checkpoint_save(t->dir.part, &t->trainer, &s, KEEP, e);
  if (st == STATUS_OK) {
    t->saved_step = t->trainer.step;
  }
  return st;
}

static enum status put_field(struct buf *b, const char *key, double v, struct err *e) {
  enum status st = buf_printf(b, e, ",\"%s\":", key);
  return st == STATUS_OK ? json_put_num(b, v, e) : st;
}

/* Mean of a sum over what it was taken over; 0 for nothing. */
static double mean(double sum, const struct loss_sums *s) {
  return s->weight > 0 ? sum / s->weight : 0;
}

static enum status write_metric(struct training *t, const struct step_result *r, double lr, double took, struct err *e) {
  enum status st = STATUS_OK;
  struct buf *b = &t->line;
  buf_clear(b);
  TRY(buf_printf(b, e, "{\"step\":%lld,\"tokens\":%lld", (long long)t->trainer.step, (long long)t->trainer.tokens));
  TRY(put_field(b, "loss", t->loss_now, e));
  if (t->trainer.o.want_kl) {
    TRY(put_field(b, "kl", t->kl_now, e));
  }
  TRY(put_field(b, "lr", lr, e));
  TRY(put_field(b, "grad_norm", r->norm, e));
  TRY(buf_printf(b, e, ",\"loss_tokens\":%lld,\"updated\":%s", (long long)r->sums.n, r->updated ? "true" : "false"));
  TRY(put_field(b, "tok_s", (double)r->tokens / took, e));
  TRY(put_field(b, "gflops", r->flops / took / 1e9, e));
  TRY(put_field(b, "time", seconds_so_far(t), e));
  TRY(buf_putc(b, '}', e));
  TRY(run_dir_metric(&t->dir, (struct span){ b->p, b->n }, e));
out:
  return st;
}

/* Held-out loss, with the runs of the training itself: nothing more is allocated. */
static enum status measure(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct buf *b = &t->line;
  if (t->held_out == NULL) {
    return STATUS_OK;
  }
  struct target none = { 0 };
  const struct shard_info *info = shard_info(t->held_out);
  int same_kind = (t->target.mode != TARGET_TOPK || info->top_k > 0) && (t->target.mode != TARGET_HIDDEN || info->hidden > 0);
  struct subject s = { .model = t->student, .run = t->trainer.run };
  struct evaluation v = { .data = source_of_shards(t->held_out), .target = same_kind ? &t->target : &none, .driver = t->trainer.driver,
                          .max_tok = t->trainer.max_tok, .token_limit = (int64_t)t->o->eval_tokens };
  TRY(evaluate(&v, &s, 1, e));
  t->eval_sums = s.sums;
  t->has_eval = 1;
  buf_clear(b);
  TRY(buf_printf(b, e, "{\"step\":%lld,\"tokens\":%lld,\"eval\":{\"loss_tokens\":%lld", (long long)t->trainer.step, (long long)t->trainer.tokens,
                 (long long)s.sums.n));
  TRY(put_field(b, "loss", mean(s.sums.ce, &s.sums), e));
  if (v.target->mode != TARGET_NONE) {
    TRY(put_field(b, "kl", mean(s.sums.kl, &s.sums), e));
    TRY(put_field(b, "agreement", mean(s.sums.agree, &s.sums), e));
    TRY(buf_printf(b, e, ",\"targets\":\"%s\"", target_mode_name(v.target->mode)));
  }
  TRY(buf_putc(b, '}', e));
  TRY(put_field(b, "time", seconds_so_far(t), e));
  TRY(buf_putc(b, '}', e));
  TRY(run_dir_metric(&t->dir, (struct span){ b->p, b->n }, e));
  if (v.target->mode != TARGET_NONE) {
    log_info("step %lld: held-out loss %.4f, KL %.4f, agreement %.3f", (long long)t->trainer.step, mean(s.sums.ce, &s.sums), mean(s.sums.kl, &s.sums), mean(s.sums.agree, &s.sums));
  } else {
    log_info("step %lld: held-out loss %.4f", (long long)t->trainer.step, mean(s.sums.ce, &s.sums));
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
                           "the last whole state is kept in '%s/checkpoints'",
                           BAD_MOST, (long long)t->trainer.step, bad != NULL ? bad : "the loss", rows.p != NULL ? rows.p : "", t->o->lr, t->dir.part);
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
    t->loss_now = mean(r.sums.loss, &r.sums);
    t->kl_now = mean(r.sums.kl, &r.sums);
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

static enum status train_loop(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct progress *bar = progress_new("training", "tok", (uint64_t)t->budget);
  int64_t every = t->o->eval_every;
  if (t->trainer.step == 0) {
    TRY(measure(t, e));
  }
  while (t->trainer.tokens < t->budget) {
    st = one_step(t, bar, e);
    if (st == STATUS_STOPPED) {
      break;
    }
    TRY(st);
    if (every > 0 && t->trainer.step % every == 0 && t->trainer.tokens < t->budget) {
      st = measure(t, e);
      if (st == STATUS_STOPPED) {
        break;
      }
      TRY(st);
    }
    if (t->trainer.step % t->o->checkpoint_every == 0) {
      TRY(save(t, e));
    }
    TRY(lease_yield(e));
  }
  if (st == STATUS_STOPPED) {
    struct err again;
    if (save(t, &again) != STATUS_OK) {
      *e = again;
      st = again.code;
      goto out;
    }
    st = err_set(e, STATUS_STOPPED, "stopped after step %lld, saved in '%s'", (long long)t->trainer.step, t->dir.part);
  }
out:
  progress_free(bar);
  return st;
}

/* ---- the end ---- */

static enum status fill_student(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  struct model *m = ctx;
  int64_t n;
  const float *block = model_param_block(m, &n);
  const struct param *p = model_param_find(m, t->name);
  if (p == NULL) {
    return err_set(e, STATUS_DATA, "the student has no tensor '%s'", t->name);
  }
  int64_t cols = p->cols > 0 ? p->cols : 1;
  memcpy(dst, block + p->offset + row0 * cols, (size_t)(rows * cols) * sizeof *dst);
  return STATUS_OK;
}

static enum status write_student(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct tensor_out *list = NULL;
  size_t n = 0;
  enum dtype type = strcmp(t->o->dtype, "f16") == 0 ? DT_F16 : strcmp(t->o->dtype, "bf16") == 0 ? DT_BF16 : DT_F32;
  char *folder = path_join(ctx_arena(t->c), t->dir.part, "student");
  if (folder == NULL) {
    return err_nomem(e, strlen(t->dir.part));
  }
  TRY(folder_remove(folder, e));
  TRY(folder_make(folder, e));
  TRY(model_tensor_list(model_config(t->student), type, ctx_arena(t->c), &list, &n, e));
  TRY(model_folder_write(folder, model_config(t->student), list, n, type, (uint64_t)4 << 30, model_weights(t->student), fill_student, t->student, e));
out:
  return st;
}

static enum status put_shards(struct training *t, const char *key, const char *path, const struct shard_info *i, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  char hex[65];
  TRY(shards_hash(path, ctx_arena(t->c), hex, e));
  TRY(buf_printf(b, e, ",\"%s\":{\"path\":", key));
  TRY(json_put_cstr(b, path, e));
  TRY(buf_printf(b, e, ",\"manifest_sha256\":\"%s\",\"samples\":%lld,\"tokens\":%lld,\"loss_tokens\":%lld,\"teacher\":", hex, (long long)i->n_samples,
                 (long long)i->n_tokens, (long long)i->n_targets));
  TRY(json_put_cstr(b, i->teacher != NULL ? i->teacher : "", e));
  TRY(buf_puts(b, ",\"teacher_identity\":", e));
  TRY(json_put_cstr(b, i->teacher_identity != NULL ? i->teacher_identity : "", e));
  TRY(buf_puts(b, ",\"terms\":", e));
  TRY(json_put_cstr(b, i->terms != NULL ? i->terms : "", e));
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static enum status put_inputs(struct training *t, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  char hex[65];
  hash_hex(t->student_id, 32, hex);
  TRY(buf_puts(b, ",\"inputs\":{\"student\":{\"path\":", e));
  TRY(json_put_cstr(b, t->o->student, e));
  TRY(buf_printf(b, e, ",\"identity\":\"%s\"}", hex));
  if (t->target.has_identity) {
    hash_hex(t->target.identity, 32, hex);
    TRY(buf_puts(b, ",\"teacher\":{\"path\":", e));
    TRY(json_put_cstr(b, t->o->teacher, e));
    TRY(buf_printf(b, e, ",\"identity\":\"%s\"}", hex));
  }
  TRY(put_shards(t, "shards", t->o->shards, shard_info(t->shards), b, e));
  if (t->held_out != NULL) {
    TRY(put_shards(t, "eval_shards", t->o->eval_shards, shard_info(t->held_out), b, e));
  }
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static enum status put_result(struct training *t, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  double seconds = seconds_so_far(t);
  TRY(buf_printf(b, e, ",\"result\":{\"steps\":%lld,\"updates\":%lld,\"tokens\":%lld,\"epochs\":%lld,\"params\":%lld", (long long)t->trainer.step,
                 (long long)t->trainer.optim.step, (long long)t->trainer.tokens, (long long)t->feed.epoch + 1, (long long)model_params(t->student)));
  TRY(put_field(b, "loss", t->loss_now, e));
  if (t->trainer.o.want_kl) {
    TRY(put_field(b, "kl", t->kl_now, e));
  }
  if (t->has_eval) {
    TRY(put_field(b, "eval_loss", mean(t->eval_sums.ce, &t->eval_sums), e));
    TRY(put_field(b, "eval_kl", mean(t->eval_sums.kl, &t->eval_sums), e));
    TRY(put_field(b, "eval_agreement", mean(t->eval_sums.agree, &t->eval_sums), e));
  }
  TRY(put_field(b, "seconds", seconds, e));
  TRY(put_field(b, "tok_s", seconds > 0 ? (double)t->trainer.tokens / seconds : 0, e));
  TRY(buf_printf(b, e, ",\"peak_rss_bytes\":%llu}", (unsigned long long)mem_peak_rss_bytes()));
out:
  return st;
}

static enum status finish(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(measure(t, e));
  TRY(save(t, e));
  TRY(write_student(t, e));
  TRY(buf_printf(&b, e, "{\"kind\":\"run\",\"version\":\"%s\",\"key\":\"%s\",\"targets\":\"%s\",\"loss\":\"%s\",\"options\":", RETORT_VERSION, t->dir.key,
                 target_mode_name(t->target.mode), t->loss->name));
  TRY(train_options_json(t->o, &b, e));
  TRY(put_inputs(t, &b, e));
  TRY(put_result(t, &b, e));
  TRY(buf_printf(&b, e, ",\"kernels\":\"%s\"}", kernel_contract()));
  TRY(run_dir_commit(&t->dir, (struct span){ b.p, b.n }, e));
  log_info("%lld steps, %lld tokens, loss %.4f, %.0f s; student in '%s/student'", (long long)t->trainer.step, (long long)t->trainer.tokens, t->loss_now,
           seconds_so_far(t), t->o->out);
out:
  buf_free(&b);
  return st;
}

static enum status dump_grads(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct sample *s = NULL;
  struct step_result r;
  int64_t n = 0;
  TRY(feed_step(&t->feed, (int64_t)t->o->tokens_per_step, t->step_arena, &s, &n, e));
  TRY(trainer_gradients(&t->trainer, s, n, &r, e));
  TRY(checkpoint_write_block(t->o->dump_grads, t->student, t->trainer.grads, e));
  log_info("gradients of %lld tokens (%lld in the loss, loss %.6f, norm %.6f) in '%s'", (long long)r.tokens, (long long)r.sums.n, mean(r.sums.loss, &r.sums),
           r.norm, t->o->dump_grads);
out:
  return st;
}

static enum status train_into(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct buf about = { 0 };
  TRY(put_about(t, &about, e));
  TRY(run_dir_open(&t->dir, t->o->out, (struct span){ about.p, about.n }, ctx_common(t->c)->force, e));
  if (t->dir.complete) {
    log_info("'%s' is complete and was made from the same inputs and options: left alone", t->o->out);
    goto out;
  }
  log_info("%lld parameters, loss %s, targets %s, %lld tokens; %.2f GB planned beside the weights", (long long)model_params(t->student), t->loss->name,
           target_mode_name(t->target.mode), (long long)t->budget, (double)trainer_bytes(&t->trainer) / 1e9);
  TRY(resume(t, e));
  TRY(train_loop(t, e));
  TRY(finish(t, e));
out:
  buf_free(&about);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  int leased = 0;
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
  TRY(lease_take(e));
  leased = 1;
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
