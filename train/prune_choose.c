/* SPDX-License-Identifier: Apache-2.0
 * Which units stay (sheet B1 to B3): the best k, ties to the lower index, in their original order. Heads are ranked inside
 * their key/value group, so that every group keeps as many and K and V stay as they are. */
#include "prune.h"

/* Best k of n by score: indices by rank in rank[], the kept ones ascending in keep[]. Selection by insertion is enough for
 * heads and layers; widths are sorted. */
struct ranked {
  double score;
  int32_t at;
};

static int better(const void *a, const void *b) {
  const struct ranked *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return (x->at > y->at) - (x->at < y->at);
}

static int ascending(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

/* rank (n) may be NULL. */
static enum status best(const double *score, int32_t n, int32_t k, int32_t *keep, int32_t *rank, struct err *e) {
  struct ranked *r = mem_alloc((size_t)n * sizeof *r);
  if (r == NULL) return err_nomem(e, (size_t)n * sizeof *r);
  for (int32_t i = 0; i < n; i++) r[i] = (struct ranked){ score ? score[i] : 0, i };
  qsort(r, (size_t)n, sizeof *r, better);
  for (int32_t i = 0; i < k; i++) keep[i] = r[i].at;
  for (int32_t i = 0; rank != NULL && i < n; i++) rank[i] = r[i].at;
  qsort(keep, (size_t)k, sizeof *keep, ascending);
  mem_free(r);
  return STATUS_OK;
}

static enum status want(const char *what, int64_t asked, int64_t have, int32_t *out, struct err *e) {
  if (asked < 0 || asked > have) {
    return err_set(e, STATUS_USAGE, "--%s %lld: the model has %lld; pruning only makes smaller", what, (long long)asked, (long long)have);
  }
  *out = (int32_t)(asked ? asked : have);
  return STATUS_OK;
}

static int32_t *ints(struct arena *a, int32_t n) { return arena_calloc(a, (size_t)n + 1, sizeof(int32_t)); }

static enum status choose_layers(const struct prune_shape *shape, const struct prune_scores *s, int by_loss, struct arena *a, struct prune_plan *p, struct err *e) {
  int32_t n = 0;
  enum status st = want("layers", shape->layers, p->from.n_layer, &n, e);
  if (st != STATUS_OK) return st;
  p->config.n_layer = n;
  p->layer = ints(a, n);
  if (p->layer == NULL) return err_nomem(e, (size_t)n * sizeof *p->layer);
  const double *score = s == NULL ? NULL : by_loss ? s->loss_without : s->block;
  return best(n < p->from.n_layer ? score : NULL, p->from.n_layer, n, p->layer, NULL, e);
}

static enum status choose_heads(const struct prune_shape *shape, const struct prune_scores *s, int residual, struct arena *a, int l, struct prune_plan *p, struct err *e) {
  enum status st = STATUS_OK;
  int old = p->layer[l];
  int32_t have = p->from.n_head[old], groups = p->from.n_kv_head[old], n = 0, per = have / groups;
  TRY(want("heads", shape->heads, have, &n, e));
  if (n % groups != 0) {
    return err_set(e, STATUS_USAGE, "--heads %d: layer %d has %d key/value groups and every group keeps as many heads; take a multiple of %d", n, old,
                   groups, groups);
  }
  int32_t kept = n / groups, *keep = ints(a, n), *add = ints(a, n), *rank = ints(a, per);
  if (keep == NULL || add == NULL || rank == NULL) return err_nomem(e, (size_t)n * sizeof *keep);
  for (int32_t g = 0; g < groups; g++) {
    const double *score = s && kept < per ? s->head[old] + g * per : NULL;
    TRY(best(score, per, kept, keep + g * kept, rank, e));
    for (int32_t i = 0; i < kept; i++) {
      keep[g * kept + i] += g * per;
      add[g * kept + i] = -1;
    }
    /* Head residual (sheet B3): the i-th best survivor (from 1), i > 2 kept - per, takes up its difference to dropped head
     * 2 kept - i + 1, so the least important survivors stand for the best of the dropped. */
    for (int32_t i = 2 * kept - per + 1 > 1 ? 2 * kept - per + 1 : 1; residual && i <= kept; i++) {
      for (int32_t k = 0; k < kept; k++) {
        if (keep[g * kept + k] == g * per + rank[i - 1]) add[g * kept + k] = g * per + rank[2 * kept - i];
      }
    }
  }
  p->config.n_head[l] = n;
  p->config.n_kv_head[l] = groups;
  p->head[l] = keep;
  if (p->residual != NULL) p->residual[l] = add;
out:
  return st;
}

enum status prune_choose(const struct model_config *from, const struct prune_shape *shape, const struct prune_scores *scores, int by_loss,
                         int head_residual, struct arena *a, struct prune_plan *p, struct err *e) {
  enum status st = STATUS_OK;
  int32_t hidden = 0;
  memset(p, 0, sizeof *p);
  p->config = p->from = *from;
  TRY(want("hidden", shape->hidden, from->hidden, &hidden, e));
  TRY(choose_layers(shape, scores, by_loss, a, p, e));
  int n = p->config.n_layer;
  p->config.hidden = hidden;
  p->hidden = ints(a, hidden);
  p->head = arena_calloc(a, (size_t)n, sizeof *p->head);
  p->ffn = arena_calloc(a, (size_t)n, sizeof *p->ffn);
  p->residual = head_residual ? arena_calloc(a, (size_t)n, sizeof *p->residual) : NULL;
  if (p->hidden == NULL || p->head == NULL || p->ffn == NULL || (head_residual && p->residual == NULL)) {
    st = err_nomem(e, (size_t)n * sizeof *p->head);
    goto out;
  }
  TRY(best(scores && hidden < from->hidden ? scores->emb : NULL, from->hidden, hidden, p->hidden, NULL, e));
  for (int l = 0; l < n; l++) {
    int old = p->layer[l];
    TRY(choose_heads(shape, scores, head_residual, a, l, p, e));
    TRY(want("ffn", shape->ffn, from->ffn[old], &p->config.ffn[l], e));
    p->ffn[l] = ints(a, p->config.ffn[l]);
    if (p->ffn[l] == NULL) {
      st = err_nomem(e, (size_t)p->config.ffn[l] * sizeof(int32_t));
      goto out;
    }
    TRY(best(scores && p->config.ffn[l] < from->ffn[old] ? scores->ffn[old] : NULL, from->ffn[old], p->config.ffn[l], p->ffn[l], NULL, e));
  }
  for (int l = n; l < from->n_layer; l++) p->config.n_head[l] = p->config.n_kv_head[l] = p->config.ffn[l] = 0;
out:
  return st;
}
