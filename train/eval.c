/* SPDX-License-Identifier: Apache-2.0
 * `retort eval`: measures models on held-out shards and text, side by side, and prints a table or JSON rows. All models
 * share the teacher's pass. */
#include <math.h>
#include <string.h>
#include "decode.h"
#include "device.h"
#include "eval_text.h"
#include "evaluate.h"
#include "hidden_error.h"
#include "file.h"
#include "log.h"
#include "pool.h"
#include "stage.h"
#include "weights.h"

struct eval_options {
  const char *teacher, *data, *targets, *summary;
  struct opt_list text;
  uint64_t tokens, text_context, micro_tokens;
  int64_t speed_tokens, seed;
  int json, speed;
  struct device_options dev;
};
#define ROW(field, name, letter, type, dflt, range, arg, help) OPT_ROW(eval_options, field, name, letter, type, dflt, range, arg, help)
static const struct opt_row option_rows[] = {
  ROW(data, "data", 0, OPT_STR, NULL, NULL, "SHARDS", "held-out token shards: loss, KL and agreement on the tokens of their mask"),
  ROW(teacher, "teacher", 0, OPT_STR, NULL, NULL, "MODEL", "teacher of KL and agreement; without one the shards' stored targets are used"),
  ROW(targets, "targets", 0, OPT_ENUM, "auto", "auto|online|hidden|topk|none", NULL, "where the teacher's distribution comes from"),
  ROW(text, "text", 0, OPT_LIST, NULL, NULL, "FILE", "held-out text (plain, JSON Lines with `text`, or token shards): loss on its tokens"),
  ROW(text_context, "text-context", 0, OPT_COUNT, "512", "2..", "N", "tokens of a window of --text"),
  ROW(tokens, "tokens", 0, OPT_COUNT, "0", "0..", "N", "stop after this many input tokens of --data and of --text; 0 = all"),
  ROW(micro_tokens, "micro-tokens", 0, OPT_COUNT, "1024", "1..", "N", "input tokens of one forward pass"),
  ROW(speed, "speed", 0, OPT_FLAG, NULL, NULL, NULL, "measure decoding, one stream, greedy (tok_s)"),
  ROW(speed_tokens, "speed-tokens", 0, OPT_INT, "48", "1..100000", "N", "tokens decoded by --speed"),
  ROW(seed, "seed", 0, OPT_INT, "1", "0..", "N", "of the bootstrap over documents"),
  ROW(summary, "summary", 0, OPT_STR, NULL, NULL, "FILE", "also write {name: row} as JSON here, for 'retort report'"),
  ROW(json, "json", 0, OPT_FLAG, NULL, NULL, NULL, "JSON Lines, one model a row, instead of the table"),
  DEVICE_OPTION_ROWS(eval_options, dev),
  OPT_END
};

struct evaluated {
  const char *path, *name; /* NAME=MODEL on the line, else the path */
  struct model *m;
  struct run *run;
  uint64_t bytes;
  struct subject data, part; /* part: one --text at a time */
  struct loss_sums text;
  double tok_s;
};
struct eval_run {
  const struct eval_options *o;
  struct ctx *c;
  struct evaluated *model;
  size_t n;
  struct shard_reader *shards;
  struct target target;
  struct loss_driver *driver;
  struct progress *bar;
  int64_t max_tok;
};

/* "pruned=build/demo/pruned": a name without a slash before the first '=', unless a file is called so. */
static enum status name_and_path(const char *arg, struct arena *a, const char **name, const char **path, struct err *e) {
  const char *eq = strchr(arg, '=');
  *name = *path = arg;
  if (eq == NULL || eq == arg || eq[1] == '\0' || memchr(arg, '/', (size_t)(eq - arg)) != NULL || file_exists(arg) || folder_exists(arg)) {
    return STATUS_OK;
  }
  *name = arena_strndup(a, arg, (size_t)(eq - arg));
  *path = eq + 1;
  return *name != NULL ? STATUS_OK : err_nomem(e, (size_t)(eq - arg));
}

/* Bytes of the weights on disk: what a user has to ship. */
static uint64_t weight_bytes(const struct weights *w, const char *path, struct arena *a) {
  const char **names = NULL;
  size_t n = 0;
  uint64_t sum = 0;
  struct err none;
  if (weights_is_gguf(w) || !folder_exists(path)) {
    return file_bytes(path);
  }
  const char *folder = path_join(a, path, "student");
  folder = folder != NULL && folder_exists(folder) ? folder : path;
  if (folder_list(folder, a, &names, &n, &none) != STATUS_OK) {
    return 0;
  }
  for (size_t i = 0; i < n; i++) {
    size_t len = strlen(names[i]);
    const char *file = path_join(a, folder, names[i]);
    if (file != NULL && len > 12 && strcmp(names[i] + len - 12, ".safetensors") == 0) {
      sum += file_bytes(file);
    }
  }
  return sum;
}

static enum target_mode choose_targets(const struct eval_run *v, const struct shard_info *info) {
  static const enum target_mode named[] = { TARGET_NONE, TARGET_ONLINE, TARGET_HIDDEN, TARGET_TOPK };
  enum target_mode mode = v->o->teacher != NULL ? TARGET_ONLINE : info->top_k > 0 ? TARGET_TOPK : TARGET_NONE;
  for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
    mode = strcmp(v->o->targets, target_mode_name(named[i])) == 0 ? named[i] : mode;
  }
  return mode;
}

static enum status open_models(struct eval_run *v, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  int64_t widest = 0;
  const struct shard_info *info = v->shards != NULL ? shard_info(v->shards) : NULL;
  v->model = arena_calloc(ctx_arena(v->c), args->n, sizeof *v->model);
  if (v->model == NULL) {
    return err_nomem(e, args->n * sizeof *v->model);
  }
  for (size_t i = 0; i < args->n; i++) {
    struct evaluated *x = &v->model[v->n++]; /* counted at once: what was opened before an error is closed */
    TRY(name_and_path(args->item[i], ctx_arena(v->c), &x->name, &x->path, e));
    int is_teacher = v->o->teacher != NULL && v->target.model != NULL && strcmp(x->path, v->o->teacher) == 0;
    if (is_teacher) {
      x->m = v->target.model;
    } else {
      TRY(model_open(x->path, 0, &x->m, e));
      if (info != NULL) {
        TRY(target_check_vocab("model", x->path, model_config(x->m), info, e));
      }
    }
    TRY(run_new(x->m, v->max_tok, 0, &x->run, e));
    weights_forget(model_weights(x->m));
    x->bytes = weight_bytes(model_weights(x->m), x->path, ctx_arena(v->c));
    x->data.model = x->part.model = x->m;
    x->data.run = is_teacher ? NULL : x->run;
    x->part.run = x->run;
    widest = model_config(x->m)->hidden > widest ? model_config(x->m)->hidden : widest;
    if (model_config(x->m)->vocab != model_config(v->model[0].m)->vocab) {
      st = err_set(e, STATUS_DATA, "'%s' has a vocabulary of %d, '%s' one of %d; they cannot be measured on the same tokens", x->path,
                   (int)model_config(x->m)->vocab, v->model[0].path, (int)model_config(v->model[0].m)->vocab);
      goto out;
    }
  }
  TRY(loss_driver_new(model_device(v->model[0].m), model_config(v->model[0].m)->vocab, widest, v->target.width, &v->driver, e));
out:
  return st;
}

static void show(void *ctx, int64_t tokens) {
  struct eval_run *v = ctx;
  progress_set(v->bar, (uint64_t)tokens, "");
}

/* A model whose numbers are not finite gets no row of them. */
static enum status sums_finite(struct eval_run *v, const struct subject *s, size_t i, const char *what, struct err *e) {
  const struct loss_sums *d = &s->sums;
  int64_t doc = 0;
  char text[320];
  if (isfinite(d->ce) && isfinite(d->kl)) return STATUS_OK;
  while (doc < s->n_doc && isfinite(s->doc[doc].ce) && isfinite(s->doc[doc].kl)) doc++;
  snprintf(text, sizeof text, "'%.120s': the %s of %.60s, document %lld, is", v->model[i].name, isfinite(d->ce) ? "KL" : "loss", what, (long long)doc);
  if (s->n_doc == 0) snprintf(text, sizeof text, "'%.120s': the %s of %.60s is", v->model[i].name, isfinite(d->ce) ? "KL" : "loss", what);
  return model_not_finite(isfinite(d->ce) && v->target.model != NULL ? v->target.model : v->model[i].m, text, e);
}

static enum status measure(struct eval_run *v, struct sample_source from, struct target *t, size_t field, int docs, const char *what, struct err *e) {
  enum status st = STATUS_OK;
  struct subject *s = arena_calloc(ctx_arena(v->c), v->n, sizeof *s);
  if (s == NULL) {
    return err_nomem(e, v->n * sizeof *s);
  }
  for (size_t i = 0; i < v->n; i++) {
    s[i] = field == 0 ? v->model[i].data : v->model[i].part;
  }
  uint64_t total = v->o->tokens > 0 && (int64_t)v->o->tokens < from.tokens ? v->o->tokens : (uint64_t)from.tokens;
  v->bar = progress_new(what, "tok", total);
  struct evaluation x = { .data = from, .target = t, .driver = v->driver, .max_tok = v->max_tok, .token_limit = (int64_t)v->o->tokens,
                          .want_docs = docs, .progress = show, .progress_ctx = v };
  st = evaluate(&x, s, v->n, e);
  progress_free(v->bar);
  for (size_t i = 0; i < v->n; i++) {
    *(field == 0 ? &v->model[i].data : &v->model[i].part) = s[i];
    if (st == STATUS_OK) {
      st = sums_finite(v, &s[i], i, what, e);
    }
  }
  return st;
}

/* ---- decoding speed ---- */

struct speed { const int32_t *prompt; size_t n; int64_t tokens; int given; };

static enum status speed_next(void *ctx, struct decode_job *job, int *got, struct err *e) {
  struct speed *s = ctx;
  (void)e;
  *got = !s->given;
  s->given = 1;
  memset(job, 0, sizeof *job);
  job->prompt = s->prompt;
  job->n_prompt = s->n;
  job->sampling = (struct sampling){ .top_p = 1, .repetition_penalty = 1, .max_tokens = s->tokens };
  return STATUS_OK;
}

static enum status speed_done(void *ctx, const struct decode_job *job, const struct decode_result *r, struct err *e) {
  (void)ctx;
  (void)job;
  (void)r;
  (void)e;
  return STATUS_OK;
}

static enum status measure_speed(struct eval_run *v, struct err *e) {
  enum status st = STATUS_OK;
  static const int32_t prompt[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
  for (size_t i = 0; i < v->n; i++) {
    struct decoder *d = NULL;
    struct speed s = { prompt, sizeof prompt / sizeof *prompt, v->o->speed_tokens, 0 };
    struct speed warm = { prompt, sizeof prompt / sizeof *prompt, 4, 0 };
    st = decoder_new(v->model[i].m, NULL, 1, &d, e);
    if (st == STATUS_OK) {
      st = decoder_run(d, speed_next, speed_done, &warm, e);
    }
    if (st == STATUS_OK) {
      st = decoder_run(d, speed_next, speed_done, &s, e);
    }
    if (st == STATUS_OK) {
      v->model[i].tok_s = decoder_tokens_per_second(d);
    }
    decoder_free(d);
    TRY(st);
  }
out:
  return st;
}

/* ---- output ---- */

static double mean(double sum, const struct loss_sums *s) {
  return s->weight > 0 ? sum / s->weight : 0;
}

static enum status put_interval(struct buf *b, const char *key, double v, const struct subject *s, enum sums_field f, uint64_t seed, struct err *e) {
  enum status st = STATUS_OK;
  struct interval x = subject_interval(s, f, seed);
  TRY(buf_printf(b, e, ",\"%s\":", key));
  TRY(json_put_num(b, v, e));
  TRY(buf_printf(b, e, ",\"%s_low\":", key));
  TRY(json_put_num(b, x.low, e));
  TRY(buf_printf(b, e, ",\"%s_high\":", key));
  TRY(json_put_num(b, x.high, e));
out:
  return st;
}

static enum status put_row(struct eval_run *v, const struct evaluated *x, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  const struct loss_sums *d = &x->data.sums, *t = &x->text;
  uint64_t seed = (uint64_t)v->o->seed;
  TRY(buf_puts(b, "{\"name\":", e));
  TRY(json_put_cstr(b, x->name, e));
  TRY(buf_puts(b, ",\"path\":", e));
  TRY(json_put_cstr(b, x->path, e));
  TRY(buf_printf(b, e, ",\"params\":%lld,\"bytes\":%llu", (long long)model_params(x->m), (unsigned long long)x->bytes));
  if (v->shards != NULL) {
    TRY(put_interval(b, "loss", mean(d->ce, d), &x->data, SUMS_CE, seed, e));
    TRY(buf_puts(b, ",\"perplexity\":", e));
    TRY(json_put_num(b, exp(mean(d->ce, d)), e));
    if (v->target.mode != TARGET_NONE) {
      TRY(put_interval(b, "kl", mean(d->kl, d), &x->data, SUMS_KL, seed, e));
      TRY(put_interval(b, "agreement", mean(d->agree, d), &x->data, SUMS_AGREE, seed, e));
      TRY(buf_printf(b, e, ",\"targets\":\"%s\"", target_mode_name(v->target.mode)));
    }
    TRY(buf_printf(b, e, ",\"tokens\":%lld,\"documents\":%lld", (long long)d->n, (long long)x->data.n_doc));
  }
  if (v->o->text.n > 0) {
    TRY(buf_puts(b, ",\"text_loss\":", e));
    TRY(json_put_num(b, mean(t->ce, t), e));
    TRY(buf_printf(b, e, ",\"text_tokens\":%lld", (long long)t->n));
  }
  if (v->o->speed) {
    TRY(buf_puts(b, ",\"tok_s\":", e));
    TRY(json_put_num(b, x->tok_s, e));
  }
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static enum status print_rows(struct eval_run *v, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  for (size_t i = 0; i < v->n; i++) {
    buf_clear(&b);
    TRY(put_row(v, &v->model[i], &b, e));
    TRY(ctx_print(v->c, e, "%s\n", b.p));
  }
out:
  buf_free(&b);
  return st;
}

static enum status write_summary(struct eval_run *v, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct file_atomic f = { 0 };
  for (size_t i = 0; i < v->n; i++) {
    TRY(buf_puts(&b, i == 0 ? "{" : ",\n ", e));
    TRY(json_put_cstr(&b, v->model[i].name, e));
    TRY(buf_putc(&b, ':', e));
    TRY(put_row(v, &v->model[i], &b, e));
  }
  TRY(buf_puts(&b, "}\n", e));
  TRY(file_atomic_open(&f, v->o->summary, e));
  fwrite(b.p, 1, b.n, f.fp); /* a short write shows in the commit */
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  buf_free(&b);
  return st;
}


static enum status cell(struct ctx *c, int shown, int digits, double value, struct err *e) {
  return shown ? ctx_print(c, e, " %10.*f", digits, value) : ctx_print(c, e, " %10s", "-");
}

static enum status print_table(struct eval_run *v, struct err *e) {
  enum status st = STATUS_OK;
  int width = 5, data = v->shards != NULL, kl = data && v->target.mode != TARGET_NONE;
  for (size_t i = 0; i < v->n; i++) {
    width = (int)strlen(v->model[i].name) > width ? (int)strlen(v->model[i].name) : width;
  }
  TRY(ctx_print(v->c, e, "%-*s %10s %10s %10s %10s %10s %10s %10s %10s\n", width, "model", "params M", "MB", "loss", "perplexity",
                v->target.mode == TARGET_TOPK ? "KL top-k" : "KL", "agreement", "text loss", "tok/s"));
  for (size_t i = 0; i < v->n; i++) {
    const struct evaluated *x = &v->model[i];
    const struct loss_sums *d = &x->data.sums, *t = &x->text;
    TRY(ctx_print(v->c, e, "%-*s", width, x->name));
    TRY(cell(v->c, 1, 1, (double)model_params(x->m) / 1e6, e));
    TRY(cell(v->c, 1, 1, (double)x->bytes / 1e6, e));
    TRY(cell(v->c, data, 4, mean(d->ce, d), e));
    TRY(cell(v->c, data, 2, exp(mean(d->ce, d)), e));
    TRY(cell(v->c, kl, 4, mean(d->kl, d), e));
    TRY(cell(v->c, kl, 4, mean(d->agree, d), e));
    TRY(cell(v->c, v->o->text.n > 0, 4, mean(t->ce, t), e));
    TRY(cell(v->c, v->o->speed, 1, x->tok_s, e));
    TRY(ctx_print(v->c, e, "\n"));
  }
  if (data && v->n > 0) {
    TRY(ctx_print(v->c, e, "%lld tokens in the loss, %lld documents\n", (long long)v->model[0].data.sums.n, (long long)v->model[0].data.n_doc));
  }
out:
  return st;
}

/* Loss on one file of text, or on one folder of token shards. */
static enum status measure_text(struct eval_run *v, const char *path, struct err *e) {
  enum status st = STATUS_OK;
  struct target none = { 0 };
  struct text_source text = { 0 };
  struct tokenizer *k = NULL;
  struct shard_reader *r = NULL;
  struct sample_source from;
  if (folder_exists(path)) {
    TRY(shard_open(path, &r, e));
    TRY(target_check_vocab("model", v->model[0].path, model_config(v->model[0].m), shard_info(r), e));
    if (shard_info(r)->context > v->max_tok) {
      st = err_set(e, STATUS_USAGE, "'%s' has samples of up to %d tokens: give --micro-tokens %d", path, (int)shard_info(r)->context, (int)shard_info(r)->context);
      goto out;
    }
    from = source_of_shards(r);
  } else {
    TRY(tokenizer_open(v->model[0].path, &k, e));
    TRY(text_source_add(&text, path, k, (int64_t)v->o->text_context, e));
    from = source_of_text(&text);
  }
  TRY(measure(v, from, &none, 1, 0, "text", e));
  for (size_t i = 0; i < v->n; i++) {
    loss_sums_add(&v->model[i].text, &v->model[i].part.sums);
  }
out:
  text_source_free(&text);
  tokenizer_close(k);
  shard_close(r);
  return st;
}

static enum status eval_all(struct eval_run *v, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  const struct shard_info *info = v->shards != NULL ? shard_info(v->shards) : NULL;
  v->max_tok = (int64_t)v->o->micro_tokens;
  v->max_tok = info != NULL && info->context > v->max_tok ? info->context : v->max_tok;
  v->max_tok = v->o->text.n > 0 && (int64_t)v->o->text_context > v->max_tok ? (int64_t)v->o->text_context : v->max_tok;
  if (info != NULL) {
    TRY(target_open(&v->target, choose_targets(v, info), v->o->teacher, info, v->max_tok, e));
    TRY(hidden_error_report(&v->target, v->shards, e));
  }
  TRY(open_models(v, args, e));
  if (info != NULL) {
    TRY(measure(v, source_of_shards(v->shards), &v->target, 0, 1, "data", e));
  }
  for (size_t i = 0; i < v->o->text.n; i++) {
    TRY(measure_text(v, v->o->text.item[i], e));
  }
  if (v->o->speed) {
    TRY(measure_speed(v, e));
  }
  if (v->o->summary != NULL) {
    TRY(write_summary(v, e));
  }
  TRY(v->o->json ? print_rows(v, e) : print_table(v, e));
out:
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  int leased = 0;
  struct device *dev = NULL;
  struct eval_run v = { .o = options, .c = c };
  if (args->n == 0) {
    return err_set(e, STATUS_USAGE, "no model was named; see 'retort eval -h'");
  }
  if (v.o->data == NULL && v.o->text.n == 0 && !v.o->speed) {
    return err_set(e, STATUS_USAGE, "nothing to measure: give --data SHARDS, --text FILE or --speed");
  }
  TRY(lease_take(e));
  leased = 1;
  TRY(device_start(&v.o->dev, &dev, e));
  if (v.o->data != NULL) {
    TRY(shard_open(v.o->data, &v.shards, e));
  }
  TRY(eval_all(&v, args, e));
out:
  if (leased) {
    lease_give();
  }
  for (size_t i = 0; i < v.n; i++) {
    subject_free_docs(&v.model[i].data);
    run_free(v.model[i].run);
    if (v.model[i].m != v.target.model) {
      model_close(v.model[i].m);
    }
  }
  loss_driver_free(v.driver);
  target_close(&v.target);
  device_close(dev);
  shard_close(v.shards);
  return st;
}

const struct stage stage_eval = {
  .name = "eval",
  .args = "[NAME=]MODEL... --data SHARDS [--teacher T]",
  .summary = "loss, KL to the teacher, agreement, size and speed of models side by side",
  .details = "Loss in nats a token over the shards' mask, KL(teacher||model) over the full vocabulary with an online\n"
             "--teacher (or from stored top-k targets with the bucket of their remaining mass, then named so), share of\n"
             "positions with the same greatest logit. --json adds 95 % intervals by a bootstrap over documents.\n"
             "Models named together share the teacher's pass. A run folder stands for its student. NAME=MODEL gives the row a\n"
             "name.\n\n"
             "  retort eval run/ --teacher T.gguf --data held-out/\n"
             "  retort eval T.gguf pruned/ run/ sft/ --teacher T.gguf --data held-out/ --text eval.jsonl --speed --json\n",
  .flags = STAGE_COMPUTE,
  .options = option_rows,
  .options_bytes = sizeof(struct eval_options),
  .run = run,
};
