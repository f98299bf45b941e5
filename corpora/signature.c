/* SPDX-License-Identifier: Apache-2.0
 * Head, blocks of rows, foot. See docs/formats.md "Signature file". */
#include "signature.h"
#include <string.h>
#include "file.h"
#include "near.h"

enum { SIGNATURE_VERSION = 2, HEAD_BYTES = 40, BLOCK_HEAD_BYTES = 32, FOOT_BYTES = 40, ROW_BYTES = 72, BLOCK_AIM = 1 << 20 };
static const char magic[8] = { 'R', 'E', 'T', 'O', 'R', 'T', 'S', 'G' }, end_magic[8] = { 'R', 'E', 'T', 'O', 'R', 'T', 'S', 'E' };

static void put32(unsigned char *p, uint32_t v) { for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> 8 * i); }
static void put64(unsigned char *p, uint64_t v) { for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> 8 * i); }
static uint32_t get32(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static uint64_t get64(const unsigned char *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }
static void put_double(unsigned char *p, double v) {
  uint64_t u;
  memcpy(&u, &v, sizeof u);
  put64(p, u);
}
static double get_double(const unsigned char *p) {
  uint64_t u = get64(p);
  double v;
  memcpy(&v, &u, sizeof v);
  return v;
}

/* ---- writing ---- */
struct signature_writer {
  struct file_atomic file;
  struct buf block;
  uint32_t block_rows;
  uint64_t rows, blocks, chain; /* chain: hash over the hashes of the blocks */
};

static enum status write_all(struct signature_writer *w, const void *p, size_t n, struct err *e) {
  return fwrite(p, 1, n, w->file.fp) == n ? STATUS_OK : err_sys(e, STATUS_IO, "'%s': cannot write", w->file.path);
}

enum status signature_create(const char *path, double near, struct signature_writer **out, struct err *e) {
  enum status st;
  unsigned char h[HEAD_BYTES] = { 0 };
  struct signature_writer *w = *out = mem_calloc(1, sizeof *w);
  if (!w) return err_nomem(e, sizeof *w);
  TRY(file_atomic_open(&w->file, path, e));
  memcpy(h, magic, 8);
  put32(h + 8, SIGNATURE_VERSION);
  put32(h + 12, NEAR_WORDS);
  put_double(h + 16, near);
  put64(h + 32, xxh3(h, 32));
  TRY(write_all(w, h, sizeof h, e));
out:
  return st;
}

static enum status flush_block(struct signature_writer *w, struct err *e) {
  unsigned char h[BLOCK_HEAD_BYTES] = { 0 };
  enum status st = STATUS_OK;
  if (w->block_rows == 0) return st;
  uint64_t chain[2] = { w->chain, xxh3(w->block.p, w->block.n) };
  memcpy(h, "Sblk", 4);
  put32(h + 4, w->block_rows);
  put64(h + 8, w->block.n);
  put64(h + 16, chain[1]);
  put64(h + 24, xxh3(h, 24));
  w->chain = xxh3(chain, sizeof chain);
  TRY(write_all(w, h, sizeof h, e));
  TRY(write_all(w, w->block.p, w->block.n, e));
  w->blocks++;
  w->block_rows = 0;
  buf_clear(&w->block);
out:
  return st;
}

enum status signature_put(struct signature_writer *w, const struct dedup_row *r, struct err *e) {
  enum status st;
  unsigned char h[ROW_BYTES] = { 0 };
  static const char zero[8] = { 0 };
  h[0] = (unsigned char)r->verdict;
  h[1] = r->side;
  h[2] = (unsigned char)(r->fixed_side != 0);
  put32(h + 4, (uint32_t)r->id.n);
  put32(h + 8, (uint32_t)r->witness.n);
  put32(h + 12, (uint32_t)r->n_shingle);
  put_double(h + 16, r->priority);
  put_double(h + 24, r->score);
  put64(h + 32, r->normal[0]);
  put64(h + 40, r->normal[1]);
  put64(h + 48, r->line.lo);
  put64(h + 56, r->line.hi);
  put64(h + 64, (uint64_t)r->group.n);
  TRY(buf_put(&w->block, h, sizeof h, e));
  TRY(buf_put(&w->block, r->id.p, r->id.n, e));
  TRY(buf_put(&w->block, r->witness.p, r->witness.n, e));
  TRY(buf_put(&w->block, r->group.p, r->group.n, e));
  TRY(buf_put(&w->block, zero, (8 - w->block.n % 8) % 8, e));
  for (size_t i = 0; i < r->n_shingle; i++) {
    put64(h, r->shingle[i]);
    TRY(buf_put(&w->block, h, 8, e));
  }
  w->rows++;
  w->block_rows++;
  if (w->block.n >= BLOCK_AIM) TRY(flush_block(w, e));
out:
  return st;
}

enum status signature_commit(struct signature_writer *w, struct err *e) {
  enum status st;
  unsigned char f[FOOT_BYTES] = { 0 };
  TRY(flush_block(w, e));
  memcpy(f, end_magic, 8);
  put64(f + 8, w->rows);
  put64(f + 16, w->blocks);
  put64(f + 24, w->chain);
  put64(f + 32, xxh3(f, 32));
  TRY(write_all(w, f, sizeof f, e));
  TRY(file_atomic_commit(&w->file, e));
out:
  return st;
}

void signature_writer_free(struct signature_writer *w) {
  if (!w) return;
  file_atomic_abort(&w->file);
  buf_free(&w->block);
  mem_free(w);
}

/* ---- reading ---- */
struct signature_reader {
  struct file_map map;
  int mapped;
  char *name;
  const unsigned char *p;
  uint64_t bytes, rows, blocks, chain, seen_rows, seen_blocks, seen_chain;
  double near;
  uint64_t at, end; /* of the block that is read */
  uint32_t left;
  uint64_t *shingle; /* aligned copy where the map is not (files from memory) */
  size_t cap;
};

static enum status damaged(const struct signature_reader *r, uint64_t at, const char *what, struct err *e) {
  return err_set(e, STATUS_CHECKSUM, "'%s' byte %llu: %s; make the signature file again", r->name, (unsigned long long)at, what);
}

enum status signature_from_memory(const char *name, struct span file, struct signature_reader **out, struct err *e) {
  struct signature_reader *r = *out;
  if (!r) {
    r = *out = mem_calloc(1, sizeof *r);
    if (!r) return err_nomem(e, sizeof *r);
  }
  r->name = mem_strdup(name);
  if (!r->name) return err_nomem(e, strlen(name));
  r->p = (const unsigned char *)file.p;
  r->bytes = file.n;
  if (r->bytes < HEAD_BYTES + FOOT_BYTES || memcmp(r->p, magic, 8) != 0)
    return err_set(e, STATUS_DATA, "'%s': no signature file (it does not begin with RETORTSG); 'retort curate --signatures-out' makes one", name);
  if (xxh3(r->p, 32) != get64(r->p + 32)) return damaged(r, 0, "the head does not match its checksum", e);
  uint32_t version = get32(r->p + 8);
  if (version < SIGNATURE_VERSION)
    return err_set(e, STATUS_DATA, "'%s': version %u, expected %d; its words were hashed another way: make it again with --signatures-out", name, version, SIGNATURE_VERSION);
  if (version != SIGNATURE_VERSION) return err_set(e, STATUS_DATA, "'%s': version %u, expected %d; a newer retort wrote it", name, version, SIGNATURE_VERSION);
  if (get32(r->p + 12) != NEAR_WORDS) return err_set(e, STATUS_DATA, "'%s': made from word %u-grams, expected %d", name, get32(r->p + 12), NEAR_WORDS);
  r->near = get_double(r->p + 16);
  const unsigned char *f = r->p + r->bytes - FOOT_BYTES;
  if (memcmp(f, end_magic, 8) != 0 || xxh3(f, 32) != get64(f + 32)) return damaged(r, r->bytes - FOOT_BYTES, "the foot is missing or does not match its checksum (cut file?)", e);
  r->rows = get64(f + 8);
  r->blocks = get64(f + 16);
  r->chain = get64(f + 24);
  r->at = r->end = HEAD_BYTES;
  return STATUS_OK;
}

enum status signature_open(const char *path, struct signature_reader **out, struct err *e) {
  struct signature_reader *r = *out = mem_calloc(1, sizeof *r);
  if (!r) return err_nomem(e, sizeof *r);
  enum status st = file_map_open(path, &r->map, e);
  if (st != STATUS_OK) return st;
  r->mapped = 1;
  return signature_from_memory(path, (struct span){ (const char *)r->map.p, r->map.bytes }, out, e);
}

uint64_t signature_rows(const struct signature_reader *r) { return r->rows; }
double signature_near(const struct signature_reader *r) { return r->near; }

void signature_close(struct signature_reader *r) {
  if (!r) return;
  if (r->mapped) file_map_close(&r->map);
  mem_free(r->name);
  mem_free(r->shingle);
  mem_free(r);
}

static enum status next_block(struct signature_reader *r, int *got, struct err *e) {
  const unsigned char *h = r->p + r->at;
  uint64_t stop = r->bytes - FOOT_BYTES;
  *got = 0;
  if (r->at == stop) {
    if (r->seen_rows != r->rows || r->seen_blocks != r->blocks || r->seen_chain != r->chain) return damaged(r, r->at, "blocks are missing or belong to another file", e);
    return STATUS_OK;
  }
  if (stop - r->at < BLOCK_HEAD_BYTES || memcmp(h, "Sblk", 4) != 0 || xxh3(h, 24) != get64(h + 24)) return damaged(r, r->at, "the head of a block does not match its checksum", e);
  uint64_t n = get64(h + 8), hash = get64(h + 16);
  if (n > stop - r->at - BLOCK_HEAD_BYTES) return damaged(r, r->at, "a block ends behind the file", e);
  if (xxh3(h + BLOCK_HEAD_BYTES, (size_t)n) != hash) return damaged(r, r->at, "a block does not match its checksum", e);
  uint64_t chain[2] = { r->seen_chain, hash };
  r->seen_chain = xxh3(chain, sizeof chain);
  r->seen_blocks++;
  r->left = get32(h + 4);
  r->at += BLOCK_HEAD_BYTES;
  r->end = r->at + n;
  *got = 1;
  return STATUS_OK;
}

static enum status read_shingles(struct signature_reader *r, struct dedup_row *row, const unsigned char *p, struct err *e) {
  if (row->n_shingle > r->cap) {
    uint64_t *v = mem_realloc(r->shingle, row->n_shingle * sizeof *v);
    if (!v) return err_nomem(e, row->n_shingle * sizeof *v);
    r->shingle = v;
    r->cap = row->n_shingle;
  }
  for (size_t i = 0; i < row->n_shingle; i++) {
    r->shingle[i] = get64(p + 8 * i);
    if (i > 0 && r->shingle[i] <= r->shingle[i - 1]) return damaged(r, (uint64_t)(p - r->p) + 8 * i, "hashes are not in rising order", e);
  }
  row->shingle = r->shingle;
  return STATUS_OK;
}

enum status signature_next(struct signature_reader *r, struct dedup_row *row, int *got, struct err *e) {
  enum status st;
  *got = 0;
  while (r->left == 0) {
    int more;
    if (r->at != r->end) return damaged(r, r->at, "a block holds more than its rows", e);
    TRY(next_block(r, &more, e));
    if (!more) return STATUS_OK;
  }
  const unsigned char *h = r->p + r->at;
  uint64_t room = r->end - r->at;
  if (room < ROW_BYTES) return damaged(r, r->at, "a row is cut", e);
  uint64_t id = get32(h + 4), witness = get32(h + 8), shingles = get32(h + 12), group = get64(h + 64);
  if (group > room) return damaged(r, r->at, "a row is cut", e);
  uint64_t text = ROW_BYTES + id + witness + group, whole = (text + 7) / 8 * 8 + 8 * shingles;
  if (whole > room || h[0] > DEDUP_LEAK) return damaged(r, r->at, "a row is cut or has an unknown verdict", e);
  *row = (struct dedup_row){ .verdict = (enum dedup_verdict)h[0], .side = h[1], .fixed_side = h[2] != 0, .priority = get_double(h + 16), .score = get_double(h + 24),
                             .normal = { get64(h + 32), get64(h + 40) }, .line = { get64(h + 48), get64(h + 56) }, .n_shingle = (size_t)shingles };
  row->id = (struct span){ (const char *)h + ROW_BYTES, (size_t)id };
  row->witness = (struct span){ row->id.p + id, (size_t)witness };
  row->group = (struct span){ row->witness.p + witness, (size_t)group };
  TRY(read_shingles(r, row, h + (text + 7) / 8 * 8, e));
  r->at += whole;
  r->left--;
  r->seen_rows++;
  *got = 1;
out:
  return st;
}
