/* SPDX-License-Identifier: Apache-2.0
 * The book: a folder that many processes (also on a network file system) append to. Each process writes its own segment
 * file (records with length, type and XXH3; group commit by fsync); a SQLite index beside them is a cache that can be
 * rebuilt. It holds (1) the journal of teacher answers, (2) money and tokens, (3) the ledger, (4) provenance.
 * On-disk format: docs/formats.md, "Book". All calls are thread safe on one struct book. */
#ifndef CORE_BOOK_H
#define CORE_BOOK_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

struct book;
enum { BOOK_READ = 1, BOOK_CREATE = 2 };
MUST_USE enum status book_open(const char *path, int flags, struct book **b, struct err *e);
/* Commits what is pending, then closes. Accepts NULL. */
MUST_USE enum status book_close(struct book *b, struct err *e);
const char *book_path(const struct book *b);

/* ---- journal ---- key = SHA-256 over (teacher identity, exact request body, sample ordinal). 0 = no memory: key is not to be used. */
int book_key(struct span identity, struct span body, uint32_t ordinal, unsigned char key[32]);
struct book_answer {
  struct span body;     /* request, compared on a hit */
  struct span answer;   /* response JSON exactly as the dialect wants it back */
  struct span meta;     /* JSON object: teacher, usage, usd, time, http status, attempts */
};
/* *found = 1 and ans filled (arena memory) when the journal holds an answer under key whose body is the same.
 * Failed answers are not found here. An answer of this process that is not yet committed is committed first. Answers
 * that other processes commit later are found too (the folder is looked at again at most five times a second).
 * STATUS_CHECKSUM when the stored record is damaged. */
MUST_USE enum status book_find(struct book *b, const unsigned char key[32], struct span body, struct arena *a,
                               struct book_answer *ans, int *found, struct err *e);
/* The same whatever the body is: for looking up what a record's `key` names. */
MUST_USE enum status book_find_key(struct book *b, const unsigned char key[32], struct arena *a, struct book_answer *ans, int *found, struct err *e);
/* Appends an answer. Durable (fsynced) when book_commit returns; callers pass an answer on only after that. */
MUST_USE enum status book_put(struct book *b, const unsigned char key[32], const struct book_answer *ans, struct err *e);
/* Keeps an answer that was refused for good (type failed): for the record and for `book retry`, never found as an answer. */
MUST_USE enum status book_put_failed(struct book *b, const unsigned char key[32], const struct book_answer *ans, struct err *e);
MUST_USE enum status book_commit(struct book *b, struct err *e); /* group commit of everything put so far */
/* Questions that failed and that nobody answered since, in the order of their last failures; the list stays as it is when answers come. */
struct book_failed;
MUST_USE enum status book_failed_list(struct book *b, struct book_failed **list, size_t *n, struct err *e);
/* ans: body as it was asked, no answer, meta {"identity","ordinal","reason","time"}; arena memory. */
MUST_USE enum status book_failed_at(struct book *b, const struct book_failed *list, size_t i, unsigned char key[32], struct arena *a,
                                    struct book_answer *ans, struct err *e);
void book_failed_free(struct book_failed *list);

/* ---- claims ---- Before a question is asked it is claimed, so that no two processes of one book ask it at once. A claim ends with
 * the answer, with a failure put by its owner, or with its owner's process. */
enum { CLAIM_OURS = 1, CLAIM_ELSEWHERE, CLAIM_ANSWERED };
struct book_claim { const unsigned char *key; int state; }; /* state is filled */
/* OURS: ask it now. ELSEWHERE: another living process does; call again a little later. ANSWERED: book_find has it. */
MUST_USE enum status book_claim(struct book *b, struct book_claim *c, size_t n, struct err *e);

/* ---- money ---- reserved before a request is sent, settled after (micro-dollars); an unsettled one counts as spent.
 * The limit is of the whole book (all models, all processes, all time); UINT64_MAX = none. A reservation is durable when
 * the call returns; a settlement with the next commit. */
MUST_USE enum status book_reserve(struct book *b, const char *model, uint64_t micro_usd, uint64_t limit_micro_usd,
                                  uint64_t *reservation, struct err *e); /* STATUS_LIMIT when it would pass the limit */
/* Several in one step: the first *granted of them got a reservation, the rest would pass the limit (e then says how; the status is OK
 * all the same). Without a limit nothing is locked or synced. priced = 0: their price is not known (for `retort cost`). */
struct book_money { uint64_t micro_usd, reservation; };
MUST_USE enum status book_reserve_all(struct book *b, const char *model, int priced, struct book_money *m, size_t n, uint64_t limit_micro_usd,
                                      size_t *granted, struct err *e);
/* Who spends: the stage's name, kept with every reservation from now on (at most 31 bytes). */
void book_spender(struct book *b, const char *stage);
MUST_USE enum status book_settle(struct book *b, uint64_t reservation, uint64_t micro_usd, uint64_t tokens_in,
                                 uint64_t tokens_out, struct err *e);

MUST_USE enum status book_spent(struct book *b, uint64_t *micro_usd, struct err *e); /* settled and reserved, all processes */

/* ---- ledger ---- one JSON object a line of history: stage runs, opened and closed. See ledger.h for the counts. */
MUST_USE enum status book_note(struct book *b, const char *kind, struct span json, struct err *e); /* durable on return */
/* Calls f for every note of the kind, all segments, in (time, segment, offset) order. */
MUST_USE enum status book_notes(struct book *b, const char *kind,
                                enum status (*f)(void *ctx, struct span json, struct err *e), void *ctx, struct err *e);

/* ---- upkeep ---- */
MUST_USE enum status book_verify(const char *path, struct buf *report, struct err *e); /* every record of every segment */
MUST_USE enum status book_reindex(const char *path, struct err *e);
/* Brings the segments of the book `from` into the book `to` (made when missing); copied = segments new or longer. */
MUST_USE enum status book_merge(const char *to, const char *from, uint64_t *copied, struct err *e);
/* Rewrites all segments nobody writes to as one, without duplicate answers and damaged records. STATUS_USAGE while a
 * process still writes to the book. kept, dropped: records. */
MUST_USE enum status book_compact(const char *path, uint64_t *kept, uint64_t *dropped, struct err *e);
/* The same, leaving out the answers (good and failed) under these keys (n of 32 bytes, sorted by the call). */
MUST_USE enum status book_forget(const char *path, unsigned char *keys, size_t n, uint64_t *answers, struct err *e);

#endif
