/* SPDX-License-Identifier: Apache-2.0
 * Segment files: see book_segment.h. Nothing read from a file is believed before it is checked: the record head has its
 * own hash, so a length is never followed blindly, and after damage the reader finds the next sound head. */
#include "book_segment.h"
#include <errno.h>
#include <sys/types.h>
#include <unistd.h>
#include "hash.h"

static const unsigned char seg_magic[8] = { 'R', 'E', 'T', 'O', 'R', 'T', 'B', 'K' };
static const unsigned char rec_magic[4] = { 'R', 'r', 'e', 'c' };
enum { SEG_VERSION = 1, WINDOW = 64 << 10 };

void seg_put_u32(unsigned char *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (8 * i));
}
void seg_put_u64(unsigned char *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> (8 * i));
}
uint32_t seg_u32(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
uint64_t seg_u64(const unsigned char *p) { return seg_u32(p) | (uint64_t)seg_u32(p + 4) << 32; }

enum status seg_put_head(struct buf *out, uint64_t time_ns, struct err *e) {
  unsigned char h[SEG_HEAD];
  memcpy(h, seg_magic, 8);
  seg_put_u32(h + 8, SEG_VERSION);
  seg_put_u32(h + 12, 0);
  seg_put_u64(h + 16, time_ns);
  seg_put_u64(h + 24, xxh3(h, 24));
  return buf_put(out, h, sizeof h, e);
}

enum status seg_put_record(struct buf *out, uint32_t type, uint64_t time_ns, const struct span *parts, size_t n_parts, struct err *e) {
  static const char zeros[8];
  enum status st = STATUS_OK;
  unsigned char h[SEG_RECORD_HEAD];
  uint64_t length = 0;
  size_t at = out->n;
  for (size_t i = 0; i < n_parts; i++) length += parts[i].n;
  if (length > SEG_PAYLOAD_MAX) return err_set(e, STATUS_LIMIT, "a book record of %llu bytes is above the limit of 4 GiB", (unsigned long long)length);
  TRY(buf_reserve(out, SEG_RECORD_HEAD + (size_t)seg_padded(length), e));
  memset(h, 0, sizeof h);
  TRY(buf_put(out, h, sizeof h, e));
  for (size_t i = 0; i < n_parts; i++)
    if (parts[i].n) TRY(buf_put(out, parts[i].p, parts[i].n, e));
  memcpy(h, rec_magic, 4);
  seg_put_u32(h + 4, type);
  seg_put_u64(h + 8, length);
  seg_put_u64(h + 16, time_ns);
  seg_put_u64(h + 24, xxh3(out->p + at + SEG_RECORD_HEAD, (size_t)length));
  seg_put_u64(h + 32, xxh3(h, 32));
  memcpy(out->p + at, h, sizeof h);
  TRY(buf_put(out, zeros, (size_t)(seg_padded(length) - length), e));
out:
  if (st != STATUS_OK) out->n = at;
  return st;
}

/* Reads up to n bytes at offset; *got is less only at the end of the source. */
static enum status read_at(const struct seg_source *s, uint64_t offset, void *dst, size_t n, size_t *got, struct err *e) {
  *got = 0;
  if (offset >= s->bytes) return STATUS_OK;
  if (n > s->bytes - offset) n = (size_t)(s->bytes - offset);
  if (s->fd < 0) {
    memcpy(dst, s->p + offset, n);
    *got = n;
    return STATUS_OK;
  }
  while (*got < n) {
    ssize_t k = pread(s->fd, (char *)dst + *got, n - *got, (off_t)(offset + *got));
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return err_sys(e, STATUS_IO, "'%s' cannot be read at byte %llu", s->name, (unsigned long long)(offset + *got));
    if (k == 0) break;
    *got += (size_t)k;
  }
  return STATUS_OK;
}

struct window { unsigned char p[WINDOW]; uint64_t offset; size_t n; };

/* n bytes at offset through the window; NULL when the source ends before. */
static enum status look(const struct seg_source *s, struct window *w, uint64_t offset, size_t n, const unsigned char **p, struct err *e) {
  enum status st = STATUS_OK;
  if (offset < w->offset || offset + n > w->offset + w->n) {
    w->offset = offset;
    st = read_at(s, offset, w->p, sizeof w->p, &w->n, e);
  }
  *p = st == STATUS_OK && offset + n <= w->offset + w->n ? w->p + (offset - w->offset) : NULL;
  return st;
}

static int sound_head(const unsigned char *h, uint64_t offset, struct seg_record *r) {
  if (memcmp(h, rec_magic, 4) || seg_u64(h + 32) != xxh3(h, 32)) return 0;
  r->type = seg_u32(h + 4);
  r->length = seg_u64(h + 8);
  r->time_ns = seg_u64(h + 16);
  r->xxh3 = seg_u64(h + 24);
  r->offset = offset;
  return r->length <= SEG_PAYLOAD_MAX;
}

static int all_zero(const unsigned char *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (p[i]) return 0;
  return 1;
}

/* From a damaged head: the next 8-byte step with a sound one, or the end. A tail of zeros only is what a file system
 * leaves of a write it never did: torn, not damaged. */
static enum status resync(const struct seg_source *s, struct window *w, uint64_t from, uint64_t *next, int *zeros, struct err *e) {
  struct seg_record r;
  const unsigned char *p;
  *zeros = 1;
  for (*next = from; *next < s->bytes; *next += 8) {
    size_t n = s->bytes - *next < SEG_RECORD_HEAD ? (size_t)(s->bytes - *next) : SEG_RECORD_HEAD;
    enum status st = look(s, w, *next, n, &p, e);
    if (st != STATUS_OK) return st;
    if (!p) break; /* the file shrank under us */
    if (n == SEG_RECORD_HEAD && *next > from && sound_head(p, *next, &r)) {
      *zeros = 0;
      return STATUS_OK;
    }
    if (*zeros) *zeros = all_zero(p, n < 8 ? n : 8);
  }
  *next = s->bytes;
  return STATUS_OK;
}

static enum status check_head(const struct seg_source *s, struct err *e) {
  unsigned char h[SEG_HEAD];
  size_t got;
  enum status st = read_at(s, 0, h, sizeof h, &got, e);
  if (st != STATUS_OK) return st;
  if (got < sizeof h || memcmp(h, seg_magic, 8) || seg_u64(h + 24) != xxh3(h, 24))
    return err_set(e, STATUS_DATA, "'%s': not a segment of a book (bad head): move it away, or restore it from a copy", s->name);
  if (seg_u32(h + 8) != SEG_VERSION)
    return err_set(e, STATUS_DATA, "'%s': book format version %u, this retort reads %d", s->name, seg_u32(h + 8), SEG_VERSION);
  return STATUS_OK;
}

enum status seg_scan(const struct seg_source *s, uint64_t from, enum status (*f)(void *ctx, const struct seg_record *r, struct err *e),
                     void *ctx, struct seg_report *rep, struct err *e) {
  enum status st = STATUS_OK;
  struct seg_record r;
  const unsigned char *p;
  struct window *w = NULL;
  memset(rep, 0, sizeof *rep);
  rep->end = from;
  if (from < SEG_HEAD) {
    if (s->bytes < SEG_HEAD) { /* killed while the file was made; nothing was ever committed in it */
      rep->torn_bytes = s->bytes;
      return STATUS_OK;
    }
    TRY(check_head(s, e));
    rep->end = from = SEG_HEAD;
  }
  if (from >= s->bytes) return STATUS_OK;
  w = mem_alloc(sizeof *w);
  if (!w) return err_nomem(e, sizeof *w);
  w->offset = w->n = 0;
  while (from < s->bytes) {
    if (s->bytes - from < SEG_RECORD_HEAD) break;
    TRY(look(s, w, from, SEG_RECORD_HEAD, &p, e));
    if (!p) break;
    if (!sound_head(p, from, &r)) {
      uint64_t next;
      int zeros;
      TRY(resync(s, w, from, &next, &zeros, e));
      if (zeros && next == s->bytes) break;
      if (!rep->damaged_bytes) rep->damaged_at = from;
      rep->damaged_bytes += next - from;
      rep->end = from = next;
      continue;
    }
    if (seg_record_end(&r) > s->bytes) break;
    rep->records++;
    TRY(f(ctx, &r, e));
    rep->end = from = seg_record_end(&r);
  }
  rep->torn_bytes = s->bytes - rep->end;
out:
  mem_free(w);
  return st;
}

enum status seg_payload_start(const struct seg_source *s, const struct seg_record *r, void *dst, size_t n, struct err *e) {
  size_t got;
  if (r->length < n) return err_set(e, STATUS_DATA, "'%s' byte %llu: record of %llu bytes, expected at least %zu", s->name, (unsigned long long)r->offset, (unsigned long long)r->length, n);
  enum status st = read_at(s, r->offset + SEG_RECORD_HEAD, dst, n, &got, e);
  if (st == STATUS_OK && got < n) st = err_set(e, STATUS_IO, "'%s': became shorter while it was read", s->name);
  return st;
}

enum status seg_record_at(const struct seg_source *s, uint64_t offset, struct seg_record *r, void *start, size_t n, struct err *e) {
  unsigned char h[SEG_RECORD_HEAD + 64];
  size_t got;
  n = n < 64 ? n : 64;
  enum status st = read_at(s, offset, h, SEG_RECORD_HEAD + n, &got, e);
  if (st != STATUS_OK) return st;
  if (got < SEG_RECORD_HEAD + n || !sound_head(h, offset, r) || r->length < n)
    return err_set(e, STATUS_CHECKSUM, "'%s' byte %llu: a record stood here and does not any more; see 'retort book verify'", s->name, (unsigned long long)offset);
  memcpy(start, h + SEG_RECORD_HEAD, n);
  return STATUS_OK;
}

/* After a power cut the last write may be zeros from some byte on: never synced, so never promised to anybody. Text never
 * ends in a NUL, so the last byte tells it from damage. */
static int never_written(const struct seg_source *s, const struct seg_record *r, const char *payload) {
  unsigned char next[64];
  size_t got;
  if (r->length == 0 || payload[r->length - 1] != 0) return 0;
  return read_at(s, seg_record_end(r), next, sizeof next, &got, NULL) == STATUS_OK && all_zero(next, got);
}

enum status seg_payload(const struct seg_source *s, const struct seg_record *r, struct arena *a, struct span *out, struct err *e) {
  *out = (struct span){ NULL, 0 };
  if (r->length > s->bytes) return err_set(e, STATUS_DATA, "'%s' byte %llu: record longer than its file", s->name, (unsigned long long)r->offset);
  char *p = arena_alloc(a, (size_t)r->length + 1);
  if (!p) return err_nomem(e, r->length + 1);
  enum status st = seg_payload_start(s, r, p, (size_t)r->length, e);
  if (st != STATUS_OK) return st;
  int sound = xxh3(p, (size_t)r->length) == r->xxh3;
  if (!sound && never_written(s, r, p)) return err_set(e, STATUS_DATA, "'%s' byte %llu: the last record was never written whole", s->name, (unsigned long long)r->offset);
  if (!sound)
    return err_set(e, STATUS_CHECKSUM, "'%s' byte %llu: the record's checksum is wrong; see 'retort book verify', drop it with 'retort book compact'",
                   s->name, (unsigned long long)r->offset);
  p[r->length] = 0;
  *out = (struct span){ p, (size_t)r->length };
  return STATUS_OK;
}

enum status seg_answer_parse(struct span v, struct seg_answer *a, struct err *e) {
  const unsigned char *p = (const unsigned char *)v.p;
  const size_t head = SEG_KEY + 24;
  uint64_t n[3], left;
  if (v.n < head) return err_set(e, STATUS_DATA, "answer record of %zu bytes, expected at least %zu", v.n, head);
  left = v.n - head;
  for (int i = 0; i < 3; i++) {
    n[i] = seg_u64(p + SEG_KEY + 8 * i);
    if (n[i] > left) return err_set(e, STATUS_DATA, "answer record: part %d of %llu bytes, only %llu are left", i, (unsigned long long)n[i], (unsigned long long)left);
    left -= n[i];
  }
  a->key = p;
  a->body = (struct span){ v.p + head, (size_t)n[0] };
  a->answer = (struct span){ a->body.p + n[0], (size_t)n[1] };
  a->meta = (struct span){ a->answer.p + n[1], (size_t)n[2] };
  return STATUS_OK;
}

struct seg_spender seg_spender(struct span v) {
  struct seg_spender s = { { "", 0 }, { "", 0 }, 1 };
  if (v.n < 16) return s;
  s.model = (struct span){ v.p + 16, v.n - 16 };
  const char *nl = memchr(s.model.p, '\n', s.model.n);
  if (!nl) return s;
  s.stage = (struct span){ nl + 1, (size_t)(v.p + v.n - nl - 1) };
  s.model.n = (size_t)(nl - s.model.p);
  nl = memchr(s.stage.p, '\n', s.stage.n);
  if (!nl) return s;
  s.stage.n = (size_t)(nl - s.stage.p);
  s.priced = nl + 1 == v.p + v.n || nl[1] != '?';
  return s;
}

enum status seg_note_parse(struct span v, struct span *kind, struct span *json, struct err *e) {
  if (v.n < 4 || seg_u32((const unsigned char *)v.p) > v.n - 4) return err_set(e, STATUS_DATA, "note record of %zu bytes is not sound", v.n);
  size_t n = seg_u32((const unsigned char *)v.p);
  *kind = (struct span){ v.p + 4, n };
  *json = (struct span){ v.p + 4 + n, v.n - 4 - n };
  return STATUS_OK;
}
