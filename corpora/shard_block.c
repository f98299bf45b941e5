/* SPDX-License-Identifier: Apache-2.0
 * Columns of a block: packing samples into them and reading them back with every size checked. Little endian on disk and
 * in memory (the build refuses other machines below), so columns are read in place. */
#include "shard_block.h"
#include <math.h>
#include "hash.h"
#include "shard_bits.h"
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "shards are little endian"
#endif

struct header { /* 64 bytes */
  uint32_t magic;
  uint16_t version, flags;
  uint32_t n_samples, n_tok, n_doc, n_target;
  uint32_t context, vocab, hidden;
  uint16_t top_k, id_bytes;
  uint32_t n_columns, draws; /* draws: 0 in version 1 */
  uint64_t first_sample;
  uint64_t xxh3; /* of this header with 0 here, followed by the column table */
};
struct column { /* 24 bytes */
  uint16_t id, encoding;
  uint32_t reserved;
  uint64_t bytes, xxh3;
};
_Static_assert(sizeof(struct header) == 64 && sizeof(struct column) == 24, "on-disk layout");

static int has_targets(const struct block_shape *s) { return s->top_k > 0 || s->hidden > 0 || s->draws > 0; }

static uint32_t id_bytes_for(int32_t vocab) { return vocab <= 65536 ? 2 : 4; }

enum status sample_targets(struct sample *s, struct arena *a, struct err *e) {
  int32_t n = 0, *pos = arena_alloc(a, ((size_t)s->n_tok + 1) * sizeof *pos);
  if (!pos) return err_nomem(e, (size_t)s->n_tok * sizeof *pos);
  for (int32_t d = 0; d < s->n_doc; d++)
    n += (int32_t)mask_places(s->mask, s->doc_start[d] + 1, s->doc_start[d + 1], pos + n);
  s->target_pos = pos;
  s->n_target = n;
  return STATUS_OK;
}

/* ---- writing ---- */
static enum status check_sample(const struct block_writer *w, const struct sample *s, struct err *e) {
  const struct block_shape *h = &w->shape;
  if (s->n_tok < 1 || s->n_tok > h->context)
    return err_set(e, STATUS_DATA, "a sample of %d tokens, expected 1 to %d (context)", s->n_tok, h->context);
  if (s->n_doc < 1 || s->doc_start[0] != 0 || s->doc_start[s->n_doc] != s->n_tok)
    return err_set(e, STATUS_DATA, "document bounds do not cover the sample of %d tokens", s->n_tok);
  int32_t n = 0, ids_fine = ids_below(s->ids, (uint64_t)s->n_tok, h->vocab), look = has_targets(h) || !ids_fine;
  for (int32_t d = 0; d < s->n_doc; d++) {
    if (s->doc_start[d + 1] <= s->doc_start[d]) return err_set(e, STATUS_DATA, "document %d of a sample is empty", d);
    for (int32_t i = s->doc_start[d]; look && i < s->doc_start[d + 1]; i++) {
      if (s->ids[i] < 0 || s->ids[i] >= h->vocab)
        return err_set(e, STATUS_DATA, "token id %d in row '%s', expected 0 to %d", s->ids[i], s->row_id[d], h->vocab - 1);
      if (!s->mask[i] || i == s->doc_start[d]) continue;
      if (has_targets(h) && (n >= s->n_target || s->target_pos[n] != i - 1))
        return err_set(e, STATUS_DATA, "target %d of row '%s' is missing or not at token %d", n, s->row_id[d], i - 1);
      n++;
    }
  }
  if (has_targets(h) && n != s->n_target)
    return err_set(e, STATUS_DATA, "a sample has %d targets, its mask has %d", s->n_target, n);
  if (h->top_k && s->k != h->top_k) return err_set(e, STATUS_DATA, "a sample has top %d, the folder top %d", s->k, h->top_k);
  if (s->n_draw != h->draws) return err_set(e, STATUS_DATA, "a sample has %d draws, the folder %d", s->n_draw, h->draws);
  if ((h->top_k && (!s->top_id || !s->top_logprob || !s->rest)) || (h->hidden && !s->hidden) || (h->draws && (!s->draw_id || !s->draw_count)))
    return err_set(e, STATUS_DATA, "a sample comes without the folder's targets");
  return STATUS_OK;
}

static enum status put_ids(struct buf *b, const int32_t *id, size_t n, uint32_t width, struct err *e) {
  enum status st = buf_reserve(b, n * width, e);
  if (st != STATUS_OK || width != 2) return st == STATUS_OK ? buf_put(b, id, n * width, e) : st;
  ids_narrow(id, n, b->p + b->n);
  b->n += n * width;
  return st;
}

/* The stream of top k and draws. */
static enum status put_coded(struct block_writer *w, const struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  size_t at = w->col[COL_CODED].n;
  if (!w->coded.model) TRY(coded_open(&w->coded, w->shape.vocab, w->step_first, w->step_most, e));
  TRY(coded_check(s, w->shape.vocab, w->unchecked, e));
  TRY(coded_put(&w->coded, s, &w->col[COL_CODED], e));
  uint32_t bytes = (uint32_t)(w->col[COL_CODED].n - at);
  TRY(buf_put(&w->col[COL_CODED_BYTES], &bytes, 4, e));
  if (s->k) TRY(buf_put(&w->col[COL_REST], s->rest, (size_t)s->n_target * 4, e));
out:
  return st;
}

static enum status put_hidden(struct block_writer *w, const struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  size_t n = (size_t)w->shape.hidden;
  for (int32_t t = 0; t < s->n_target; t++) {
    const float *x = s->hidden + (size_t)t * n;
    float top = 0;
    for (size_t j = 0; j < n; j++) {
      if (!isfinite(x[j])) return err_set(e, STATUS_DATA, "a hidden state is not finite at target %d, channel %zu", t, j);
      if (fabsf(x[j]) > top) top = fabsf(x[j]);
    }
    float scale = top / 127.0f;
    TRY(buf_reserve(&w->col[COL_HIDDEN], n, e));
    for (size_t j = 0; j < n; j++) {
      double q = scale > 0 ? floor((double)x[j] / (double)scale + 0.5) : 0;
      int8_t v = q > 127 ? 127 : q < -127 ? -127 : (int8_t)q;
      TRY(buf_put(&w->col[COL_HIDDEN], &v, 1, e));
    }
    TRY(buf_put(&w->col[COL_HIDDEN_SCALE], &scale, 4, e));
  }
out:
  return st;
}

/* Columns that do not come from a teacher. */
static enum status put_tokens(struct block_writer *w, const struct sample *s, struct err *e) {
  enum status st;
  uint32_t n_tok = (uint32_t)s->n_tok, n_doc = (uint32_t)s->n_doc;
  TRY(buf_put(&w->col[COL_SAMPLE_TOK], &n_tok, 4, e));
  TRY(buf_put(&w->col[COL_SAMPLE_DOC], &n_doc, 4, e));
  TRY(put_ids(&w->col[COL_IDS], s->ids, n_tok, id_bytes_for(w->shape.vocab), e));
  struct buf *mask = &w->col[COL_MASK];
  size_t bytes = ((size_t)w->n_tok + n_tok + 7) / 8;
  TRY(buf_reserve(mask, bytes - mask->n, e));
  memset(mask->p + mask->n, 0, bytes - mask->n);
  mask->n = bytes;
  bits_pack((unsigned char *)mask->p, w->n_tok, s->mask, n_tok);
  w->n_tok += n_tok;
  for (int32_t d = 0; d < s->n_doc; d++) {
    uint32_t len = (uint32_t)(s->doc_start[d + 1] - s->doc_start[d]), name = (uint32_t)strlen(s->row_id[d]);
    float weight = s->weight ? s->weight[d] : 1.0f;
    if (weight != 1.0f) w->weighted = 1;
    TRY(buf_put(&w->col[COL_DOC_LEN], &len, 4, e));
    TRY(buf_put(&w->col[COL_ROW_ID_LEN], &name, 4, e));
    TRY(buf_put(&w->col[COL_ROW_ID], s->row_id[d], name, e));
    TRY(buf_put(&w->col[COL_DOC_WEIGHT], &weight, 4, e));
    uint32_t about = s->about && s->about[d] ? (uint32_t)strlen(s->about[d]) : 0;
    w->with_about |= about > 0;
    TRY(buf_put(&w->col[COL_ABOUT_LEN], &about, 4, e));
    if (about) TRY(buf_put(&w->col[COL_ABOUT], s->about[d], about, e));
    uint64_t at = (uint64_t)w->n_tok - n_tok + (uint64_t)s->doc_start[d];
    w->n_target += (uint32_t)bits_count((const unsigned char *)mask->p, at + 1, at + len);
    if (!has_targets(&w->shape)) continue;
    uint64_t h = xxh3(s->ids + s->doc_start[d], len * sizeof *s->ids);
    TRY(buf_put(&w->col[COL_CONTEXT_HASH], &h, 8, e));
  }
  w->n_samples++;
  w->n_doc += n_doc;
out:
  return st;
}

enum status block_add(struct block_writer *w, const struct sample *s, struct err *e) {
  enum status st;
  TRY(check_sample(w, s, e));
  if (w->shape.hidden) TRY(put_hidden(w, s, e)); /* first what may still be refused: a block must not hold half a sample */
  if (w->shape.top_k || w->shape.draws) TRY(put_coded(w, s, e));
  TRY(put_tokens(w, s, e));
out:
  return st;
}

enum status block_add_from(struct block_writer *w, const struct sample *s, const struct block *from, uint32_t number, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t t0 = from->target0[number], n = from->target0[number + 1] - t0, h = (uint64_t)from->shape.hidden, c0 = from->code0[number];
  const struct { int col; uint64_t width; } part[] = { { COL_REST, from->shape.top_k ? 4 : 0 }, { COL_HIDDEN, h }, { COL_HIDDEN_SCALE, h ? 4 : 0 } };
  for (size_t i = 0; i < sizeof part / sizeof *part; i++)
    if (n > 0 && part[i].width > 0) TRY(buf_put(&w->col[part[i].col], from->col[part[i].col] + t0 * part[i].width, (size_t)(n * part[i].width), e));
  if (from->col[COL_CODED]) {
    uint32_t bytes = (uint32_t)(from->code0[number + 1] - c0);
    TRY(buf_put(&w->col[COL_CODED_BYTES], &bytes, 4, e));
    if (bytes) TRY(buf_put(&w->col[COL_CODED], from->col[COL_CODED] + c0, bytes, e));
  }
  TRY(put_tokens(w, s, e));
out:
  return st;
}

uint64_t block_bytes(const struct block_writer *w) {
  uint64_t n = sizeof(struct header);
  for (int c = 1; c < COL_COUNT; c++) n += w->col[c].n + sizeof(struct column) + 7;
  return n;
}

static int column_of(const struct block_shape *s, int c) { /* 1 = must be there */
  if (c >= COL_SAMPLE_TOK && c <= COL_ROW_ID) return 1;
  if (c == COL_CONTEXT_HASH) return has_targets(s);
  if (c == COL_REST || c == COL_SCALE) return s->top_k > 0;
  if (c == COL_HIDDEN || c == COL_HIDDEN_SCALE) return s->hidden > 0;
  return (c == COL_CODED_BYTES || c == COL_CODED) && (s->top_k > 0 || s->draws > 0);
}

enum status block_finish(struct block_writer *w, struct buf *out, struct err *e) {
  enum status st;
  struct column table[COL_COUNT];
  uint32_t n = 0;
  size_t at = out->n;
  double scale[2] = { w->step_first, w->step_most };
  if (w->shape.top_k) TRY(buf_put(&w->col[COL_SCALE], scale, sizeof scale, e));
  for (int c = 1; c < COL_COUNT; c++) {
    if (!column_of(&w->shape, c) && !(c == COL_DOC_WEIGHT && w->weighted) && !(c >= COL_ABOUT_LEN && w->with_about)) continue;
    table[n++] = (struct column){ (uint16_t)c, 0, 0, w->col[c].n, xxh3(w->col[c].p ? w->col[c].p : "", w->col[c].n) };
  }
  struct header h = { BLOCK_MAGIC, BLOCK_VERSION, 0, w->n_samples, w->n_tok, w->n_doc, w->n_target, (uint32_t)w->shape.context,
    (uint32_t)w->shape.vocab, (uint32_t)w->shape.hidden, (uint16_t)w->shape.top_k, (uint16_t)id_bytes_for(w->shape.vocab), n,
    (uint32_t)w->shape.draws,
    w->first_sample, 0 };
  TRY(buf_put(out, &h, sizeof h, e));
  TRY(buf_put(out, table, n * sizeof *table, e));
  h.xxh3 = xxh3(out->p + at, out->n - at);
  memcpy(out->p + at, &h, sizeof h);
  for (uint32_t i = 0; i < n; i++) {
    static const char zeros[8] = { 0 };
    struct buf *b = &w->col[table[i].id];
    if (b->n) TRY(buf_put(out, b->p, b->n, e));
    TRY(buf_put(out, zeros, (8 - b->n % 8) % 8, e));
  }
  w->first_sample += w->n_samples;
  w->n_samples = w->n_tok = w->n_doc = w->n_target = 0;
  w->weighted = w->with_about = 0;
  for (int c = 1; c < COL_COUNT; c++) buf_clear(&w->col[c]);
out:
  return st;
}

void block_writer_free(struct block_writer *w) {
  for (int c = 0; c < COL_COUNT; c++) buf_free(&w->col[c]);
  coded_close(&w->coded);
}

/* ---- reading ---- */
static uint32_t u32_at(const unsigned char *p, uint64_t i) {
  uint32_t v;
  memcpy(&v, p + 4 * i, 4);
  return v;
}

static float f32_at(const unsigned char *p, uint64_t i) {
  float v;
  memcpy(&v, p + 4 * i, 4);
  return v;
}

/* Bytes each column must have; the row ids' bytes are checked by their lengths. */
static int expected_bytes(const struct block *b, int c, uint64_t *n) {
  uint64_t t = b->n_target;
  switch (c) {
    case COL_SAMPLE_TOK: case COL_SAMPLE_DOC: *n = 4 * (uint64_t)b->n_samples; return 1;
    case COL_DOC_LEN: case COL_ROW_ID_LEN: case COL_DOC_WEIGHT: case COL_ABOUT_LEN: *n = 4 * (uint64_t)b->n_doc; return 1;
    case COL_IDS: *n = (uint64_t)b->id_bytes * b->n_tok; return 1;
    case COL_MASK: *n = ((uint64_t)b->n_tok + 7) / 8; return 1;
    case COL_CONTEXT_HASH: *n = 8 * (uint64_t)b->n_doc; return 1;
    case COL_CODED_BYTES: *n = 4 * (uint64_t)b->n_samples; return 1;
    case COL_SCALE: *n = 16; return 1;
    case COL_REST: case COL_HIDDEN_SCALE: *n = 4 * t; return 1;
    case COL_HIDDEN: *n = t * (uint64_t)b->shape.hidden; return 1;
    default: return 0;
  }
}

static enum status read_header(const unsigned char *data, uint64_t bytes, const struct block_shape *shape, int verify, struct header *h,
                               struct block *b, struct err *e) {
  if (bytes < sizeof *h) return err_set(e, STATUS_DATA, "block of %llu bytes, expected at least 64", (unsigned long long)bytes);
  memcpy(h, data, sizeof *h);
  if (h->magic != BLOCK_MAGIC) return err_set(e, STATUS_DATA, "block magic %08x, expected %08x", h->magic, BLOCK_MAGIC);
  if (h->version < 1 || h->version > BLOCK_VERSION)
    return err_set(e, STATUS_DATA, "block version %u, expected 1 to %u: a newer retort wrote it", h->version, BLOCK_VERSION);
  if (h->version == 1 && h->top_k)
    return err_set(e, STATUS_DATA, "block version 1 with top-k targets, which this retort does not read: make the shards again with `retort shard`");
  if (h->n_columns >= COL_COUNT || sizeof *h + h->n_columns * sizeof(struct column) > bytes)
    return err_set(e, STATUS_DATA, "block has %u columns in %llu bytes", h->n_columns, (unsigned long long)bytes);
  if (h->flags || h->draws > INT32_MAX || (h->version == 1 && h->draws) || (h->id_bytes != 2 && h->id_bytes != 4) || h->context < 1 || h->context > INT32_MAX || h->vocab < 1 ||
      h->vocab > INT32_MAX || h->hidden > 1 << 20 || h->id_bytes != id_bytes_for((int32_t)h->vocab))
    return err_set(e, STATUS_DATA, "block header out of range (context %u, vocabulary %u, %u bytes an id)", h->context, h->vocab, h->id_bytes);
  b->shape = (struct block_shape){ (int32_t)h->context, (int32_t)h->vocab, h->top_k, (int32_t)h->hidden, (int32_t)h->draws };
  if (shape && memcmp(shape, &b->shape, sizeof *shape) != 0)
    return err_set(e, STATUS_DATA, "block of context %u, vocabulary %u, top %u, hidden %u, %u draws; the manifest says %d, %d, %d, %d, %d", h->context,
                   h->vocab, h->top_k, h->hidden, h->draws, shape->context, shape->vocab, shape->top_k, shape->hidden, shape->draws);
  b->n_samples = h->n_samples, b->n_tok = h->n_tok, b->n_doc = h->n_doc, b->n_target = h->n_target;
  b->id_bytes = h->id_bytes, b->first_sample = h->first_sample;
  if (!verify) return STATUS_OK;
  unsigned char copy[sizeof *h + COL_COUNT * sizeof(struct column)];
  struct header zero = *h;
  size_t n = sizeof *h + h->n_columns * sizeof(struct column);
  memcpy(copy, data, n);
  zero.xxh3 = 0;
  memcpy(copy, &zero, sizeof zero);
  if (xxh3(copy, n) != h->xxh3) return err_set(e, STATUS_CHECKSUM, "block header does not match its XXH3");
  return STATUS_OK;
}

static enum status read_columns(const unsigned char *data, uint64_t bytes, uint32_t n_columns, int verify, struct block *b, struct err *e) {
  uint64_t at = sizeof(struct header) + (uint64_t)n_columns * sizeof(struct column), want;
  for (uint32_t i = 0; i < n_columns; i++) {
    struct column c;
    memcpy(&c, data + sizeof(struct header) + i * sizeof c, sizeof c);
    if (c.id == 0 || c.id >= COL_COUNT || c.encoding != 0 || c.reserved != 0 || b->col[c.id])
      return err_set(e, STATUS_DATA, "block column %u (encoding %u) is unknown or there twice", c.id, c.encoding);
    if (c.bytes > bytes - at) return err_set(e, STATUS_DATA, "block column %u has %llu bytes, %llu are left", c.id,
                                             (unsigned long long)c.bytes, (unsigned long long)(bytes - at));
    if (expected_bytes(b, c.id, &want) && want != c.bytes)
      return err_set(e, STATUS_DATA, "block column %u has %llu bytes, expected %llu", c.id, (unsigned long long)c.bytes, (unsigned long long)want);
    if (verify && xxh3(data + at, c.bytes) != c.xxh3) return err_set(e, STATUS_CHECKSUM, "block column %u does not match its XXH3", c.id);
    b->col[c.id] = data + at;
    b->col_bytes[c.id] = c.bytes;
    at += c.bytes;
    for (; at % 8 && at < bytes; at++)
      if (data[at]) return err_set(e, STATUS_DATA, "block padding behind column %u is not zero", c.id);
  }
  if (at != bytes) return err_set(e, STATUS_DATA, "block has %llu bytes, its columns %llu", (unsigned long long)bytes, (unsigned long long)at);
  for (int c = 1; c < COL_COUNT; c++) {
    int need = column_of(&b->shape, c);
    if (need && !b->col[c]) return err_set(e, STATUS_DATA, "block column %d is missing", c);
    if (!need && b->col[c] && c != COL_DOC_WEIGHT && c < COL_ABOUT_LEN) return err_set(e, STATUS_DATA, "block column %d is not expected here", c);
  }
  return STATUS_OK;
}

static enum status check_about(const struct block *b, struct err *e) {
  uint64_t sum = 0;
  if (!b->col[COL_ABOUT_LEN] != !b->col[COL_ABOUT]) return err_set(e, STATUS_DATA, "block has one of the columns %d and %d without the other", COL_ABOUT_LEN, COL_ABOUT);
  for (uint32_t d = 0; b->col[COL_ABOUT] && d < b->n_doc; d++) sum += u32_at(b->col[COL_ABOUT_LEN], d);
  if (sum != b->col_bytes[COL_ABOUT]) return err_set(e, STATUS_DATA, "what rows said has %llu bytes in a block, its lengths add up to %llu",
                                                    (unsigned long long)b->col_bytes[COL_ABOUT], (unsigned long long)sum);
  return STATUS_OK;
}

struct span block_about(const struct block *b, uint64_t doc) {
  uint64_t at = 0;
  if (!b->col[COL_ABOUT]) return (struct span){ NULL, 0 };
  for (uint64_t d = 0; d < doc; d++) at += u32_at(b->col[COL_ABOUT_LEN], d);
  size_t n = u32_at(b->col[COL_ABOUT_LEN], doc);
  return n ? (struct span){ (const char *)b->col[COL_ABOUT] + at, n } : (struct span){ NULL, 0 };
}

struct span block_row_id(const struct block *b, uint32_t sample, uint64_t doc) {
  uint64_t at = b->name0[sample];
  for (uint64_t d = b->doc0[sample]; d < doc; d++) at += u32_at(b->col[COL_ROW_ID_LEN], d);
  return (struct span){ (const char *)b->col[COL_ROW_ID] + at, u32_at(b->col[COL_ROW_ID_LEN], doc) };
}

uint32_t block_doc_tokens(const struct block *b, uint64_t doc) { return u32_at(b->col[COL_DOC_LEN], doc); }

/* Prefix sums over the samples, and the rules between the counts. */
static enum status index_samples(struct block *b, struct err *e) {
  uint64_t n = b->n_samples, tok = 0, doc = 0, target = 0, name = 0, code = 0;
  b->tok0 = mem_calloc(5 * (n + 1), sizeof *b->tok0);
  if (!b->tok0) return err_nomem(e, 5 * (n + 1) * sizeof *b->tok0);
  b->doc0 = b->tok0 + (n + 1), b->target0 = b->doc0 + (n + 1), b->name0 = b->target0 + (n + 1), b->code0 = b->name0 + (n + 1);
  for (uint64_t i = 0; i < n; i++) {
    uint64_t n_tok = u32_at(b->col[COL_SAMPLE_TOK], i), n_doc = u32_at(b->col[COL_SAMPLE_DOC], i), sum = 0;
    if (n_tok < 1 || n_tok > (uint64_t)b->shape.context || n_tok > b->n_tok - tok || n_doc < 1 || n_doc > n_tok || n_doc > b->n_doc - doc)
      return err_set(e, STATUS_DATA, "sample %llu of a block has %llu tokens in %llu documents, out of range", (unsigned long long)i,
                     (unsigned long long)n_tok, (unsigned long long)n_doc);
    for (uint64_t d = 0; d < n_doc; d++) {
      uint64_t len = u32_at(b->col[COL_DOC_LEN], doc + d), id_len = u32_at(b->col[COL_ROW_ID_LEN], doc + d);
      if (len < 1 || len > n_tok - sum) return err_set(e, STATUS_DATA, "document bounds of sample %llu of a block are out of order", (unsigned long long)i);
      target += bits_count(b->col[COL_MASK], tok + sum + 1, tok + sum + len);
      sum += len;
      if (id_len > b->col_bytes[COL_ROW_ID] - name) return err_set(e, STATUS_DATA, "row ids of a block are longer than their column");
      name += id_len;
    }
    if (sum != n_tok) return err_set(e, STATUS_DATA, "documents of sample %llu of a block hold %llu tokens, the sample %llu", (unsigned long long)i,
                                     (unsigned long long)sum, (unsigned long long)n_tok);
    tok += n_tok, doc += n_doc;
    if (b->col[COL_CODED]) code += u32_at(b->col[COL_CODED_BYTES], i);
    b->tok0[i + 1] = tok, b->doc0[i + 1] = doc, b->target0[i + 1] = target, b->name0[i + 1] = name, b->code0[i + 1] = code;
  }
  if (tok != b->n_tok || doc != b->n_doc || target != b->n_target || name != b->col_bytes[COL_ROW_ID] || code != b->col_bytes[COL_CODED])
    return err_set(e, STATUS_DATA, "block header says %u tokens, %u documents, %u targets; its samples have %llu, %llu, %llu", b->n_tok,
                   b->n_doc, b->n_target, (unsigned long long)tok, (unsigned long long)doc, (unsigned long long)target);
  return STATUS_OK;
}

enum status block_parse(const unsigned char *data, uint64_t bytes, const struct block_shape *shape, int verify, struct block *b, struct err *e) {
  enum status st;
  struct header h;
  *b = (struct block){ 0 };
  TRY(read_header(data, bytes, shape, verify, &h, b, e));
  TRY(read_columns(data, bytes, h.n_columns, verify, b, e));
  TRY(check_about(b, e));
  TRY(index_samples(b, e));
out:
  if (st != STATUS_OK) block_free(b);
  return st;
}

void block_free(struct block *b) {
  mem_free(b->tok0);
  *b = (struct block){ 0 };
}

static enum status read_targets(const struct block *b, uint32_t i, struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t t0 = b->target0[i], h = (uint64_t)b->shape.hidden;
  struct coded c = { 0 };
  for (uint64_t t = 0; h && t < (uint64_t)s->n_target; t++) {
    float scale = f32_at(b->col[COL_HIDDEN_SCALE], t0 + t);
    const signed char *q = (const signed char *)b->col[COL_HIDDEN] + (t0 + t) * h;
    for (uint64_t j = 0; j < h; j++) s->hidden[t * h + j] = (float)q[j] * scale;
  }
  if (s->n_target == 0 || !b->col[COL_CODED]) return st;
  double step[2] = { 1, 1 };
  if (s->k) {
    memcpy(step, b->col[COL_SCALE], sizeof step);
    memcpy(s->rest, b->col[COL_REST] + 4 * t0, (size_t)s->n_target * 4);
    for (int32_t t = 0; t < s->n_target; t++)
      if (isnan(s->rest[t]) || s->rest[t] > 1e-3f) return err_set(e, STATUS_DATA, "log of the remaining mass %g", (double)s->rest[t]);
  }
  TRY(coded_open(&c, b->shape.vocab, step[0], step[1], e));
  c.raw = b->raw;
  TRY(coded_get(&c, b->col[COL_CODED] + b->code0[i], b->code0[i + 1] - b->code0[i], b->shape.vocab, s, e));
out:
  coded_close(&c);
  return st;
}

/* What hashes cannot promise when they were made over wrong numbers: ids below the vocabulary, finite targets, and that the
 * targets were computed for exactly these tokens. */
static enum status check_values(const struct block *b, uint32_t i, int verify, const struct sample *s, struct err *e) {
  for (int32_t j = 0; !ids_below(s->ids, (uint64_t)s->n_tok, b->shape.vocab) && j < s->n_tok; j++)
    if (s->ids[j] < 0 || s->ids[j] >= b->shape.vocab)
      return err_set(e, STATUS_DATA, "token id %d, expected 0 to %d", s->ids[j], b->shape.vocab - 1);
  for (int32_t t = 0; t < s->n_target; t++) {
    if (s->hidden && !isfinite(f32_at(b->col[COL_HIDDEN_SCALE], b->target0[i] + (uint64_t)t)))
      return err_set(e, STATUS_DATA, "scale of hidden state %d is not finite", t);
  }
  for (int32_t d = 0; verify && b->col[COL_CONTEXT_HASH] && d < s->n_doc; d++) {
    uint64_t h;
    memcpy(&h, b->col[COL_CONTEXT_HASH] + 8 * (b->doc0[i] + (uint64_t)d), 8);
    if (xxh3(s->ids + s->doc_start[d], (size_t)(s->doc_start[d + 1] - s->doc_start[d]) * sizeof *s->ids) != h)
      return err_set(e, STATUS_CHECKSUM, "targets of row '%s' belong to other tokens than the ones stored with them", s->row_id[d]);
  }
  return STATUS_OK;
}

enum status block_sample(const struct block *b, uint32_t i, int verify, struct arena *a, struct sample *s, struct err *e) {
  *s = (struct sample){ 0 };
  if (i >= b->n_samples) return err_set(e, STATUS_DATA, "sample %u of a block of %u", i, b->n_samples);
  uint64_t tok = b->tok0[i], doc = b->doc0[i], name = b->name0[i];
  size_t n_tok = (size_t)(b->tok0[i + 1] - tok), n_doc = (size_t)(b->doc0[i + 1] - doc), n_target = (size_t)(b->target0[i + 1] - b->target0[i]);
  size_t n_top = n_target * (size_t)b->shape.top_k, n_hidden = n_target * (size_t)b->shape.hidden, n_draw = n_target * (size_t)b->shape.draws;
  s->n_tok = (int32_t)n_tok, s->n_doc = (int32_t)n_doc, s->k = b->shape.top_k, s->n_draw = b->shape.draws;
  s->ids = arena_alloc(a, n_tok * sizeof *s->ids);
  s->mask = arena_alloc(a, n_tok);
  s->doc_start = arena_alloc(a, (n_doc + 1) * sizeof *s->doc_start);
  s->row_id = arena_alloc(a, n_doc * sizeof *s->row_id);
  int ok = s->ids && s->mask && s->doc_start && s->row_id;
  if (n_top) {
    s->top_id = arena_alloc(a, n_top * sizeof *s->top_id);
    s->top_logprob = arena_alloc(a, n_top * sizeof *s->top_logprob);
    s->rest = arena_alloc(a, n_target * sizeof *s->rest);
    ok = ok && s->top_id && s->top_logprob && s->rest;
  }
  if (n_draw) {
    s->draw_id = arena_alloc(a, n_draw * sizeof *s->draw_id);
    s->draw_count = arena_alloc(a, n_draw * sizeof *s->draw_count);
    ok = ok && s->draw_id && s->draw_count;
  }
  if (n_hidden) ok = (s->hidden = arena_alloc(a, n_hidden * sizeof *s->hidden)) != NULL && ok;
  if (b->col[COL_DOC_WEIGHT]) ok = (s->weight = arena_alloc(a, n_doc * sizeof *s->weight)) != NULL && ok;
  if (!ok) return err_nomem(e, n_tok * 5 + n_top * 8 + n_hidden * 4);
  if (b->id_bytes == 2) ids_widen(b->col[COL_IDS] + 2 * tok, n_tok, s->ids);
  else memcpy(s->ids, b->col[COL_IDS] + 4 * tok, 4 * n_tok);
  bits_expand(b->col[COL_MASK], tok, n_tok, s->mask);
  int32_t at = 0;
  for (size_t d = 0; d < n_doc; d++) {
    size_t len = u32_at(b->col[COL_ROW_ID_LEN], doc + d);
    s->doc_start[d] = at;
    at += (int32_t)u32_at(b->col[COL_DOC_LEN], doc + d);
    s->row_id[d] = arena_strndup(a, (const char *)b->col[COL_ROW_ID] + name, len);
    if (!s->row_id[d]) return err_nomem(e, len);
    name += len;
    if (s->weight) s->weight[d] = f32_at(b->col[COL_DOC_WEIGHT], doc + d);
  }
  s->doc_start[n_doc] = at;
  enum status st = sample_targets(s, a, e);
  if (st != STATUS_OK) return st;
  st = read_targets(b, i, s, e);
  return st == STATUS_OK ? check_values(b, i, verify, s, e) : st;
}
