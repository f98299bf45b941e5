/* SPDX-License-Identifier: Apache-2.0
 * The SQLite index of a book: a cache of what the segments say, rebuilt at any time (`retort book index`), queried by
 * users, and used at opening so that covered bytes need no scan. Only core/book*.c use it. */
#ifndef CORE_BOOK_INDEX_H
#define CORE_BOOK_INDEX_H
#include "book_internal.h"
struct book_index;
/* *ix = NULL when there is no index, or it is not usable (said at debug level): the segments are scanned then. */
MUST_USE enum status book_index_open(struct book *b, struct book_index **ix, struct err *e);
void book_index_close(struct book_index *ix);
/* Bytes of the segment that the index holds; 0 without an index. */
uint64_t book_index_covers(struct book_index *ix, const char *segment);
MUST_USE enum status book_index_find(struct book *b, const unsigned char key[SEG_KEY], struct entry *en, int *found, struct err *e);
#endif
