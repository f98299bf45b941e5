/* SPDX-License-Identifier: Apache-2.0
 * Claims: who is asking what right now, so that the processes of one book never pay for the same question at once. A claim is a
 * record in its owner's segment; it holds until the answer (or the failure) is in the book, or the owner is gone, which shows
 * by the lock that every writer holds on its segment: it goes with the process, on network file systems too. */
#include <errno.h>
#include <sys/file.h>
#include "book_index.h"
#include "book_internal.h"
#include "log.h"

/* An owner whose segment did not grow for so long counts as gone: its machine may have died with the lock (NFS version 3). */
#define CLAIM_STALE_NS ((int64_t)1200 * 1000000000)
#define PROBE_NS ((int64_t)200000000)

/* ---- table of open claims: linear probing, several rows of one key (of several segments) stand in one run ---- */

static size_t home_of(const struct book *b, const unsigned char *key) { return (size_t)seg_u64(key) & (b->cap_claim - 1); }

static enum status grow(struct book *b, struct err *e) {
  struct claim_row *old = b->claim;
  size_t n = b->cap_claim, cap = n ? n * 2 : 256;
  struct claim_row *t = mem_calloc(cap, sizeof *t);
  if (!t) return err_nomem(e, cap * sizeof *t);
  b->claim = t;
  b->cap_claim = cap;
  for (size_t i = 0; i < n; i++) {
    if (!old[i].used) continue;
    size_t at = home_of(b, old[i].key);
    while (t[at].used) at = (at + 1) & (cap - 1);
    t[at] = old[i];
  }
  mem_free(old);
  return STATUS_OK;
}

enum status book_claim_add(struct book *b, const unsigned char *key, uint32_t seg, struct err *e) {
  struct entry en;
  int answered = 0;
  enum status st = book_map_get(b, key, &en, &answered, e);
  if (st != STATUS_OK || answered) return st;
  if (b->n_claim * 4 >= b->cap_claim * 3) {
    st = grow(b, e);
    if (st != STATUS_OK) return st;
  }
  size_t i = home_of(b, key);
  for (; b->claim[i].used; i = (i + 1) & (b->cap_claim - 1))
    if (b->claim[i].seg == seg && !memcmp(b->claim[i].key, key, SEG_KEY)) return STATUS_OK;
  memcpy(b->claim[i].key, key, SEG_KEY);
  b->claim[i].seg = seg;
  b->claim[i].used = 1;
  b->n_claim++;
  return STATUS_OK;
}

/* Takes row i out and moves later rows of its run up, so that no search meets a hole before its end. */
static void take_out(struct book *b, size_t i) {
  size_t mask = b->cap_claim - 1, j = i;
  for (;;) {
    j = (j + 1) & mask;
    if (!b->claim[j].used) break;
    size_t home = home_of(b, b->claim[j].key);
    if (((j - home) & mask) < ((j - i) & mask)) continue; /* its home lies behind the hole */
    b->claim[i] = b->claim[j];
    i = j;
  }
  b->claim[i].used = 0;
  b->n_claim--;
}

void book_claim_end(struct book *b, const unsigned char *key, uint32_t seg) {
  if (!b->n_claim) return;
  for (size_t i = home_of(b, key); b->claim[i].used;) {
    if ((seg == BOOK_ANY_SEG || b->claim[i].seg == seg) && !memcmp(b->claim[i].key, key, SEG_KEY)) take_out(b, i);
    else i = (i + 1) & (b->cap_claim - 1);
  }
}

/* ---- is the owner there ---- */

static enum status alive(struct book *b, uint32_t seg, int *there, struct err *e) {
  struct seg *s = &b->seg[seg];
  struct seg_source src;
  int64_t now = book_monotonic_ns();
  *there = 0;
  if (s->closed || s->bad) return STATUS_OK;
  *there = 1;
  if (s->own || (s->probed_ns && now - s->probed_ns < PROBE_NS)) return STATUS_OK;
  enum status st = book_source(b, seg, &src, e);
  if (st != STATUS_OK) return st;
  s = &b->seg[seg];
  s->probed_ns = now;
  if (flock(src.fd, LOCK_SH | LOCK_NB) == 0) { /* nobody writes there any more: read its end, then believe it */
    (void)flock(src.fd, LOCK_UN);
    st = book_scan_seg(b, seg, e);
    b->seg[seg].closed = 1;
    *there = 0;
  } else if (errno != EWOULDBLOCK || now - s->grown_ns > CLAIM_STALE_NS) {
    *there = 0;
  }
  return st;
}

static enum status answered(struct book *b, const unsigned char *key, int *yes, struct err *e) {
  struct entry en;
  enum status st = book_map_get(b, key, &en, yes, e);
  return st != STATUS_OK || *yes ? st : book_index_find(b, key, &en, yes, e);
}

static enum status judge(struct book *b, struct book_claim *c, struct err *e) {
  enum status st = STATUS_OK;
  int yes, there;
again:
  TRY(answered(b, c->key, &yes, e));
  c->state = yes ? CLAIM_ANSWERED : CLAIM_OURS;
  if (yes || !b->cap_claim) goto out;
  for (size_t i = home_of(b, c->key); b->claim[i].used; i = (i + 1) & (b->cap_claim - 1)) {
    uint32_t seg = b->claim[i].seg;
    if (b->seg[seg].closed || memcmp(b->claim[i].key, c->key, SEG_KEY)) continue;
    TRY(alive(b, seg, &there, e));
    if (there && !b->seg[seg].own) c->state = CLAIM_ELSEWHERE;
    if (there) goto out;
    if (b->seg[seg].closed) goto again; /* its last records may have moved the table, or hold the answer */
  }
out:
  return st;
}

enum status book_claim(struct book *b, struct book_claim *c, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  int locked = 0;
  pthread_mutex_lock(&b->mu);
  TRY(book_lock(b, &locked, e));
  TRY(book_scan_all(b, e));
  for (size_t i = 0; i < n; i++) {
    TRY(judge(b, &c[i], e));
    struct span part = { (const char *)c[i].key, SEG_KEY };
    if (c[i].state == CLAIM_OURS) TRY(book_append(b, SEG_CLAIM, &part, 1, e));
  }
  TRY(book_flush(b, e)); /* seen by others from now on; needs no sync: a claim does not outlive its process */
out:
  if (locked) book_unlock(b);
  pthread_mutex_unlock(&b->mu);
  return st;
}
