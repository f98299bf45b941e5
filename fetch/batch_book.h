/* SPDX-License-Identifier: Apache-2.0
 * What a book knows of batches: parts (files of requests that were or will be one batch at the server), which questions wait in
 * them, which were refused for good. A part is a file in the book's folder, written before anything is sent, and notes of kind
 * "batch" that say how far it got (docs/formats.md, "Batches"); both are durable before the next step, so that a kill at any
 * moment neither loses a batch nor makes it twice. One process at a time works on the batches of one teacher of a book. */
#ifndef FETCH_BATCH_BOOK_H
#define FETCH_BATCH_BOOK_H
#include "book.h"
#include "file.h"
#include "mem.h"
#include "span.h"

/* A question that was in a batch before. */
enum batch_key_state { BATCH_WAITS, BATCH_REFUSED, BATCH_AGAIN };
struct batch_key {
  unsigned char key[32];   /* of the journal */
  enum batch_key_state state;
  unsigned tries;          /* of AGAIN: how often its answer was a transient failure (not: expired) */
  const char *reason;      /* of REFUSED: for the ledger */
  struct batch_key *next;
};

struct batch_part {
  char name[17];           /* 16 hex digits */
  const char *batch;       /* id at the server, NULL = not known to have been made */
  int closed;
  int64_t sending;         /* when the server was about to be asked to make it, seconds since 1970; 0 = it never was */
  uint64_t reservation, reserved; /* money, in micro-dollars; 0 = none */
  size_t requests;
  struct batch_part *next; /* in the order of submission */
};

struct batch_book {
  struct book *book;
  const char *identity;
  struct arena *a;
  int lock;                /* file descriptor */
  struct batch_key **bucket;
  struct batch_part *part, *last;
};

/* Takes the lock (STATUS_STOPPED when another process has it), reads notes and files. */
MUST_USE enum status batch_book_open(struct batch_book *b, struct book *book, const char *identity, struct err *e);
void batch_book_close(struct batch_book *b);
/* NULL when the question was never in a batch. */
struct batch_key *batch_book_key(const struct batch_book *b, const unsigned char key[32]);
MUST_USE enum status batch_book_set_key(struct batch_book *b, const unsigned char key[32], enum batch_key_state state, const char *reason, struct err *e);

/* A new part of these lines with the money reserved for it: its file, then its note. */
MUST_USE enum status batch_book_add(struct batch_book *b, struct span lines, size_t requests, const struct book_money *m, struct batch_part **part,
                                    struct err *e);
/* From now on the batch may exist at the server. */
MUST_USE enum status batch_book_sending(struct batch_book *b, struct batch_part *p, struct err *e);
MUST_USE enum status batch_book_made(struct batch_book *b, struct batch_part *p, const char *batch, struct err *e);
/* What became of a part: refused and again are JSON (an object key -> reason, an array of keys). Its file goes. */
MUST_USE enum status batch_book_shut(struct batch_book *b, struct batch_part *p, const char *status, size_t answered, struct span refused,
                                     struct span again, struct err *e);
/* Path of the part's file; arena memory of b. */
char *batch_book_file(const struct batch_book *b, const struct batch_part *p);

void batch_key_hex(const unsigned char key[32], char out[65]);
int batch_key_read(struct span hex, unsigned char key[32]); /* 1 when it is 64 hex digits */
#endif
