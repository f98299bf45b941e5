/* SPDX-License-Identifier: Apache-2.0
 * The coder keeps an interval [low, high] of 32 bits and gives its leading byte out as soon as both ends agree on it; no carry
 * can happen. A node learns at 1 / (n + 1.5), so that a short stream is learnt fast and a long one exactly. */
#include "shard_code.h"

enum { COUNT_MOST = 255, CHANCE_LEAST = 32, LENGTH_BITS = 5, ADAPTIVE_BITS = 3 };

enum status code_model_new(int32_t vocab, struct code_model **out, struct err *e) {
  int bits = 1;
  while (bits < 31 && (int64_t)1 << bits < vocab) bits++;
  size_t head = (sizeof(struct code_model) + 15) / 16 * 16, bytes = head + ((size_t)1 << bits) * sizeof(struct code_node);
  char *p = mem_alloc(bytes);
  *out = (struct code_model *)(void *)p;
  if (!p) return err_nomem(e, bytes);
  (*out)->id_bits = bits;
  (*out)->id = (struct code_node *)(void *)(p + head);
  code_model_reset(*out);
  return STATUS_OK;
}

void code_model_reset(struct code_model *m) {
  static const struct code_node even = { 32768, 0 };
  for (size_t i = 0; i < (size_t)1 << m->id_bits; i++) m->id[i] = even;
  for (size_t c = 0; c < CODE_CONTEXTS; c++)
    for (size_t i = 0; i < CODE_NODES; i++) m->number[c][i] = even;
}

static void learn(struct code_node *c, uint32_t bit) {
  uint32_t rate = 131072u / (2u * c->n + 3u); /* 65536 / (n + 1.5) */
  uint32_t p = c->p;
  if (bit) p += (uint32_t)((uint64_t)(65536u - CHANCE_LEAST - p) * rate >> 16);
  else p -= (uint32_t)((uint64_t)(p - CHANCE_LEAST) * rate >> 16);
  c->p = (uint16_t)p;
  c->n = (uint16_t)(c->n + (c->n < COUNT_MOST));
}

static uint32_t middle(uint32_t low, uint32_t high, uint32_t p) { return low + (uint32_t)((uint64_t)(high - low) * p >> 16); }

/* ---- writing ---- */
void code_writer_start(struct code_writer *w, struct buf *out) { *w = (struct code_writer){ out, 0, UINT32_MAX }; }

static enum status put_bit(struct code_writer *w, uint32_t p, uint32_t bit, struct err *e) {
  uint32_t mid = middle(w->low, w->high, p);
  if (bit) w->high = mid;
  else w->low = mid + 1;
  while ((w->low ^ w->high) < 1u << 24) {
    enum status st = buf_putc(w->out, (char)(w->high >> 24), e);
    if (st != STATUS_OK) return st;
    w->low <<= 8;
    w->high = w->high << 8 | 255u;
  }
  return STATUS_OK;
}

static enum status put_learnt(struct code_writer *w, struct code_node *c, uint32_t bit, struct err *e) {
  enum status st = put_bit(w, c->p, bit, e);
  learn(c, bit);
  return st;
}

enum status code_put_id(struct code_writer *w, struct code_model *m, uint32_t id, struct err *e) {
  enum status st = STATUS_OK;
  uint32_t node = 1;
  for (int b = m->id_bits - 1; b >= 0 && st == STATUS_OK; b--) {
    uint32_t bit = id >> b & 1;
    st = put_learnt(w, &m->id[node], bit, e);
    node = node << 1 | bit;
  }
  return st;
}

enum status code_put_number(struct code_writer *w, struct code_model *m, int context, uint32_t v, struct err *e) {
  enum status st = STATUS_OK;
  struct code_node *c = m->number[context];
  uint32_t length = 0, node = 1;
  while (length < 31 && v >> length) length++;
  for (int b = LENGTH_BITS - 1; b >= 0 && st == STATUS_OK; b--) {
    uint32_t bit = length >> b & 1;
    st = put_learnt(w, &c[node], bit, e);
    node = node << 1 | bit;
  }
  node = 1;
  for (int b = (int)length - 2, k = 0; b >= 0 && st == STATUS_OK; b--, k++) {
    uint32_t bit = v >> b & 1;
    st = k < ADAPTIVE_BITS ? put_learnt(w, &c[32 + length * 8 + node], bit, e) : put_bit(w, 32768, bit, e);
    node = node << 1 | bit;
  }
  return st;
}

/* One byte tells the interval: behind it the reader sees zeros, and (low's first byte + 1) followed by zeros lies inside. */
enum status code_writer_end(struct code_writer *w, struct err *e) { return buf_putc(w->out, (char)((w->low >> 24) + 1), e); }

/* ---- reading ---- */
static uint32_t next_byte(struct code_reader *r) { return r->p < r->end ? *r->p++ : 0; }

void code_reader_start(struct code_reader *r, const unsigned char *p, uint64_t bytes) {
  *r = (struct code_reader){ p, p + bytes, 0, UINT32_MAX, 0 };
  for (int i = 0; i < 4; i++) r->value = r->value << 8 | next_byte(r);
}

static uint32_t get_bit(struct code_reader *r, uint32_t p) {
  uint32_t mid = middle(r->low, r->high, p), bit = r->value <= mid;
  if (bit) r->high = mid;
  else r->low = mid + 1;
  while ((r->low ^ r->high) < 1u << 24) {
    r->low <<= 8;
    r->high = r->high << 8 | 255u;
    r->value = r->value << 8 | next_byte(r);
  }
  return bit;
}

static uint32_t get_learnt(struct code_reader *r, struct code_node *c) {
  uint32_t bit = get_bit(r, c->p);
  learn(c, bit);
  return bit;
}

uint32_t code_get_id(struct code_reader *r, struct code_model *m) {
  uint32_t node = 1;
  for (int b = 0; b < m->id_bits; b++) node = node << 1 | get_learnt(r, &m->id[node]);
  return node - (1u << m->id_bits);
}

uint32_t code_get_number(struct code_reader *r, struct code_model *m, int context) {
  struct code_node *c = m->number[context];
  uint32_t node = 1, v = 1;
  for (int b = 0; b < LENGTH_BITS; b++) node = node << 1 | get_learnt(r, &c[node]);
  uint32_t length = node - 32;
  if (length == 0) return 0;
  for (uint32_t k = 0; k + 1 < length; k++) v = v << 1 | (k < ADAPTIVE_BITS ? get_learnt(r, &c[32 + length * 8 + v]) : get_bit(r, 32768));
  return v;
}

/* ---- scale ---- */
void scale_free(struct code_scale *s) {
  mem_free(s->at);
  mem_free(s->step);
  s->at = s->step = NULL;
  s->n = s->cap = 0;
}

/* Levels up to the wanted one, or until one lies below `value`. */
static enum status scale_grow(struct code_scale *s, uint32_t level, double value, struct err *e) {
  while (s->n <= level || s->at[s->n - 1] > value) {
    if (s->n == SCALE_LEVELS) return err_set(e, STATUS_DATA, "a log-probability beyond level %d of its scale (%g to %g nat)", SCALE_LEVELS, s->first, s->most);
    if (s->n == s->cap) {
      uint32_t cap = s->cap ? 2 * s->cap : 512;
      double *at = mem_realloc(s->at, cap * sizeof *at), *step;
      if (!at) return err_nomem(e, cap * sizeof *at);
      s->at = at;
      if ((step = mem_realloc(s->step, cap * sizeof *step)) == NULL) return err_nomem(e, cap * sizeof *step);
      s->step = step;
      s->cap = cap;
    }
    double before = s->n ? s->step[s->n - 1] : 0, next = s->n ? before + before * before / 2 : s->first;
    s->at[s->n] = s->n ? s->at[s->n - 1] - before : 0;
    s->step[s->n] = next < s->most ? next : s->most;
    s->n++;
  }
  return STATUS_OK;
}

enum status scale_level(struct code_scale *s, double logprob, uint32_t *level, struct err *e) {
  enum status st = scale_grow(s, 1, logprob, e);
  if (st != STATUS_OK) return st;
  uint32_t low = 0, high = s->n - 1; /* at[low] >= logprob >= at[high] */
  if (logprob >= 0) high = 0;
  while (high - low > 1 && high > 0) {
    uint32_t mid = (low + high) / 2;
    if (s->at[mid] >= logprob) low = mid;
    else high = mid;
  }
  *level = high > 0 && s->at[low] - logprob > logprob - s->at[high] ? high : low;
  return STATUS_OK;
}

enum status scale_value(struct code_scale *s, uint32_t level, double *logprob, double *step, struct err *e) {
  if (level >= SCALE_LEVELS) return err_set(e, STATUS_DATA, "level %u of a log-probability, expected below %d", level, SCALE_LEVELS);
  enum status st = scale_grow(s, level, 0, e);
  if (st != STATUS_OK) return st;
  *logprob = s->at[level];
  *step = s->step[level];
  return STATUS_OK;
}
