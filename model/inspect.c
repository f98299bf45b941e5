/* SPDX-License-Identifier: Apache-2.0
 * `retort inspect MODEL|SHARDS|RUN`: what an artefact is, without running it. */
#include "card.h"
#include "file.h"
#include "hash.h"
#include "shard.h"
#include "stage.h"
#include "template.h"
#include "tokenizer.h"

struct inspect_options {
  int json, tensors, identity;
};

static const struct opt_row rows[] = {
  OPT_ROW(inspect_options, json, "json", 0, OPT_FLAG, NULL, NULL, NULL, "one JSON object instead of text"),
  OPT_ROW(inspect_options, tensors, "tensors", 't', OPT_FLAG, NULL, NULL, NULL, "list every tensor with type, shape and bytes"),
  OPT_ROW(inspect_options, identity, "identity", 0, OPT_FLAG, NULL, NULL, NULL, "hash all weights: the identity under which the book knows this teacher"),
  OPT_END,
};

/* Output goes through one writer for both forms: JSON members, or lines "name  value". */
struct sheet {
  struct buf b;
  int json, any;
};

static enum status label(struct sheet *s, const char *key, struct err *e) {
  enum status st = s->json ? buf_printf(&s->b, e, "%s\"%s\":", s->any ? "," : "{", key) : buf_printf(&s->b, e, "%-12s ", key);
  s->any = 1;
  return st;
}

static enum status put_text(struct sheet *s, const char *key, const char *value, struct err *e) {
  enum status st = STATUS_OK;
  if (value == NULL) return STATUS_OK;
  TRY(label(s, key, e));
  TRY(s->json ? json_put_cstr(&s->b, value, e) : buf_printf(&s->b, e, "%s\n", value));
out:
  return st;
}

static enum status put_number(struct sheet *s, const char *key, int64_t v, struct err *e) {
  enum status st = STATUS_OK;
  TRY(label(s, key, e));
  TRY(buf_printf(&s->b, e, s->json ? "%lld" : "%lld\n", (long long)v));
out:
  return st;
}

static enum status put_real(struct sheet *s, const char *key, double v, struct err *e) {
  enum status st = STATUS_OK;
  TRY(label(s, key, e));
  TRY(buf_printf(&s->b, e, s->json ? "%.7g" : "%.7g\n", v));
out:
  return st;
}

/* The largest of all layers; when they differ, all of them under KEY_by_layer too (one JSON type a key). */
static enum status put_layers(struct sheet *s, const char *key, const int32_t *v, int n, struct err *e) {
  enum status st = STATUS_OK;
  char list[64];
  int32_t most = v[0];
  int same = 1;
  for (int i = 1; i < n; i++) same = same && v[i] == v[0], most = v[i] > most ? v[i] : most;
  TRY(put_number(s, key, most, e));
  if (same) return STATUS_OK;
  snprintf(list, sizeof list, "%s_by_layer", key);
  TRY(label(s, list, e));
  for (int i = 0; i < n; i++) TRY(buf_printf(&s->b, e, "%s%d", i ? "," : s->json ? "[" : "", v[i]));
  TRY(buf_puts(&s->b, s->json ? "]" : "\n", e));
out:
  return st;
}

static enum status put_config(struct sheet *s, const struct model_config *c, struct err *e) {
  enum status st = STATUS_OK;
  TRY(put_text(s, "arch", c->arch, e));
  TRY(put_number(s, "parameters", (int64_t)model_param_count(c), e));
  TRY(put_number(s, "layers", c->n_layer, e));
  TRY(put_number(s, "hidden", c->hidden, e));
  TRY(put_layers(s, "heads", c->n_head, c->n_layer, e));
  TRY(put_layers(s, "kv_heads", c->n_kv_head, c->n_layer, e));
  TRY(put_number(s, "head_dim", c->head_dim, e));
  TRY(put_layers(s, "ffn", c->ffn, c->n_layer, e));
  TRY(put_number(s, "vocab", c->vocab, e));
  TRY(put_number(s, "context", c->max_ctx, e));
  if (c->window > 0) TRY(put_number(s, "window", c->window, e));
  TRY(put_real(s, "rope_theta", (double)c->rope_theta, e));
  if (c->rope_kind != ROPE_PLAIN) TRY(put_text(s, "rope_scaling", c->rope_kind == ROPE_LLAMA3 ? "llama3" : "linear", e));
  if (c->rope_kind != ROPE_PLAIN) TRY(put_real(s, "rope_factor", (double)c->rope_factor, e));
  TRY(put_real(s, "norm_eps", (double)c->norm_eps, e));
  TRY(put_text(s, "output", c->tied ? "tied to the embedding" : "own matrix", e));
out:
  return st;
}

static enum status put_bytes(struct sheet *s, const struct weights *w, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t bytes[DT_COUNT] = { 0 }, count[DT_COUNT] = { 0 }, all = 0;
  for (size_t i = 0; i < weights_count(w); i++) {
    const struct tensor *t = weights_at(w, i);
    bytes[t->type] += t->bytes, count[t->type]++, all += t->bytes;
  }
  TRY(put_number(s, "tensors", (int64_t)weights_count(w), e));
  TRY(put_number(s, "bytes", (int64_t)all, e));
  TRY(label(s, "types", e));
  int any = 0;
  for (int k = 0; k < DT_COUNT; k++) {
    if (count[k] == 0) continue;
    TRY(buf_printf(&s->b, e, s->json ? "%s\"%s\":{\"tensors\":%llu,\"bytes\":%llu}" : "%s%s: %llu tensors, %llu bytes", any ? (s->json ? "," : "; ") : s->json ? "{" : "",
                   dtype_name((enum dtype)k), (unsigned long long)count[k], (unsigned long long)bytes[k]));
    any = 1;
  }
  TRY(buf_puts(&s->b, s->json ? (any ? "}" : "{}") : "\n", e));
out:
  return st;
}

static enum status put_tensors(struct sheet *s, const struct weights *w, struct err *e) {
  enum status st = STATUS_OK;
  TRY(label(s, "list", e));
  TRY(buf_puts(&s->b, s->json ? "[" : "\n", e));
  for (size_t i = 0; i < weights_count(w); i++) {
    const struct tensor *t = weights_at(w, i);
    if (s->json) {
      TRY(buf_puts(&s->b, i ? ",{\"name\":" : "{\"name\":", e));
      TRY(json_put_cstr(&s->b, t->name, e));
      TRY(buf_printf(&s->b, e, ",\"type\":\"%s\",\"bytes\":%llu,\"shape\":[", dtype_name(t->type), (unsigned long long)t->bytes));
    } else {
      TRY(buf_printf(&s->b, e, "  %-56s %-5s %12llu  ", t->name, dtype_name(t->type), (unsigned long long)t->bytes));
    }
    for (int k = 0; k < t->n_dim; k++) TRY(buf_printf(&s->b, e, "%s%lld", k ? (s->json ? "," : " x ") : "", (long long)t->dim[k]));
    TRY(buf_puts(&s->b, s->json ? "]}" : "\n", e));
  }
  TRY(buf_puts(&s->b, s->json ? "]" : "", e));
out:
  return st;
}

/* Tokenizer and template are looked at, not required: weights without them are still weights. */
static enum status put_tokenizer(struct sheet *s, const struct weights *w, struct err *e) {
  enum status st = STATUS_OK;
  struct tokenizer *t = NULL;
  const struct chat_template *row;
  struct err why = { 0 };
  if (tokenizer_from_weights(w, &t, &why) != STATUS_OK) return put_text(s, "tokenizer", "none that can be read", e);
  unsigned char h[32];
  char hex[65];
  tokenizer_hash(t, h);
  hash_hex(h, 32, hex);
  TRY(put_text(s, "tokenizer", tokenizer_pre_name(t), e));
  TRY(put_number(s, "tokens", tokenizer_vocab(t), e));
  TRY(put_text(s, "tokenizer_id", hex, e));
  TRY(put_number(s, "bos", tokenizer_bos(t), e));
  TRY(put_number(s, "eos", tokenizer_eos(t), e));
  if (tokenizer_template(t) == NULL) st = put_text(s, "template", "none", e);
  else if (template_find(NULL, t, &row, &why) == STATUS_OK) st = put_text(s, "template", template_name(row), e);
  else st = put_text(s, "template", "unknown (needs --chat-template)", e);
out:
  tokenizer_close(t);
  return st;
}

static enum status inspect_model(struct sheet *s, const char *path, const struct inspect_options *o, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct weights *w = NULL;
  struct model_card card;
  TRY(weights_open(path, &w, e));
  TRY(put_text(s, "kind", "model", e));
  TRY(put_text(s, "path", weights_path(w), e));
  TRY(put_text(s, "format", weights_is_gguf(w) ? "GGUF" : "safetensors", e));
  if (weights_config(w) != NULL) TRY(put_config(s, weights_config(w), e));
  TRY(put_bytes(s, w, e));
  if (weights_config(w) != NULL) TRY(put_tokenizer(s, w, e));
  TRY(card_of(w, a, &card, e));
  TRY(put_text(s, "terms", card.terms ? card.terms : "unknown", e));
  TRY(put_text(s, "made_by", card.made_by, e));
  TRY(put_text(s, "source", card.source, e));
  if (o->identity) {
    unsigned char id[32];
    char hex[65];
    TRY(weights_identity(w, id, e));
    hash_hex(id, 32, hex);
    TRY(put_text(s, "identity", hex, e));
  }
  if (o->tensors) TRY(put_tensors(s, w, e));
out:
  weights_close(w);
  return st;
}

static enum status inspect_shards(struct sheet *s, const char *path, struct err *e) {
  enum status st = STATUS_OK;
  struct shard_reader *r = NULL;
  TRY(shard_open(path, &r, e));
  const struct shard_info *i = shard_info(r);
  TRY(put_text(s, "kind", "shards", e));
  TRY(put_text(s, "path", path, e));
  TRY(put_number(s, "samples", i->n_samples, e));
  TRY(put_number(s, "documents", i->n_docs, e));
  TRY(put_number(s, "tokens", i->n_tokens, e));
  TRY(put_number(s, "targets", i->n_targets, e));
  TRY(put_number(s, "context", i->context, e));
  TRY(put_number(s, "vocab", i->vocab, e));
  TRY(put_number(s, "top_k", i->top_k, e));
  TRY(put_number(s, "draws", i->draws, e));
  TRY(put_number(s, "hidden", i->hidden, e));
  TRY(put_text(s, "tokenizer_id", i->tokenizer_hash, e));
  TRY(put_text(s, "template", i->template_name, e));
  TRY(put_text(s, "teacher", i->teacher, e));
  TRY(put_text(s, "teacher_id", i->teacher_identity, e));
  TRY(put_text(s, "terms", i->terms, e));
out:
  shard_close(r);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  const struct inspect_options *o = options;
  enum status st = STATUS_OK;
  struct sheet s = { { 0 }, o->json, 0 };
  if (args->n == 0) return err_set(e, STATUS_USAGE, "nothing to inspect: name a model, a shard folder or a run folder");
  for (size_t i = 0; i < args->n; i++) {
    const char *path = args->item[i];
    char *manifest = path_join(ctx_arena(c), path, "manifest.json"), *config = path_join(ctx_arena(c), path, "config.json");
    char *student = path_join(ctx_arena(c), path, "student/config.json");
    if (manifest == NULL || config == NULL || student == NULL) {
      st = err_nomem(e, strlen(path));
      goto out;
    }
    buf_clear(&s.b);
    s.any = 0;
    if (file_exists(manifest) && !file_exists(config) && !file_exists(student)) TRY(inspect_shards(&s, path, e));
    else TRY(inspect_model(&s, path, o, ctx_arena(c), e));
    TRY(ctx_print(c, e, "%.*s%s", (int)s.b.n, s.b.p, o->json ? "}\n" : i + 1 < args->n ? "\n" : ""));
  }
out:
  buf_free(&s.b);
  return st;
}

const struct stage stage_inspect = {
  .name = "inspect",
  .args = "MODEL|SHARDS|RUN...",
  .summary = "say what a model, a shard folder or a run folder is",
  .details = "Architecture, shapes, exact number of parameters, bytes by type, tokenizer, chat template and terms of a model;\n"
             "counts, teacher and terms of shards. Nothing is computed except with --identity.\n\n"
             "  retort inspect teacher.gguf\n"
             "  retort inspect run/ --json | jq .parameters",
  .flags = 0,
  .options = rows,
  .options_bytes = sizeof(struct inspect_options),
  .run = run,
};
