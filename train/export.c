/* SPDX-License-Identifier: Apache-2.0
 * `retort export MODEL -o student.gguf|FOLDER/`: the same weights in another container and type. Terms travel along
 * (decision 13); an output that was made from the same inputs with the same options is left alone. Stands in train/ because
 * the terms gate is above model/. */
#include "card.h"
#include "file.h"
#include "hash.h"
#include "log.h"
#include "output.h"
#include "stage.h"
#include "weights.h"

struct export_options {
  const char *output, *type, *name, *terms;
  uint64_t shard_bytes;
};

static const struct opt_row rows[] = {
  OPT_ROW(export_options, output, "output", 'o', OPT_STR, NULL, NULL, "PATH", "NAME.gguf, or a folder for Hugging Face's layout"),
  OPT_ROW(export_options, type, "type", 't', OPT_ENUM, NULL, "f32|f16|bf16|q8_0|q4_1", "TYPE", "type of the matrices (GGUF: f16, folder: f32)"),
  OPT_ROW(export_options, name, "name", 0, OPT_STR, NULL, NULL, "NAME", "name of the model inside a GGUF (file name)"),
  OPT_ROW(export_options, terms, "teacher-terms", 0, OPT_STR, NULL, NULL, "ID", "licence or terms of the weights where the model does not say"),
  OPT_ROW(export_options, shard_bytes, "shard-bytes", 0, OPT_BYTES, "4G", "1K..", "BYTES", "split a folder's weights into files of at most this size"),
  OPT_END,
};

static const struct { const char *name; enum dtype type; } types[] = {
  { "f32", DT_F32 }, { "f16", DT_F16 }, { "bf16", DT_BF16 }, { "q8_0", DT_Q8_0 }, { "q4_1", DT_Q4_1 },
};

/* Progress over all values, told by the fill. */
struct job {
  const struct weights *w;
  struct progress *bar;
  uint64_t done;
  int force;
};

static enum status fill(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows_wanted, float *dst, struct err *e) {
  struct job *j = ctx;
  enum status st = weights_fill((void *)(uintptr_t)j->w, t, row0, rows_wanted, dst, e);
  j->done += (uint64_t)rows_wanted * (uint64_t)(t->n_dim > 1 ? t->dim[1] : 1);
  progress_set(j->bar, j->done, t->name);
  return st == STATUS_OK && stop_requested() ? err_set(e, STATUS_STOPPED, "stopped; nothing was written under the output's name") : st;
}

static int is_gguf_name(const char *path) {
  size_t n = strlen(path);
  return n > 5 && strcmp(path + n - 5, ".gguf") == 0;
}

/* Says what will not have the type that was asked for. */
static void say_fallbacks(const struct tensor_out *t, size_t n, enum dtype dtype) {
  size_t f16 = 0;
  const char *first = NULL;
  int64_t width = 0;
  for (size_t i = 0; i < n; i++) {
    if (t[i].n_dim < 2 || dtype_block(dtype) == 1 || t[i].dim[1] % dtype_block(dtype) == 0) continue;
    if (f16++ == 0) first = t[i].name, width = t[i].dim[1];
  }
  if (f16 > 0) {
    log_warn("%zu tensors are written as F16 instead of %s: their rows are no multiple of %d ('%s' has %lld)", f16, dtype_name(dtype),
             (int)dtype_block(dtype), first, (long long)width);
  }
}

static enum status write_gguf(const struct export_options *o, const struct weights *w, const struct model_card *card, const struct tensor_out *t,
                              size_t n, enum dtype dtype, struct job *j, struct arena *a, struct err *e) {
  const struct model_config *c = weights_config(w);
  const char *base = strrchr(o->output, '/');
  base = base ? base + 1 : o->output;
  const char *name = o->name ? o->name : arena_strndup(a, base, strlen(base) - 5);
  if (name == NULL) return err_nomem(e, 64);
  /* general.license is for readers that look for an SPDX id; the full sentence of the gate stands beside it */
  const char *const strings[] = { "general.name", name, "general.license", card->terms, "retort.made_by", card->made_by, "retort.terms", card->terms,
                                  "retort.source", card->source, "retort.source_identity", card->source_identity, "retort.key", card->key, NULL };
  if (strcmp(c->arch, "mistral") == 0 && c->window > 0 && c->window < c->max_ctx) {
    log_warn("llama.cpp ignores the sliding window of %d tokens: longer texts will be computed differently there", c->window);
  }
  say_fallbacks(t, n, dtype);
  return gguf_write(o->output, c, t, n, dtype, strings, w, fill, j, e);
}

static enum status write_folder(const struct export_options *o, const struct weights *w, const struct model_card *card, const struct tensor_out *t,
                                size_t n, enum dtype dtype, struct job *j, struct err *e) {
  enum status st = STATUS_OK;
  char *tmp = NULL;
  TRY(folder_atomic_begin(o->output, &tmp, e));
  TRY(model_folder_write(tmp, weights_config(w), t, n, dtype, o->shard_bytes, w, fill, j, e));
  TRY(card_write(tmp, card, e));
  TRY(folder_atomic_commit(o->output, tmp, j->force, e));
out:
  if (st != STATUS_OK && tmp != NULL) {
    struct err ignored;
    (void)!folder_remove(tmp, &ignored);
  }
  mem_free(tmp);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  const struct export_options *o = options;
  enum status st = STATUS_OK;
  struct weights *w = NULL;
  struct job j = { 0 };
  struct tensor_out *t;
  size_t n;
  int left_alone;
  struct arena *a = ctx_arena(c);
  struct model_card card;
  if (args->n != 1 || o->output == NULL) return err_set(e, STATUS_USAGE, "name one model and an output: retort export MODEL -o student.gguf");
  int gguf = is_gguf_name(o->output);
  enum dtype dtype = gguf ? DT_F16 : DT_F32;
  for (size_t i = 0; o->type != NULL && i < sizeof types / sizeof types[0]; i++) {
    if (strcmp(o->type, types[i].name) == 0) dtype = types[i].type;
  }
  if (!gguf && dtype != DT_F32 && dtype != DT_F16 && dtype != DT_BF16) {
    return err_set(e, STATUS_USAGE, "--type %s is for GGUF; a folder takes f32, f16 or bf16 (an output that ends in .gguf is a GGUF)", o->type);
  }
  TRY(weights_open(args->item[0], &w, e));
  if (weights_config(w) == NULL) {
    st = err_set(e, STATUS_DATA, "'%s' has no config.json beside it: its tensors alone are no model", weights_path(w));
    goto out;
  }
  TRY(output_card(w, args->item[0], "export", o->terms, ctx_common(c)->accept_terms, a, &card, e));
  char split[32];
  snprintf(split, sizeof split, "%llu", (unsigned long long)o->shard_bytes);
  const char *const parts[] = { "export 1", card.source_identity, dtype_name(dtype), gguf ? "gguf" : "folder", gguf ? "" : split, o->name, card.terms };
  card.key = card_key(a, parts, sizeof parts / sizeof parts[0]);
  if (card.key == NULL) {
    st = err_nomem(e, 65);
    goto out;
  }
  TRY(output_check(o->output, card.key, ctx_common(c)->force, a, &left_alone, e));
  if (left_alone) goto out;
  TRY(model_tensor_list(weights_config(w), dtype, a, &t, &n, e));
  j.w = w;
  j.force = ctx_common(c)->force;
  j.bar = progress_new("export", "values", model_param_count(weights_config(w)));
  TRY(gguf ? write_gguf(o, w, &card, t, n, dtype, &j, a, e) : write_folder(o, w, &card, t, n, dtype, &j, e));
  log_info("'%s': %llu parameters as %s", o->output, (unsigned long long)model_param_count(weights_config(w)), dtype_name(dtype));
out:
  progress_free(j.bar);
  weights_close(w);
  return st;
}

const struct stage stage_export = {
  .name = "export",
  .args = "MODEL",
  .summary = "write a model as GGUF or as a Hugging Face folder",
  .details = "Reads any MODEL (GGUF, folder, run folder) and writes the same weights with tokenizer, chat template and terms.\n"
             "A Q4_1 file keeps the vocabulary matrices as Q8_0. One-dimensional tensors are always F32 in a GGUF.\n\n"
             "  retort export run/ -o student.gguf --type q8_0\n"
             "  retort export model.gguf -o model/ --type bf16",
  .flags = STAGE_COMPUTE,
  .options = rows,
  .options_bytes = sizeof(struct export_options),
  .run = run,
};
