/* SPDX-License-Identifier: Apache-2.0
 * Runs a plan: forward over packed sequences, backward into a gradient block. The input is copied, so that the backward pass
 * does not depend on what the caller does with its arrays in between. */
#include "model_run.h"

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static enum status run_memory(struct run *r, struct err *e) {
  const struct model_config *c = &r->m->config;
  int64_t width, floats;
  int64_t side = 2; /* ids and positions as 4-byte words, on a device */
  void *block;
  if (__builtin_add_overflow(r->plan.width, c->head_dim + side, &width) ||
      __builtin_mul_overflow(width, r->max_tok + 16, &floats) || floats > INT64_MAX / 8) {
    return err_set(e, STATUS_LIMIT, "a plan for %lld tokens is too big", (long long)r->max_tok);
  }
  r->block_bytes = (size_t)floats * sizeof(float);
  r->host_bytes = (size_t)(3 * r->max_tok + 1) * sizeof *r->ids;
  r->ids = mem_block(r->host_bytes);
  if (!r->ids) {
    return err_nomem(e, r->host_bytes);
  }
  r->positions = r->ids + r->max_tok;
  r->starts = r->positions + r->max_tok;
  enum status st = device_block(r->m->dev, r->block_bytes, "activations", &block, e);
  if (st != STATUS_OK) {
    return st;
  }
  r->block = block;
  r->cos_sin = r->block + r->plan.width * r->max_tok;
  r->dev_ids = r->m->k->on_device ? (int32_t *)(void *)(r->cos_sin + round_up(c->head_dim * r->max_tok, 16)) : r->ids;
  r->dev_positions = r->m->k->on_device ? r->dev_ids + r->max_tok : r->positions;
  return STATUS_OK;
}

enum status run_new(struct model *m, int64_t max_tok, int flags, struct run **out, struct err *e) {
  enum status st = STATUS_OK;
  *out = NULL;
  if (max_tok < 1 || max_tok > INT32_MAX / 2) {
    return err_set(e, STATUS_USAGE, "a run of %lld tokens is not possible", (long long)max_tok);
  }
  if ((flags & RUN_BACKWARD) && m->lean) {
    return err_set(e, STATUS_USAGE, "a backward pass needs a model opened with MODEL_TRAIN");
  }
  struct run *r = mem_calloc(1, sizeof *r);
  if (!r) {
    return err_nomem(e, sizeof *r);
  }
  r->m = m;
  r->flags = flags;
  r->skip = -1;
  r->cap_tok = max_tok;
  r->max_tok = round_up(max_tok, 16);
  r->arena = arena_new(0);
  if (!r->arena) {
    st = err_nomem(e, 4096);
    goto out;
  }
  TRY(plan_build(&m->ops, m->config.n_layer, flags, r->arena, &r->plan, e));
  TRY(run_memory(r, e));
  if (m->most_floats && !(flags & PLAN_FEW_ROWS)) {
    r->matrix_bytes = (size_t)m->most_floats * sizeof(float);
    void *matrix;
    st = device_block(m->dev, r->matrix_bytes, "the matrix in use", &matrix, e);
    r->matrix = matrix;
  }
out:
  if (st != STATUS_OK) {
    run_free(r);
    r = NULL;
  }
  *out = r;
  return st;
}

void run_free(struct run *r) {
  if (!r) {
    return;
  }
  if (r->ids) {
    mem_block_free(r->ids, r->host_bytes);
  }
  device_block_free(r->m->dev, r->block, r->block_bytes);
  device_block_free(r->m->dev, r->scratch, r->scratch_bytes);
  device_block_free(r->m->dev, r->matrix, r->matrix_bytes);
  device_block_free(r->m->dev, r->logits, r->logits_bytes);
  arena_free(r->arena);
  mem_free(r);
}

uint64_t run_bytes(const struct run *r) { return r->block_bytes + r->scratch_bytes + r->logits_bytes + r->matrix_bytes; }

void run_set_tap(struct run *r, tap_fn f, void *ctx) {
  r->tap = f;
  r->tap_ctx = ctx;
}

void run_skip_layer(struct run *r, int layer) { r->skip = layer; }

/* Checks and copies the input; positions count from each sequence's start unless given. */
static enum status take_input(struct run *r, const struct packed *p, struct err *e) {
  const struct seqs *s = &p->seqs;
  if (s->n_tok < 1 || s->n_tok > r->cap_tok || s->n_seq < 1 || s->n_seq > s->n_tok) {
    return err_set(e, STATUS_DATA, "%d tokens in %d sequences do not fit a run of %lld tokens", s->n_tok, s->n_seq,
                   (long long)r->cap_tok);
  }
  if (s->start[0] != 0 || s->start[s->n_seq] != s->n_tok) {
    return err_set(e, STATUS_DATA, "sequence bounds go from %d to %d, expected 0 to %d", s->start[0], s->start[s->n_seq], s->n_tok);
  }
  for (int32_t i = 0; i < s->n_seq; i++) {
    if (s->start[i + 1] <= s->start[i]) {
      return err_set(e, STATUS_DATA, "sequence %d is empty or goes backwards", i);
    }
    for (int32_t t = s->start[i]; t < s->start[i + 1]; t++) {
      r->positions[t] = p->positions ? p->positions[t] : t - s->start[i];
      if (p->ids[t] < 0 || p->ids[t] >= r->m->config.vocab || r->positions[t] < 0) {
        return err_set(e, STATUS_DATA, "token %d has id %d at position %d, expected ids below %d", t, p->ids[t], r->positions[t],
                       r->m->config.vocab);
      }
    }
  }
  memcpy(r->ids, p->ids, (size_t)s->n_tok * sizeof *r->ids);
  memcpy(r->starts, s->start, ((size_t)s->n_seq + 1) * sizeof *r->starts);
  r->seqs = (struct seqs){s->n_tok, s->n_seq, r->starts};
  if (r->m->k->on_device) {
    r->m->k->upload(r->m->d, r->dev_ids, r->ids, (size_t)s->n_tok * sizeof *r->ids);
    r->m->k->upload(r->m->d, r->dev_positions, r->positions, (size_t)s->n_tok * sizeof *r->ids);
  }
  r->m->k->rotary_table(r->m->d, s->n_tok, r->m->config.head_dim, r->dev_positions, r->m->inv_freq, r->cos_sin);
  return STATUS_OK;
}

static float *buffer_at(const struct run *r, int32_t b) { return b < 0 ? NULL : r->block + r->plan.buffer[b].offset * r->max_tok; }

static struct op_call call_of(const struct run *r, const struct plan_step *s, const struct kv_batch *kv) {
  struct op_call c = {.m = r->m, .op = &r->m->ops.op[s->op], .k = r->m->k, .d = r->m->d, .n = r->seqs.n_tok, .ids = r->dev_ids, .seqs = &r->seqs,
                      .cos_sin = r->cos_sin, .kv = kv, .few_rows = (r->flags & PLAN_FEW_ROWS) != 0, .scratch = r->scratch,
                      .matrix = r->matrix};
  for (int i = 0; i < OP_MAX_IN; i++) {
    c.in[i] = buffer_at(r, s->in[i]);
    c.din[i] = buffer_at(r, s->din[i]);
    c.accumulate[i] = s->accumulate[i];
  }
  c.out = buffer_at(r, s->out);
  c.aux = buffer_at(r, s->aux);
  c.dout = buffer_at(r, s->dout);
  return c;
}

/* A skipped layer hands its input on; where both lie in one buffer nothing is to be done. */
static void skip_layer(const struct run *r) {
  float *from = buffer_at(r, r->plan.residual[r->skip]), *to = buffer_at(r, r->plan.residual[r->skip + 1]);
  if (from != to) {
    r->m->k->copy(r->m->d, to, from, (size_t)(r->seqs.n_tok * r->m->config.hidden) * sizeof(float));
  }
}

enum status run_forward_kv(struct run *r, const struct packed *p, const struct kv_batch *kv, const float **hidden, struct err *e) {
  r->forward_done = 0;
  enum status st = take_input(r, p, e);
  if (st != STATUS_OK) {
    return st;
  }
  for (int32_t t = 0; t < r->plan.n_forward; t++) {
    const struct plan_step *s = &r->plan.step[t];
    const struct op *op = &r->m->ops.op[s->op];
    if (op->layer >= 0 && op->layer == r->skip) {
      if (t + 1 == r->plan.n_forward || r->m->ops.op[r->plan.step[t + 1].op].layer != r->skip) {
        skip_layer(r);
      }
      continue;
    }
    struct op_call c = call_of(r, s, kv);
    op->kind->forward(&c);
    if (r->tap && op->tap >= 0) {
      r->tap(r->tap_ctx, (enum tap)op->tap, op->layer, c.out, c.n, r->m->ops.value[op->out].width);
    }
  }
  r->forward_done = 1;
  *hidden = buffer_at(r, r->plan.final);
  return STATUS_OK;
}

enum status run_forward(struct run *r, const struct packed *p, const float **hidden, struct err *e) {
  return run_forward_kv(r, p, NULL, hidden, e);
}

const float *run_hidden_at(const struct run *r, int l) {
  if (!(r->flags & RUN_HIDDEN_ALL) || l < 0 || l > r->m->config.n_layer) {
    return NULL;
  }
  return buffer_at(r, r->plan.residual[l]);
}

static enum status need_scratch(struct run *r, struct err *e) {
  size_t most = 0;
  for (int32_t t = r->plan.n_forward; t < r->plan.n_step; t++) {
    struct op_call c = call_of(r, &r->plan.step[t], NULL);
    if (r->plan.step[t].kind == STEP_BACKWARD && c.op->kind->scratch_bytes) {
      size_t n = c.op->kind->scratch_bytes(&c);
      most = n > most ? n : most;
    }
  }
  if (most <= r->scratch_bytes) {
    return STATUS_OK;
  }
  void *more;
  enum status st = device_block(r->m->dev, most, "scratch of the backward pass", &more, e);
  if (st != STATUS_OK) {
    return st;
  }
  device_block_free(r->m->dev, r->scratch, r->scratch_bytes);
  r->scratch = more;
  r->scratch_bytes = most;
  return STATUS_OK;
}

enum status run_backward(struct run *r, const float *dhidden, float *grads, struct err *e) {
  if (!(r->flags & RUN_BACKWARD) || !r->forward_done || r->skip >= 0) {
    return err_set(e, STATUS_USAGE, "a backward pass needs RUN_BACKWARD, a forward pass before it and no skipped layer");
  }
  enum status st = need_scratch(r, e);
  if (st != STATUS_OK) {
    return st;
  }
  for (int32_t t = r->plan.n_forward; t < r->plan.n_step; t++) {
    const struct plan_step *s = &r->plan.step[t];
    struct op_call c = call_of(r, s, NULL);
    if (s->kind == STEP_AGAIN) {
      c.op->kind->forward(&c);
      continue;
    }
    union { const float *in; float *out; } external = {dhidden}; /* operations only read it: the final norm stores elsewhere */
    c.dout = s->dout == PLAN_EXTERNAL ? external.out : c.dout;
    c.grads = grads;
    c.op->kind->backward(&c);
  }
  r->forward_done = 0; /* gradients took the memory of activations that were read for the last time */
  return STATUS_OK;
}
