/* SPDX-License-Identifier: Apache-2.0
 * What the files of the book share. Everything below holds b->mu unless it says otherwise. */
#ifndef CORE_BOOK_INTERNAL_H
#define CORE_BOOK_INTERNAL_H
#include <pthread.h>
#include "book.h"
#include "book_segment.h"

struct seg {
  char *name, *path;
  int fd;           /* -1 while closed */
  int own, bad;     /* bad: head not of a book, said once */
  int closed;       /* its writer is gone: it never grows again */
  uint64_t scanned; /* bytes absorbed */
  uint32_t *chunk;  /* (n_chunk) place of each 4 MiB of it in the address space of the map, 0 = none yet */
  size_t n_chunk;
  int64_t probed_ns, grown_ns; /* monotonic time: last look for its writer; last growth seen */
};

struct entry { /* one journal answer */
  unsigned char key[SEG_KEY];
  uint32_t seg;
  uint64_t time_ns, offset, length, xxh3;
};

/* The map from keys to answers keeps 8 bytes of each, whatever the book's size: 24 bits of the key and where the record stands. Time,
 * length and the whole key are read from the record. 256 parts, each open addressing, grown by a quarter: a table that doubles as
 * a whole would need three times its size for a moment. */
enum { BOOK_MAP_PARTS = 256 };
struct map_part { uint64_t *slot; uint32_t n, cap; };
struct map_chunk { uint32_t seg, at; }; /* 4 MiB number `at` of a segment */

/* Reservations that are not settled. What is settled is forgotten: ids of one writer (tag) count up, so the highest one seen tells
 * a record that was read before (after a merge or a compaction that was killed). */
struct money_row { uint64_t id, reserved; };
struct money_tag { uint64_t tag, next; };
#define BOOK_MONEY_COUNT (((uint64_t)1 << 24) - 1) /* bits of an id that count */

struct claim_row { unsigned char key[SEG_KEY]; uint32_t seg, used; };

struct note_ref { uint32_t seg; struct seg_record rec; };

struct book {
  char *path;
  int flags, lock_fd, broken; /* broken: a sync failed, nothing more is promised */
  pthread_mutex_t mu;
  pthread_cond_t synced;
  struct seg *seg;
  size_t n_seg, cap_seg;
  struct map_part part[BOOK_MAP_PARTS];
  struct map_chunk *chunk; /* (n_chunk) number 0 is none */
  size_t n_chunk, cap_chunk;
  struct money_row *money;
  size_t n_money, cap_money;
  struct money_tag *tag;
  size_t n_tag, cap_tag, last_tag;
  uint64_t money_tag, money_next; /* of our own reservations */
  char stage[32];
  struct claim_row *claim;
  size_t n_claim, cap_claim;
  uint64_t spent; /* settled + reserved and not settled, micro-dollars */
  struct note_ref *note;
  size_t n_note, cap_note;
  struct buf out;      /* encoded, not yet written */
  int own;             /* index of our segment, -1 before the first write */
  uint64_t flushed;    /* bytes of our segment in the file */
  uint64_t durable;    /* of these, synced */
  int syncing, fd_open;
  size_t fd_hand, fd_kept; /* fd_kept: 1 + the segment that is being scanned: its descriptor is not given up; 0 = none */
  int64_t refreshed_ns; /* monotonic time of the last look at the folder */
  struct book_index *index; /* SQLite cache, NULL when there is none */
};

enum { BOOK_NO_INDEX = 1 << 8 }; /* book_open: everything from the segments */
extern const char book_marker[], book_marker_text[];
uint64_t book_time_ns(void);
MUST_USE enum status book_source(struct book *b, size_t seg, struct seg_source *s, struct err *e);
MUST_USE enum status book_seg_new(struct book *b, const char *name, struct seg **out, struct err *e);
int64_t book_monotonic_ns(void);
MUST_USE enum status book_note_add(struct book *b, uint32_t seg, const struct seg_record *r, struct err *e);
MUST_USE enum status book_scan_all(struct book *b, struct err *e);
MUST_USE enum status book_scan_seg(struct book *b, size_t seg, struct err *e);
/* The lock of the whole folder: "look at everybody's records, add mine" in one step. *locked = 0 with STATUS_OK where the file
 * system has no locks (said once). */
MUST_USE enum status book_lock(struct book *b, int *locked, struct err *e);
void book_unlock(struct book *b);
MUST_USE enum status book_append(struct book *b, uint32_t type, const struct span *parts, size_t n, struct err *e);
MUST_USE enum status book_flush(struct book *b, struct err *e); /* writes, does not sync */
MUST_USE enum status book_sync(struct book *b, struct err *e);  /* group commit; gives mu back while it waits */

MUST_USE enum status book_map_add(struct book *b, const struct entry *en, struct err *e); /* of equal keys the earlier time stays */
MUST_USE enum status book_map_get(struct book *b, const unsigned char key[SEG_KEY], struct entry *en, int *found, struct err *e);
void book_map_free(struct book *b); /* the map's memory, not that of the segments' chunks */
MUST_USE enum status book_money_add(struct book *b, uint32_t type, uint64_t id, uint64_t micro_usd, struct err *e);
MUST_USE enum status book_money_seen(struct book *b, uint64_t id, struct err *e);

#define BOOK_ANY_SEG UINT32_MAX
MUST_USE enum status book_claim_add(struct book *b, const unsigned char *key, uint32_t seg, struct err *e);
void book_claim_end(struct book *b, const unsigned char *key, uint32_t seg); /* of one segment, or of BOOK_ANY_SEG */

/* Names of the segments in a book's folder, sorted (so by the time they were begun); no lock needed. */
MUST_USE enum status book_segments(const char *path, struct arena *a, const char ***names, size_t *n, struct err *e);
#endif
