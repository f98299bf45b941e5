/* SPDX-License-Identifier: Apache-2.0
 * Tree to automaton. Everything is made from its end: make(x, next) gives the node where x followed by next begins, so nothing
 * has to be patched but loops and rules. A class of code points becomes few nodes: lead bytes with the same rest share one. */
#include "constrain_nfa.h"

#define MAX_NODES 4000000

struct memo { const void *x; int32_t next, node; };
struct maker {
  const struct expr_build *b;
  struct nfa *n;
  int32_t *rule_start; /* (n_rule) */
  struct memo *memo;   /* shared exprs */
  size_t n_memo, cap_memo;
  struct arena *a;     /* scratch of one class */
  enum status st;
  struct err *e;
};

static int32_t node(struct maker *m, struct nfa_node v) {
  struct nfa *n = m->n;
  if (m->st != STATUS_OK) {
    return 0;
  }
  if (n->n == MAX_NODES) {
    m->st = err_set(m->e, STATUS_LIMIT, "the form of the answer is too big: more than %d automaton nodes", MAX_NODES);
    return 0;
  }
  if ((size_t)n->n == n->cap) {
    size_t cap = n->cap ? n->cap * 2 : 256;
    struct nfa_node *p = mem_realloc(n->node, cap * sizeof *p);
    if (!p) {
      m->st = err_nomem(m->e, cap * sizeof *p);
      return 0;
    }
    n->node = p;
    n->cap = cap;
  }
  n->node[n->n] = v;
  return n->n++;
}

static int32_t set_id(struct maker *m, const struct byte_set *s) {
  struct nfa *n = m->n;
  for (size_t i = 0; i < n->n_set; i++) {
    if (memcmp(&n->set[i], s, sizeof *s) == 0) {
      return (int32_t)i;
    }
  }
  if (n->n_set == n->cap_set) {
    size_t cap = n->cap_set ? n->cap_set * 2 : 64;
    struct byte_set *p = mem_realloc(n->set, cap * sizeof *p);
    if (!p) {
      m->st = err_nomem(m->e, cap * sizeof *p);
      return 0;
    }
    n->set = p;
    n->cap_set = cap;
  }
  n->set[n->n_set] = *s;
  return (int32_t)n->n_set++;
}

static int32_t bytes_node(struct maker *m, const struct byte_set *s, int32_t next) {
  int32_t id = set_id(m, s);
  return node(m, (struct nfa_node){.op = NFA_BYTES, .set = id, .next = next});
}

static int32_t split(struct maker *m, int32_t a, int32_t b) { return node(m, (struct nfa_node){.op = NFA_SPLIT, .next = a, .other = b}); }

/* ---- classes of code points ---- */
struct rest { const struct char_range *r; size_t n; int k; int32_t node; struct rest *up; };

/* The parts of r within [lo, lo + size), moved down to 0. */
static size_t part(const struct char_range *r, size_t n, uint32_t lo, uint32_t size, struct char_range *out) {
  size_t k = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t a = r[i].lo > lo ? r[i].lo : lo, z = r[i].hi < lo + size - 1 ? r[i].hi : lo + size - 1;
    if (a <= z) {
      out[k++] = (struct char_range){a - lo, z - lo};
    }
  }
  return k;
}

/* Bytes whose continuations are the same node become one set; child[b] = 0: not possible. */
static int32_t join_bytes(struct maker *m, const int32_t child[256]) {
  unsigned char done[256] = {0};
  int32_t out = 0;
  for (unsigned c = 0; c < 256; c++) {
    struct byte_set s = {{0}};
    if (!child[c] || done[c]) {
      continue;
    }
    for (unsigned d = c; d < 256; d++) {
      if (child[d] == child[c]) {
        byte_add(&s, d);
        done[d] = 1;
      }
    }
    int32_t id = bytes_node(m, &s, child[c]);
    out = out ? split(m, id, out) : id;
  }
  return out;
}

/* k more bytes of six bits each whose value lies in r. Equal rests are made once. */
static int32_t rest_node(struct maker *m, const struct char_range *r, size_t n, int k, int32_t next, struct rest **known) {
  int32_t child[256] = {0};
  if (k == 0 || m->st != STATUS_OK) {
    return next;
  }
  for (const struct rest *q = *known; q; q = q->up) {
    if (q->k == k && q->n == n && memcmp(q->r, r, n * sizeof *r) == 0) {
      return q->node;
    }
  }
  uint32_t size = (uint32_t)1 << (6 * (k - 1));
  struct rest *q = arena_calloc(m->a, 1, sizeof *q);
  struct char_range *copy = arena_alloc(m->a, n * sizeof *copy), *sub = arena_alloc(m->a, n * sizeof *sub);
  if (!q || !copy || !sub) {
    m->st = err_nomem(m->e, n * sizeof *copy);
    return 0;
  }
  memcpy(copy, r, n * sizeof *copy);
  for (unsigned d = 0; d < 64; d++) {
    size_t c = part(r, n, d * size, size, sub);
    child[0x80 + d] = c ? rest_node(m, sub, c, k - 1, next, known) : 0;
  }
  *q = (struct rest){copy, n, k, join_bytes(m, child), *known};
  *known = q;
  return q->node;
}

static int32_t class_node(struct maker *m, const struct expr *x, int32_t next) {
  static const struct { uint32_t lo, hi; unsigned lead; int k; } lengths[] = {
    {0x80, 0x7FF, 0xC0, 1}, {0x800, 0xFFFF, 0xE0, 2}, {0x10000, EXPR_CHAR_MAX, 0xF0, 3}};
  int32_t child[256] = {0};
  struct rest *known = NULL;
  arena_reset(m->a);
  for (size_t i = 0; i < x->n; i++) {
    for (uint32_t c = x->range[i].lo; c < 0x80 && c <= x->range[i].hi; c++) {
      child[c] = next;
    }
  }
  struct char_range *sub = arena_alloc(m->a, (x->n + 1) * sizeof *sub), *low = arena_alloc(m->a, (x->n + 1) * sizeof *low);
  if (!sub || !low) {
    m->st = err_nomem(m->e, x->n * sizeof *sub);
    return 0;
  }
  for (size_t l = 0; l < 3; l++) {
    uint32_t size = (uint32_t)1 << (6 * lengths[l].k);
    size_t n = part(x->range, x->n, lengths[l].lo, lengths[l].hi - lengths[l].lo + 1, sub);
    for (size_t i = 0; i < n; i++) { /* the parts as code points again */
      sub[i].lo += lengths[l].lo;
      sub[i].hi += lengths[l].lo;
    }
    for (uint32_t d = lengths[l].lo / size; n && d <= lengths[l].hi / size; d++) {
      size_t c = part(sub, n, d * size, size, low);
      child[lengths[l].lead + d] = c ? rest_node(m, low, c, lengths[l].k, next, &known) : 0;
    }
  }
  return join_bytes(m, child);
}

/* ---- trees ---- */
static int32_t make(struct maker *m, const struct expr *x, int32_t next);

static int32_t star(struct maker *m, const struct expr *x, int32_t next, int at_least_once) {
  int32_t loop = split(m, next, 0), body = make(m, x, loop);
  if (m->st == STATUS_OK) {
    m->n->node[loop].other = body;
  }
  return at_least_once ? body : loop;
}

static int32_t counted(struct maker *m, const struct expr *x, int32_t min, int32_t max, int32_t next) {
  int32_t loop = node(m, (struct nfa_node){.op = NFA_LOOP, .next = next, .min = min, .max = max});
  int32_t end = node(m, (struct nfa_node){.op = NFA_LOOP_END, .next = loop}), body = make(m, x, end);
  if (m->st == STATUS_OK) {
    m->n->node[loop].other = body;
  }
  return loop;
}

static int32_t repeat(struct maker *m, const struct expr *r, int32_t next) {
  const struct expr *x = r->child[0];
  int32_t min = expr_nullable(x) ? 0 : r->min; /* where x can be empty, empty rounds fill up the count */
  if (r->max == 0) {
    return next;
  }
  if (r->max == EXPR_INF) {
    int32_t tail = star(m, x, next, min == 1);
    return min > 1 ? counted(m, x, min, min, tail) : tail;
  }
  if (r->max == 1) {
    int32_t once = make(m, x, next);
    return min ? once : split(m, once, next);
  }
  return counted(m, x, min, r->max, next);
}

static int32_t make_new(struct maker *m, const struct expr *x, int32_t next) {
  switch (x->kind) {
    case EXPR_TEXT:
      for (size_t i = x->text.n; i-- > 0;) {
        struct byte_set s = {{0}};
        byte_add(&s, (unsigned char)x->text.p[i]);
        next = bytes_node(m, &s, next);
      }
      return next;
    case EXPR_CLASS: return class_node(m, x, next);
    case EXPR_CAT:
      for (size_t i = x->n; i-- > 0;) {
        next = make(m, x->child[i], next);
      }
      return next;
    case EXPR_ALT: {
      int32_t out = 0;
      for (size_t i = x->n; i-- > 0;) {
        int32_t c = make(m, x->child[i], next);
        out = out ? split(m, c, out) : c;
      }
      return out;
    }
    case EXPR_REP: return repeat(m, x, next);
    case EXPR_RULE: return node(m, (struct nfa_node){.op = NFA_CALL, .other = m->rule_start[x->rule], .next = next});
  }
  return 0;
}

static int32_t make(struct maker *m, const struct expr *x, int32_t next) {
  if (m->st != STATUS_OK) {
    return 0;
  }
  if (!x->shared) {
    return make_new(m, x, next);
  }
  for (size_t i = m->n_memo; i-- > 0;) {
    if (m->memo[i].x == x && m->memo[i].next == next) {
      return m->memo[i].node;
    }
  }
  int32_t id = make_new(m, x, next);
  if (m->n_memo == m->cap_memo) {
    size_t cap = m->cap_memo ? m->cap_memo * 2 : 64;
    struct memo *p = mem_realloc(m->memo, cap * sizeof *p);
    if (!p) {
      m->st = err_nomem(m->e, cap * sizeof *p);
      return 0;
    }
    m->memo = p;
    m->cap_memo = cap;
  }
  m->memo[m->n_memo++] = (struct memo){x, next, id};
  return id;
}

/* ---- analysis ---- */
static int64_t near(int64_t a, int64_t b) { return a >= NFA_FAR || b >= NFA_FAR || a + b >= NFA_FAR ? NFA_FAR : a + b; }

static int64_t dist_of(const struct nfa *n, const struct nfa_node *v) {
  const struct nfa_node *next = &n->node[v->next], *other = &n->node[v->other];
  switch (v->op) {
    case NFA_FAIL: return NFA_FAR;
    case NFA_BYTES: {
      const uint64_t *w = n->set[v->set].w;
      return w[0] | w[1] | w[2] | w[3] ? near(1, next->dist) : NFA_FAR;
    }
    case NFA_SPLIT: return next->dist < other->dist ? next->dist : other->dist;
    case NFA_CALL: return near(other->dist, next->dist);
    case NFA_LOOP: return v->min == 0 ? next->dist : other->dist >= NFA_FAR ? NFA_FAR : near(other->dist * v->min, next->dist);
    case NFA_LOOP_END: case NFA_RETURN: return 0;
  }
  return NFA_FAR;
}

static int32_t need_of(const struct nfa *n, const struct nfa_node *v) {
  int32_t next = n->node[v->next].need, other = n->node[v->other].need, call = other == INT32_MAX ? INT32_MAX : other + 1;
  switch (v->op) {
    case NFA_FAIL: return INT32_MAX;
    case NFA_BYTES: return v->dist >= NFA_FAR ? INT32_MAX : next;
    case NFA_SPLIT: return next < other ? next : other;
    case NFA_CALL: return next > call ? next : call;
    case NFA_LOOP: return v->min == 0 || next > other ? next : other;
    case NFA_LOOP_END: case NFA_RETURN: return 0;
  }
  return INT32_MAX;
}

/* Nodes come behind what they lead to, loops and rules apart: a few rounds do. */
static void analyse(struct nfa *n) {
  for (int32_t i = 0; i < n->n; i++) {
    n->node[i].dist = NFA_FAR;
    n->node[i].need = INT32_MAX;
  }
  for (int changed = 1; changed;) {
    changed = 0;
    for (int32_t i = 0; i < n->n; i++) {
      int64_t d = dist_of(n, &n->node[i]);
      changed |= d != n->node[i].dist;
      n->node[i].dist = d;
    }
  }
  for (int changed = 1; changed;) {
    changed = 0;
    for (int32_t i = 0; i < n->n; i++) {
      int32_t d = need_of(n, &n->node[i]);
      changed |= d != n->node[i].need;
      n->node[i].need = d;
    }
  }
}

static void find_classes(struct nfa *n) {
  int count = 1;
  memset(n->class_of, 0, sizeof n->class_of);
  for (size_t i = 0; i < n->n_set; i++) {
    int renamed[256][2], next = 0;
    memset(renamed, -1, sizeof renamed);
    for (unsigned c = 0; c < 256; c++) {
      int *to = &renamed[n->class_of[c]][byte_in(&n->set[i], c)];
      *to = *to < 0 ? next++ : *to;
      n->class_of[c] = (unsigned char)*to;
    }
    count = next;
  }
  n->n_class = count;
  for (int c = 255; c >= 0; c--) {
    n->class_byte[n->class_of[c]] = (unsigned char)c;
  }
}

enum status nfa_new(const struct expr_build *b, const struct expr *root, const struct byte_set *have, struct nfa **out, struct err *e) {
  struct maker m = {.b = b, .e = e};
  *out = NULL;
  m.n = mem_calloc(1, sizeof *m.n);
  m.a = arena_new(0);
  m.rule_start = mem_calloc(b->n_rule + 1, sizeof *m.rule_start);
  if (!m.n || !m.a || !m.rule_start) {
    m.st = err_nomem(e, sizeof *m.n);
    goto out;
  }
  node(&m, (struct nfa_node){.op = NFA_FAIL});
  int32_t end = node(&m, (struct nfa_node){.op = NFA_RETURN});
  for (size_t i = 0; i < b->n_rule; i++) {
    m.rule_start[i] = split(&m, 0, 0);
  }
  for (size_t i = 0; m.st == STATUS_OK && i < b->n_rule; i++) {
    int32_t start = b->rule[i] ? make(&m, b->rule[i], end) : 0;
    if (m.st == STATUS_OK) {
      m.n->node[m.rule_start[i]].next = start;
    }
  }
  m.n->start = make(&m, root, end);
  if (m.st != STATUS_OK) {
    goto out;
  }
  for (size_t i = 0; i < m.n->n_set; i++) {
    for (int k = 0; k < 4; k++) {
      m.n->set[i].w[k] &= have->w[k];
    }
  }
  analyse(m.n);
  find_classes(m.n);
  if (m.n->node[m.n->start].dist >= NFA_FAR || m.n->node[m.n->start].need > NFA_DEPTH) {
    m.st = err_set(e, STATUS_DATA, "no answer can have this form: it is empty, nests deeper than %d levels, or asks for bytes that the vocabulary lacks", NFA_DEPTH);
  }
out:
  mem_free(m.memo);
  mem_free(m.rule_start);
  arena_free(m.a);
  if (m.st != STATUS_OK) {
    nfa_free(m.n);
    m.n = NULL;
  }
  *out = m.n;
  return m.st;
}

void nfa_free(struct nfa *n) {
  if (n) {
    mem_free(n->node);
    mem_free(n->set);
    mem_free(n);
  }
}
