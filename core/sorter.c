/* SPDX-License-Identifier: Apache-2.0
 * In memory: entries of (first eight bytes, place), least significant digit first over those bytes, digits that are all equal
 * left out; records with equal first bytes are put right by comparison. On disk: runs of (u16 length, bytes), merged by a heap. */
#include "sorter.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "spool.h"

enum { READ_MIN = 16 << 10, READ_MAX = 1 << 20, WRITE_BYTES = 1 << 18 };
struct entry {
  uint64_t prefix;
  uint32_t at, n;
};
struct run {
  uint64_t at, end; /* what of the file is still unread */
  uint64_t from;
  unsigned char *buf;
  size_t used, n; /* of buf */
  const unsigned char *p; /* the record at its head */
  size_t size;
  uint64_t prefix;
};
struct sorter {
  uint64_t memory, count;
  unsigned char *bytes;
  size_t n_bytes, cap_bytes;
  struct entry *entry, *other;
  size_t n, cap;
  int fd;
  uint64_t file_bytes;
  struct run *run;
  size_t n_run, cap_run;
  size_t *heap, n_heap, read_bytes;
  size_t next; /* in memory */
  int ended;
};

enum status sorter_new(uint64_t memory_bytes, struct sorter **out, struct err *e) {
  struct sorter *s = *out = mem_calloc(1, sizeof *s);
  if (!s) return err_nomem(e, sizeof *s);
  s->memory = memory_bytes < (1 << 20) ? 1 << 20 : memory_bytes;
  s->fd = -1;
  return STATUS_OK;
}

static void free_memory(struct sorter *s) {
  mem_free(s->bytes);
  mem_free(s->entry);
  mem_free(s->other);
  s->bytes = NULL, s->entry = s->other = NULL;
  s->n_bytes = s->cap_bytes = s->n = s->cap = 0;
}

void sorter_free(struct sorter *s) {
  if (!s) return;
  free_memory(s);
  for (size_t i = 0; i < s->n_run; i++) mem_free(s->run[i].buf);
  mem_free(s->run);
  mem_free(s->heap);
  if (s->fd >= 0) close(s->fd);
  mem_free(s);
}

uint64_t sorter_count(const struct sorter *s) { return s->count; }

static uint64_t prefix_of(const unsigned char *p, size_t n) {
  unsigned char b[8] = { 0 };
  if (n >= 8) return sorter_get64(p);
  memcpy(b, p, n);
  return sorter_get64(b);
}

/* ---- sorting what is in memory ---- */
static int order(const unsigned char *a, size_t n_a, const unsigned char *b, size_t n_b) {
  size_t n = n_a < n_b ? n_a : n_b;
  int d = n ? memcmp(a, b, n) : 0;
  return d ? d : (n_a > n_b) - (n_a < n_b);
}

struct with_bytes { struct entry e; const unsigned char *bytes; };
static int by_record(const void *x, const void *y) {
  const struct with_bytes *a = x, *b = y;
  return order(a->bytes + a->e.at, a->e.n, b->bytes + b->e.at, b->e.n);
}

/* A stretch of equal prefixes. */
static enum status settle(struct sorter *s, struct entry *v, size_t n, struct err *e) {
  if (n <= 12) {
    for (size_t i = 1; i < n; i++) {
      struct entry x = v[i];
      size_t k = i;
      for (; k > 0 && order(s->bytes + x.at, x.n, s->bytes + v[k - 1].at, v[k - 1].n) < 0; k--) v[k] = v[k - 1];
      v[k] = x;
    }
    return STATUS_OK;
  }
  struct with_bytes *w = mem_alloc(n * sizeof *w); /* qsort has no context */
  if (!w) return err_nomem(e, n * sizeof *w);
  for (size_t i = 0; i < n; i++) w[i] = (struct with_bytes){ v[i], s->bytes };
  qsort(w, n, sizeof *w, by_record);
  for (size_t i = 0; i < n; i++) v[i] = w[i].e;
  mem_free(w);
  return STATUS_OK;
}

static enum status sort_memory(struct sorter *s, struct err *e) {
  uint64_t all = UINT64_MAX, any = 0;
  if (s->n < 2) return STATUS_OK;
  for (size_t i = 0; i < s->n; i++) all &= s->entry[i].prefix, any |= s->entry[i].prefix;
  for (int shift = 0; shift < 64; shift += 8) {
    if (((all ^ any) >> shift & 255) == 0) continue;
    size_t at[257] = { 0 };
    for (size_t i = 0; i < s->n; i++) at[(s->entry[i].prefix >> shift & 255) + 1]++;
    for (int d = 0; d < 256; d++) at[d + 1] += at[d];
    for (size_t i = 0; i < s->n; i++) s->other[at[s->entry[i].prefix >> shift & 255]++] = s->entry[i];
    struct entry *t = s->entry;
    s->entry = s->other;
    s->other = t;
  }
  for (size_t i = 0, k; i < s->n; i = k) {
    for (k = i + 1; k < s->n && s->entry[k].prefix == s->entry[i].prefix; k++) {}
    if (k - i < 2) continue;
    enum status st = settle(s, s->entry + i, k - i, e);
    if (st != STATUS_OK) return st;
  }
  return STATUS_OK;
}

/* ---- runs ---- */
static enum status put(struct sorter *s, const void *p, size_t n, struct err *e) {
  for (const char *c = p; n > 0;) {
    ssize_t k = pwrite(s->fd, c, n, (off_t)s->file_bytes);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return err_sys(e, STATUS_IO, "a temporary file in '%s' cannot be written (TMPDIR names another folder)", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    c += k, n -= (size_t)k, s->file_bytes += (uint64_t)k;
  }
  return STATUS_OK;
}

static enum status write_run(struct sorter *s, struct err *e) {
  enum status st;
  struct buf b = { 0 };
  if (s->n == 0) return STATUS_OK;
  TRY(sort_memory(s, e));
  if (s->fd < 0) TRY(spool_temp_file(&s->fd, e));
  if (s->n_run == s->cap_run) {
    size_t cap = s->cap_run ? 2 * s->cap_run : 16;
    struct run *r = mem_realloc(s->run, cap * sizeof *r);
    if (!r) return err_nomem(e, cap * sizeof *r);
    s->run = r;
    s->cap_run = cap;
  }
  struct run r = { .from = s->file_bytes };
  for (size_t i = 0; i < s->n; i++) {
    uint16_t n = (uint16_t)s->entry[i].n;
    TRY(buf_put(&b, &n, sizeof n, e));
    TRY(buf_put(&b, s->bytes + s->entry[i].at, n, e));
    if (b.n < WRITE_BYTES) continue;
    TRY(put(s, b.p, b.n, e));
    buf_clear(&b);
  }
  TRY(put(s, b.p, b.n, e));
  r.end = s->file_bytes;
  s->run[s->n_run++] = r;
  s->n = s->n_bytes = 0;
out:
  buf_free(&b);
  return st;
}

static enum status grow(struct sorter *s, size_t n, struct err *e) {
  if (s->n_bytes + n > s->cap_bytes) {
    size_t cap = s->cap_bytes ? 2 * s->cap_bytes : 1 << 16;
    while (cap < s->n_bytes + n) cap *= 2;
    unsigned char *p = mem_realloc(s->bytes, cap);
    if (!p) return err_nomem(e, cap);
    s->bytes = p;
    s->cap_bytes = cap;
  }
  if (s->n < s->cap) return STATUS_OK;
  size_t cap = s->cap ? 2 * s->cap : 4096;
  struct entry *v = mem_realloc(s->entry, cap * sizeof *v);
  if (!v) return err_nomem(e, cap * sizeof *v);
  s->entry = v;
  mem_free(s->other);
  s->other = mem_alloc(cap * sizeof *v);
  if (!s->other) return err_nomem(e, cap * sizeof *v);
  s->cap = cap;
  return STATUS_OK;
}

enum status sorter_add(struct sorter *s, const void *p, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  if (s->ended || n > SORTER_RECORD_MAX) return err_set(e, STATUS_DATA, "a key of %zu bytes is too long to sort, at most %d", n, SORTER_RECORD_MAX);
  uint64_t will = (s->n_bytes + n > s->cap_bytes ? 2 * s->cap_bytes : s->cap_bytes) + (s->n == s->cap ? 4 : 2) * s->cap * sizeof *s->entry;
  if (s->n > 0 && will > s->memory) TRY(write_run(s, e));
  TRY(grow(s, n, e));
  memcpy(s->bytes + s->n_bytes, p, n);
  s->entry[s->n++] = (struct entry){ prefix_of(p, n), (uint32_t)s->n_bytes, (uint32_t)n };
  s->n_bytes += n;
  s->count++;
out:
  return st;
}

/* ---- reading ---- */
static enum status advance(struct sorter *s, struct run *r, int *got, struct err *e) {
  uint16_t n;
  for (int again = 0;; again++) {
    size_t left = r->n - r->used;
    if (left >= sizeof n) {
      memcpy(&n, r->buf + r->used, sizeof n);
      if (left >= sizeof n + n) break;
    }
    if (r->at == r->end || again > 1) {
      *got = 0;
      return left == 0 && r->at == r->end ? STATUS_OK : err_set(e, STATUS_IO, "a temporary file is shorter than it was written");
    }
    if (r->used) memmove(r->buf, r->buf + r->used, left);
    r->used = 0;
    size_t want = s->read_bytes - left;
    if (want > r->end - r->at) want = (size_t)(r->end - r->at);
    for (size_t k = 0; k < want;) {
      ssize_t m = pread(s->fd, r->buf + left + k, want - k, (off_t)(r->at + k));
      if (m < 0 && errno == EINTR) continue;
      if (m <= 0) return err_sys(e, STATUS_IO, "a temporary file cannot be read");
      k += (size_t)m;
    }
    r->at += want;
    r->n = left + want;
  }
  r->p = r->buf + r->used + sizeof n;
  r->size = n;
  r->prefix = prefix_of(r->p, n);
  r->used += sizeof n + n;
  *got = 1;
  return STATUS_OK;
}

static int less(const struct sorter *s, size_t a, size_t b) {
  const struct run *x = &s->run[a], *y = &s->run[b];
  return x->prefix != y->prefix ? x->prefix < y->prefix : order(x->p, x->size, y->p, y->size) < 0;
}

static void sift(struct sorter *s, size_t i) {
  size_t x = s->heap[i];
  for (;;) {
    size_t k = 2 * i + 1;
    if (k >= s->n_heap) break;
    if (k + 1 < s->n_heap && less(s, s->heap[k + 1], s->heap[k])) k++;
    if (!less(s, s->heap[k], x)) break;
    s->heap[i] = s->heap[k];
    i = k;
  }
  s->heap[i] = x;
}

enum status sorter_rewind(struct sorter *s, struct err *e) {
  enum status st = STATUS_OK;
  if (!s->ended) {
    if (s->n_run) TRY(write_run(s, e));
    else TRY(sort_memory(s, e));
    if (s->n_run) free_memory(s);
    mem_free(s->other);
    s->other = NULL;
    s->ended = 1;
    if (s->n_run) {
      s->read_bytes = (size_t)(s->memory / (s->n_run + 1));
      if (s->read_bytes < READ_MIN + SORTER_RECORD_MAX) s->read_bytes = READ_MIN + SORTER_RECORD_MAX;
      if (s->read_bytes > READ_MAX) s->read_bytes = READ_MAX;
      s->heap = mem_alloc(s->n_run * sizeof *s->heap);
      if (!s->heap) return err_nomem(e, s->n_run * sizeof *s->heap);
    }
  }
  s->next = s->n_heap = 0;
  for (size_t i = 0; i < s->n_run; i++) {
    int got;
    struct run *r = &s->run[i];
    if (!r->buf && !(r->buf = mem_alloc(s->read_bytes))) return err_nomem(e, s->read_bytes);
    r->at = r->from;
    r->used = r->n = 0;
    TRY(advance(s, r, &got, e));
    if (got) s->heap[s->n_heap++] = i;
  }
  for (size_t i = s->n_heap; i-- > 0;) sift(s, i);
  s->next = (size_t)-1; /* the heap's head was not given out yet */
  if (!s->n_run) s->next = 0;
out:
  return st;
}

enum status sorter_next(struct sorter *s, const unsigned char **p, size_t *n, int *got, struct err *e) {
  *got = 0;
  if (s->n_run == 0) {
    if (s->next >= s->n) return STATUS_OK;
    const struct entry *x = &s->entry[s->next++];
    *p = s->bytes + x->at;
    *n = x->n;
    *got = 1;
    return STATUS_OK;
  }
  if (s->next == (size_t)-1) {
    s->next = 0;
  } else if (s->n_heap) { /* the record given last goes */
    int more;
    enum status st = advance(s, &s->run[s->heap[0]], &more, e);
    if (st != STATUS_OK) return st;
    if (!more) s->heap[0] = s->heap[--s->n_heap];
    if (s->n_heap) sift(s, 0);
  }
  if (s->n_heap == 0) return STATUS_OK;
  *p = s->run[s->heap[0]].p;
  *n = s->run[s->heap[0]].size;
  *got = 1;
  return STATUS_OK;
}
