/* SPDX-License-Identifier: Apache-2.0
 * Builds a plan in three passes: (1) the steps, (2) buffers: each writing of a value starts a buffer, each reading stretches
 * its life, (3) offsets: largest buffers first, each at the lowest place free during its life. */
#include "plan.h"

struct planner {
  const struct op_list *l;
  struct plan *p;
  struct arena *a;
  int flags, step_cap, buffer_cap;
  int32_t *writers;     /* (n_value) operations that write it; 2 = also changed in place */
  int32_t *now, *grad;  /* (n_value) current buffer of the value and of its gradient */
};

static int is_residual_value(const struct planner *b, int32_t v, int32_t n_layer) {
  for (int32_t i = 0; i <= n_layer; i++) {
    if (b->l->residual[i] == v) {
      return 1;
    }
  }
  return 0;
}

static void add_step(struct planner *b, enum step_kind kind, int32_t op) {
  struct plan_step *s = &b->p->step[b->p->n_step++];
  *s = (struct plan_step){.kind = kind, .op = op, .in = {-1, -1, -1}, .out = -1, .aux = -1, .din = {-1, -1, -1}, .dout = -1};
}

static void count_writers(struct planner *b) {
  for (int32_t i = 0; i < b->l->n_op; i++) {
    b->writers[b->l->op[i].out]++;
  }
}

/* ---- pass 1: steps ---- */
/* RUN_RECOMPUTE: everything of a layer that its backward steps read runs again from the layer's kept input. */
static void recompute_layer(struct planner *b, int32_t first, int32_t last, int32_t n_layer, unsigned char *need) {
  const struct op_list *l = b->l;
  memset(need, 0, (size_t)l->n_value);
  for (int32_t i = first; i <= last; i++) {
    const struct op *op = &l->op[i];
    for (int32_t j = 0; j < op->n_in; j++) {
      need[op->in[j]] |= (op->kind->keep_in >> j) & 1;
    }
    need[op->out] |= op->kind->keep_out != 0;
    if (op->aux >= 0) {
      need[op->aux] |= op->kind->keep_aux != 0;
    }
  }
  unsigned char *again = need + l->n_value; /* (n_op) */
  memset(again, 0, (size_t)l->n_op);
  for (int32_t i = last; i >= first; i--) {
    const struct op *op = &l->op[i];
    if (is_residual_value(b, op->out, n_layer) || !(need[op->out] || (op->aux >= 0 && need[op->aux]))) {
      continue; /* kept by the forward pass, or read by nobody */
    }
    again[i] = 1;
    for (int32_t j = 0; j < op->n_in; j++) {
      need[op->in[j]] = 1;
    }
  }
  for (int32_t i = first; i <= last; i++) {
    if (again[i]) {
      add_step(b, STEP_AGAIN, i);
    }
  }
}

static int32_t producer(const struct planner *b, int32_t v, int32_t before) {
  for (int32_t i = before - 1; i >= 0; i--) {
    if (b->l->op[i].out == v) {
      return i;
    }
  }
  return -1;
}

/* Cheap operations run again just before the first backward step that reads their output. */
static void recompute_cheap(struct planner *b, int32_t i, unsigned char *done) {
  const struct op *op = &b->l->op[i];
  for (int32_t j = 0; j < op->n_in; j++) {
    if (!((op->kind->keep_in >> j) & 1)) {
      continue;
    }
    int32_t from = producer(b, op->in[j], i);
    if (from >= 0 && (b->l->op[from].kind->flags & OP_CHEAP) && b->writers[op->in[j]] == 1 && !done[from]) {
      done[from] = 1;
      add_step(b, STEP_AGAIN, from);
    }
  }
}

static enum status list_steps(struct planner *b, int32_t n_layer, struct err *e) {
  const struct op_list *l = b->l;
  for (int32_t i = 0; i < l->n_op; i++) {
    add_step(b, STEP_FORWARD, i);
  }
  b->p->n_forward = b->p->n_step;
  if (!(b->flags & RUN_BACKWARD)) {
    return STATUS_OK;
  }
  unsigned char *mark = arena_calloc(b->a, (size_t)l->n_value + (size_t)l->n_op, 1);
  if (!mark) {
    return err_nomem(e, (unsigned long long)l->n_value);
  }
  for (int32_t i = l->n_op - 1; i >= 0; i--) {
    int32_t layer = l->op[i].layer;
    if (!(b->flags & RUN_RECOMPUTE)) {
      recompute_cheap(b, i, mark);
    } else if (i == l->n_op - 1 || l->op[i + 1].layer != layer) {
      int32_t first = i;
      while (first > 0 && l->op[first - 1].layer == layer) {
        first--;
      }
      recompute_layer(b, first, i, n_layer, mark);
    }
    add_step(b, STEP_BACKWARD, i);
  }
  return STATUS_OK;
}

/* ---- pass 2: buffers ---- */
static int32_t new_buffer(struct planner *b, int64_t width, int32_t at) {
  b->p->buffer[b->p->n_buffer] = (struct plan_buffer){width, at, at, -1};
  return b->p->n_buffer++;
}

static int32_t use(struct planner *b, int32_t buffer, int32_t at) {
  if (buffer >= 0) {
    b->p->buffer[buffer].last = at;
  }
  return buffer;
}

/* Will the present content of value v be read after step `at`? */
static int read_later(const struct planner *b, int32_t v, int32_t at) {
  for (int32_t t = at + 1; t < b->p->n_step; t++) {
    const struct plan_step *s = &b->p->step[t];
    const struct op *op = &b->l->op[s->op];
    for (int32_t j = 0; j < op->n_in; j++) {
      if (op->in[j] == v && (s->kind != STEP_BACKWARD || ((op->kind->keep_in >> j) & 1))) {
        return 1;
      }
    }
    if (op->out == v) {
      return s->kind == STEP_BACKWARD && op->kind->keep_out;
    }
  }
  return 0;
}

static void forward_buffers(struct planner *b, struct plan_step *s, int32_t t, int32_t n_layer) {
  const struct op *op = &b->l->op[s->op];
  for (int32_t j = 0; j < op->n_in; j++) {
    s->in[j] = use(b, b->now[op->in[j]], t);
  }
  int shares = (op->kind->flags & OP_RESIDUAL) && op->n_in > 1 && !(b->flags & PLAN_FEW_ROWS) && !read_later(b, op->in[1], t) &&
               !((b->flags & RUN_HIDDEN_ALL) && is_residual_value(b, op->in[1], n_layer));
  if (op->kind->flags & OP_IN_PLACE) {
    s->out = s->in[0];
  } else if (shares) {
    s->out = s->in[1];
  } else {
    s->out = new_buffer(b, b->l->value[op->out].width, t);
  }
  b->now[op->out] = s->out;
  if (op->aux >= 0) {
    s->aux = b->now[op->aux] = new_buffer(b, b->l->value[op->aux].width, t);
  }
}

static void backward_buffers(struct planner *b, struct plan_step *s, int32_t t) {
  const struct op *op = &b->l->op[s->op];
  for (int32_t j = 0; j < op->n_in; j++) {
    if ((op->kind->keep_in >> j) & 1) {
      s->in[j] = use(b, b->now[op->in[j]], t);
    }
  }
  if (op->kind->keep_out) {
    s->out = use(b, b->now[op->out], t);
  }
  if (op->aux >= 0 && op->kind->keep_aux) {
    s->aux = use(b, b->now[op->aux], t);
  }
  s->dout = op->out == b->l->final ? PLAN_EXTERNAL : use(b, b->grad[op->out], t);
  for (int32_t j = 0; j < op->n_in; j++) {
    int32_t v = op->in[j];
    if (op->kind->flags & OP_IN_PLACE) {
      s->din[j] = s->dout;
      continue;
    }
    s->accumulate[j] = b->grad[v] >= 0;
    if (b->grad[v] < 0 && j == 1 && (op->kind->flags & OP_RESIDUAL) && s->dout >= 0) {
      b->grad[v] = s->dout; /* d(x + f) / dx = 1: the gradient goes on in the same memory */
    } else if (b->grad[v] < 0) {
      b->grad[v] = new_buffer(b, b->l->value[v].width, t);
    }
    s->din[j] = use(b, b->grad[v], t);
  }
}

static void assign_buffers(struct planner *b, int32_t n_layer) {
  struct plan *p = b->p;
  for (int32_t t = 0; t < p->n_step; t++) {
    if (p->step[t].kind == STEP_BACKWARD) {
      backward_buffers(b, &p->step[t], t);
      continue;
    }
    forward_buffers(b, &p->step[t], t, n_layer);
    if (t == p->n_forward - 1) { /* residuals are never run again, so their buffers are final here */
      for (int32_t i = 0; i <= n_layer; i++) {
        p->residual[i] = b->now[b->l->residual[i]];
        if (b->flags & RUN_HIDDEN_ALL) {
          use(b, p->residual[i], p->n_step);
        }
      }
      p->final = use(b, b->now[b->l->final], p->n_step);
    }
  }
}

/* ---- pass 3: offsets ---- */
static enum status place(struct planner *b, struct err *e) {
  struct plan *p = b->p;
  int32_t n = p->n_buffer;
  int32_t *order = arena_alloc(b->a, (size_t)n * 2 * sizeof *order), *placed = order ? order + n : NULL;
  if (!order) {
    return err_nomem(e, (unsigned long long)n * 2 * sizeof *order);
  }
  for (int32_t i = 0; i < n; i++) { /* insertion sort: width descending, then number */
    int32_t j = i;
    while (j > 0 && p->buffer[order[j - 1]].width < p->buffer[i].width) {
      order[j] = order[j - 1];
      j--;
    }
    order[j] = i;
  }
  int32_t n_placed = 0; /* ordered by offset */
  for (int32_t i = 0; i < n; i++) {
    struct plan_buffer *x = &p->buffer[order[i]];
    int64_t at = 0;
    for (int32_t j = 0; j < n_placed; j++) {
      const struct plan_buffer *o = &p->buffer[placed[j]];
      if (o->first <= x->last && x->first <= o->last) {
        if (o->offset >= at + x->width) {
          break;
        }
        at = o->offset + o->width > at ? o->offset + o->width : at;
      }
    }
    x->offset = at;
    p->width = at + x->width > p->width ? at + x->width : p->width;
    int32_t j = n_placed++;
    while (j > 0 && p->buffer[placed[j - 1]].offset > at) {
      placed[j] = placed[j - 1];
      j--;
    }
    placed[j] = order[i];
  }
  return STATUS_OK;
}

enum status plan_build(const struct op_list *l, int32_t n_layer, int flags, struct arena *a, struct plan *p, struct err *e) {
  struct planner b = {.l = l, .p = p, .a = a, .flags = flags};
  size_t nv = (size_t)l->n_value, no = (size_t)l->n_op;
  memset(p, 0, sizeof *p);
  p->step = arena_calloc(a, 3 * no, sizeof *p->step);
  p->buffer = arena_calloc(a, 4 * nv + 2 * no, sizeof *p->buffer);
  p->residual = arena_calloc(a, (size_t)n_layer + 1, sizeof *p->residual);
  b.writers = arena_calloc(a, nv, sizeof *b.writers);
  b.now = arena_calloc(a, 2 * nv, sizeof *b.now);
  if (!p->step || !p->buffer || !p->residual || !b.writers || !b.now) {
    return err_nomem(e, 4 * nv * sizeof *p->buffer);
  }
  b.grad = b.now + nv;
  for (size_t i = 0; i < 2 * nv; i++) {
    b.now[i] = PLAN_NONE;
  }
  count_writers(&b);
  enum status st = list_steps(&b, n_layer, e);
  if (st == STATUS_OK) {
    assign_buffers(&b, n_layer);
    st = place(&b, e);
  }
  return st;
}
