/* SPDX-License-Identifier: Apache-2.0
 * Masks and consistent placeholders for what pii_scan found. A map keeps hashes of values, never the values. */
#include <string.h>
#include "hash.h"
#include "pii_impl.h"

struct slot { struct hash128 key; unsigned number; };
struct pii_map {
  struct slot *slot;
  size_t slots, used;
  unsigned last[PII_KINDS];
};

enum status pii_mask(struct span text, const struct pii_hit *hit, size_t n, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  size_t at = 0;
  for (size_t i = 0; i < n; i++) {
    TRY(buf_put(out, text.p + at, hit[i].offset - at, e));
    TRY(buf_printf(out, e, "[%s]", pii_kind_label(hit[i].kind)));
    at = hit[i].offset + hit[i].bytes;
  }
  TRY(buf_put(out, text.p + at, text.n - at, e));
out:
  return st;
}

struct pii_map *pii_map_new(void) { return mem_calloc(1, sizeof(struct pii_map)); }

void pii_map_free(struct pii_map *m) {
  if (!m) return;
  mem_free(m->slot);
  mem_free(m);
}

static struct slot *find(const struct pii_map *m, struct hash128 key) {
  size_t i = key.lo & (m->slots - 1);
  while (m->slot[i].number && (m->slot[i].key.lo != key.lo || m->slot[i].key.hi != key.hi)) i = (i + 1) & (m->slots - 1);
  return &m->slot[i];
}

static enum status grow(struct pii_map *m, struct err *e) {
  struct pii_map bigger = *m;
  bigger.slots = m->slots ? 2 * m->slots : 64;
  bigger.slot = mem_calloc(bigger.slots, sizeof *bigger.slot);
  if (!bigger.slot) return err_nomem(e, bigger.slots * sizeof *bigger.slot);
  for (size_t i = 0; i < m->slots; i++)
    if (m->slot[i].number) *find(&bigger, m->slot[i].key) = m->slot[i];
  mem_free(m->slot);
  *m = bigger;
  return STATUS_OK;
}

/* Letters lower-cased, blanks and punctuation out, bytes above ASCII as they are. */
static enum status key_of(enum pii_kind k, struct span value, struct hash128 *key, struct err *e) {
  struct buf b = { 0 };
  enum status st;
  TRY(buf_putc(&b, (char)k, e));
  for (size_t i = 0; i < value.n; i++) {
    int c = (unsigned char)value.p[i];
    if (is_alnum(c) || c >= 0x80) TRY(buf_putc(&b, (char)to_lower(c), e));
  }
  *key = xxh3_128(b.p, b.n);
out:
  buf_free(&b);
  return st;
}

enum status pii_map_number(struct pii_map *m, enum pii_kind k, struct span value, unsigned *number, struct err *e) {
  struct hash128 key;
  enum status st = key_of(k, value, &key, e);
  if (st == STATUS_OK && 2 * (m->used + 1) > m->slots) st = grow(m, e);
  if (st != STATUS_OK) return st;
  struct slot *s = find(m, key);
  if (!s->number) {
    *s = (struct slot){ key, ++m->last[k] };
    m->used++;
  }
  *number = s->number;
  return STATUS_OK;
}

enum status pii_replace(struct span text, const struct pii_hit *hit, size_t n, struct pii_map *m, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  size_t at = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned number;
    TRY(pii_map_number(m, hit[i].kind, (struct span){ text.p + hit[i].offset, hit[i].bytes }, &number, e));
    TRY(buf_put(out, text.p + at, hit[i].offset - at, e));
    TRY(buf_printf(out, e, "[%s_%u]", pii_kind_label(hit[i].kind), number));
    at = hit[i].offset + hit[i].bytes;
  }
  TRY(buf_put(out, text.p + at, text.n - at, e));
out:
  return st;
}
