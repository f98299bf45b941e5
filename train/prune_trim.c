/* SPDX-License-Identifier: Apache-2.0
 * The pruned model's tensors, cut out of the source row by row while they are written (sheet B3): kept rows, kept columns,
 * and for the head residual the sum of two rows. Or a random start of the same shape. */
#include "prune.h"
#include "rng.h"

/* Which units of the source a dimension is made of; NULL keep = all. unit: values per unit (head_dim for heads). */
struct side {
  const int32_t *keep;
  int32_t unit;
};

struct cut {
  struct side rows, cols;
  const int32_t *add; /* head residual on rows: per kept head */
};

static int is(const char *name, const char *tail) { return strcmp(name, tail) == 0; }

/* name behind "model.layers.N." */
static void cut_of_layer(const struct prune_plan *p, const char *part, int l, struct cut *c) {
  struct side emb = { p->hidden, 1 }, heads = { p->head[l], p->config.head_dim }, ffn = { p->ffn[l], 1 };
  if (is(part, "input_layernorm.weight") || is(part, "post_attention_layernorm.weight")) c->rows = emb;
  else if (is(part, "self_attn.q_proj.weight") || is(part, "self_attn.q_proj.bias")) c->rows = heads, c->cols = emb, c->add = p->residual ? p->residual[l] : NULL;
  else if (is(part, "self_attn.k_proj.weight") || is(part, "self_attn.v_proj.weight")) c->cols = emb;
  else if (is(part, "self_attn.o_proj.weight")) c->rows = emb, c->cols = heads;
  else if (is(part, "mlp.gate_proj.weight") || is(part, "mlp.up_proj.weight")) c->rows = ffn, c->cols = emb;
  else if (is(part, "mlp.down_proj.weight")) c->rows = emb, c->cols = ffn;
}

static int64_t old_index(const struct side *s, int64_t i) {
  return s->keep ? (int64_t)s->keep[i / s->unit] * s->unit + i % s->unit : i;
}

static enum status source_tensor(const struct prune_source *src, const struct tensor_out *t, const struct tensor **have, struct cut *c, struct err *e) {
  const struct prune_plan *p = src->plan;
  char name[128];
  int l, at = 0;
  memset(c, 0, sizeof *c);
  c->rows.unit = c->cols.unit = 1;
  if (sscanf(t->name, "model.layers.%d.%n", &l, &at) == 1 && at > 0 && l < p->config.n_layer) {
    snprintf(name, sizeof name, "model.layers.%d.%s", p->layer[l], t->name + at);
    cut_of_layer(p, t->name + at, l, c);
  } else {
    snprintf(name, sizeof name, "%s", t->name);
    if (is(name, "model.norm.weight")) c->rows = (struct side){ p->hidden, 1 };
    else c->cols = (struct side){ p->hidden, 1 }; /* embedding and output */
  }
  *have = weights_find(src->w, name);
  if (*have == NULL) return err_set(e, STATUS_DATA, "'%s': tensor '%s' is missing", weights_path(src->w), name);
  return STATUS_OK;
}

static void random_values(const struct prune_source *src, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, uint64_t stream) {
  int64_t width = t->n_dim > 1 ? t->dim[1] : 1, n = rows * width;
  size_t len = strlen(t->name);
  int bias = len > 5 && is(t->name + len - 5, ".bias");
  struct rng r = { src->seed, stream, (uint64_t)(row0 * width) };
  for (int64_t i = 0; i < n; i++) dst[i] = t->n_dim > 1 ? (float)(0.02 * rng_normal(&r)) : bias ? 0.0f : 1.0f;
}

/* Position of a tensor in its model's list: the stream that model_new takes for it. */
static enum status stream_of(const struct prune_plan *p, const char *name, uint64_t *stream, struct err *e) {
  struct arena *a = arena_new(0);
  struct tensor_out *t;
  size_t n, i = 0;
  if (a == NULL) return err_nomem(e, 1);
  enum status st = model_tensor_list(&p->config, DT_F32, a, &t, &n, e);
  while (st == STATUS_OK && i < n && !is(t[i].name, name)) i++;
  arena_free(a);
  *stream = i;
  return st;
}

static enum status one_dim(const struct tensor *have, const struct cut *c, int64_t rows, float *dst, struct err *e) {
  enum status st = STATUS_OK;
  float *all = mem_alloc((size_t)have->dim[0] * sizeof *all);
  if (all == NULL) return err_nomem(e, (size_t)have->dim[0] * sizeof *all);
  TRY(weights_read(have, 0, have->dim[0], all, e));
  for (int64_t i = 0; i < rows; i++) {
    dst[i] = all[old_index(&c->rows, i)];
    int32_t add = c->add ? c->add[i / c->rows.unit] : -1;
    if (add >= 0) dst[i] += dst[i] - all[(int64_t)add * c->rows.unit + i % c->rows.unit];
  }
out:
  mem_free(all);
  return st;
}

enum status prune_fill(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e) {
  const struct prune_source *src = ctx;
  const struct tensor *have;
  struct cut c;
  enum status st = STATUS_OK;
  float *row = NULL, *other = NULL;
  if (src->random) {
    uint64_t stream = 0;
    st = stream_of(src->plan, t->name, &stream, e);
    if (st == STATUS_OK) random_values(src, t, row0, rows, dst, stream);
    return st;
  }
  TRY(source_tensor(src, t, &have, &c, e));
  if (t->n_dim < 2) return one_dim(have, &c, rows, dst, e);
  int64_t width = have->dim[1], out_width = t->dim[1];
  row = mem_alloc((size_t)width * sizeof *row);
  other = mem_alloc((size_t)width * sizeof *other);
  if (row == NULL || other == NULL) {
    st = err_nomem(e, 2 * (size_t)width * sizeof *row);
    goto out;
  }
  for (int64_t i = 0; i < rows; i++) {
    int64_t r = row0 + i;
    float *to = dst + i * out_width;
    TRY(weights_read(have, old_index(&c.rows, r), 1, row, e));
    int32_t add = c.add ? c.add[r / c.rows.unit] : -1;
    if (add >= 0) {
      TRY(weights_read(have, (int64_t)add * c.rows.unit + r % c.rows.unit, 1, other, e));
      for (int64_t k = 0; k < width; k++) row[k] += row[k] - other[k];
    }
    for (int64_t k = 0; k < out_width; k++) to[k] = row[old_index(&c.cols, k)];
  }
out:
  mem_free(row);
  mem_free(other);
  return st;
}
