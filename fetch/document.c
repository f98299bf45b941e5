/* SPDX-License-Identifier: Apache-2.0
 * The table of document kinds, how one is chosen, and what all kinds share: peeking, slurping with a cap, refusing. */
#include "document.h"
#include <stdarg.h>
#include <strings.h>
#include "charset.h"
#include "hash.h"
#include "stop.h"

/* Content decides before names do: rows with a sniff function are asked first, in this order; then suffixes; then text. */
const struct doc_kind doc_kinds[] = {
  { "pdf", doc_sniff_pdf, ".pdf", doc_pdf },
  { "archive", doc_sniff_archive, ".zip .tar .gz .zst .tgz .xz .bz2 .docx", doc_archive },
  { "html", doc_sniff_html, ".html .htm .xhtml", doc_html },
  { "jsonl", doc_sniff_rows, ".jsonl .ndjson", doc_rows },
  { "markdown", NULL, ".md .markdown", doc_markdown },
  { "text", NULL, NULL, doc_text },
  { NULL, NULL, NULL, NULL },
};

int doc_name_ends(const char *name, const char *suffix)
{
  size_t n = strlen(name), m = strlen(suffix);
  return n >= m && strncasecmp(name + n - m, suffix, m) == 0;
}

int doc_starts(const struct doc_stream *s, size_t at, const char *magic, size_t n)
{
  return s->n_head >= at + n && memcmp(s->head + at, magic, n) == 0;
}

static int name_in(const char *name, const char *suffixes)
{
  char one[16];
  while (suffixes != NULL && *suffixes != '\0') {
    size_t n = strcspn(suffixes, " ");
    if (n < sizeof one) {
      memcpy(one, suffixes, n);
      one[n] = '\0';
      if (doc_name_ends(name, one)) {
        return 1;
      }
    }
    suffixes += n + (suffixes[n] == ' ');
  }
  return 0;
}

static const struct doc_kind *kind_of(const struct doc_stream *s, const char *forced)
{
  const struct doc_kind *text = NULL;
  for (const struct doc_kind *k = doc_kinds; k->name != NULL; k++) {
    if (forced != NULL && strcmp(forced, k->name) == 0) {
      return k;
    }
    text = k;
  }
  for (const struct doc_kind *k = doc_kinds; k->name != NULL; k++) {
    if (k->sniff != NULL && k->sniff(s)) {
      return k;
    }
  }
  /* A name alone makes text of markup, never an archive or a PDF out of bytes that are none. */
  for (const struct doc_kind *k = doc_kinds; k->name != NULL; k++) {
    if (k->extract != doc_archive && k->extract != doc_pdf && name_in(s->name, k->suffixes)) {
      return k;
    }
  }
  return text;
}

enum status doc_peek(struct doc_stream *s, struct err *e)
{
  enum status st = STATUS_OK;
  s->n_head = s->at = 0;
  for (size_t got = 1; got > 0 && s->n_head < DOC_HEAD; s->n_head += got) {
    TRY(s->read(s->ctx, s->head + s->n_head, DOC_HEAD - s->n_head, &got, e));
  }
out:
  return st;
}

enum status doc_pull(struct doc_stream *s, void *p, size_t n, size_t *got, struct err *e)
{
  if (stop_requested()) {
    return err_set(e, STATUS_STOPPED, "stopped by a signal");
  }
  if (s->at < s->n_head) {
    *got = s->n_head - s->at < n ? s->n_head - s->at : n;
    memcpy(p, s->head + s->at, *got);
    s->at += *got;
    return STATUS_OK;
  }
  if (s->n_head < DOC_HEAD) {
    *got = 0; /* peeking saw the end already; a terminal would have to be told twice */
    return STATUS_OK;
  }
  return s->read(s->ctx, p, n, got, e);
}

enum status doc_slurp(struct doc_job *j, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  size_t got = 1;
  b->max_bytes = (size_t)j->o->max_document_bytes + ((size_t)1 << 17);
  while (got > 0) {
    TRY(buf_reserve(b, (size_t)1 << 16, e));
    TRY(doc_pull(j->s, b->p + b->n, (size_t)1 << 16, &got, e));
    b->n += got;
    b->p[b->n] = '\0';
    if (b->n > j->o->max_document_bytes) {
      return doc_refuse(j, DOC_FAILED, "too large", e, "more than %llu bytes (--max-document)",
                        (unsigned long long)j->o->max_document_bytes);
    }
  }
out:
  return st;
}

enum status doc_refuse(struct doc_job *j, enum doc_outcome how, const char *reason, struct err *e, const char *fmt, ...)
{
  char text[1000];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  j->reason = reason;
  j->how = how;
  return err_set(e, STATUS_DATA, "%s", text);
}

enum status doc_emit(struct doc_job *j, struct span source, struct span text, struct span title, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf utf8 = { 0 }, utf8_title = { 0 };
  struct document d = { .uri = j->s->uri, .kind = j->kind };
  struct charset_info info = { 0 };
  TRY(charset_to_utf8(text, j->o->encoding, &utf8, &info, e));
  if (info.binary) {
    st = doc_refuse(j, DOC_DROPPED, "binary", e, "holds NUL bytes: not a text and of no known kind");
    goto out;
  }
  charset_count(&info, j->s->uri);
  TRY(charset_to_utf8(title, "utf-8", &utf8_title, &info, e));
  d.text = (struct span){ utf8.p, utf8.n };
  d.title = (struct span){ utf8_title.p, utf8_title.n };
  sha256_of(source.p ? source.p : "", source.n, d.sha256);
  j->told = 1;
  st = j->sink_status = j->sink->document(j->sink->ctx, &d, e);
out:
  buf_free(&utf8);
  buf_free(&utf8_title);
  return st;
}

enum status document_read(struct doc_stream *s, const struct doc_options *o, const struct doc_sink *sink, int depth, struct err *e)
{
  struct doc_job j = { .s = s, .o = o, .sink = sink, .depth = depth, .how = DOC_FAILED };
  struct err own = { 0 };
  enum status st = doc_peek(s, &own);
  if (st == STATUS_OK && s->n_head == 0) {
    st = doc_refuse(&j, DOC_DROPPED, "empty", &own, "no bytes in it");
  }
  if (st == STATUS_OK) {
    const struct doc_kind *k = kind_of(s, o->type);
    j.kind = k->name;
    st = k->extract(&j, &own);
  }
  if (st == STATUS_OK) {
    return STATUS_OK;
  }
  if (j.sink_status != STATUS_OK || st == STATUS_NOMEM || st == STATUS_STOPPED) {
    return err_set(e, st, "%s", own.msg);
  }
  return sink->refused(sink->ctx, s->uri, j.how, j.reason != NULL ? j.reason : "unreadable", own.msg, e);
}
