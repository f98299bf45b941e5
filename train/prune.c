/* SPDX-License-Identifier: Apache-2.0
 * `retort prune MODEL --layers N --heads N --ffn N --hidden N --calibrate DATA -o DIR/`: a smaller student cut out of a
 * larger model. Importances and choice are in prune_importance.c and prune_choose.c. */
#include "prune.h"
#include "card.h"
#include "file.h"
#include "hash.h"
#include "log.h"
#include "output.h"
#include "span.h"
#include "stage.h"

struct prune_options {
  const char *output, *calibrate, *depth_by, *aggregate, *type, *terms, *importance_out;
  int64_t layers, heads, ffn, hidden, samples, length, depth_samples, seed;
  int head_residual, random;
  uint64_t shard_bytes;
};

static const struct opt_row rows[] = {
  OPT_ROW(prune_options, output, "output", 'o', OPT_STR, NULL, NULL, "DIR", "folder of the pruned model (Hugging Face's layout)"),
  OPT_ROW(prune_options, layers, "layers", 0, OPT_INT, "0", "0..512", "N", "layers to keep (0 = all)"),
  OPT_ROW(prune_options, heads, "heads", 0, OPT_INT, "0", "0..4096", "N", "query heads a layer to keep, as many in every key/value group (0 = all)"),
  OPT_ROW(prune_options, ffn, "ffn", 0, OPT_INT, "0", "0..", "N", "feed-forward neurons a layer to keep (0 = all)"),
  OPT_ROW(prune_options, hidden, "hidden", 0, OPT_INT, "0", "0..", "N", "embedding channels to keep (0 = all)"),
  OPT_ROW(prune_options, calibrate, "calibrate", 'c', OPT_STR, NULL, NULL, "SHARDS|JSONL", "shard folder, or rows with ids, messages or text ('-' = stdin)"),
  OPT_ROW(prune_options, samples, "samples", 'n', OPT_INT, "64", "1..1000000", "N", "calibration samples"),
  OPT_ROW(prune_options, length, "length", 0, OPT_INT, "512", "2..1048576", "N", "tokens a calibration sample at most"),
  OPT_ROW(prune_options, aggregate, "aggregate", 0, OPT_STR, "l2,mean", NULL, "BATCH,SEQ", "how scores are gathered over samples and over positions: l2, mean or var each"),
  OPT_ROW(prune_options, depth_by, "depth-by", 0, OPT_ENUM, "bi", "bi|ppl", "HOW", "rank layers by block importance or by the loss without them"),
  OPT_ROW(prune_options, depth_samples, "depth-samples", 0, OPT_INT, "8", "1..1000000", "N", "calibration samples for --depth-by ppl (one pass a layer)"),
  OPT_ROW(prune_options, head_residual, "head-residual", 0, OPT_FLAG, NULL, NULL, NULL, "add to the weakest kept heads their difference to the dropped ones"),
  OPT_ROW(prune_options, type, "type", 't', OPT_ENUM, NULL, "f32|f16|bf16", "TYPE", "type of the weights (as the source has it, f32 when that is quantised)"),
  OPT_ROW(prune_options, random, "random", 0, OPT_FLAG, NULL, NULL, NULL, "random start of the same shape instead, for baselines"),
  OPT_ROW(prune_options, seed, "seed", 0, OPT_INT, "1", "0..", "N", "order of shards' samples, values of --random"),
  OPT_ROW(prune_options, importance_out, "importance-out", 0, OPT_STR, NULL, NULL, "FILE", "also write the scores as safetensors"),
  OPT_ROW(prune_options, terms, "teacher-terms", 0, OPT_STR, NULL, NULL, "ID", "licence or terms of the weights where the model does not say"),
  OPT_ROW(prune_options, shard_bytes, "shard-bytes", 0, OPT_BYTES, "4G", "1K..", "BYTES", "split the weights into files of at most this size"),
  OPT_END,
};

static const char *const aggregates[] = { "l2", "mean", "var" };

static enum status parse_aggregate(const char *s, enum aggregate *batch, enum aggregate *seq, struct err *e) {
  const char *comma = strchr(s, ',');
  int found = 0;
  for (int i = 0; comma != NULL && i < 3; i++) {
    if (strlen(aggregates[i]) == (size_t)(comma - s) && strncmp(s, aggregates[i], (size_t)(comma - s)) == 0) *batch = (enum aggregate)i, found |= 1;
    if (strcmp(comma + 1, aggregates[i]) == 0) *seq = (enum aggregate)i, found |= 2;
  }
  return found == 3 ? STATUS_OK : err_set(e, STATUS_USAGE, "--aggregate '%s': two of l2, mean, var with a comma, such as l2,mean", s);
}

struct job {
  struct ctx *ctx;
  const struct prune_options *o;
  struct weights *w;
  struct arena *a;
  struct calib calib;
  struct prune_scores scores;
  int have_scores;
  struct prune_plan plan;
  struct model_card card;
  enum dtype dtype;
};

/* Which ranks are needed: a shape that keeps everything of an axis needs no scores for it. */
static int needs_scores(const struct prune_options *o, const struct model_config *c) {
  int need = (o->layers && o->layers < c->n_layer) || (o->hidden && o->hidden < c->hidden) || o->importance_out != NULL;
  for (int l = 0; l < c->n_layer; l++) need |= (o->heads && o->heads < c->n_head[l]) || (o->ffn && o->ffn < c->ffn[l]);
  return need && !o->random;
}

static enum status make_key(struct job *j, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 }, opt = { 0 };
  unsigned char h[32];
  char hex[65];
  for (int64_t i = 0; i < j->calib.n; i++) {
    TRY(buf_put(&b, j->calib.s[i].ids, (size_t)j->calib.s[i].n_tok * sizeof(int32_t), e));
    TRY(buf_put(&b, j->calib.s[i].start, ((size_t)j->calib.s[i].n_doc + 1) * sizeof(int32_t), e));
  }
  sha256_of(b.p, b.n, h);
  hash_hex(h, 32, hex);
  struct prune_options plain = *j->o; /* paths are not what the result depends on; the data's hash stands for them */
  plain.output = plain.calibrate = plain.importance_out = NULL;
  TRY(opt_canonical(rows, &plain, &opt, e));
  const char *const parts[] = { "prune 1", j->card.source_identity, j->card.terms, opt.p, hex, dtype_name(j->dtype) };
  j->card.key = card_key(j->a, parts, sizeof parts / sizeof parts[0]);
  if (j->card.key == NULL) st = err_nomem(e, 65);
out:
  buf_free(&b);
  buf_free(&opt);
  return st;
}

/* ---- importance file ---- */

struct column { const char *name; const double *v; int64_t n; };

static enum status fill_column(void *ctx, const struct tensor_out *t, int64_t row0, int64_t n, float *dst, struct err *e) {
  const struct column *c = ctx;
  (void)e;
  while (strcmp(c->name, t->name) != 0) c++;
  for (int64_t i = 0; i < n; i++) dst[i] = (float)c->v[row0 + i];
  return STATUS_OK;
}

static enum status write_importance(const struct job *j, struct err *e) {
  const struct prune_scores *s = &j->scores;
  const struct model_config *c = weights_config(j->w);
  size_t n = 0, most = 2 * (size_t)s->n_layer + 5;
  struct column *col = arena_calloc(j->a, most, sizeof *col);
  struct tensor_out *t = arena_calloc(j->a, most, sizeof *t);
  if (col == NULL || t == NULL) return err_nomem(e, most * sizeof *t);
  for (int l = 0; l < s->n_layer; l++) {
    col[n++] = (struct column){ arena_printf(j->a, "ffn.%d", l), s->ffn[l], c->ffn[l] };
    col[n++] = (struct column){ arena_printf(j->a, "head.%d", l), s->head[l], c->n_head[l] };
  }
  col[n++] = (struct column){ "emb", s->emb, c->hidden };
  col[n++] = (struct column){ "block_importance", s->block, s->n_layer };
  if (s->n_layer > 1) col[n++] = (struct column){ "block_importance_pair", s->pair, s->n_layer - 1 };
  if (s->loss_without != NULL) {
    col[n++] = (struct column){ "loss_without_layer", s->loss_without, s->n_layer };
    col[n++] = (struct column){ "loss_dense", &s->loss, 1 };
  }
  for (size_t i = 0; i < n; i++) {
    if (col[i].name == NULL) return err_nomem(e, 16);
    t[i] = (struct tensor_out){ col[i].name, 1, { col[i].n }, DT_F32 };
  }
  return safetensors_write(j->o->importance_out, t, n, NULL, fill_column, col, e);
}

/* ---- the kept units, for people and for `check` ---- */

static enum status put_units(struct buf *b, const int32_t *v, int32_t n, struct err *e) {
  enum status st = STATUS_OK;
  for (int32_t i = 0; i < n; i++) TRY(buf_printf(b, e, "%s%d", i ? "," : "[", v[i]));
  TRY(buf_puts(b, n ? "]" : "[]", e));
out:
  return st;
}

static enum status put_layers(struct buf *b, const char *key, int32_t *const *v, const int32_t *n, int layers, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_printf(b, e, ", \"%s\": [", key));
  for (int l = 0; l < layers; l++) {
    if (l) TRY(buf_putc(b, ',', e));
    TRY(put_units(b, v[l], n[l], e));
  }
  TRY(buf_putc(b, ']', e));
out:
  return st;
}

static enum status put_kept(struct job *j, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  const struct prune_plan *p = &j->plan;
  TRY(buf_puts(b, "\"options\": ", e));
  TRY(ctx_options_json(j->ctx, b, e));
  TRY(buf_printf(b, e, ",\n  \"parameters\": %llu,\n  \"source_parameters\": %llu,\n  \"random\": %s,\n  \"kept\": {\"layers\": ",
                 (unsigned long long)model_param_count(&p->config), (unsigned long long)model_param_count(&p->from), j->o->random ? "true" : "false"));
  TRY(put_units(b, p->layer, p->config.n_layer, e));
  TRY(buf_puts(b, ", \"hidden\": ", e));
  TRY(put_units(b, p->hidden, p->config.hidden, e));
  TRY(put_layers(b, "heads", p->head, p->config.n_head, p->config.n_layer, e));
  TRY(put_layers(b, "ffn", p->ffn, p->config.ffn, p->config.n_layer, e));
  TRY(buf_putc(b, '}', e));
  j->card.extra = (struct span){ b->p, b->n };
out:
  return st;
}

static enum status score(struct job *j, struct err *e) {
  enum status st = STATUS_OK;
  struct model *m = NULL;
  enum aggregate batch = AGG_L2, seq = AGG_MEAN;
  TRY(parse_aggregate(j->o->aggregate, &batch, &seq, e));
  TRY(model_from_weights(j->w, 0, &m, e));
  TRY(prune_importance(m, &j->calib, batch, seq, j->a, &j->scores, e));
  if (strcmp(j->o->depth_by, "ppl") == 0) TRY(prune_depth_loss(m, &j->calib, j->o->depth_samples, j->a, &j->scores, e));
  j->have_scores = 1;
  if (j->o->importance_out != NULL) TRY(write_importance(j, e));
out:
  model_close(m); /* before the writing: a large model's float32 copy and its output need not be there at once */
  return st;
}

static enum status write_student(struct job *j, struct err *e) {
  enum status st = STATUS_OK;
  char *tmp = NULL;
  struct buf extra = { 0 };
  struct tensor_out *t;
  size_t n;
  struct prune_source src = { j->w, &j->plan, j->o->random, (uint64_t)j->o->seed };
  TRY(model_tensor_list(&j->plan.config, j->dtype, j->a, &t, &n, e));
  TRY(put_kept(j, &extra, e));
  TRY(folder_atomic_begin(j->o->output, &tmp, e));
  TRY(model_folder_write(tmp, &j->plan.config, t, n, j->dtype, j->o->shard_bytes, j->w, prune_fill, &src, e));
  TRY(card_write(tmp, &j->card, e));
  TRY(folder_atomic_commit(j->o->output, tmp, ctx_common(j->ctx)->force, e));
out:
  if (st != STATUS_OK && tmp != NULL) {
    struct err ignored;
    (void)!folder_remove(tmp, &ignored);
  }
  buf_free(&extra);
  mem_free(tmp);
  return st;
}

static enum dtype wanted_type(const struct prune_options *o, const struct weights *w) {
  const struct tensor *t = weights_find(w, "model.embed_tokens.weight");
  if (o->type != NULL) return strcmp(o->type, "f16") == 0 ? DT_F16 : strcmp(o->type, "bf16") == 0 ? DT_BF16 : DT_F32;
  return t != NULL && (t->type == DT_F16 || t->type == DT_BF16) ? t->type : DT_F32;
}

static void say_shape(const struct job *j) {
  const struct model_config *c = &j->plan.config;
  double part = 100.0 * (double)model_param_count(c) / (double)model_param_count(&j->plan.from);
  log_info("'%s': %llu parameters (%.1f %% of the source): %d layers, hidden %d, %d heads, ffn %d", j->o->output, (unsigned long long)model_param_count(c), part,
           c->n_layer, c->hidden, c->n_head[0], c->ffn[0]);
  for (int l = 0; l < c->n_layer; l++) {
    if (c->hidden % c->n_head[l] == 0) continue;
    log_warn("hidden size %d is not a multiple of %d heads: transformers refuses such a model although head_dim is given; retort and llama.cpp compute it",
             c->hidden, c->n_head[l]);
    break;
  }
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  struct job j = { .ctx = c, .o = options, .a = ctx_arena(c) };
  const struct prune_options *o = options;
  enum status st = STATUS_OK;
  int left_alone;
  if (args->n != 1 || o->output == NULL) return err_set(e, STATUS_USAGE, "name one model and an output folder: retort prune MODEL --ffn 1024 --calibrate shards/ -o student0/");
  TRY(weights_open(args->item[0], &j.w, e));
  const struct model_config *cfg = weights_config(j.w);
  if (cfg == NULL) {
    st = err_set(e, STATUS_DATA, "'%s' has no config.json beside it: its tensors alone are no model", weights_path(j.w));
    goto out;
  }
  int need = needs_scores(o, cfg);
  if (need && o->calibrate == NULL) {
    st = err_set(e, STATUS_USAGE, "--calibrate is missing: which units matter is measured on data (a shard folder or rows with text)");
    goto out;
  }
  const struct prune_shape shape = { o->layers, o->heads, o->ffn, o->hidden };
  TRY(prune_choose(cfg, &shape, NULL, 0, 0, j.a, &j.plan, e)); /* a shape that cannot be is refused before the work */
  TRY(output_card(j.w, args->item[0], "prune", o->terms, ctx_common(c)->accept_terms, j.a, &j.card, e));
  j.dtype = wanted_type(o, j.w);
  if (need) TRY(calib_read(o->calibrate, j.w, o->samples, o->length, (uint64_t)o->seed, j.a, &j.calib, e));
  TRY(make_key(&j, e));
  TRY(output_check(o->output, j.card.key, ctx_common(c)->force, j.a, &left_alone, e));
  if (left_alone && (o->importance_out == NULL || file_exists(o->importance_out))) goto out;
  if (need) TRY(score(&j, e));
  if (left_alone) goto out;
  TRY(prune_choose(cfg, &shape, j.have_scores ? &j.scores : NULL, strcmp(o->depth_by, "ppl") == 0, o->head_residual, j.a, &j.plan, e));
  TRY(write_student(&j, e));
  say_shape(&j);
out:
  weights_close(j.w);
  return st;
}

const struct stage stage_prune = {
  .name = "prune",
  .args = "MODEL",
  .summary = "cut a smaller student out of a model",
  .details = "Ranks attention heads, feed-forward neurons, embedding channels and layers by what they do on calibration data\n"
             "(Minitron), keeps the best and writes the trimmed model as a folder that transformers loads. The tokenizer and\n"
             "the terms travel along; what was kept stands in retort.json.\n\n"
             "  retort prune teacher.gguf --layers 20 --ffn 1024 --calibrate shards/ -o student0/\n"
             "  head -64 docs.jsonl | retort prune teacher.gguf --heads 6 --head-residual --calibrate - -o student0/",
  .flags = STAGE_COMPUTE,
  .options = rows,
  .options_bytes = sizeof(struct prune_options),
  .run = run,
};
