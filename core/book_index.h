/* SPDX-License-Identifier: Apache-2.0
 * The SQLite index of a book: a cache of what the segments say, rebuilt at any time (`retort book index`), queried by
 * users, and used at opening so that covered bytes need no scan. Only core/book*.c use it. Tables: docs/formats.md, "Book". */
#ifndef CORE_BOOK_INDEX_H
#define CORE_BOOK_INDEX_H
#include "book_internal.h"
struct book_index;
/* Opens the index and takes its segments, notes and money total into b. *ix = NULL when there is none, or when it does
 * not fit the segments any more (said at debug level): everything is scanned then. */
MUST_USE enum status book_index_open(struct book *b, struct book_index **ix, struct err *e);
void book_index_close(struct book_index *ix);
MUST_USE enum status book_index_find(struct book *b, const unsigned char key[SEG_KEY], struct entry *en, int *found, struct err *e);
#endif
