/* SPDX-License-Identifier: Apache-2.0
 * A sample is scored as packed sequences, exactly as the student will see it: attention stays inside a document, positions
 * restart. */
#include "shard_targets.h"
#include <math.h>
#include <stdlib.h>
#include "decode.h"
#include "hash.h"
#include "opt.h"
#include "pool.h"
#include "rng.h"
#include "teacher.h"

struct targets {
  struct target_kind kind;
  struct arena *a, *sample;
  struct weights *w;
  struct model *m;
  struct run *run;
  const char *name, *identity, *terms;
  int32_t width;
};

/* "topk:K", "topk:K:E", "sample:N" */
static int parse_part(const char *part, struct target_kind *k) {
  int64_t v = 0;
  char number[24];
  const char *colon = strchr(part, ':'), *more = colon ? strchr(colon + 1, ':') : NULL;
  if (strcmp(part, "hidden") == 0 && !k->hidden) return k->hidden = 1;
  size_t n = !colon ? 0 : more ? (size_t)(more - colon - 1) : strlen(colon + 1);
  if (n == 0 || n >= sizeof number) return 0;
  memcpy(number, colon + 1, n);
  number[n] = 0;
  if (opt_parse_int(number, &v, NULL) != STATUS_OK || v < 1 || v > 65535) return 0;
  if (strncmp(part, "topk:", 5) == 0 && !k->top_k) {
    k->top_k = (int32_t)v;
    return !more || (opt_parse_num(more + 1, &k->top_error, NULL) == STATUS_OK && k->top_error >= 1e-4 && k->top_error <= 1);
  }
  if (strncmp(part, "sample:", 7) != 0 || k->draws || more) return 0;
  k->draws = (int32_t)v;
  return 1;
}

enum status target_parse(const char *text, struct target_kind *k, struct err *e) {
  static const char expected[] = "expected none, or one or more of topk:K, topk:K:ERROR, sample:N, hidden joined with commas, K and N from 1 to "
                                 "65535, ERROR in nats from 0.0001 to 1";
  *k = (struct target_kind){ 0 };
  if (strcmp(text, "none") == 0) return STATUS_OK;
  for (const char *p = text; *p;) {
    size_t n = strcspn(p, ",");
    char part[48];
    if (n >= sizeof part) return err_set(e, STATUS_USAGE, "'--targets %s': %s", text, expected);
    memcpy(part, p, n);
    part[n] = 0;
    p += n + (p[n] == ',');
    if (!parse_part(part, k)) return err_set(e, STATUS_USAGE, "'--targets %s': '%s': %s", text, part, expected);
  }
  return target_any(k) ? STATUS_OK : err_set(e, STATUS_USAGE, "'--targets %s': %s", text, expected);
}

int target_any(const struct target_kind *k) { return k->top_k > 0 || k->draws > 0 || k->hidden; }

static enum status same_tokenizer(const char *teacher, const struct weights *w, const struct tokenizer *t, struct err *e) {
  struct tokenizer *own = NULL;
  unsigned char a[32], b[32];
  enum status st;
  TRY(tokenizer_from_weights(w, &own, e));
  tokenizer_hash(own, a);
  tokenizer_hash(t, b);
  if (memcmp(a, b, 32) != 0)
    st = err_set(e, STATUS_DATA, "'%s': the teacher's tokenizer (%d tokens) is not that of --tokenizer (%d tokens): its targets would be of other "
                 "tokens; give the teacher itself as --tokenizer, or a student of its family", teacher, tokenizer_vocab(own), tokenizer_vocab(t));
out:
  tokenizer_close(own);
  return st;
}

enum status targets_open(const char *teacher, const struct target_kind *k, const struct tokenizer *tok, int32_t context, const char *stated,
                         const char *accept, struct targets **out, struct err *e) {
  enum status st = STATUS_OK;
  unsigned char sha[32];
  char hex[65];
  struct targets *t = mem_calloc(1, sizeof *t);
  *out = t;
  if (!t) return err_nomem(e, sizeof *t);
  t->kind = *k;
  t->a = arena_new(0);
  t->sample = arena_new(0);
  if (!t->a || !t->sample) return err_nomem(e, 0);
  if (strstr(teacher, "://") || strncmp(teacher, "replay:", 7) == 0)
    return err_set(e, STATUS_USAGE, "'--teacher %s': targets are made by a local teacher; give a GGUF file, a Hugging Face folder or a run folder", teacher);
  const char *slash = strrchr(teacher, '/');
  t->name = arena_strndup(t->a, slash && slash[1] ? slash + 1 : teacher, strlen(slash && slash[1] ? slash + 1 : teacher));
  TRY(weights_open(teacher, &t->w, e));
  TRY(teacher_terms_gate(t->w, stated, accept, t->a, &t->terms, e));
  TRY(same_tokenizer(teacher, t->w, tok, e));
  TRY(weights_identity(t->w, sha, e));
  hash_hex(sha, 32, hex);
  t->identity = arena_printf(t->a, "local:%s:%s", hex, kernel_contract());
  TRY(model_from_weights(t->w, 0, &t->m, e));
  const struct model_config *c = model_config(t->m);
  if (c->vocab < tokenizer_vocab(tok) || k->top_k > c->vocab) {
    st = err_set(e, STATUS_DATA, "'%s': a vocabulary of %d, the tokenizer has %d tokens, top %d was asked for", teacher, c->vocab, tokenizer_vocab(tok), k->top_k);
    goto out;
  }
  if (context > c->max_ctx && c->max_ctx > 0) {
    st = err_set(e, STATUS_USAGE, "'--context %d': the teacher was made for %d tokens", context, c->max_ctx);
    goto out;
  }
  t->width = k->hidden ? c->hidden : 0;
  TRY(run_new(t->m, context, 0, &t->run, e));
  if (!t->name || !t->identity) st = err_nomem(e, 0);
out:
  return st;
}

void targets_close(struct targets *t) {
  if (!t) return;
  run_free(t->run);
  model_close(t->m);
  weights_close(t->w);
  arena_free(t->a);
  arena_free(t->sample);
  mem_free(t);
}

const char *targets_name(const struct targets *t) { return t->name; }
const char *targets_identity(const struct targets *t) { return t->identity; }
const char *targets_terms(const struct targets *t) { return t->terms; }
int32_t targets_vocab(const struct targets *t) { return model_config(t->m)->vocab; }
int32_t targets_hidden(const struct targets *t) { return t->width; }

struct filling {
  const struct targets *t;
  struct sample *s;
  int32_t at;
  void *scratch; /* of targets_draw */
  float *room;   /* (vocab) of score_logits */
  uint64_t seed;
  int32_t seed_of; /* document */
};

static int falling(const void *a, const void *b) {
  const int32_t *x = a, *y = b; /* {count, id} */
  return x[0] != y[0] ? (x[0] < y[0]) - (x[0] > y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

static int by_id(const void *a, const void *b) { return (*(const int32_t *)a > *(const int32_t *)b) - (*(const int32_t *)a < *(const int32_t *)b); }

void targets_draw(const float *logits, float lse, int32_t vocab, uint64_t seed, uint64_t place, int32_t n, void *scratch, int32_t *id, int32_t *count) {
  double *running = scratch, sum = 0;
  int32_t *pair = (int32_t *)(void *)(running + vocab), different = 0;
  for (int32_t i = 0; i < vocab; i++) running[i] = sum += (double)expf(logits[i] - lse);
  struct rng g = { seed, place, 0 };
  for (int32_t j = 0; j < n; j++) {
    double u = rng_uniform(&g) * sum;
    int32_t low = 0, high = vocab - 1; /* first id whose running sum is above u */
    while (low < high) {
      int32_t mid = low + (high - low) / 2;
      if (running[mid] > u) high = mid;
      else low = mid + 1;
    }
    id[j] = low;
  }
  qsort(id, (size_t)n, sizeof *id, by_id);
  for (int32_t j = 0; j < n; j++) {
    if (j == 0 || id[j] != id[j - 1]) pair[2 * different] = 0, pair[2 * different++ + 1] = id[j];
    pair[2 * (different - 1)]++;
  }
  qsort(pair, (size_t)different, 2 * sizeof *pair, falling);
  for (int32_t j = 0; j < n; j++) {
    count[j] = j < different ? pair[2 * j] : 0;
    id[j] = j < different ? pair[2 * j + 1] : 0;
  }
}

static enum status draw(struct filling *f, const struct score_row *r, size_t t, struct err *e) {
  struct sample *s = f->s;
  int32_t start = s->doc_start[r->seq];
  size_t n = (size_t)s->n_draw;
  if (f->seed_of != r->seq) {
    f->seed = xxh3(s->ids + start, (size_t)(s->doc_start[r->seq + 1] - start) * sizeof *s->ids);
    f->seed_of = r->seq;
  }
  const float *logits;
  enum status st = score_logits(r, f->room, &logits, e);
  if (st == STATUS_OK)
    targets_draw(logits, r->lse, targets_vocab(f->t), f->seed, (uint64_t)r->pos, s->n_draw, f->scratch, s->draw_id + t * n, s->draw_count + t * n);
  return st;
}

static enum status take(void *ctx, const struct score_row *r, struct err *e) {
  struct filling *f = ctx;
  struct sample *s = f->s;
  int32_t row = s->doc_start[r->seq] + r->pos;
  if (f->at >= s->n_target || s->target_pos[f->at] != row)
    return err_set(e, STATUS_DATA, "the teacher scored token %d, expected token %d", row, f->at < s->n_target ? s->target_pos[f->at] : -1);
  if (!score_row_finite(r)) {
    char what[320];
    snprintf(what, sizeof what, "row '%.200s', position %d: the teacher's logits are", s->row_id ? s->row_id[r->seq] : "?", r->pos);
    return model_not_finite(f->t->m, what, e);
  }
  size_t t = (size_t)f->at++, k = (size_t)s->k, h = (size_t)f->t->width;
  if (k) {
    memcpy(s->top_id + t * k, r->top_id, k * sizeof *s->top_id);
    memcpy(s->top_logprob + t * k, r->top_logprob, k * sizeof *s->top_logprob);
    s->rest[t] = r->rest;
  }
  if (h) memcpy(s->hidden + t * h, r->hidden, h * sizeof *s->hidden);
  return s->n_draw ? draw(f, r, t, e) : STATUS_OK;
}

enum status targets_fill(struct targets *t, struct sample *s, struct err *e) {
  size_t n = (size_t)s->n_target + 1, k = (size_t)t->kind.top_k, h = (size_t)t->width, m = (size_t)t->kind.draws;
  struct packed p = { s->ids, NULL, { s->n_tok, s->n_doc, s->doc_start } };
  struct filling f = { .t = t, .s = s, .seed_of = -1 };
  arena_reset(t->sample);
  s->k = t->kind.top_k;
  s->n_draw = t->kind.draws;
  unsigned char *want = arena_calloc(t->sample, (size_t)s->n_tok, 1);
  s->top_id = k ? arena_alloc(t->sample, n * k * sizeof *s->top_id) : NULL;
  s->top_logprob = k ? arena_alloc(t->sample, n * k * sizeof *s->top_logprob) : NULL;
  s->rest = k ? arena_alloc(t->sample, n * sizeof *s->rest) : NULL;
  s->hidden = h ? arena_alloc(t->sample, n * h * sizeof *s->hidden) : NULL;
  s->draw_id = m ? arena_alloc(t->sample, n * m * sizeof *s->draw_id) : NULL;
  s->draw_count = m ? arena_alloc(t->sample, n * m * sizeof *s->draw_count) : NULL;
  f.scratch = m ? arena_alloc(t->sample, targets_draw_bytes(targets_vocab(t), t->kind.draws)) : NULL;
  f.room = m ? arena_alloc(t->sample, (size_t)targets_vocab(t) * sizeof *f.room) : NULL;
  if ((m && (!s->draw_id || !s->draw_count || !f.scratch || !f.room)) || !want || (k && (!s->top_id || !s->top_logprob || !s->rest)) || (h && !s->hidden)) return err_nomem(e, n * (k * 8 + h * 4 + m * 8));
  for (int32_t i = 0; i < s->n_target; i++) want[s->target_pos[i]] = 1;
  if (s->n_target == 0) return STATUS_OK;
  enum status st = lease_take(e);
  if (st != STATUS_OK) return st;
  st = model_score(t->run, &p, t->kind.top_k, want, take, &f, e);
  lease_give();
  if (st == STATUS_OK && f.at != s->n_target) st = err_set(e, STATUS_DATA, "the teacher scored %d of %d positions", f.at, s->n_target);
  return st;
}
