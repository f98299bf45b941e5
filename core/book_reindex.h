/* SPDX-License-Identifier: Apache-2.0
 * The number of the index's tables; a file with another one is rebuilt. */
#ifndef CORE_BOOK_REINDEX_H
#define CORE_BOOK_REINDEX_H
enum { BOOK_INDEX_VERSION = 3 };
#endif
