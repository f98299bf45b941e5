/* SPDX-License-Identifier: Apache-2.0
 * Megatron-LM's indexed data set: PREFIX.bin holds the tokens of all documents, PREFIX.idx their lengths and places (magic
 * MMIDIDX, version 1, dtype 8 = uint16 or 4 = int32). A document is a sequence; the loss mask has no place in this format. */
#include "convert.h"
#include <string.h>
#include "log.h"

struct megatron {
  FILE *bin;
  struct buf sizes, places; /* i32, i64 */
  int64_t at;
  int wide;
};

static enum status mg_open(struct convert *k, struct err *e) {
  struct megatron *m = mem_calloc(1, sizeof *m);
  if (!m) return err_nomem(e, sizeof *m);
  k->state = m;
  m->wide = k->info->vocab > 65536;
  log_info("Megatron's format holds no loss mask: every token will be trained on");
  return convert_file(k, "data.bin", &m->bin, e);
}

static enum status mg_sample(struct convert *k, const struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  struct megatron *m = k->state;
  for (int32_t d = 0; d < s->n_doc; d++) {
    int32_t n = s->doc_start[d + 1] - s->doc_start[d];
    TRY(buf_put(&m->sizes, &n, 4, e));
    TRY(buf_put(&m->places, &m->at, 8, e));
    for (int32_t i = s->doc_start[d]; i < s->doc_start[d + 1]; i++) {
      uint16_t v = (uint16_t)s->ids[i];
      TRY(m->wide ? convert_put(k, m->bin, &s->ids[i], 4, e) : convert_put(k, m->bin, &v, 2, e));
    }
    m->at += (int64_t)n * (m->wide ? 4 : 2);
  }
out:
  return st;
}

static enum status mg_close(struct convert *k, struct err *e) {
  enum status st;
  struct megatron *m = k->state;
  FILE *f = NULL;
  uint64_t version = 1, n = m->sizes.n / 4, docs = n + 1;
  unsigned char dtype = m->wide ? 4 : 8;
  TRY(convert_done(k, &m->bin, e));
  TRY(convert_file(k, "data.idx", &f, e));
  TRY(convert_put(k, f, "MMIDIDX\0\0", 9, e));
  TRY(convert_put(k, f, &version, 8, e));
  TRY(convert_put(k, f, &dtype, 1, e));
  TRY(convert_put(k, f, &n, 8, e));
  TRY(convert_put(k, f, &docs, 8, e));
  if (n) TRY(convert_put(k, f, m->sizes.p, m->sizes.n, e));
  if (n) TRY(convert_put(k, f, m->places.p, m->places.n, e));
  for (int64_t d = 0; d <= (int64_t)n; d++) TRY(convert_put(k, f, &d, 8, e));
  TRY(convert_done(k, &f, e));
out:
  if (f) fclose(f);
  return st;
}

static void mg_free(struct convert *k) {
  struct megatron *m = k->state;
  if (!m) return;
  if (m->bin) fclose(m->bin);
  buf_free(&m->sizes);
  buf_free(&m->places);
  mem_free(m);
}

const struct format format_megatron = { "megatron", "data.bin and data.idx for Megatron-LM", FORMAT_SAMPLES, mg_open, mg_sample, NULL, mg_close, mg_free };
