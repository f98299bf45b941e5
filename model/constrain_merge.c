/* SPDX-License-Identifier: Apache-2.0
 * Several schemas for one value (allOf, $ref with siblings, a base with alternatives) narrowed to one. What cannot be narrowed
 * is noted as loose: the value is checked afterwards. */
#include "constrain_json.h"

#define MERGE_DEPTH 64

struct schema_node merge_nothing(void) {
  return (struct schema_node){.types = SCHEMA_ANY, .max_items = INT64_MAX, .max_props = INT64_MAX, .max_chars = INT64_MAX};
}

void merge_loose(struct merger *m, const char *keyword, const char *at) {
  char text[300];
  snprintf(text, sizeof text, "%s at %s", keyword, at);
  if (m->b->st == STATUS_OK && m->loose->n < 400 && (!m->loose->p || !strstr(m->loose->p, text))) {
    m->b->st = buf_printf(m->loose, m->b->e, "%s%s", m->loose->n ? ", " : "", text);
  }
}

static void *get(struct merger *m, size_t bytes) {
  void *p = arena_calloc(m->b->a, 1, bytes);
  if (!p) {
    expr_fail(m->b, STATUS_NOMEM, "out of memory: %zu bytes could not be had", bytes);
  }
  return p;
}

/* A schema that asks for both; NULL stands for anything. */
static struct schema_node *both(struct merger *m, struct schema_node *a, struct schema_node *b) {
  if (!a || !b || a == b) {
    return a ? a : b;
  }
  struct schema_node *n = get(m, sizeof *n), **list = get(m, 2 * sizeof *list);
  if (!n || !list) {
    return NULL;
  }
  *n = merge_nothing();
  n->at = a->at;
  list[0] = a;
  list[1] = b;
  n->all = (struct schema_list){list, 2};
  return n;
}

static struct schema_prop *find(struct schema_prop *p, size_t n, struct span name) {
  for (size_t i = 0; i < n; i++) {
    if (p[i].name.n == name.n && memcmp(p[i].name.p, name.p, name.n) == 0) {
      return &p[i];
    }
  }
  return NULL;
}

static void merge_members(struct merger *m, struct schema_node *w, const struct schema_node *n) {
  size_t total = w->n_prop + n->n_prop, k = w->n_prop;
  struct schema_prop *p = total ? get(m, total * sizeof *p) : NULL;
  struct span *req = w->n_required + n->n_required ? get(m, (w->n_required + n->n_required) * sizeof *req) : NULL;
  if (m->b->st != STATUS_OK) {
    return;
  }
  for (size_t i = 0; i < w->n_prop; i++) {
    struct schema_prop *o = find(n->prop, n->n_prop, w->prop[i].name);
    p[i] = (struct schema_prop){w->prop[i].name, both(m, w->prop[i].node, o ? o->node : n->additional)};
  }
  for (size_t i = 0; i < n->n_prop; i++) {
    if (!find(w->prop, w->n_prop, n->prop[i].name)) {
      p[k++] = (struct schema_prop){n->prop[i].name, both(m, n->prop[i].node, w->additional)};
    }
  }
  for (size_t i = 0; i < w->n_required; i++) {
    req[i] = w->required[i];
  }
  for (size_t i = 0; i < n->n_required; i++) {
    req[w->n_required++] = n->required[i];
  }
  w->prop = p;
  w->n_prop = k;
  w->required = req;
  w->additional = both(m, w->additional, n->additional);
}

static void merge_items(struct merger *m, struct schema_node *w, const struct schema_node *n) {
  size_t most = w->prefix.n > n->prefix.n ? w->prefix.n : n->prefix.n;
  struct schema_node **list = most ? get(m, most * sizeof *list) : NULL;
  if (m->b->st != STATUS_OK) {
    return;
  }
  for (size_t i = 0; i < most; i++) {
    list[i] = both(m, i < w->prefix.n ? w->prefix.node[i] : w->items, i < n->prefix.n ? n->prefix.node[i] : n->items);
  }
  w->prefix = (struct schema_list){list, most};
  w->items = both(m, w->items, n->items);
}

static void tighter(const struct json **have, const struct json *x, int upper) {
  if (x && (!*have || (upper ? json_num(x, 0) < json_num(*have, 0) : json_num(x, 0) > json_num(*have, 0)))) {
    *have = x;
  }
}

static void most(int64_t *have, int64_t x) { *have = x > *have ? x : *have; }
static void least(int64_t *have, int64_t x) { *have = x < *have ? x : *have; }

static int same_type(const struct schema_list *l) {
  unsigned seen = 0;
  for (size_t i = 0; i < l->n; i++) {
    unsigned t = l->node[i]->ref ? l->node[i]->ref->types : l->node[i]->types;
    if (seen & t) {
      return 1;
    }
    seen |= t;
  }
  return 0;
}

static int narrow(struct merger *m, struct schema_node *w, const struct schema_node *n) {
  const char *at = n->at ? n->at : "#";
  if (++m->depth > MERGE_DEPTH) {
    expr_fail(m->b, STATUS_LIMIT, "schema '%s': a value that contains itself through allOf or a $ref with other keywords cannot bind tokens", at);
  }
  w->never |= n->never;
  w->types &= n->types;
  w->at = w->at ? w->at : at;
  most(&w->min_items, n->min_items);
  most(&w->min_props, n->min_props);
  most(&w->min_chars, n->min_chars);
  least(&w->max_items, n->max_items);
  least(&w->max_props, n->max_props);
  least(&w->max_chars, n->max_chars);
  tighter(&w->min, n->min, 0);
  tighter(&w->above, n->above, 0);
  tighter(&w->max, n->max, 1);
  tighter(&w->below, n->below, 1);
  if (n->unique) merge_loose(m, "uniqueItems", at);
  if (n->multiple && json_num(n->multiple, 0) == 1) w->types &= ~(unsigned)SCHEMA_NUMBER; /* whole numbers */
  else if (n->multiple) merge_loose(m, "multipleOf", at);
  if (n->not) merge_loose(m, "not", at);
  if (n->pattern.p && w->pattern.p) merge_loose(m, "pattern", at);
  if (!w->pattern.p) w->pattern = n->pattern;
  if (!w->konst) w->konst = n->konst;
  if (!w->one_of_values) w->one_of_values = n->one_of_values;
  merge_members(m, w, n);
  merge_items(m, w, n);
  const struct schema_list *lists[] = {&n->any, &n->one};
  if (n->one.n > 1 && same_type(&n->one)) merge_loose(m, "oneOf", at);
  for (int i = 0; i < 2; i++) {
    if (lists[i]->n && w->any.n) {
      merge_loose(m, i ? "oneOf" : "anyOf", at);
    } else if (lists[i]->n) {
      w->any = *lists[i];
    }
  }
  for (size_t i = 0; m->b->st == STATUS_OK && i < n->all.n; i++) {
    narrow(m, w, n->all.node[i]);
  }
  if (n->ref && m->b->st == STATUS_OK) {
    narrow(m, w, n->ref);
  }
  m->depth--;
  return m->b->st == STATUS_OK;
}

int merge_in(struct merger *m, struct want *w, const struct schema_node *n) {
  if (w->n_from < WANT_FROM) {
    w->from[w->n_from++] = n;
  } else {
    merge_loose(m, "anyOf", n->at ? n->at : "#");
  }
  return narrow(m, &w->n, n);
}
