/* SPDX-License-Identifier: Apache-2.0
 * Lazy determinisation. Threads that cannot reach the end within the nesting limit are never made, so every state that is not
 * DFA_DEAD has a way to an accepting one. Frame 0 is the empty stack; state 0 is DFA_DEAD. */
#include "constrain_dfa.h"
#include "hash.h"

enum { MAX_THREADS = 20000, MAX_DEEP = 100000 };

struct frame {
  int32_t pc;      /* CALL: where to go on; LOOP: the loop's node */
  int32_t lo, hi;  /* LOOP: rounds still needed and still allowed, the running one included; CALL: -1 */
  int32_t up, depth, clip; /* depth: calls; clip: its clipped form, -1 = not yet known */
  int64_t dist;    /* bytes from the end of what runs on it to the end of all */
};
struct thread { int32_t pc, frame; };
struct state {
  struct thread *thread; /* at BYTES nodes, sorted */
  int32_t n, clip, *to;  /* to: by class, -1 = unknown; NULL until asked */
  int accepts, knows_self;
  int64_t dist;
  struct byte_set self;
};
struct table { int32_t *slot; size_t cap, used; }; /* ids, 0 = free */

struct dfa {
  const struct nfa *n;
  int32_t clip_at, start;
  struct frame *frame;
  int32_t n_frame, cap_frame;
  struct state *state;
  int32_t n_state, cap_state;
  struct table frames, states;
  struct arena *a; /* threads and transitions */
  size_t bytes;
  /* one closure: */
  struct thread *todo, *seen, *out;
  uint32_t *stamp, round; /* (seen_cap) */
  size_t n_todo, cap_todo, seen_cap, n_seen, n_out, cap_out;
  int accepts;
};

/* ---- tables ---- */
static int grow_table(struct table *t, uint64_t (*hash)(const struct dfa *, int32_t), const struct dfa *d, struct err *e) {
  size_t cap = t->cap ? t->cap * 2 : 1024;
  int32_t *slot = mem_calloc(cap, sizeof *slot);
  if (!slot) {
    err_nomem(e, cap * sizeof *slot);
    return 0;
  }
  for (size_t i = 0; i < t->cap; i++) {
    if (t->slot[i]) {
      size_t at = hash(d, t->slot[i]) & (cap - 1);
      while (slot[at]) {
        at = (at + 1) & (cap - 1);
      }
      slot[at] = t->slot[i];
    }
  }
  mem_free(t->slot);
  t->slot = slot;
  t->cap = cap;
  return 1;
}

static uint64_t frame_hash(const struct dfa *d, int32_t id) { return xxh3(&d->frame[id], 4 * sizeof(int32_t)); }
static uint64_t state_hash(const struct dfa *d, int32_t id) {
  const struct state *s = &d->state[id];
  return xxh3_seed(s->thread, (size_t)s->n * sizeof *s->thread, (uint64_t)s->accepts);
}

/* The frame (pc, lo, hi, up), made when it is new; -1 = no memory. */
static int32_t frame_of(struct dfa *d, int32_t pc, int32_t lo, int32_t hi, int32_t up, struct err *e) {
  if (d->n_frame == d->cap_frame) {
    int32_t cap = d->cap_frame ? d->cap_frame * 2 : 256;
    struct frame *p = mem_realloc(d->frame, (size_t)cap * sizeof *p);
    if (!p) {
      err_nomem(e, (size_t)cap * sizeof *p);
      return -1;
    }
    d->frame = p;
    d->cap_frame = cap;
  }
  if (d->frames.used * 2 >= d->frames.cap && !grow_table(&d->frames, frame_hash, d, e)) {
    return -1;
  }
  struct frame *f = &d->frame[d->n_frame];
  *f = (struct frame){pc, lo, hi, up, 0, -1, 0};
  size_t at = frame_hash(d, d->n_frame) & (d->frames.cap - 1);
  for (; d->frames.slot[at]; at = (at + 1) & (d->frames.cap - 1)) {
    const struct frame *o = &d->frame[d->frames.slot[at]];
    if (o->pc == pc && o->lo == lo && o->hi == hi && o->up == up) {
      return d->frames.slot[at];
    }
  }
  const struct nfa_node *v = &d->n->node[pc];
  f->depth = d->frame[up].depth + (lo < 0);
  f->dist = d->frame[up].dist;
  f->dist += lo < 0 ? v->dist : d->n->node[v->next].dist + (lo > 1 ? (int64_t)(lo - 1) * d->n->node[v->other].dist : 0);
  f->dist = f->dist > NFA_FAR ? NFA_FAR : f->dist;
  d->frames.slot[at] = d->n_frame;
  d->frames.used++;
  return d->n_frame++;
}

/* ---- closure ---- */
static int alive(const struct dfa *d, int32_t pc, int32_t frame) {
  const struct nfa_node *v = &d->n->node[pc];
  return v->need <= NFA_DEPTH - d->frame[frame].depth && v->dist < NFA_FAR;
}

static enum status room(struct thread **p, size_t *cap, size_t n, struct err *e) {
  if (n < *cap) {
    return STATUS_OK;
  }
  size_t more = *cap ? *cap * 2 : 256;
  struct thread *q = mem_realloc(*p, more * sizeof *q);
  if (!q) {
    return err_nomem(e, more * sizeof *q);
  }
  *p = q;
  *cap = more;
  return STATUS_OK;
}

/* 1 when (pc, frame) is new in this closure; -1 = no memory. */
static int first_time(struct dfa *d, struct thread t, struct err *e) {
  if ((d->n_seen + 1) * 2 > d->seen_cap) {
    size_t cap = d->seen_cap ? d->seen_cap * 2 : 1024, old = d->seen_cap;
    struct thread *seen = mem_calloc(cap, sizeof *seen);
    uint32_t *stamp = mem_calloc(cap, sizeof *stamp);
    if (!seen || !stamp) {
      mem_free(seen);
      mem_free(stamp);
      err_nomem(e, cap * sizeof *seen);
      return -1;
    }
    for (size_t i = 0; i < old; i++) {
      if (d->stamp[i] == d->round) {
        size_t at = xxh3(&d->seen[i], sizeof t) & (cap - 1);
        while (stamp[at]) {
          at = (at + 1) & (cap - 1);
        }
        seen[at] = d->seen[i];
        stamp[at] = d->round;
      }
    }
    mem_free(d->seen);
    mem_free(d->stamp);
    d->seen = seen;
    d->stamp = stamp;
    d->seen_cap = cap;
  }
  size_t at = xxh3(&t, sizeof t) & (d->seen_cap - 1);
  for (; d->stamp[at] == d->round; at = (at + 1) & (d->seen_cap - 1)) {
    if (d->seen[at].pc == t.pc && d->seen[at].frame == t.frame) {
      return 0;
    }
  }
  d->seen[at] = t;
  d->stamp[at] = d->round;
  d->n_seen++;
  return 1;
}

static enum status push(struct dfa *d, int32_t pc, int32_t frame, struct err *e) {
  enum status st;
  if (frame < 0) {
    return STATUS_NOMEM;
  }
  if (!alive(d, pc, frame)) {
    return STATUS_OK;
  }
  struct thread t = {pc, frame};
  int first = first_time(d, t, e);
  if (first <= 0) {
    return first < 0 ? STATUS_NOMEM : STATUS_OK;
  }
  if (d->n_seen > MAX_DEEP) {
    return err_set(e, STATUS_LIMIT, "the form of the answer is too ambiguous to bound tokens by: more than %d ways to read one text", MAX_DEEP);
  }
  st = room(&d->todo, &d->cap_todo, d->n_todo, e);
  if (st == STATUS_OK) {
    d->todo[d->n_todo++] = t;
  }
  return st;
}

/* A loop with lo rounds needed and hi allowed: into the body, or out. */
static enum status loop(struct dfa *d, int32_t pc, int32_t lo, int32_t hi, int32_t up, struct err *e) {
  const struct nfa_node *v = &d->n->node[pc];
  enum status st = STATUS_OK;
  if (hi > 0) {
    TRY(push(d, v->other, frame_of(d, pc, lo, hi, up, e), e));
  }
  if (lo <= 0) {
    TRY(push(d, v->next, up, e));
  }
out:
  return st;
}

static enum status follow(struct dfa *d, struct thread t, struct err *e) {
  const struct nfa_node *v = &d->n->node[t.pc];
  struct frame f = d->frame[t.frame];
  enum status st = STATUS_OK;
  switch (v->op) {
    case NFA_FAIL: break;
    case NFA_BYTES:
      TRY(room(&d->out, &d->cap_out, d->n_out, e));
      d->out[d->n_out++] = t;
      break;
    case NFA_SPLIT:
      TRY(push(d, v->next, t.frame, e));
      TRY(push(d, v->other, t.frame, e));
      break;
    case NFA_CALL:
      if (alive(d, v->next, t.frame)) {
        TRY(push(d, v->other, frame_of(d, v->next, -1, -1, t.frame, e), e));
      }
      break;
    case NFA_LOOP: return loop(d, t.pc, v->min, v->max, t.frame, e);
    case NFA_LOOP_END: return loop(d, f.pc, f.lo > 0 ? f.lo - 1 : 0, f.hi - 1, f.up, e);
    case NFA_RETURN:
      if (t.frame == 0) {
        d->accepts = 1;
      } else {
        TRY(push(d, f.pc, f.up, e));
      }
      break;
  }
out:
  return st;
}

static int by_thread(const void *a, const void *b) {
  const struct thread *x = a, *y = b;
  return x->pc != y->pc ? (x->pc < y->pc ? -1 : 1) : x->frame < y->frame ? -1 : x->frame > y->frame;
}

static void closure_begin(struct dfa *d) {
  d->n_todo = d->n_out = d->n_seen = 0;
  d->accepts = 0;
  if (++d->round == 0) {
    memset(d->stamp, 0, d->seen_cap * sizeof *d->stamp);
    d->round = 1;
  }
}

/* The threads in out as a state. */
static enum status intern(struct dfa *d, int32_t *id, struct err *e) {
  size_t n = d->n_out;
  *id = DFA_DEAD;
  if (n == 0 && !d->accepts) {
    return STATUS_OK;
  }
  if (n > MAX_THREADS) {
    return err_set(e, STATUS_LIMIT, "the form of the answer is too ambiguous to bound tokens by: more than %d ways to read one text", MAX_THREADS);
  }
  if (n) {
    qsort(d->out, n, sizeof *d->out, by_thread);
  }
  if (d->n_state == d->cap_state) {
    int32_t cap = d->cap_state ? d->cap_state * 2 : 256;
    struct state *p = mem_realloc(d->state, (size_t)cap * sizeof *p);
    if (!p) {
      return err_nomem(e, (size_t)cap * sizeof *p);
    }
    d->state = p;
    d->cap_state = cap;
  }
  if (d->states.used * 2 >= d->states.cap && !grow_table(&d->states, state_hash, d, e)) {
    return STATUS_NOMEM;
  }
  struct state *s = &d->state[d->n_state];
  *s = (struct state){.thread = d->out, .n = (int32_t)n, .accepts = d->accepts, .clip = -1, .dist = d->accepts ? 0 : NFA_FAR};
  size_t at = state_hash(d, d->n_state) & (d->states.cap - 1);
  for (; d->states.slot[at]; at = (at + 1) & (d->states.cap - 1)) {
    const struct state *o = &d->state[d->states.slot[at]];
    if (o->accepts == d->accepts && (size_t)o->n == n && (n == 0 || memcmp(o->thread, d->out, n * sizeof *d->out) == 0)) {
      *id = d->states.slot[at];
      return STATUS_OK;
    }
  }
  s->thread = arena_alloc(d->a, (n + 1) * sizeof *s->thread);
  if (!s->thread) {
    return err_nomem(e, n * sizeof *s->thread);
  }
  for (size_t i = 0; i < n; i++) {
    int64_t dist = d->n->node[d->out[i].pc].dist + d->frame[d->out[i].frame].dist;
    s->thread[i] = d->out[i];
    s->dist = dist < s->dist ? dist : s->dist;
  }
  d->bytes += n * sizeof *s->thread;
  d->states.slot[at] = *id = d->n_state++;
  d->states.used++;
  return STATUS_OK;
}

static enum status closure_end(struct dfa *d, int32_t *id, struct err *e) {
  enum status st = STATUS_OK;
  while (st == STATUS_OK && d->n_todo) {
    st = follow(d, d->todo[--d->n_todo], e);
  }
  return st == STATUS_OK ? intern(d, id, e) : st;
}

/* ---- life ---- */
static enum status begin(struct dfa *d, struct err *e) {
  enum status st = STATUS_OK;
  d->a = arena_new(0);
  d->frame = mem_calloc(256, sizeof *d->frame);
  d->state = mem_calloc(256, sizeof *d->state);
  if (!d->a || !d->frame || !d->state) {
    return err_nomem(e, 256 * sizeof *d->state);
  }
  d->cap_frame = d->cap_state = 256;
  d->n_frame = d->n_state = 1;
  d->bytes = 0;
  d->frame[0] = (struct frame){.lo = -1, .hi = -1, .clip = 0};
  closure_begin(d);
  TRY(push(d, d->n->start, 0, e));
  TRY(closure_end(d, &d->start, e));
out:
  return st;
}

static void drop(struct dfa *d) {
  arena_free(d->a);
  mem_free(d->frame);
  mem_free(d->state);
  mem_free(d->frames.slot);
  mem_free(d->states.slot);
}

enum status dfa_new(const struct nfa *n, int32_t clip, struct dfa **out, struct err *e) {
  struct dfa *d = mem_calloc(1, sizeof *d);
  *out = NULL;
  if (!d) {
    return err_nomem(e, sizeof *d);
  }
  d->n = n;
  d->clip_at = clip;
  enum status st = begin(d, e);
  if (st != STATUS_OK) {
    dfa_free(d);
    return st;
  }
  *out = d;
  return STATUS_OK;
}

void dfa_free(struct dfa *d) {
  if (!d) {
    return;
  }
  drop(d);
  mem_free(d->todo);
  mem_free(d->seen);
  mem_free(d->stamp);
  mem_free(d->out);
  mem_free(d);
}

int32_t dfa_start(const struct dfa *d) { return d->start; }
int dfa_accepts(const struct dfa *d, int32_t s) { return d->state[s].accepts; }
int dfa_goes_on(const struct dfa *d, int32_t s) { return d->state[s].n > 0; }
int64_t dfa_dist(const struct dfa *d, int32_t s) { return d->state[s].dist; }
int32_t dfa_count(const struct dfa *d) { return d->n_state; }
size_t dfa_bytes(const struct dfa *d) {
  return d->bytes + (size_t)d->n_state * sizeof *d->state + (size_t)d->n_frame * sizeof *d->frame + (d->frames.cap + d->states.cap) * sizeof(int32_t);
}

enum status dfa_step(struct dfa *d, int32_t s, unsigned char byte, int32_t *to, struct err *e) {
  enum status st = STATUS_OK;
  int c = d->n->class_of[byte];
  *to = DFA_DEAD;
  if (s == DFA_DEAD) {
    return STATUS_OK;
  }
  if (!d->state[s].to) {
    int32_t *p = arena_alloc(d->a, (size_t)d->n->n_class * sizeof *p);
    if (!p) {
      return err_nomem(e, (size_t)d->n->n_class * sizeof *p);
    }
    memset(p, -1, (size_t)d->n->n_class * sizeof *p);
    d->state[s].to = p;
    d->bytes += (size_t)d->n->n_class * sizeof *p;
  }
  if (d->state[s].to[c] >= 0) {
    *to = d->state[s].to[c];
    return STATUS_OK;
  }
  closure_begin(d);
  for (int32_t i = 0; i < d->state[s].n; i++) {
    struct thread t = d->state[s].thread[i];
    const struct nfa_node *v = &d->n->node[t.pc];
    if (byte_in(&d->n->set[v->set], byte)) {
      TRY(push(d, v->next, t.frame, e));
    }
  }
  TRY(closure_end(d, to, e));
  d->state[s].to[c] = *to;
out:
  return st;
}

/* ---- clipping ---- */
static int32_t clip_frame(struct dfa *d, int32_t id, struct err *e) {
  struct frame f = d->frame[id];
  if (f.clip >= 0) {
    return f.clip;
  }
  int32_t up = clip_frame(d, f.up, e);
  if (up < 0) {
    return -1;
  }
  int32_t lo = f.lo > d->clip_at ? d->clip_at : f.lo, hi = f.hi > d->clip_at ? d->clip_at : f.hi;
  int32_t to = frame_of(d, f.pc, lo, hi, up, e);
  if (to >= 0) {
    d->frame[id].clip = to;
    d->frame[to].clip = to;
  }
  return to;
}

enum status dfa_clip(struct dfa *d, int32_t s, int32_t *to, struct err *e) {
  enum status st = STATUS_OK;
  *to = d->state[s].clip;
  if (*to >= 0) {
    return STATUS_OK;
  }
  closure_begin(d);
  d->accepts = d->state[s].accepts;
  for (int32_t i = 0; i < d->state[s].n; i++) {
    struct thread t = d->state[s].thread[i];
    t.frame = clip_frame(d, t.frame, e);
    TRY(push(d, t.pc, t.frame, e));
  }
  TRY(closure_end(d, to, e));
  d->state[s].clip = *to;
  d->state[*to].clip = *to;
out:
  return st;
}

/* ---- ways to the end ---- */
unsigned char dfa_near_byte(const struct dfa *d, int32_t s) {
  const struct state *x = &d->state[s];
  for (int32_t i = 0; i < x->n; i++) {
    const struct byte_set *set = &d->n->set[d->n->node[x->thread[i].pc].set];
    if (d->n->node[x->thread[i].pc].dist + d->frame[x->thread[i].frame].dist != x->dist) {
      continue;
    }
    for (unsigned c = ' '; c < 256 + ' '; c++) { /* a printable one where there is one */
      if (byte_in(set, c & 255)) {
        return (unsigned char)c;
      }
    }
  }
  return 0;
}

enum status dfa_self(struct dfa *d, int32_t s, const struct byte_set **set, struct err *e) {
  enum status st = STATUS_OK;
  if (!d->state[s].knows_self) {
    struct byte_set self = {{0}};
    for (unsigned c = 0; c < 256; c++) {
      int32_t to;
      TRY(dfa_step(d, s, (unsigned char)c, &to, e));
      if (to == s) {
        byte_add(&self, c);
      }
    }
    d->state[s].self = self;
    d->state[s].knows_self = 1;
  }
  *set = &d->state[s].self;
out:
  return st;
}

static int32_t move_frame(struct dfa *d, const struct dfa *from, int32_t id, struct err *e) {
  struct frame f = from->frame[id];
  int32_t up = id ? move_frame(d, from, f.up, e) : 0;
  return id == 0 ? 0 : up < 0 ? -1 : frame_of(d, f.pc, f.lo, f.hi, up, e);
}

enum status dfa_trim(struct dfa *d, int32_t **keep, size_t n_keep, struct err *e) {
  enum status st = STATUS_OK;
  struct dfa old = *d;
  d->frame = NULL;
  d->state = NULL;
  d->frames = d->states = (struct table){0};
  TRY(begin(d, e));
  for (size_t i = 0; i < n_keep; i++) {
    const struct state *s = &old.state[*keep[i]];
    closure_begin(d);
    d->accepts = s->accepts;
    for (int32_t k = 0; k < s->n; k++) {
      TRY(push(d, s->thread[k].pc, move_frame(d, &old, s->thread[k].frame, e), e));
    }
    TRY(closure_end(d, keep[i], e));
  }
out:
  drop(&old);
  return st;
}
