/* SPDX-License-Identifier: Apache-2.0
 * What a finished run leaves: the student as a Hugging Face folder with its card, and manifest.json. */
#include <string.h>
#include "card.h"
#include "file.h"
#include "hash.h"
#include "log.h"
#include "train_internal.h"
#include "weights.h"

enum status training_shards_hash(const char *folder, struct arena *a, char hex[65], struct err *e) {
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

double training_seconds(const struct training *t) {
  return t->seconds_before + clock_seconds() - t->start;
}

enum status training_put_field(struct buf *b, const char *key, double v, struct err *e) {
  enum status st = buf_printf(b, e, ",\"%s\":", key);
  return st == STATUS_OK ? json_put_num(b, v, e) : st;
}

double training_mean(double sum, const struct loss_sums *s) {
  return s->weight > 0 ? sum / s->weight : 0;
}

struct filler { const struct model *m; const float *block; };

static enum status fill_student(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  const struct filler *f = ctx;
  const struct param *p = model_param_find(f->m, t->name);
  if (p == NULL) {
    return err_set(e, STATUS_DATA, "the student has no tensor '%s'", t->name);
  }
  int64_t cols = p->cols > 0 ? p->cols : 1;
  memcpy(dst, f->block + p->offset + row0 * cols, (size_t)(rows * cols) * sizeof *dst);
  return STATUS_OK;
}

/* The student's card: terms of the weights it started from and of every teacher. Unknown terms of the start stay unknown,
 * so that `export` asks; then the teachers' stand in a member of their own. */
static enum status write_card(struct training *t, const char *folder, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = ctx_arena(t->c);
  struct model_card start, card = { .made_by = "train", .source = t->o->student, .key = t->dir.key };
  struct buf extra = { 0 };
  char *hex = arena_alloc(a, 65);
  if (hex == NULL) {
    return err_nomem(e, 65);
  }
  hash_hex(t->student_id, 32, hex);
  card.source_identity = hex;
  TRY(card_of(model_weights(t->student), a, &start, e));
  card.terms = start.terms;
  if (start.terms != NULL && t->teacher_terms[0] != '\0' && strcmp(start.terms, t->teacher_terms) != 0) {
    card.terms = arena_printf(a, "%s; teacher: %s", start.terms, t->teacher_terms);
  }
  TRY(buf_puts(&extra, "\"teacher_terms\":", e));
  TRY(json_put_cstr(&extra, t->teacher_terms, e));
  card.extra = (struct span){ extra.p, extra.n };
  TRY(card_write(folder, &card, e));
out:
  buf_free(&extra);
  return st;
}

static enum status write_student(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct filler f = { t->student, NULL };
  struct tensor_out *list = NULL;
  size_t n = 0;
  enum dtype type = strcmp(t->o->dtype, "f16") == 0 ? DT_F16 : strcmp(t->o->dtype, "bf16") == 0 ? DT_BF16 : DT_F32;
  char *folder = path_join(ctx_arena(t->c), t->dir.part, "student");
  if (folder == NULL) {
    return err_nomem(e, strlen(t->dir.part));
  }
  int64_t floats;
  TRY(model_block_fetch(t->student, model_param_block(t->student, &floats), &f.block, e));
  TRY(folder_remove(folder, e));
  TRY(folder_make(folder, e));
  TRY(model_tensor_list(model_config(t->student), type, ctx_arena(t->c), &list, &n, e));
  TRY(model_folder_write(folder, model_config(t->student), list, n, type, (uint64_t)4 << 30, model_weights(t->student), fill_student, &f, e));
  TRY(write_card(t, folder, e));
out:
  model_block_drop(t->student, f.block);
  return st;
}

static enum status put_shards(struct training *t, const char *key, const char *path, const struct shard_info *i, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  char hex[65];
  TRY(training_shards_hash(path, ctx_arena(t->c), hex, e));
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
    TRY(buf_printf(b, e, ",\"identity\":\"%s\",\"terms\":", hex));
    TRY(json_put_cstr(b, t->teacher_terms, e));
    TRY(buf_putc(b, '}', e));
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
  double seconds = training_seconds(t);
  TRY(buf_printf(b, e, ",\"result\":{\"steps\":%lld,\"updates\":%lld,\"tokens\":%lld,\"epochs\":%lld,\"params\":%lld", (long long)t->trainer.step,
                 (long long)t->trainer.optim.step, (long long)t->trainer.tokens, (long long)t->feed.epoch + 1, (long long)model_params(t->student)));
  TRY(training_put_field(b, "loss", t->loss_now, e));
  if (t->trainer.o.want_kl) {
    TRY(training_put_field(b, "kl", t->kl_now, e));
  }
  if (t->has_eval) {
    TRY(training_put_field(b, "eval_loss", training_mean(t->eval_sums.ce, &t->eval_sums), e));
    TRY(training_put_field(b, "eval_kl", training_mean(t->eval_sums.kl, &t->eval_sums), e));
    TRY(training_put_field(b, "eval_agreement", training_mean(t->eval_sums.agree, &t->eval_sums), e));
  }
  TRY(training_put_field(b, "seconds", seconds, e));
  TRY(training_put_field(b, "tok_s", seconds > 0 ? (double)t->trainer.tokens / seconds : 0, e));
  TRY(buf_printf(b, e, ",\"peak_rss_bytes\":%llu}", (unsigned long long)mem_peak_rss_bytes()));
out:
  return st;
}

enum status training_finish(struct training *t, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(training_measure(t, e));
  TRY(training_save(t, e));
  TRY(write_student(t, e));
  TRY(buf_printf(&b, e, "{\"kind\":\"run\",\"version\":\"%s\",\"key\":\"%s\",\"targets\":\"%s\",\"loss\":\"%s\",\"options\":", RETORT_VERSION, t->dir.key,
                 target_mode_name(t->target.mode), t->loss->name));
  TRY(train_options_json(t->o, &b, e));
  TRY(put_inputs(t, &b, e));
  TRY(put_result(t, &b, e));
  TRY(buf_printf(&b, e, ",\"kernels\":\"%s\"}", kernel_contract()));
  TRY(run_dir_commit(&t->dir, (struct span){ b.p, b.n }, e));
  int n = (int)strlen(t->o->out);
  while (n > 1 && t->o->out[n - 1] == '/') n--;
  log_info("%lld steps, %lld tokens, loss %.4f, %.0f s; student in '%.*s/student'", (long long)t->trainer.step, (long long)t->trainer.tokens,
           t->loss_now, training_seconds(t), n, t->o->out);
out:
  buf_free(&b);
  return st;
}

