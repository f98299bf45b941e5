/* SPDX-License-Identifier: Apache-2.0
 * Documents: bytes of one input become text with a title and a hash. A kind of document is one file (doc_*.c) and one row of
 * the table in document.c; it is recognised by its content first, then by its name. Containers (archives) hand their members
 * back to document_read. Used by the fetch stage only. */
#ifndef FETCH_DOCUMENT_H
#define FETCH_DOCUMENT_H
#include "err.h"
#include "mem.h"
#include "span.h"

#define DOC_HEAD 4096 /* bytes looked at to recognise a kind */

/* Bytes of one input, pulled. *got = 0 at the end. */
struct doc_stream {
  enum status (*read)(void *ctx, void *p, size_t n, size_t *got, struct err *e);
  void *ctx;
  const char *uri;  /* meta.source: path, URL, "archive.zip!/member" */
  const char *name; /* for kinds recognised by name */
  unsigned char head[DOC_HEAD];
  size_t n_head, at; /* bytes peeked, bytes of them handed out again */
};

struct document {
  const char *uri, *kind;
  struct span text;  /* valid UTF-8, '\n' line ends, no byte order mark */
  struct span title; /* or {NULL,0} */
  unsigned char sha256[32]; /* of the source bytes */
};

enum doc_outcome { DOC_DROPPED, DOC_FAILED };

/* Where documents go. Every input ends in exactly one call of document, row or refused. */
struct doc_sink {
  enum status (*document)(void *ctx, const struct document *d, struct err *e);
  enum status (*row)(void *ctx, const char *uri, uint64_t line, struct span row, struct err *e); /* a row of a JSON Lines input */
  /* reason: short and from a fixed set (a ledger key); detail: the message for people. */
  enum status (*refused)(void *ctx, const char *uri, enum doc_outcome how, const char *reason, const char *detail, struct err *e);
  void *ctx;
};

struct doc_options {
  uint64_t max_document_bytes; /* of one document in memory */
  uint64_t max_unpacked_bytes; /* of one archive, all members together */
  const char *encoding;        /* auto, utf-8, latin-1 */
  const char *type;            /* kind by force, or NULL */
  int64_t pdf_timeout_s;
};

/* Reads one input to its end. A bad document is told to the sink and gives STATUS_OK; a status comes back only for what must
 * stop the stage (memory, a closed pipe, Ctrl-C). */
MUST_USE enum status document_read(struct doc_stream *s, const struct doc_options *o, const struct doc_sink *sink, int depth,
                                   struct err *e);

/* ---- for the kinds ---- */
struct doc_job {
  struct doc_stream *s;
  const struct doc_options *o;
  const struct doc_sink *sink;
  int depth;
  const char *kind;
  const char *reason;   /* set by doc_refuse */
  enum doc_outcome how;
  int told;             /* the sink has heard of this input */
  enum status sink_status; /* an error of the sink, to be told from one of the document */
};
struct doc_kind {
  const char *name;
  int (*sniff)(const struct doc_stream *s); /* by the first bytes; NULL = by name only */
  const char *suffixes;                     /* ".htm .html", or NULL */
  enum status (*extract)(struct doc_job *j, struct err *e);
};
extern const struct doc_kind doc_kinds[];

MUST_USE enum status doc_peek(struct doc_stream *s, struct err *e);
MUST_USE enum status doc_pull(struct doc_stream *s, void *p, size_t n, size_t *got, struct err *e); /* head first, then read */
MUST_USE enum status doc_slurp(struct doc_job *j, struct buf *b, struct err *e); /* all bytes, at most max_document_bytes */
/* The document is refused: notes reason and how, sets the message, returns STATUS_DATA. */
MUST_USE enum status doc_refuse(struct doc_job *j, enum doc_outcome how, const char *reason, struct err *e, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
/* Hands a document on; text is made valid UTF-8 with '\n' line ends first. source: the bytes that are hashed. */
MUST_USE enum status doc_emit(struct doc_job *j, struct span source, struct span text, struct span title, struct err *e);

int doc_starts(const struct doc_stream *s, size_t at, const char *magic, size_t n);
int doc_name_ends(const char *name, const char *suffix); /* ASCII case does not matter */

int doc_sniff_pdf(const struct doc_stream *s);
int doc_sniff_archive(const struct doc_stream *s);
int doc_sniff_html(const struct doc_stream *s);
int doc_sniff_rows(const struct doc_stream *s);
enum status doc_text(struct doc_job *j, struct err *e);
enum status doc_markdown(struct doc_job *j, struct err *e);
enum status doc_html(struct doc_job *j, struct err *e);
enum status doc_pdf(struct doc_job *j, struct err *e);
enum status doc_rows(struct doc_job *j, struct err *e);
enum status doc_archive(struct doc_job *j, struct err *e);
/* Visible text of word/document.xml and the title of docProps/core.xml: called by doc_archive, which finds them. */
MUST_USE enum status docx_text(struct span xml, struct buf *text, struct err *e);
MUST_USE enum status docx_title(struct span xml, struct buf *title, struct err *e);
#endif
