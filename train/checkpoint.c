/* SPDX-License-Identifier: Apache-2.0
 * Saving and loading checkpoints. state.json is part of the folder that appears by one rename; it holds the XXH3 of the
 * three blocks as they lie in memory, so that a flipped bit on disk is noticed before it trains on. */
#include "checkpoint.h"
#include <string.h>
#include "file.h"
#include "hash.h"
#include "json.h"
#include "log.h"
#include "weights.h"

enum { FORMAT = 1 };
#define PREFIX "step-"

struct block_list {
  const struct model *m;
  const float *block[2]; /* one list of tensors a block, in this order */
  size_t n_param, n;
  struct tensor_out *first;
};

static enum status fill(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  const struct block_list *l = ctx;
  size_t i = 0;
  while (i < l->n && strcmp(l->first[i].name, t->name) != 0) {
    i++;
  }
  if (i == l->n) {
    return err_set(e, STATUS_DATA, "tensor '%s' is not of this list", t->name);
  }
  const struct param *p = model_param_at(l->m, i % l->n_param);
  int64_t cols = p->cols > 0 ? p->cols : 1;
  memcpy(dst, l->block[i / l->n_param] + p->offset + row0 * cols, (size_t)(rows * cols) * sizeof *dst);
  return STATUS_OK;
}

/* One safetensors file of one or two blocks; prefixes tell the names apart. */
static enum status write_blocks(const char *path, const struct model *m, const float *const *block, const char *const *prefix,
                                size_t n_block, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  struct block_list l = { .m = m, .n_param = model_param_count_list(m), .n = n_block * model_param_count_list(m) };
  l.first = a != NULL ? arena_calloc(a, l.n, sizeof *l.first) : NULL;
  if (l.first == NULL) {
    st = err_nomem(e, 2 * l.n_param * sizeof *l.first);
    goto out;
  }
  for (size_t i = 0; i < l.n; i++) {
    const struct param *p = model_param_at(m, i % l.n_param);
    l.block[i / l.n_param] = block[i / l.n_param];
    l.first[i] = (struct tensor_out){ arena_printf(a, "%s%s", prefix[i / l.n_param], p->name), p->cols > 0 ? 2 : 1, { p->rows, p->cols, 0, 0 }, DT_F32 };
    if (l.first[i].name == NULL) {
      st = err_nomem(e, strlen(p->name));
      goto out;
    }
  }
  TRY(safetensors_write(path, l.first, l.n, NULL, fill, &l, e));
out:
  arena_free(a);
  return st;
}

enum status checkpoint_write_block(const char *path, const struct model *m, const float *block, struct err *e) {
  return write_blocks(path, m, &block, (const char *const[]){ "" }, 1, e);
}

static uint64_t block_hash(const float *p, int64_t n) {
  return xxh3(p, (size_t)n * sizeof *p);
}

static enum status write_state(const char *path, const struct checkpoint_state *s, const uint64_t hash[3], struct err *e) {
  enum status st = STATUS_OK;
  struct file_atomic f = { 0 };
  struct buf b = { 0 };
  TRY(buf_printf(&b, e, "{\"format\":%d,\"step\":%lld,\"tokens\":%lld,\"updates\":%lld,\"bad_in_a_row\":%lld,\"epoch\":%lld,\"at\":%lld,\"seed\":\"%llu\"",
                 FORMAT, (long long)s->step, (long long)s->tokens, (long long)s->updates, (long long)s->bad_in_a_row, (long long)s->epoch,
                 (long long)s->at, (unsigned long long)s->seed));
  TRY(buf_printf(&b, e, ",\"params_xxh3\":\"%016llx\",\"mom_xxh3\":\"%016llx\",\"var_xxh3\":\"%016llx\",\"seconds\":", (unsigned long long)hash[0],
                 (unsigned long long)hash[1], (unsigned long long)hash[2]));
  TRY(json_put_num(&b, s->seconds, e));
  TRY(buf_puts(&b, ",\"loss\":", e));
  TRY(json_put_num(&b, s->loss, e));
  TRY(buf_puts(&b, ",\"kl\":", e));
  TRY(json_put_num(&b, s->kl, e));
  TRY(buf_puts(&b, "}\n", e));
  TRY(file_atomic_open(&f, path, e));
  TRY(file_write_all(fileno(f.fp), b.p, b.n, e));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  buf_free(&b);
  return st;
}

static int is_checkpoint(const char *name) {
  return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && strspn(name + strlen(PREFIX), "0123456789") == strlen(name) - strlen(PREFIX);
}

/* Removes all but the last keep, and what a killed process left half-written. */
static enum status drop_old(const char *folder, int keep, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  const char **names = NULL;
  size_t n = 0, whole = 0;
  TRY(folder_list(folder, a, &names, &n, e));
  for (size_t i = 0; i < n; i++) {
    whole += (size_t)is_checkpoint(names[i]);
  }
  for (size_t i = 0; i < n; i++) {
    if (is_checkpoint(names[i]) && whole <= (size_t)keep) {
      continue;
    }
    whole -= (size_t)is_checkpoint(names[i]);
    char *path = path_join(a, folder, names[i]);
    if (path == NULL) {
      st = err_nomem(e, strlen(names[i]));
      goto out;
    }
    TRY(folder_remove(path, e));
  }
out:
  return st;
}

enum status checkpoint_save(const char *dir, const struct trainer *t, const struct checkpoint_state *s, int keep, struct err *e) {
  enum status st = STATUS_OK;
  char *tmp = NULL;
  int64_t n;
  const float *block[3] = { NULL, NULL, NULL };
  const float *from[3] = { model_param_block(t->student, &n), t->optim.mom, t->optim.var };
  struct arena *a = arena_new(0);
  char *folder = a != NULL ? path_join(a, dir, "checkpoints") : NULL;
  char *path = folder != NULL ? arena_printf(a, "%s/" PREFIX "%08lld", folder, (long long)s->step) : NULL;
  if (path == NULL) {
    st = err_nomem(e, strlen(dir));
    goto out;
  }
  TRY(folder_make(folder, e));
  TRY(folder_atomic_begin(path, &tmp, e));
  char *state = path_join(a, tmp, "state.json"), *p = path_join(a, tmp, "params.safetensors"), *v = path_join(a, tmp, "moments.safetensors");
  if (state == NULL || p == NULL || v == NULL) {
    st = err_nomem(e, strlen(tmp));
    goto out;
  }
  for (int i = 0; i < 3; i++) {
    TRY(model_block_fetch(t->student, from[i], &block[i], e));
  }
  uint64_t hash[3] = { block_hash(block[0], n), block_hash(block[1], n), block_hash(block[2], n) };
  TRY(checkpoint_write_block(p, t->student, block[0], e));
  TRY(write_blocks(v, t->student, block + 1, (const char *const[]){ "m.", "v." }, 2, e));
  TRY(write_state(state, s, hash, e));
  TRY(folder_atomic_commit(path, tmp, 1, e));
  TRY(drop_old(folder, keep, a, e));
out:
  for (int i = 0; i < 3; i++) {
    model_block_drop(t->student, block[i]);
  }
  mem_free(tmp);
  arena_free(a);
  return st == STATUS_OK ? st : err_prefix(e, "checkpoint of step %lld", (long long)s->step);
}

static enum status read_block(const char *path, const char *prefix, const struct model *m, float *block, struct err *e) {
  enum status st = STATUS_OK;
  struct weights *w = NULL;
  TRY(weights_open(path, &w, e));
  for (size_t i = 0; i < model_param_count_list(m); i++) {
    const struct param *p = model_param_at(m, i);
    const struct tensor *t = NULL;
    char name[300];
    snprintf(name, sizeof name, "%s%s", prefix, p->name);
    TRY(weights_need(w, name, p->rows, p->cols, &t, e));
    TRY(weights_read(t, 0, p->rows, block + p->offset, e));
  }
out:
  weights_close(w);
  return st;
}

static enum status hash_field(const struct json *j, const char *key, uint64_t *out, struct err *e) {
  const char *s = json_cstr(json_get(j, key), "");
  uint64_t v = 0;
  if (strlen(s) != 16 || strspn(s, "0123456789abcdef") != 16) {
    return err_set(e, STATUS_DATA, "'%s' is '%s', expected 16 hexadecimal digits", key, s);
  }
  for (; *s != '\0'; s++) {
    v = v << 4 | (uint64_t)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
  }
  *out = v;
  return STATUS_OK;
}

static enum status seed_field(const struct json *j, uint64_t *out, struct err *e) {
  const char *s = json_cstr(json_get(j, "seed"), "x");
  uint64_t v = 0;
  for (; *s >= '0' && *s <= '9'; s++) {
    v = v * 10 + (uint64_t)(*s - '0');
  }
  *out = v;
  return *s == '\0' ? STATUS_OK : err_set(e, STATUS_DATA, "'seed' is not a number");
}

static enum status read_state(const char *path, struct checkpoint_state *s, uint64_t hash[3], struct err *e) {
  enum status st = STATUS_OK;
  struct json *j = NULL;
  TRY(json_parse_file(path, 1 << 16, &j, e));
  if (json_int(json_get(j, "format"), 0) != FORMAT) {
    st = err_set(e, STATUS_DATA, "'%s' has format %lld, expected %d", path, (long long)json_int(json_get(j, "format"), 0), FORMAT);
    goto out;
  }
  static const char *const key[] = { "step", "tokens", "updates", "bad_in_a_row", "epoch", "at" };
  int64_t *to[] = { &s->step, &s->tokens, &s->updates, &s->bad_in_a_row, &s->epoch, &s->at };
  for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
    *to[i] = json_int(json_get(j, key[i]), -1);
    if (*to[i] < 0) {
      st = err_set(e, STATUS_DATA, "'%s': '%s' is missing or negative", path, key[i]);
      goto out;
    }
  }
  s->seconds = json_num(json_get(j, "seconds"), 0);
  s->loss = json_num(json_get(j, "loss"), 0);
  s->kl = json_num(json_get(j, "kl"), 0);
  TRY(seed_field(j, &s->seed, e));
  TRY(hash_field(j, "params_xxh3", &hash[0], e));
  TRY(hash_field(j, "mom_xxh3", &hash[1], e));
  TRY(hash_field(j, "var_xxh3", &hash[2], e));
out:
  json_free(j);
  return st;
}

static enum status load_one(const char *path, struct arena *a, struct trainer *t, struct checkpoint_state *s, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t hash[3];
  int64_t n;
  float *to[3] = { model_param_block(t->student, &n), t->optim.mom, t->optim.var }, *block[3] = { NULL, NULL, NULL };
  static const char *const what[] = { "params", "m", "v" };
  char *state = path_join(a, path, "state.json"), *p = path_join(a, path, "params.safetensors"), *v = path_join(a, path, "moments.safetensors");
  if (state == NULL || p == NULL || v == NULL) {
    return err_nomem(e, strlen(path));
  }
  TRY(read_state(state, s, hash, e));
  for (int i = 0; i < 3; i++) {
    TRY(model_block_stage(t->student, to[i], &block[i], e));
  }
  TRY(read_block(p, "", t->student, block[0], e));
  TRY(read_block(v, "m.", t->student, block[1], e));
  TRY(read_block(v, "v.", t->student, block[2], e));
  for (int i = 0; i < 3; i++) {
    if (block_hash(block[i], n) != hash[i]) {
      st = err_set(e, STATUS_CHECKSUM, "'%s': the values of '%s' are not those that were saved", path, what[i]);
      goto out;
    }
  }
  for (int i = 0; i < 3; i++) {
    TRY(model_block_send(t->student, to[i], block[i], e));
  }
out:
  for (int i = 0; i < 3; i++) {
    model_block_drop(t->student, block[i]);
  }
  return st;
}

enum status checkpoint_load(const char *dir, struct trainer *t, struct checkpoint_state *s, int *found, struct err *e) {
  enum status st = STATUS_OK;
  const char **names = NULL;
  size_t n = 0;
  struct arena *a = arena_new(0);
  char *folder = a != NULL ? path_join(a, dir, "checkpoints") : NULL;
  *found = 0;
  if (folder == NULL) {
    st = err_nomem(e, strlen(dir));
    goto out;
  }
  if (!folder_exists(folder)) {
    goto out;
  }
  TRY(folder_list(folder, a, &names, &n, e));
  int any = 0;
  while (n-- > 0 && !*found) {
    if (!is_checkpoint(names[n])) {
      continue;
    }
    any = 1;
    char *path = path_join(a, folder, names[n]);
    if (path == NULL) {
      st = err_nomem(e, strlen(folder));
      goto out;
    }
    st = load_one(path, a, t, s, e);
    if (st == STATUS_OK) {
      *found = 1;
    } else if (st == STATUS_NOMEM) {
      goto out;
    } else {
      log_warn("checkpoint '%s' is passed over: %s", path, e->msg);
    }
  }
  /* A damaged load may have overwritten the student's parameters: starting over from them would be another run. */
  st = *found || !any ? STATUS_OK : err_set(e, STATUS_DATA, "'%s' holds no whole checkpoint; remove the folder to start again", folder);
out:
  arena_free(a);
  return st;
}
