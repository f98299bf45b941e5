/* SPDX-License-Identifier: Apache-2.0
 * JSON Lines: every row goes to the sink by itself, so a file of any size passes in the memory of its longest row. */
#include "document.h"

int doc_sniff_rows(const struct doc_stream *s)
{
  size_t i = 0;
  if (doc_starts(s, 0, "\xef\xbb\xbf", 3)) {
    i = 3;
  }
  while (i < s->n_head && (s->head[i] == ' ' || s->head[i] == '\n' || s->head[i] == '\r' || s->head[i] == '\t')) {
    i++;
  }
  if (i >= s->n_head || s->head[i] != '{') {
    return 0;
  }
  if (doc_name_ends(s->name, ".jsonl") || doc_name_ends(s->name, ".ndjson")) {
    return 1;
  }
  const unsigned char *nl = memchr(s->head + i, '\n', s->n_head - i);
  struct span line = { (const char *)s->head + i, (nl ? (size_t)(nl - s->head) : s->n_head) - i };
  return (nl != NULL || s->n_head < DOC_HEAD) && span_check_json(line, NULL) == STATUS_OK;
}

static enum status give(struct doc_job *j, struct span line, uint64_t number, struct err *e)
{
  while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t')) {
    line.n--;
  }
  if (line.n == 0) {
    return STATUS_OK;
  }
  j->told = 1;
  return j->sink_status = j->sink->row(j->sink->ctx, j->s->uri, number, line, e);
}

enum status doc_rows(struct doc_job *j, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { .max_bytes = (size_t)j->o->max_document_bytes + ((size_t)1 << 17) };
  size_t got = 1, seen = 0; /* seen: bytes of b known to hold no newline */
  uint64_t number = 0;
  int first = 1;
  while (got > 0) {
    TRY(buf_reserve(&b, (size_t)1 << 16, e));
    TRY(doc_pull(j->s, b.p + b.n, (size_t)1 << 16, &got, e));
    b.n += got;
    size_t at = 0;
    if (first && b.n >= 3) {
      at = memcmp(b.p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
      first = 0;
    }
    for (const char *nl; (nl = memchr(b.p + at + seen, '\n', b.n - at - seen)) != NULL;) {
      TRY(give(j, (struct span){ b.p + at, (size_t)(nl - b.p) - at }, ++number, e));
      at = (size_t)(nl - b.p) + 1;
      seen = 0;
    }
    memmove(b.p, b.p + at, b.n - at);
    b.n -= at;
    seen = b.n;
    if (b.n > j->o->max_document_bytes) {
      st = doc_refuse(j, DOC_FAILED, "too large", e, "row %llu is longer than %llu bytes (--max-document)",
                      (unsigned long long)number + 1, (unsigned long long)j->o->max_document_bytes);
      goto out;
    }
  }
  if (b.n > 0) {
    TRY(give(j, (struct span){ b.p, b.n }, ++number, e));
  }
  if (!j->told) {
    st = doc_refuse(j, DOC_DROPPED, "empty", e, "no rows in it");
  }
out:
  buf_free(&b);
  return st;
}
