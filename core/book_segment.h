/* SPDX-License-Identifier: Apache-2.0
 * One segment file of the book: format, reading with resynchronisation, encoding. Only core/book*.c and its tests use it.
 * A segment is a 32-byte head and records; a record is a 40-byte head and its payload, padded to 8 bytes with zeros.
 * All integers are little-endian. docs/formats.md, "Book". */
#ifndef CORE_BOOK_SEGMENT_H
#define CORE_BOOK_SEGMENT_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

enum { SEG_HEAD = 32, SEG_RECORD_HEAD = 40, SEG_KEY = 32 };
#define SEG_PAYLOAD_MAX ((uint64_t)1 << 32)
enum seg_type { SEG_ANSWER = 1, SEG_FAILED = 2, SEG_RESERVE = 3, SEG_SETTLE = 4, SEG_NOTE = 5, SEG_CLAIM = 6, SEG_TYPES };

/* Where bytes come from: a file descriptor, or memory when fd is -1 (tests, fuzzing). */
struct seg_source { int fd; const unsigned char *p; uint64_t bytes; const char *name; };

struct seg_record {
  uint32_t type;
  uint64_t time_ns, offset, length; /* offset of the record head; length of the payload */
  uint64_t xxh3;                    /* of the payload, as the head claims */
};
static inline uint64_t seg_padded(uint64_t n) { return (n + 7) & ~(uint64_t)7; }
static inline uint64_t seg_record_end(const struct seg_record *r) { return r->offset + SEG_RECORD_HEAD + seg_padded(r->length); }

void seg_put_u32(unsigned char *p, uint32_t v);
void seg_put_u64(unsigned char *p, uint64_t v);
uint32_t seg_u32(const unsigned char *p);
uint64_t seg_u64(const unsigned char *p);

MUST_USE enum status seg_put_head(struct buf *out, uint64_t time_ns, struct err *e);
/* Appends a whole record whose payload is the parts one after the other. */
MUST_USE enum status seg_put_record(struct buf *out, uint32_t type, uint64_t time_ns, const struct span *parts, size_t n_parts, struct err *e);

/* What a pass over a segment met besides records. */
struct seg_report { uint64_t records, damaged_bytes, damaged_at, torn_bytes, end; };
/* Calls f for every record with a sound head from byte `from` on (0 = the start, else the `end` of an earlier report).
 * Payloads are not checked. A damaged head is skipped up to the next sound one (damaged_bytes); a last record that the
 * file does not hold whole is torn: reported, not given to f, and rep->end stands before it.
 * STATUS_DATA when the segment's head is not one of a book. */
MUST_USE enum status seg_scan(const struct seg_source *s, uint64_t from,
                              enum status (*f)(void *ctx, const struct seg_record *r, struct err *e), void *ctx,
                              struct seg_report *rep, struct err *e);
/* Payload in arena memory, its hash checked: STATUS_CHECKSUM names segment and byte; STATUS_DATA for a last record whose
 * end is zeros (a power cut before the sync). */
MUST_USE enum status seg_payload(const struct seg_source *s, const struct seg_record *r, struct arena *a, struct span *out, struct err *e);
/* The record whose head stands at offset, and the first n bytes of its payload (unchecked). STATUS_CHECKSUM when no sound head is there. */
MUST_USE enum status seg_record_at(const struct seg_source *s, uint64_t offset, struct seg_record *r, void *start, size_t n, struct err *e);
/* First n bytes of the payload, unchecked (keys while scanning). */
MUST_USE enum status seg_payload_start(const struct seg_source *s, const struct seg_record *r, void *dst, size_t n, struct err *e);

/* Payload of SEG_ANSWER and SEG_FAILED: key, three lengths, body, answer, meta. */
struct seg_answer { const unsigned char *key; struct span body, answer, meta; };
MUST_USE enum status seg_answer_parse(struct span payload, struct seg_answer *a, struct err *e);
/* Behind the numbers of SEG_RESERVE: "MODEL", "MODEL\nSTAGE" or "MODEL\nSTAGE\n?" (no price was known). */
struct seg_spender { struct span model, stage; int priced; };
struct seg_spender seg_spender(struct span payload);
/* Payload of SEG_NOTE: length of the kind, kind, JSON. */
MUST_USE enum status seg_note_parse(struct span payload, struct span *kind, struct span *json, struct err *e);
#endif
