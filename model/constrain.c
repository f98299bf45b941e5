/* SPDX-License-Identifier: Apache-2.0
 * Masks and matchers. A mask belongs to a clipped state of the automaton (constrain_dfa.h) and is made by one walk through the
 * vocabulary's tree beside it; a subtree whose bytes all lead from a state to itself is taken as a whole. */
#include "constrain.h"
#include "constrain_dfa.h"
#include "constrain_json.h"
#include "json.h"

#define MEMORY ((size_t)128 << 20)
#define MAX_PLAN 65536

struct mask { int32_t state; uint64_t *bits; };
struct constraint {
  const struct trie *trie;
  struct nfa *nfa;
  struct dfa *dfa;
  char *loose;
  size_t words, bytes_max;
  struct mask *mask;      /* by open addressing over clipped states; bits NULL = free */
  size_t n_mask, cap_mask;
  int32_t *path;          /* states of one walk (longest + 1) */
  struct matcher *first;
};
struct matcher {
  struct constraint *c;
  struct matcher *next, **back;
  int32_t state;
  int closing, hopeless, closed; /* hopeless: even the shortest end did not fit from the start */
  int32_t *plan;          /* tokens of the shortest end */
  size_t n_plan, at_plan;
};

/* ---- making ---- */
static struct expr *choices_expr(struct expr_build *b, struct span text) {
  struct json *list = NULL;
  struct expr *alt = expr_list(b, EXPR_ALT);
  enum status st = json_parse(text, "choices", &list, b->e);
  if (st != STATUS_OK) {
    b->st = st;
    return NULL;
  }
  if (json_type(list) != JSON_ARRAY || json_size(list) == 0) {
    expr_fail(b, STATUS_USAGE, "'choices': expected an array of at least one string");
  }
  for (size_t i = 0; b->st == STATUS_OK && i < json_size(list); i++) {
    if (json_type(json_at(list, i)) != JSON_STRING) {
      expr_fail(b, STATUS_USAGE, "'choices': number %zu is not a string", i + 1);
    }
    alt = expr_add(b, alt, expr_text(b, json_str(json_at(list, i))));
  }
  json_free(list);
  return alt;
}

enum status constraint_new(const struct trie *trie, const struct form *f, struct constraint **out, struct err *e) {
  struct err own = {0};
  struct expr_build b = {.e = e ? e : &own};
  struct buf loose = {0};
  struct expr *root = NULL;
  enum status st = STATUS_OK;
  struct constraint *c = mem_calloc(1, sizeof *c);
  b.a = arena_new(0);
  *out = NULL;
  if (!c || !b.a) {
    st = err_nomem(e, sizeof *c);
    goto out;
  }
  c->trie = trie;
  c->bytes_max = MEMORY;
  c->words = ((size_t)trie->vocab + 63) / 64;
  c->path = mem_calloc((size_t)trie->longest + 2, sizeof *c->path);
  if (!c->path) {
    st = err_nomem(e, (size_t)trie->longest * sizeof *c->path);
    goto out;
  }
  switch (f->kind) {
    case FORM_FREE: st = err_set(e, STATUS_USAGE, "an answer of any form needs no constraint"); goto out;
    case FORM_CHOICES: root = choices_expr(&b, f->text); break;
    case FORM_REGEX: root = expr_regex(&b, f->text, 0, 0); break;
    case FORM_SCHEMA: root = expr_schema(&b, f->text, &loose); break;
  }
  if (!root || b.st != STATUS_OK) {
    st = b.st != STATUS_OK ? b.st : err_nomem(e, 4096);
    goto out;
  }
  TRY(nfa_new(&b, root, &trie->single, &c->nfa, e));
  TRY(dfa_new(c->nfa, trie->longest + 1, &c->dfa, e));
  if (loose.n) {
    c->loose = loose.p;
    loose = (struct buf){0};
  }
out:
  buf_free(&loose);
  arena_free(b.a);
  if (st != STATUS_OK) {
    constraint_free(c);
    c = NULL;
  }
  *out = c;
  return st;
}

static void drop_masks(struct constraint *c) {
  for (size_t i = 0; i < c->cap_mask; i++) {
    mem_free(c->mask[i].bits);
  }
  mem_free(c->mask);
  c->mask = NULL;
  c->n_mask = c->cap_mask = 0;
}

void constraint_free(struct constraint *c) {
  if (c) {
    drop_masks(c);
    dfa_free(c->dfa);
    nfa_free(c->nfa);
    mem_free(c->loose);
    mem_free(c->path);
    mem_free(c);
  }
}

const char *constraint_loose(const struct constraint *c) { return c->loose; }
void constraint_set_bytes(struct constraint *c, size_t bytes) { c->bytes_max = bytes; }

enum status constraint_breathe(struct constraint *c, struct err *e) {
  enum status st = STATUS_OK;
  size_t n = 0;
  int32_t **keep = NULL;
  if (c->n_mask * c->words * sizeof(uint64_t) > c->bytes_max / 2) {
    drop_masks(c);
  }
  if (dfa_bytes(c->dfa) <= c->bytes_max / 2) {
    return STATUS_OK;
  }
  drop_masks(c); /* they go by the numbers of states */
  for (struct matcher *m = c->first; m; m = m->next) {
    n++;
  }
  keep = mem_calloc(n + 1, sizeof *keep);
  if (!keep) {
    return err_nomem(e, n * sizeof *keep);
  }
  n = 0;
  for (struct matcher *m = c->first; m; m = m->next) {
    keep[n++] = &m->state;
  }
  st = dfa_trim(c->dfa, keep, n, e);
  mem_free(keep);
  return st;
}

/* ---- masks ---- */
static void allow(struct constraint *c, uint64_t *bits, int32_t from, int32_t to) {
  for (int32_t i = from; i < to; i++) {
    bits[c->trie->token[i] >> 6] |= (uint64_t)1 << (c->trie->token[i] & 63);
  }
}

static int within(const struct byte_set *a, const struct byte_set *b) {
  return !((a->w[0] & ~b->w[0]) | (a->w[1] & ~b->w[1]) | (a->w[2] & ~b->w[2]) | (a->w[3] & ~b->w[3]));
}

static enum status walk(struct constraint *c, int32_t state, uint64_t *bits, struct err *e) {
  const struct trie *t = c->trie;
  enum status st = STATUS_OK;
  c->path[0] = state;
  for (int32_t i = 0; i < t->n;) {
    const struct trie_node *v = &t->node[i];
    const struct byte_set *self;
    int32_t to;
    TRY(dfa_step(c->dfa, c->path[v->depth - 1], v->byte, &to, e));
    if (to == DFA_DEAD) {
      i = v->end;
      continue;
    }
    c->path[v->depth] = to;
    allow(c, bits, v->first, v->here);
    if (v->end > i + 8) { /* worth a look */
      TRY(dfa_self(c->dfa, to, &self, e));
      if (within(&t->below[i], self)) {
        allow(c, bits, v->here, t->node[v->end].first);
        i = v->end;
        continue;
      }
    }
    i++;
  }
out:
  return st;
}

static size_t mask_slot(const struct mask *table, size_t cap, int32_t state) {
  size_t at = ((size_t)(uint32_t)state * 2654435761u) & (cap - 1);
  while (table[at].bits && table[at].state != state) {
    at = (at + 1) & (cap - 1);
  }
  return at;
}

static enum status grow_masks(struct constraint *c, struct err *e) {
  size_t cap = c->cap_mask ? c->cap_mask * 2 : 64;
  struct mask *p = mem_calloc(cap, sizeof *p);
  if (!p) {
    return err_nomem(e, cap * sizeof *p);
  }
  for (size_t i = 0; i < c->cap_mask; i++) {
    if (c->mask[i].bits) {
      p[mask_slot(p, cap, c->mask[i].state)] = c->mask[i];
    }
  }
  mem_free(c->mask);
  c->mask = p;
  c->cap_mask = cap;
  return STATUS_OK;
}

enum status matcher_allowed(struct matcher *m, const uint64_t **bits, int *may_end, struct err *e) {
  struct constraint *c = m->c;
  enum status st = STATUS_OK;
  int32_t clipped;
  *may_end = dfa_accepts(c->dfa, m->state);
  TRY(dfa_clip(c->dfa, m->state, &clipped, e));
  if (c->n_mask * 2 >= c->cap_mask) {
    TRY(grow_masks(c, e));
  }
  struct mask *k = &c->mask[mask_slot(c->mask, c->cap_mask, clipped)];
  if (!k->bits) {
    uint64_t *p = mem_calloc(c->words + 1, sizeof *p);
    if (!p) {
      return err_nomem(e, c->words * sizeof *p);
    }
    st = walk(c, clipped, p, e);
    if (st != STATUS_OK) {
      mem_free(p);
      return st;
    }
    *k = (struct mask){clipped, p};
    c->n_mask++;
  }
  *bits = k->bits;
out:
  return st;
}

/* ---- matchers ---- */
enum status matcher_new(struct constraint *c, struct matcher **out, struct err *e) {
  struct matcher *m = mem_calloc(1, sizeof *m);
  *out = m;
  if (!m) {
    return err_nomem(e, sizeof *m);
  }
  m->c = c;
  m->state = dfa_start(c->dfa);
  m->next = c->first;
  m->back = &c->first;
  if (c->first) {
    c->first->back = &m->next;
  }
  c->first = m;
  return STATUS_OK;
}

void matcher_free(struct matcher *m) {
  if (m) {
    *m->back = m->next;
    if (m->next) {
      m->next->back = m->back;
    }
    mem_free(m->plan);
    mem_free(m);
  }
}

int matcher_closed(const struct matcher *m) { return m->closed; }
int32_t matcher_vocab(const struct matcher *m) { return m->c->trie->vocab; }

static enum status follow(struct constraint *c, int32_t from, struct span text, int32_t *to, struct err *e) {
  enum status st = STATUS_OK;
  *to = from;
  for (size_t i = 0; i < text.n; i++) {
    TRY(dfa_step(c->dfa, *to, (unsigned char)text.p[i], to, e));
  }
out:
  return st;
}

/* Tokens of the shortest end from a state: *n of them (SIZE_MAX: no end within MAX_PLAN bytes, which only the nesting limit can
 * cause), in *plan when it is wanted. */
static enum status shortest(struct constraint *c, int32_t state, int32_t **plan, size_t *n, struct err *e) {
  enum status st = STATUS_OK;
  struct buf text = {0};
  int64_t dist = dfa_dist(c->dfa, state);
  *n = SIZE_MAX;
  if (dist > MAX_PLAN) {
    return STATUS_OK;
  }
  for (int64_t i = 0; i < dist && !dfa_accepts(c->dfa, state); i++) {
    unsigned char byte = dfa_near_byte(c->dfa, state);
    TRY(buf_putc(&text, (char)byte, e));
    TRY(dfa_step(c->dfa, state, byte, &state, e));
  }
  if (!dfa_accepts(c->dfa, state)) {
    goto out;
  }
  if (plan) {
    *plan = mem_calloc(text.n + 1, sizeof **plan);
    if (!*plan) {
      st = err_nomem(e, text.n * sizeof **plan);
      goto out;
    }
  }
  *n = 0;
  for (size_t at = 0, len; at < text.n; at += len) {
    int32_t id = trie_longest(c->trie, (struct span){text.p + at, text.n - at}, &len);
    if (plan) {
      (*plan)[*n] = id;
    }
    ++*n;
  }
out:
  buf_free(&text);
  return st;
}

/* Does the shortest end from a state fit into so many tokens? Bytes bound tokens from above, so most answers are cheap. */
static enum status fits(struct constraint *c, int32_t state, int64_t left, int *yes, struct err *e) {
  size_t n;
  *yes = dfa_dist(c->dfa, state) <= left;
  if (*yes) {
    return STATUS_OK;
  }
  enum status st = shortest(c, state, NULL, &n, e);
  *yes = st == STATUS_OK && n != SIZE_MAX && (int64_t)n <= left;
  return st;
}

static enum status begin_closing(struct matcher *m, int32_t *id, int *over, struct err *e) {
  enum status st = shortest(m->c, m->state, &m->plan, &m->n_plan, e);
  if (st != STATUS_OK) {
    return st;
  }
  if (m->n_plan == 0) { /* it stands at an end: nothing is added */
    *over = 2;
    m->closed = 1;
    return STATUS_OK;
  }
  m->closing = m->closed = 1;
  *id = m->plan[0];
  return STATUS_OK;
}

enum status matcher_take(struct matcher *m, int32_t *id, int64_t left, int *over, struct err *e) {
  struct constraint *c = m->c;
  enum status st = STATUS_OK;
  int32_t to;
  int yes = 1;
  *over = 0;
  if (m->closing) {
    *id = m->plan[m->at_plan];
  } else if (left > 0 && !m->hopeless) {
    TRY(follow(c, m->state, c->trie->text[*id], &to, e));
    TRY(fits(c, to, left - 1, &yes, e));
    if (!yes && m->state == dfa_start(c->dfa)) {
      int at_all;
      TRY(fits(c, m->state, left, &at_all, e));
      m->hopeless = !at_all;
      yes = m->hopeless;
    }
    if (!yes) {
      TRY(begin_closing(m, id, over, e));
      if (*over) {
        return STATUS_OK;
      }
    }
  }
  TRY(follow(c, m->state, c->trie->text[*id], &m->state, e));
  m->at_plan += (size_t)m->closing;
  if (m->state == DFA_DEAD) {
    return err_set(e, STATUS_DATA, "token %d does not fit the form of the answer, which is a mistake of this program", *id);
  }
  *over = dfa_accepts(c->dfa, m->state) && (!dfa_goes_on(c->dfa, m->state) || (m->closing && m->at_plan == m->n_plan));
out:
  return st;
}
