/* SPDX-License-Identifier: Apache-2.0
 * Teachers of the trainer. */
#include "target.h"
#include <string.h>
#include "file.h"
#include "hash.h"
#include "log.h"
#include "tokenizer.h"
#include "weights.h"

const char *target_mode_name(enum target_mode m) {
  static const char *const name[] = { "none", "online", "hidden", "topk", "sample" };
  return name[m];
}

enum status target_check_vocab(const char *what, const char *path, const struct model_config *c, const struct shard_info *info, struct err *e) {
  if (c->vocab != info->vocab) {
    return err_set(e, STATUS_DATA, "%s '%s' has a vocabulary of %d, the shards were made with one of %d; make shards with its tokenizer",
                   what, path, (int)c->vocab, (int)info->vocab);
  }
  if (info->tokenizer_hash[0] == '\0') {
    return STATUS_OK; /* rows of bare ids */
  }
  struct tokenizer *t = NULL;
  struct err none;
  if (tokenizer_open(path, &t, &none) != STATUS_OK) {
    log_warn("%s '%s' has no tokenizer to compare with the shards' (%s); only the size of the vocabulary was checked", what, path, none.msg);
    return STATUS_OK;
  }
  unsigned char hash[32];
  char hex[65];
  tokenizer_hash(t, hash);
  tokenizer_close(t);
  hash_hex(hash, 32, hex);
  if (strcmp(hex, info->tokenizer_hash) != 0) {
    return err_set(e, STATUS_DATA, "%s '%s' has tokenizer %.12s, the shards were made with %.12s; ids would mean other tokens: make shards with --tokenizer '%s'",
                   what, path, hex, info->tokenizer_hash, path);
  }
  return STATUS_OK;
}

/* The shards name the teacher by a text that holds the hash of its weights. */
static enum status check_identity(const struct target *t, const char *teacher, const struct shard_info *info, struct err *e) {
  char hex[65];
  hash_hex(t->identity, 32, hex);
  if (info->teacher_identity == NULL || strstr(info->teacher_identity, hex) == NULL) {
    return err_set(e, STATUS_DATA, "the shards' hidden states are of teacher '%s' (%s), not of '%s' (%s)", info->teacher,
                   info->teacher_identity, teacher, hex);
  }
  return STATUS_OK;
}

static enum status open_head(struct target *t, const struct weights *w, const struct model_config *c, const struct shard_info *info, struct err *e) {
  enum status st = STATUS_OK;
  const struct tensor *head = NULL;
  float *values = NULL;
  if (c->hidden != info->hidden) {
    return err_set(e, STATUS_DATA, "the shards' hidden states have %d channels, the teacher has %d", (int)info->hidden, (int)c->hidden);
  }
  TRY(weights_need(w, c->tied ? "model.embed_tokens.weight" : "lm_head.weight", c->vocab, c->hidden, &head, e));
  t->own_bytes = (size_t)c->vocab * (size_t)c->hidden * sizeof(float);
  t->dev = device_in_use();
  void *own;
  TRY(device_block(t->dev, t->own_bytes, "the teacher's output head", &own, e));
  t->own_head = own;
  values = t->dev->k->on_device ? mem_block(t->own_bytes) : t->own_head;
  if (values == NULL) {
    st = err_nomem(e, t->own_bytes);
    goto out;
  }
  TRY(weights_read(head, 0, c->vocab, values, e));
  if (values != t->own_head) {
    t->dev->k->upload(t->dev->d, t->own_head, values, t->own_bytes);
    TRY(device_check(t->dev, e));
  }
  t->head = t->own_head;
  t->width = c->hidden;
out:
  if (values != NULL && values != t->own_head) {
    mem_block_free(values, t->own_bytes);
  }
  return st;
}

enum status target_open(struct target *t, enum target_mode mode, const char *teacher, const struct shard_info *info, int64_t max_tok, struct err *e) {
  enum status st = STATUS_OK;
  struct weights *w = NULL;
  memset(t, 0, sizeof *t);
  t->mode = mode;
  if (mode == TARGET_TOPK && info->top_k == 0) {
    return err_set(e, STATUS_USAGE, "the shards hold no top-k targets; give --teacher, or make shards with --targets topk:K");
  }
  if (mode == TARGET_SAMPLE && info->draws == 0) {
    return err_set(e, STATUS_USAGE, "the shards hold no draws; make shards with --targets sample:N");
  }
  if (mode == TARGET_TOPK && info->top_k > LOSS_MAX_K) {
    return err_set(e, STATUS_LIMIT, "the shards hold %d targets a position, at most %d can be trained on", (int)info->top_k, LOSS_MAX_K);
  }
  if (mode == TARGET_NONE || mode == TARGET_TOPK || mode == TARGET_SAMPLE) {
    return STATUS_OK;
  }
  if (teacher == NULL) {
    return err_set(e, STATUS_USAGE, "targets '%s' need --teacher", target_mode_name(mode));
  }
  TRY(weights_open(teacher, &w, e));
  const struct model_config *c = weights_config(w);
  if (c == NULL) {
    st = err_set(e, STATUS_DATA, "'%s' has no configuration; give a model folder or a GGUF file", teacher);
    goto out;
  }
  TRY(target_check_vocab("teacher", teacher, c, info, e));
  TRY(weights_identity(w, t->identity, e));
  weights_forget(w);
  t->has_identity = 1;
  if (mode == TARGET_HIDDEN) {
    TRY(check_identity(t, teacher, info, e));
    TRY(open_head(t, w, c, info, e));
    goto out;
  }
  TRY(model_open(teacher, 0, &t->model, e));
  weights_forget(model_weights(t->model));
  TRY(run_new(t->model, max_tok, 0, &t->run, e));
  t->head = model_head(t->model);
  t->width = c->hidden;
out:
  weights_close(w);
  if (st != STATUS_OK) {
    target_close(t);
  }
  return st;
}

void target_close(struct target *t) {
  run_free(t->run);
  model_close(t->model);
  if (t->own_head != NULL) {
    device_block_free(t->dev, t->own_head, t->own_bytes);
  }
  memset(t, 0, sizeof *t);
}

enum status target_fill(struct target *t, const struct micro *m, struct loss_work *w, struct err *e) {
  enum status st = STATUS_OK;
  if (t->mode == TARGET_ONLINE) {
    TRY(run_forward(t->run, &m->packed, &w->t_hidden, e));
    w->t_row = m->row;
  } else if (t->mode == TARGET_HIDDEN) {
    w->t_hidden = m->hidden;
    w->t_row = NULL;
  } else if (t->mode == TARGET_TOPK || t->mode == TARGET_SAMPLE) {
    w->k = m->k;
    w->top_id = m->top_id;
    w->top_logprob = m->top_logprob;
    w->rest = m->rest;
  }
  w->t_head = t->head;
  w->t_width = t->width;
out:
  return st;
}
