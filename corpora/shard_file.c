/* SPDX-License-Identifier: Apache-2.0
 * Frames, index and seek table of a data file. Seek table: one entry a frame {compressed, decompressed, low 32 bits of XXH64
 * of the content}; the index itself is an entry with 0 decompressed bytes, as the seekable format asks of skippable frames. */
#include "shard_file.h"
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <unistd.h>
#include <zstd.h>
#include "file.h"
#include "hash.h"
#include "shard_block.h"

#define INDEX_TAG 0x49535452u /* "RTSI" */
#define WIDE_BYTES ((size_t)2 << 20)
#define WIDE_LOG 22 /* matches over 4 MiB */
#define INDEX_HEAD 16u        /* tag, version, frames, reserved */
_Static_assert(sizeof(struct rtz_frame) == 40, "on-disk layout");

struct rtz_writer {
  FILE *fp;
  char *path;
  struct sha256 *sha;
  struct buf frames, leaves, seek; /* seek: entries so far */
  uint64_t bytes, n_frames, samples;
};

enum status rtz_writer_new(const char *path, struct rtz_writer **out, struct err *e) {
  enum status st = STATUS_OK;
  struct rtz_writer *w = mem_calloc(1, sizeof *w);
  if (!w) return err_nomem(e, sizeof *w);
  w->path = mem_strdup(path);
  w->sha = sha256_new();
  if (!w->path || !w->sha) {
    st = err_nomem(e, 0);
    goto out;
  }
  w->fp = fopen(path, "wb");
  if (!w->fp) st = err_sys(e, STATUS_IO, "'%s': cannot create", path);
out:
  if (st != STATUS_OK) rtz_writer_free(w), w = NULL;
  *out = w;
  return st;
}

static enum status emit(struct rtz_writer *w, const void *p, size_t n, struct err *e) {
  if (fwrite(p, 1, n, w->fp) != n) return err_sys(e, STATUS_IO, "'%s': cannot write", w->path);
  sha256_add(w->sha, p, n);
  w->bytes += n;
  return STATUS_OK;
}

static enum status seek_entry(struct rtz_writer *w, uint32_t comp, uint32_t raw, uint32_t sum, struct err *e) {
  uint32_t v[3] = { comp, raw, sum };
  return buf_put(&w->seek, v, sizeof v, e);
}

enum status merkle_leaf(const void *p, size_t n, unsigned char leaf[32], struct err *e) {
  struct sha256 *s = sha256_new();
  if (!s) return err_nomem(e, 0);
  sha256_add(s, "", 1);
  sha256_add(s, p, n);
  sha256_end(s, leaf);
  return STATUS_OK;
}

/* A level at a time; a node without a neighbour moves up as it is, which is RFC 6962's tree. */
void merkle_root(unsigned char *leaf, uint64_t n, unsigned char root[32]) {
  if (n == 0) {
    sha256_of("", 0, root);
    return;
  }
  for (; n > 1; n = (n + 1) / 2) {
    for (uint64_t i = 0; i < n; i += 2) {
      unsigned char pair[65] = { 1 };
      memcpy(pair + 1, leaf + 32 * i, i + 1 < n ? 64 : 32);
      if (i + 1 < n) sha256_of(pair, 65, leaf + 16 * i);
      else memmove(leaf + 16 * i, leaf + 32 * i, 32);
    }
  }
  memcpy(root, leaf, 32);
}

enum status rtz_pack(struct rtz_packed *p, int level, const void *raw, size_t bytes, uint64_t first_sample, uint32_t n_samples, struct err *e) {
  if (bytes > BLOCK_MAX_BYTES) return err_set(e, STATUS_LIMIT, "a block of %zu bytes, at most 1 GiB", bytes);
  if (!p->zstd && (p->zstd = ZSTD_createCCtx()) == NULL) return err_nomem(e, 0);
  ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_windowLog, bytes > WIDE_BYTES ? WIDE_LOG : 0); /* see a big block as a whole */
  size_t room = ZSTD_compressBound(bytes);
  buf_clear(&p->comp);
  enum status st = buf_reserve(&p->comp, room, e);
  if (st != STATUS_OK) return st;
  size_t n = ZSTD_compress2(p->zstd, p->comp.p, room, raw, bytes);
  if (ZSTD_isError(n)) return err_set(e, STATUS_IO, "zstd: %s", ZSTD_getErrorName(n));
  p->comp.n = n;
  p->frame = (struct rtz_frame){ first_sample, 0, n_samples, (uint32_t)n, (uint32_t)bytes, 0, xxh3(p->comp.p, n) };
  p->xxh64 = (uint32_t)XXH64(raw, bytes, 0);
  return merkle_leaf(p->comp.p, n, p->leaf, e);
}

void rtz_packed_free(struct rtz_packed *p) {
  if (p->zstd) ZSTD_freeCCtx(p->zstd);
  buf_free(&p->comp);
  *p = (struct rtz_packed){ 0 };
}

enum status rtz_put(struct rtz_writer *w, const struct rtz_packed *p, struct err *e) {
  enum status st;
  struct rtz_frame f = p->frame;
  f.offset = w->bytes;
  TRY(buf_put(&w->frames, &f, sizeof f, e));
  TRY(buf_put(&w->leaves, p->leaf, 32, e));
  TRY(seek_entry(w, f.comp_bytes, f.raw_bytes, p->xxh64, e));
  TRY(emit(w, p->comp.p, p->comp.n, e));
  if (fflush(w->fp) != 0) return err_sys(e, STATUS_IO, "'%s': cannot write", w->path); /* a killed run leaves whole frames to resume from */
  w->n_frames++;
  w->samples += f.n_samples;
out:
  return st;
}

uint64_t rtz_bytes(const struct rtz_writer *w) { return w->bytes; }

enum status rtz_finish(struct rtz_writer *w, struct rtz_summary *s, struct err *e) {
  enum status st;
  struct buf tail = { 0 };
  uint32_t index_bytes = (uint32_t)(INDEX_HEAD + w->frames.n + 8);
  uint32_t head[6] = { RTZ_INDEX_MAGIC, index_bytes, INDEX_TAG, 1, (uint32_t)w->n_frames, 0 };
  TRY(buf_put(&tail, head, sizeof head, e));
  if (w->frames.n) TRY(buf_put(&tail, w->frames.p, w->frames.n, e));
  uint64_t sum = xxh3(tail.p + 8, tail.n - 8);
  TRY(buf_put(&tail, &sum, 8, e));
  TRY(seek_entry(w, index_bytes + 8, 0, (uint32_t)XXH64("", 0, 0), e));
  uint32_t seek_head[2] = { RTZ_SEEK_MAGIC, (uint32_t)w->seek.n + 9 }, entries = (uint32_t)w->n_frames + 1, magic = RTZ_SEEK_FOOTER;
  TRY(buf_put(&tail, seek_head, sizeof seek_head, e));
  TRY(buf_put(&tail, w->seek.p, w->seek.n, e));
  TRY(buf_put(&tail, &entries, 4, e));
  TRY(buf_putc(&tail, (char)0x80, e)); /* descriptor: checksums are there */
  TRY(buf_put(&tail, &magic, 4, e));
  TRY(emit(w, tail.p, tail.n, e));
  if (fflush(w->fp) != 0 || fsync(fileno(w->fp)) != 0) {
    st = err_sys(e, STATUS_IO, "'%s': cannot write", w->path);
    goto out;
  }
  *s = (struct rtz_summary){ .bytes = w->bytes, .samples = w->samples, .frames = w->n_frames, .tail_xxh3 = xxh3(tail.p, tail.n) };
  merkle_root((unsigned char *)w->leaves.p, w->n_frames, s->merkle);
  sha256_end(w->sha, s->sha256);
  w->sha = NULL;
  FILE *fp = w->fp;
  w->fp = NULL;
  if (fclose(fp) != 0) st = err_sys(e, STATUS_IO, "'%s': cannot close", w->path);
out:
  buf_free(&tail);
  return st;
}

void rtz_writer_free(struct rtz_writer *w) {
  if (!w) return;
  if (w->fp) fclose(w->fp);
  sha256_free(w->sha);
  buf_free(&w->frames);
  buf_free(&w->leaves);
  buf_free(&w->seek);
  mem_free(w->path);
  mem_free(w);
}

/* ---- reading ---- */
static uint32_t u32(const unsigned char *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

static enum status check_frames(const struct rtz_frame *f, uint64_t n, uint64_t data_bytes, const unsigned char *seek, struct err *e) {
  uint64_t at = 0, sample = n ? f[0].first_sample : 0;
  for (uint64_t i = 0; i < n; i++) {
    if (f[i].offset != at || f[i].comp_bytes == 0 || f[i].comp_bytes > data_bytes - at || f[i].first_sample != sample || f[i].reserved ||
        f[i].n_samples == 0 || f[i].raw_bytes > BLOCK_MAX_BYTES)
      return err_set(e, STATUS_DATA, "index: frame %llu is out of place", (unsigned long long)i);
    if (u32(seek + 12 * i) != f[i].comp_bytes || u32(seek + 12 * i + 4) != f[i].raw_bytes)
      return err_set(e, STATUS_DATA, "seek table and index differ at frame %llu", (unsigned long long)i);
    at += f[i].comp_bytes;
    sample += f[i].n_samples;
  }
  if (at != data_bytes) return err_set(e, STATUS_DATA, "index: frames cover %llu of %llu bytes", (unsigned long long)at, (unsigned long long)data_bytes);
  return STATUS_OK;
}

enum status rtz_index(const unsigned char *p, uint64_t bytes, const uint64_t *tail_xxh3, int verify, struct rtz_frame **frame,
                      uint64_t *n_frames, struct err *e) {
  *frame = NULL;
  *n_frames = 0;
  if (bytes < 8 + INDEX_HEAD + 8 + 8 + 12 + 9 || u32(p + bytes - 4) != RTZ_SEEK_FOOTER || p[bytes - 5] != 0x80)
    return err_set(e, STATUS_DATA, "no seek table at the end: cut off or not a data file of a shard folder");
  uint64_t entries = u32(p + bytes - 9), seek_bytes = 8 + 12 * entries + 9;
  if (entries < 1 || seek_bytes > bytes) return err_set(e, STATUS_DATA, "seek table of %llu entries does not fit the file", (unsigned long long)entries);
  uint64_t n = entries - 1, index_bytes = 8 + INDEX_HEAD + 40 * n + 8;
  if (index_bytes > bytes - seek_bytes) return err_set(e, STATUS_DATA, "index of %llu frames does not fit the file", (unsigned long long)n);
  const unsigned char *seek = p + bytes - seek_bytes, *index = seek - index_bytes;
  if (verify && tail_xxh3 && xxh3(index, index_bytes + seek_bytes) != *tail_xxh3)
    return err_set(e, STATUS_CHECKSUM, "index and seek table do not match the manifest's XXH3");
  if (u32(seek) != RTZ_SEEK_MAGIC || u32(seek + 4) != seek_bytes - 8 || u32(index) != RTZ_INDEX_MAGIC || u32(index + 4) != index_bytes - 8 ||
      u32(index + 8) != INDEX_TAG || u32(index + 12) != 1 || u32(index + 16) != n || u32(index + 20) != 0)
    return err_set(e, STATUS_DATA, "index or seek table has a wrong head");
  uint64_t sum;
  memcpy(&sum, index + index_bytes - 8, 8);
  if (verify && xxh3(index + 8, index_bytes - 16) != sum) return err_set(e, STATUS_CHECKSUM, "index does not match its XXH3");
  struct rtz_frame *f = mem_calloc(n ? n : 1, sizeof *f);
  if (!f) return err_nomem(e, n * sizeof *f);
  memcpy(f, index + 8 + INDEX_HEAD, n * sizeof *f);
  enum status st = check_frames(f, n, bytes - seek_bytes - index_bytes, seek + 8, e);
  if (st != STATUS_OK) {
    mem_free(f);
    return st;
  }
  *frame = f;
  *n_frames = n;
  return STATUS_OK;
}

enum status rtz_read(const unsigned char *p, const struct rtz_frame *f, int verify, struct buf *out, struct err *e) {
  const unsigned char *src = p + f->offset;
  if (verify && xxh3(src, f->comp_bytes) != f->xxh3)
    return err_set(e, STATUS_CHECKSUM, "frame at byte %llu does not match its XXH3", (unsigned long long)f->offset);
  unsigned long long content = ZSTD_getFrameContentSize(src, f->comp_bytes);
  if (content != f->raw_bytes) /* before memory is taken for it */
    return err_set(e, STATUS_DATA, "frame at byte %llu holds another number of bytes than its index says (%u)", (unsigned long long)f->offset, f->raw_bytes);
  buf_clear(out);
  enum status st = buf_reserve(out, f->raw_bytes, e);
  if (st != STATUS_OK) return st;
  size_t n = ZSTD_decompress(out->p, f->raw_bytes, src, f->comp_bytes);
  if (ZSTD_isError(n) || n != f->raw_bytes)
    return err_set(e, STATUS_DATA, "frame at byte %llu: zstd: %s", (unsigned long long)f->offset,
                   ZSTD_isError(n) ? ZSTD_getErrorName(n) : "short frame");
  out->n = n;
  return STATUS_OK;
}
