/* SPDX-License-Identifier: Apache-2.0
 * Choosing one token of a row of logits. Every filter (top k, top p, min p) keeps the beginning of the row sorted by
 * (value descending, id ascending), so only candidates that can survive are gathered and sorted. */
#include <math.h>
#include "decode.h"

struct candidate { float z; int32_t id; };

/* candidates (vocab), penalised logits (vocab), one mark a token */
size_t sample_scratch_bytes(int32_t vocab) {
  return (size_t)vocab * (sizeof(struct candidate) + sizeof(float) + 1);
}

static void penalise(float *z, int32_t vocab, const int32_t *seen, size_t n, double penalty, unsigned char *mark) {
  memset(mark, 0, (size_t)vocab);
  for (size_t i = 0; i < n; i++) {
    int32_t id = seen[i];
    if (id < 0 || id >= vocab || mark[id]) {
      continue; /* once a token, however often it came */
    }
    mark[id] = 1;
    z[id] = (float)(z[id] > 0 ? z[id] / penalty : z[id] * penalty);
  }
}

static int32_t argmax(const float *z, int32_t vocab) {
  int32_t best = 0;
  for (int32_t i = 1; i < vocab; i++) {
    if (z[i] > z[best] || (isnan(z[best]) && !isnan(z[i]))) {
      best = i;
    }
  }
  return best;
}

static int before(struct candidate a, struct candidate b) { return a.z > b.z || (a.z == b.z && a.id < b.id); }

static int compare(const void *a, const void *b) {
  const struct candidate *x = a, *y = b;
  return before(*x, *y) ? -1 : before(*y, *x);
}

/* The k first of the row in heap order: the root is the last of them. */
static int32_t take_top_k(const float *z, int32_t vocab, int32_t k, struct candidate *c) {
  int32_t n = 0;
  for (int32_t i = 0; i < vocab; i++) {
    struct candidate x = {z[i], i};
    int32_t at;
    if (n < k) {
      for (at = n++; at > 0 && before(c[(at - 1) / 2], x); at = (at - 1) / 2) {
        c[at] = c[(at - 1) / 2];
      }
      c[at] = x;
    } else if (before(x, c[0])) {
      for (at = 0; 2 * at + 1 < k;) {
        int32_t child = 2 * at + 1;
        child += child + 1 < k && before(c[child], c[child + 1]);
        if (!before(x, c[child])) {
          break;
        }
        c[at] = c[child];
        at = child;
      }
      c[at] = x;
    }
  }
  return n;
}

static int32_t take_above(const float *z, int32_t vocab, double floor, struct candidate *c) {
  int32_t n = 0;
  for (int32_t i = 0; i < vocab; i++) {
    if (z[i] >= floor) {
      c[n++] = (struct candidate){z[i], i};
    }
  }
  return n;
}

static double mass_of(const struct candidate *c, int32_t n, double max, double t) {
  double mass = 0;
  for (int32_t i = 0; i < n; i++) {
    mass += (double)expf((float)((c[i].z - max) / t));
  }
  return mass;
}

/* Enough of the row that top p can be decided: widened until it holds that much of the whole mass. */
static int32_t take_top_p(const float *z, int32_t vocab, double p, double max, double t, struct candidate *c, double *total) {
  int32_t n = take_above(z, vocab, -INFINITY, c);
  *total = mass_of(c, n, max, t);
  for (double width = 8; width < 200; width *= 2) {
    n = take_above(z, vocab, max - width * t, c);
    if (mass_of(c, n, max, t) >= p * *total) {
      return n;
    }
  }
  return take_above(z, vocab, -INFINITY, c);
}

int32_t sample_token(const struct sampling *s, const float *z, int32_t vocab, const int32_t *seen, size_t n_seen, double u, void *w) {
  struct candidate *c = w;
  if (s->repetition_penalty > 0 && s->repetition_penalty != 1) {
    float *copy = (float *)(void *)(c + vocab);
    memcpy(copy, z, (size_t)vocab * sizeof *copy);
    penalise(copy, vocab, seen, n_seen, s->repetition_penalty, (unsigned char *)(copy + vocab));
    z = copy;
  }
  int32_t best = argmax(z, vocab), n;
  if (!(s->temperature > 0) || !isfinite(z[best])) {
    return best;
  }
  double max = z[best], t = s->temperature, total = 0;
  int use_p = s->top_p > 0 && s->top_p < 1;
  if (s->top_k > 0 && s->top_k < vocab) {
    n = take_top_k(z, vocab, (int32_t)s->top_k, c);
    total = mass_of(c, n, max, t);
  } else if (use_p) {
    n = take_top_p(z, vocab, s->top_p, max, t, c, &total);
  } else {
    n = take_above(z, vocab, s->min_p > 0 ? max + t * log(s->min_p) : -INFINITY, c);
  }
  if (use_p || (s->top_k > 0 && s->top_k < vocab)) {
    qsort(c, (size_t)n, sizeof *c, compare);
  }
  if (use_p) {
    double sum = 0;
    int32_t keep = 0;
    while (keep < n && sum < s->top_p * total) {
      sum += (double)expf((float)((c[keep++].z - max) / t));
    }
    n = keep > 0 ? keep : 1;
  }
  if (s->min_p > 0) {
    int32_t keep = 0; /* candidates of min p alone are not sorted, but all of them pass */
    while (keep < n && c[keep].z >= max + t * log(s->min_p)) {
      keep++;
    }
    n = keep > 0 ? keep : 1;
  }
  double at = u * mass_of(c, n, max, t), sum = 0;
  for (int32_t i = 0; i < n; i++) {
    sum += (double)expf((float)((c[i].z - max) / t));
    if (sum > at) {
      return c[i].id;
    }
  }
  return n > 0 ? c[n - 1].id : best;
}
