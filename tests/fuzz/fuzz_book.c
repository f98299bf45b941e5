/* SPDX-License-Identifier: Apache-2.0
 * Segments of the book: any bytes are scanned, payloads read and taken apart, from the start and from inside. */
#include "book_segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pass { struct seg_source src; struct arena *a; uint64_t last; };

static enum status visit(void *ctx, const struct seg_record *r, struct err *e) {
  struct pass *x = ctx;
  struct span payload, kind, json;
  struct seg_answer sa;
  if (r->offset < x->last || seg_record_end(r) > x->src.bytes) abort(); /* forward only, inside the file only */
  x->last = seg_record_end(r);
  arena_reset(x->a);
  if (seg_payload(&x->src, r, x->a, &payload, e) != STATUS_OK) return STATUS_OK;
  if (payload.n != r->length) abort();
  if (seg_answer_parse(payload, &sa, e) == STATUS_OK && sa.meta.p + sa.meta.n > payload.p + payload.n) abort();
  if (seg_note_parse(payload, &kind, &json, e) == STATUS_OK && kind.n + json.n + 4 != payload.n) abort();
  return STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct err e = { STATUS_OK, "" };
  struct pass x = { { -1, data, size, "fuzz" }, arena_new(0), 0 };
  static const uint64_t from[] = { 0, SEG_HEAD, 40, 1000 };
  for (int i = 0; i < 4; i++) {
    struct seg_report rep;
    x.last = 0;
    if (seg_scan(&x.src, from[i], visit, &x, &rep, &e) != STATUS_OK) continue;
    if (rep.end < from[i] || (from[i] <= size && rep.end > size) || rep.damaged_bytes > size) abort();
  }
  arena_free(x.a);
  return 0;
}
