/* SPDX-License-Identifier: Apache-2.0
 * One page in two forms at once, Markdown and HTML (no outside scripts or styles), and counts of texts. Used by data_card.c and
 * review.c. Texts are escaped; nothing that a row says can become markup. */
#ifndef CORPORA_DATA_PAGE_H
#define CORPORA_DATA_PAGE_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

struct page { struct buf md, html; };
MUST_USE enum status page_open(struct page *p, const char *title, struct err *e);
MUST_USE enum status page_heading(struct page *p, const char *text, struct err *e);
MUST_USE enum status page_text(struct page *p, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A table: head, rows, end. Cells are given as spans. */
MUST_USE enum status page_row(struct page *p, const struct span *cell, size_t n, int head, struct err *e);
MUST_USE enum status page_table_end(struct page *p, struct err *e);
MUST_USE enum status page_sample(struct page *p, struct span id, struct span text, struct err *e); /* cut to 1,500 bytes */
MUST_USE enum status page_close(struct page *p, struct err *e);
void page_free(struct page *p);
MUST_USE enum status page_escape(struct buf *b, struct span text, struct err *e); /* & < > " as entities */

#define COUNTS_MOST 4096 /* different texts; the rest is counted as others */
struct counts {
  struct count { char *text; uint64_t n; } *of;
  size_t n, cap;
  uint64_t others;
};
MUST_USE enum status counts_add(struct counts *c, struct span text, uint64_t n, struct err *e);
void counts_sort(struct counts *c); /* most first, equal ones by text */
MUST_USE enum status counts_table(struct page *p, const struct counts *c, const char *what, size_t most, struct err *e);
void counts_free(struct counts *c);
#endif
