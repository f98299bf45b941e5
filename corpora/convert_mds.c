/* SPDX-License-Identifier: Apache-2.0
 * mosaicml-streaming's MDS: shard.NNNNN.mds (u32 samples, u32 offsets, the columns as JSON, samples) and index.json. A sample:
 * u32 lengths of its columns, then the columns: tokens, mask, doc_start as arrays with their shape in front, row ids joined by \n. */
#include "convert.h"
#include <inttypes.h>
#include <string.h>
#include "file.h"

struct mds {
  struct buf data, offsets, index, sample;
  uint32_t samples;
  int parts;
  int wide; /* ids of 4 bytes */
};
static const char COLUMNS[] = "\"column_encodings\":[\"ndarray:uint32\",\"ndarray:uint8\",\"str\",\"ndarray:%s\"],\"column_names\":[\"doc_start\",\"mask\",\"row_ids\",\"tokens\"],"
                              "\"column_sizes\":[null,null,null,null],\"compression\":null,\"format\":\"mds\",\"hashes\":[],";

static enum status mds_open(struct convert *k, struct err *e) {
  struct mds *m = mem_calloc(1, sizeof *m);
  if (!m) return err_nomem(e, sizeof *m);
  k->state = m;
  m->wide = k->info->vocab > 65536;
  return STATUS_OK;
}

static const char *dtype(const struct mds *m) { return m->wide ? "uint32" : "uint16"; }

/* The part that is full goes to its file. Offsets count from the file's begin. */
static enum status flush(struct convert *k, struct err *e) {
  enum status st;
  struct mds *m = k->state;
  FILE *f = NULL;
  struct buf config = { 0 };
  char name[32];
  if (m->samples == 0) return STATUS_OK;
  snprintf(name, sizeof name, "shard.%05d.mds", m->parts);
  TRY(buf_putc(&config, '{', e));
  TRY(buf_printf(&config, e, COLUMNS, dtype(m)));
  TRY(buf_printf(&config, e, "\"size_limit\":%" PRIu64 ",\"version\":2}", k->part_bytes));
  uint32_t head = (uint32_t)(4 + 4 * ((size_t)m->samples + 1) + config.n), at = head;
  TRY(convert_file(k, name, &f, e));
  TRY(convert_put(k, f, &m->samples, 4, e));
  TRY(convert_put(k, f, &at, 4, e));
  for (uint32_t i = 0; i < m->samples; i++) {
    uint32_t end;
    memcpy(&end, m->offsets.p + 4 * (size_t)i, 4);
    end += head;
    TRY(convert_put(k, f, &end, 4, e));
  }
  TRY(convert_put(k, f, config.p, config.n, e));
  TRY(convert_put(k, f, m->data.p, m->data.n, e));
  TRY(convert_done(k, &f, e));
  TRY(buf_puts(&m->index, m->parts ? ",{" : "{", e));
  TRY(buf_printf(&m->index, e, COLUMNS, dtype(m)));
  TRY(buf_printf(&m->index, e, "\"raw_data\":{\"basename\":\"%s\",\"bytes\":%" PRIu64 ",\"hashes\":{}},\"samples\":%u,\"size_limit\":%" PRIu64
                 ",\"version\":2,\"zip_data\":null}", name, (uint64_t)head + m->data.n, m->samples, k->part_bytes));
  m->parts++;
  m->samples = 0;
  buf_clear(&m->data);
  buf_clear(&m->offsets);
out:
  if (f) fclose(f);
  buf_free(&config);
  return st;
}

static enum status put_shape(struct buf *b, uint32_t n, struct err *e) {
  int kind = n < 256 ? 0 : n < 65536 ? 1 : 2; /* bytes of the length: 1, 2, 4 */
  enum status st = buf_putc(b, (char)(1 << 2 | kind), e);
  return st == STATUS_OK ? buf_put(b, &n, (size_t)1 << kind, e) : st;
}

static enum status mds_sample(struct convert *k, const struct sample *s, struct err *e) {
  enum status st;
  struct mds *m = k->state;
  uint32_t size[4], n_tok = (uint32_t)s->n_tok, n_start = (uint32_t)s->n_doc + 1;
  buf_clear(&m->sample);
  TRY(put_shape(&m->sample, n_start, e));
  TRY(buf_put(&m->sample, s->doc_start, 4 * (size_t)n_start, e));
  size[0] = (uint32_t)m->sample.n;
  TRY(put_shape(&m->sample, n_tok, e));
  TRY(buf_put(&m->sample, s->mask, n_tok, e));
  size[1] = (uint32_t)m->sample.n - size[0];
  for (int32_t d = 0; d < s->n_doc; d++) {
    if (d) TRY(buf_putc(&m->sample, '\n', e));
    TRY(buf_puts(&m->sample, s->row_id[d], e));
  }
  size[2] = (uint32_t)m->sample.n - size[0] - size[1];
  TRY(put_shape(&m->sample, n_tok, e));
  for (uint32_t i = 0; i < n_tok; i++) {
    uint16_t v = (uint16_t)s->ids[i];
    TRY(m->wide ? buf_put(&m->sample, &s->ids[i], 4, e) : buf_put(&m->sample, &v, 2, e));
  }
  size[3] = (uint32_t)m->sample.n - size[0] - size[1] - size[2];
  TRY(buf_put(&m->data, size, sizeof size, e));
  TRY(buf_put(&m->data, m->sample.p, m->sample.n, e));
  uint32_t end = (uint32_t)m->data.n;
  TRY(buf_put(&m->offsets, &end, 4, e));
  m->samples++;
  if (m->data.n >= k->part_bytes) TRY(flush(k, e));
out:
  return st;
}

static enum status mds_close(struct convert *k, struct err *e) {
  enum status st;
  struct mds *m = k->state;
  FILE *f = NULL;
  struct buf b = { 0 };
  TRY(flush(k, e));
  TRY(buf_puts(&b, "{\"shards\":[", e));
  if (m->index.n) TRY(buf_put(&b, m->index.p, m->index.n, e));
  TRY(buf_puts(&b, "],\"version\":2}\n", e));
  TRY(convert_file(k, "index.json", &f, e));
  TRY(convert_put(k, f, b.p, b.n, e));
  TRY(convert_done(k, &f, e));
out:
  if (f) fclose(f);
  buf_free(&b);
  return st;
}

static void mds_free(struct convert *k) {
  struct mds *m = k->state;
  if (!m) return;
  struct buf *all[] = { &m->data, &m->offsets, &m->index, &m->sample };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) buf_free(all[i]);
  mem_free(m);
}

const struct format format_mds = { "mds", "a folder for mosaicml-streaming (MDS)", FORMAT_SAMPLES, mds_open, mds_sample, NULL, mds_close, mds_free };
