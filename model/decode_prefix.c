/* SPDX-License-Identifier: Apache-2.0
 * The table of shared beginnings (decode_prefix.h). Two lists: the token ids of the last prompts, which show what is shared and
 * cost little, and the kept rows, which cost much (46 KB a token for SmolLM2) and are bounded in bytes. */
#include "decode_prefix.h"
#include "mem.h"

enum {
  SEEN = 64,      /* prompts whose ids are remembered: recipes with several sets of examples take turns */
  ENTRIES = 64,
  GAIN = 32,      /* tokens a new entry must have over the best old one: words that two passages happen to begin with are not kept */
};

struct seen {
  int32_t *ids;
  size_t n;
};
struct entry {
  int32_t *ids;       /* (kv.len) */
  struct kv_cache kv;
  uint64_t used;      /* time of the last use */
};
struct prefix_table {
  const struct kv_layout *layout;
  uint64_t bytes, most, clock; /* bytes held and allowed */
  size_t most_tokens;          /* one entry can have */
  struct seen seen[SEEN];      /* a ring */
  int seen_at;
  struct entry entry[ENTRIES];
  int n;
};

enum status prefix_table_new(const struct kv_layout *l, uint64_t bytes, struct prefix_table **out, struct err *e) {
  struct prefix_table *t = mem_calloc(1, sizeof *t);
  *out = t;
  if (!t) {
    return err_nomem(e, sizeof *t);
  }
  t->layout = l;
  t->most = bytes;
  uint64_t tokens = bytes / ((uint64_t)l->total * sizeof(float)) / KV_STEP * KV_STEP;
  t->most_tokens = tokens > INT32_MAX ? INT32_MAX : (size_t)tokens;
  return STATUS_OK;
}

static void entry_free(struct prefix_table *t, int i) {
  t->bytes -= t->entry[i].kv.bytes;
  kv_free(&t->entry[i].kv);
  mem_free(t->entry[i].ids);
  t->entry[i] = t->entry[--t->n];
}

void prefix_table_free(struct prefix_table *t) {
  if (!t) {
    return;
  }
  while (t->n) {
    entry_free(t, t->n - 1);
  }
  for (int i = 0; i < SEEN; i++) {
    mem_free(t->seen[i].ids);
  }
  mem_free(t);
}

size_t prefix_common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b) {
  size_t n = n_a < n_b ? n_a : n_b, i = 0;
  while (i < n && a[i] == b[i]) {
    i++;
  }
  return i;
}

enum status prefix_seen(struct prefix_table *t, const int32_t *ids, size_t n, size_t *shared, struct err *e) {
  *shared = 0;
  n = n < t->most_tokens ? n : t->most_tokens;
  if (n < PREFIX_LEAST) {
    return STATUS_OK;
  }
  for (int i = 0; i < SEEN; i++) {
    size_t c = prefix_common(ids, n, t->seen[i].ids, t->seen[i].n);
    *shared = c > *shared ? c : *shared;
  }
  struct seen *s = &t->seen[t->seen_at];
  int32_t *copy = mem_alloc(n * sizeof *copy);
  if (!copy) {
    return err_nomem(e, n * sizeof *copy);
  }
  memcpy(copy, ids, n * sizeof *copy);
  mem_free(s->ids);
  *s = (struct seen){copy, n};
  t->seen_at = (t->seen_at + 1) % SEEN;
  return STATUS_OK;
}

const struct kv_cache *prefix_find(struct prefix_table *t, const int32_t *ids, size_t n, size_t *common) {
  struct entry *best = NULL;
  *common = 0;
  for (int i = 0; i < t->n; i++) {
    size_t c = prefix_common(ids, n, t->entry[i].ids, (size_t)t->entry[i].kv.len);
    if (c > *common) {
      *common = c;
      best = &t->entry[i];
    }
  }
  if (!best) {
    return NULL;
  }
  best->used = ++t->clock;
  return &best->kv;
}

static int least_used(const struct prefix_table *t) {
  int at = 0;
  for (int i = 1; i < t->n; i++) {
    at = t->entry[i].used < t->entry[at].used ? i : at;
  }
  return at;
}

enum status prefix_keep(struct prefix_table *t, const int32_t *ids, size_t n, const struct kv_cache *from, struct err *e) {
  enum status st = STATUS_OK;
  struct entry new = {.kv = {.layout = t->layout}};
  size_t have;
  n = n < t->most_tokens ? n : t->most_tokens;
  prefix_find(t, ids, n, &have);
  if (n < PREFIX_LEAST || n < have + GAIN) {
    return STATUS_OK;
  }
  uint64_t need = kv_bytes(t->layout, (int32_t)n);
  if (need > t->most) {
    return STATUS_OK;
  }
  while (t->n == ENTRIES || (t->n && t->bytes + need > t->most)) {
    entry_free(t, least_used(t));
  }
  new.ids = mem_alloc(n * sizeof *new.ids);
  if (!new.ids) {
    return err_nomem(e, n * sizeof *new.ids);
  }
  memcpy(new.ids, ids, n * sizeof *new.ids);
  st = kv_copy(&new.kv, from, (int32_t)n, 0, e);
  if (st != STATUS_OK) {
    mem_free(new.ids);
    return st;
  }
  new.used = ++t->clock;
  t->bytes += new.kv.bytes;
  t->entry[t->n++] = new;
  return STATUS_OK;
}
