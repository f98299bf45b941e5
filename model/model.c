/* SPDX-License-Identifier: Apache-2.0
 * struct model: configuration, parameter block and list of operations. Weights are decoded to float32 by the pool, in row
 * blocks of about a million values. */
#include <math.h>
#include "arch.h"
#include "model_private.h"
#include "pool.h"
#include "rng.h"

enum { ALIGN_FLOATS = 16, READ_VALUES = 1 << 20 };

static enum status check_config(const struct model_config *c, struct err *e) {
  if (c->n_layer < 1 || c->n_layer > MODEL_MAX_LAYERS || c->hidden < 1 || c->head_dim < 1 || c->vocab < 1) {
    return err_set(e, STATUS_DATA, "configuration has %d layers, hidden %d, head_dim %d, vocabulary %d; all must be positive",
                   c->n_layer, c->hidden, c->head_dim, c->vocab);
  }
  for (int32_t l = 0; l < c->n_layer; l++) {
    if (c->n_head[l] < 1 || c->n_kv_head[l] < 1 || c->n_head[l] % c->n_kv_head[l] || c->ffn[l] < 1) {
      return err_set(e, STATUS_DATA, "layer %d has %d heads, %d key-value heads, ffn %d; heads must be a multiple of key-value heads",
                     l, c->n_head[l], c->n_kv_head[l], c->ffn[l]);
    }
  }
  return STATUS_OK;
}

/* A lean model keeps in the block what is small or read as float32 everywhere: vectors and the output projection. */
static enum status place_param(struct model *m, size_t i, int64_t n, int64_t *at, struct err *e) {
  struct param *p = &m->param[i];
  struct stored *s = &m->stored[i];
  int found = 0;
  if (m->lean) {
    enum status st = model_store(m, i, &found, e);
    if (st != STATUS_OK) {
      return st;
    }
  }
  if (found && (int32_t)i != m->head) {
    p->offset = -1;
    m->most_floats = s->type != DT_F32 && n > m->most_floats ? n : m->most_floats;
    return STATUS_OK;
  }
  p->offset = *at;
  *at += (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
  return STATUS_OK;
}

static enum status list_params(struct model *m, struct err *e) {
  struct tensor_out *t;
  enum status st = model_tensor_list(&m->config, DT_F32, m->arena, &t, &m->n_param, e);
  if (st != STATUS_OK) {
    return st;
  }
  m->param = arena_calloc(m->arena, m->n_param, sizeof *m->param);
  m->stored = arena_calloc(m->arena, m->n_param, sizeof *m->stored);
  if (!m->param || !m->stored) {
    return err_nomem(e, m->n_param * sizeof *m->param);
  }
  m->head = -1;
  for (size_t i = 0; i < m->n_param; i++) {
    m->param[i] = (struct param){t[i].name, -1, t[i].dim[0], t[i].n_dim > 1 ? t[i].dim[1] : 0};
    if (!strcmp(t[i].name, m->config.tied ? "model.embed_tokens.weight" : "lm_head.weight")) {
      m->head = (int32_t)i;
    }
  }
  return m->head >= 0 ? STATUS_OK : err_set(e, STATUS_DATA, "the model has no output projection, expected 'lm_head.weight'");
}

static enum status lay_out(struct model *m, struct err *e) {
  int64_t at = 0;
  enum status st = list_params(m, e);
  for (size_t i = 0; st == STATUS_OK && i < m->n_param; i++) {
    const struct param *p = &m->param[i];
    int64_t n;
    if (__builtin_mul_overflow(p->rows, p->cols ? p->cols : 1, &n) || n < 1 || n > INT64_MAX / 64 || at > INT64_MAX / 64) {
      return err_set(e, STATUS_DATA, "'%s': size %lld x %lld is not usable", p->name, (long long)p->rows, (long long)p->cols);
    }
    m->params += n;
    st = place_param(m, i, n, &at, e);
  }
  if (st != STATUS_OK) {
    return st;
  }
  m->n_floats = at;
  void *block;
  st = device_block(m->dev, (size_t)at * sizeof(float), "the model's parameters", &block, e);
  if (st != STATUS_OK) {
    return st;
  }
  m->block = block;
  for (size_t i = 0; i < m->n_param; i++) {
    struct stored *s = &m->stored[i];
    if (!s->data) {
      s->data = m->block + m->param[i].offset;
      s->type = DT_F32;
    }
  }
  return STATUS_OK;
}

static enum status model_base(const struct model_config *c, const struct weights *w, int flags, struct model **out, struct err *e) {
  enum status st = check_config(c, e);
  if (st != STATUS_OK) {
    return st;
  }
  struct model *m = mem_calloc(1, sizeof *m);
  if (!m) {
    return err_nomem(e, sizeof *m);
  }
  m->config = *c;
  m->flags = flags;
  m->w = w;
  m->lean = w && !(flags & MODEL_TRAIN);
  m->dev = device_in_use();
  m->k = m->dev->k;
  m->d = m->dev->d;
  m->arena = arena_new(0);
  if (!m->arena) {
    st = err_nomem(e, 4096);
    goto out;
  }
  TRY(lay_out(m, e));
  TRY(rotary_frequencies(c, m->arena, &m->inv_freq, e));
  TRY(model_side(m, e));
  TRY(arch_build(&m->config, m->param, m->n_param, m->arena, &m->ops, e));
out:
  if (st != STATUS_OK) {
    model_close(m);
    m = NULL;
  }
  *out = m;
  return st;
}

struct read_task { const struct tensor *t; int64_t row0, rows; float *dst; };
struct read_ctx { struct read_task *task; struct err *err; /* one a worker */ enum status *st; };

static void read_one(void *ctx, int i, int worker) {
  struct read_ctx *r = ctx;
  struct read_task *t = &r->task[i];
  if (r->st[worker] == STATUS_OK) {
    r->st[worker] = weights_read(t->t, t->row0, t->rows, t->dst, &r->err[worker]);
  }
}

/* Reads the parameters into block, which lies in the host's memory. */
static enum status read_block(struct model *m, float *block, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  size_t n = 0, cap = (size_t)(m->n_floats / READ_VALUES) * 2 + m->n_param * 2;
  int workers = pool_threads();
  struct read_ctx r = {NULL, NULL, NULL};
  if (!a || !(r.task = arena_alloc(a, cap * sizeof *r.task)) || !(r.err = arena_calloc(a, (size_t)workers, sizeof *r.err)) ||
      !(r.st = arena_calloc(a, (size_t)workers, sizeof *r.st))) {
    st = err_nomem(e, cap * sizeof *r.task);
    goto out;
  }
  for (size_t i = 0; i < m->n_param; i++) {
    const struct param *p = &m->param[i];
    const struct tensor *t;
    TRY(weights_need(m->w, p->name, p->rows, p->cols, &t, e)); /* also where the values stay in the file: shape and presence */
    if (p->offset < 0) {
      continue;
    }
    int64_t step = p->cols ? READ_VALUES / p->cols : p->rows;
    step = step < 1 ? 1 : step;
    for (int64_t row = 0; row < p->rows; row += step) {
      int64_t rows = p->rows - row < step ? p->rows - row : step;
      if (n == cap) {
        cap *= 2;
        struct read_task *more = arena_alloc(a, cap * sizeof *more);
        if (!more) {
          st = err_nomem(e, cap * sizeof *more);
          goto out;
        }
        memcpy(more, r.task, n * sizeof *more);
        r.task = more;
      }
      r.task[n++] = (struct read_task){t, row, rows, block + p->offset + row * (p->cols ? p->cols : 1)};
    }
  }
  if (n > INT32_MAX) {
    st = err_set(e, STATUS_DATA, "'%s': too many row blocks", weights_path(m->w));
    goto out;
  }
  pool_run((int)n, read_one, &r);
  for (int i = 0; i < workers; i++) {
    if (r.st[i] != STATUS_OK) {
      st = err_set(e, r.st[i], "%s", r.err[i].msg);
      break;
    }
  }
out:
  arena_free(a);
  return st;
}

/* Runs f over the block, or over a copy that is then sent to the device. */
static enum status with_host_block(struct model *m, enum status (*f)(struct model *, float *, void *, struct err *), void *ctx, struct err *e) {
  size_t bytes = (size_t)m->n_floats * sizeof(float);
  if (!m->k->on_device) {
    return f(m, m->block, ctx, e);
  }
  float *copy = mem_block(bytes);
  if (!copy) {
    return err_nomem(e, bytes);
  }
  enum status st = f(m, copy, ctx, e);
  if (st == STATUS_OK) {
    m->k->upload(m->d, m->block, copy, bytes);
    st = device_check(m->dev, e);
  }
  mem_block_free(copy, bytes);
  return st;
}

static enum status read_weights(struct model *m, float *block, void *ctx, struct err *e) {
  (void)ctx;
  return read_block(m, block, e);
}

enum status model_from_weights(const struct weights *w, int flags, struct model **out, struct err *e) {
  struct model *m = NULL;
  enum status st = STATUS_OK;
  const struct model_config *c = weights_config(w);
  *out = NULL;
  if (!c) {
    return err_set(e, STATUS_DATA, "'%s' has no configuration; give the folder with config.json, or a GGUF file", weights_path(w));
  }
  st = model_base(c, w, flags, &m, e);
  if (st == STATUS_OK) {
    st = with_host_block(m, read_weights, NULL, e);
  }
  if (st != STATUS_OK) {
    model_close(m);
    return err_prefix(e, "'%s'", weights_path(w));
  }
  *out = m;
  return STATUS_OK;
}

enum status model_open(const char *path, int flags, struct model **out, struct err *e) {
  struct weights *w = NULL;
  *out = NULL;
  enum status st = weights_open(path, &w, e);
  if (st != STATUS_OK) {
    return st;
  }
  st = model_from_weights(w, flags, out, e);
  if (st != STATUS_OK) {
    weights_close(w);
    return st;
  }
  (*out)->own = w;
  return STATUS_OK;
}

static enum status random_weights(struct model *m, float *block, void *ctx, struct err *e) {
  (void)e;
  for (size_t i = 0; i < m->n_param; i++) {
    const struct param *p = &m->param[i];
    struct rng r = {*(const uint64_t *)ctx, i, 0};
    float *x = block + p->offset;
    size_t len = strlen(p->name);
    int bias = len > 5 && !strcmp(p->name + len - 5, ".bias");
    for (int64_t j = 0; j < p->rows * (p->cols ? p->cols : 1); j++) {
      x[j] = p->cols ? (float)(0.02 * rng_normal(&r)) : bias ? 0.0f : 1.0f;
    }
  }
  return STATUS_OK;
}

enum status model_new(const struct model_config *c, uint64_t seed, struct model **out, struct err *e) {
  enum status st = model_base(c, NULL, MODEL_TRAIN, out, e);
  if (st == STATUS_OK) {
    st = with_host_block(*out, random_weights, &seed, e);
  }
  if (st != STATUS_OK) {
    model_close(*out);
    *out = NULL;
  }
  return st;
}

void model_close(struct model *m) {
  if (!m) {
    return;
  }
  for (size_t i = 0; m->stored && i < m->n_param; i++) {
    if (m->stored[i].own) {
      mem_block_free(m->stored[i].own, m->stored[i].own_bytes);
    }
  }
  if (m->block) {
    device_block_free(m->dev, m->block, (size_t)m->n_floats * sizeof(float));
  }
  device_block_free(m->dev, m->side, m->side_bytes);
  arena_free(m->arena);
  weights_close(m->own);
  mem_free(m);
}

/* ---- reading it ---- */
const struct model_config *model_config(const struct model *m) { return &m->config; }
const struct weights *model_weights(const struct model *m) { return m->w; }
const struct kernels *model_kernels(const struct model *m) { return m->k; }
const struct device *model_device(const struct model *m) { return m->dev; }
int64_t model_params(const struct model *m) { return m->params; }

float *model_param_block(struct model *m, int64_t *n_floats) {
  *n_floats = m->lean ? 0 : m->n_floats;
  return m->lean ? NULL : m->block;
}

size_t model_param_count_list(const struct model *m) { return m->n_param; }
const struct param *model_param_at(const struct model *m, size_t i) { return i < m->n_param ? &m->param[i] : NULL; }

const struct param *model_param_find(const struct model *m, const char *name) {
  for (size_t i = 0; i < m->n_param; i++) {
    if (!strcmp(m->param[i].name, name)) {
      return &m->param[i];
    }
  }
  return NULL;
}

const float *model_param(const struct model *m, int32_t param) { return m->block + m->param[param].offset; }
float *grads_of(const struct model *m, float *grads, int32_t param) { return grads + m->param[param].offset; }
const float *model_head(const struct model *m) { return model_param(m, m->head); }
int64_t model_head_offset(const struct model *m) { return m->param[m->head].offset; }

void model_logits(const struct model *m, const float *hidden, int64_t rows, float *logits) {
  int64_t d = m->config.hidden, v = m->config.vocab;
  m->k->gemm_nt(m->d, rows, v, d, hidden, d, model_head(m), d, logits, v, 0);
}
