/* SPDX-License-Identifier: Apache-2.0
 * Documents from outside: any bytes through every kind (PDF without its child process) and the front matter reader: a document, a refusal, never a crash. Texts
 * must come out as valid UTF-8, within the bounds. The first byte picks a forced kind or none. */
#include "charset.h"
#include "document.h"
#include "yaml_json.h"

struct input { const uint8_t *p; size_t n, at; };

static enum status pull(void *ctx, void *p, size_t n, size_t *got, struct err *e)
{
  struct input *in = ctx;
  (void)e;
  n = n < 777 ? n : 777; /* in pieces */
  *got = in->n - in->at < n ? in->n - in->at : n;
  memcpy(p, in->p + in->at, *got);
  in->at += *got;
  return STATUS_OK;
}

static enum status document(void *ctx, const struct document *d, struct err *e)
{
  (void)ctx;
  (void)e;
  for (size_t i = 0; i < d->text.n;) {
    size_t len = charset_sequence((const unsigned char *)d->text.p + i, d->text.n - i);
    if (len == 0) {
      abort();
    }
    i += len;
  }
  return STATUS_OK;
}

static enum status row(void *ctx, const char *uri, uint64_t line, struct span r, struct err *e)
{
  (void)ctx;
  (void)uri;
  (void)line;
  (void)e;
  if (r.n == 0 || memchr(r.p, '\n', r.n) != NULL) {
    abort();
  }
  return STATUS_OK;
}

static enum status refused(void *ctx, const char *uri, enum doc_outcome how, const char *reason, const char *detail, struct err *e)
{
  (void)ctx;
  (void)uri;
  (void)how;
  (void)e;
  if (reason[0] == '\0' || detail[0] == '\0') {
    abort();
  }
  return STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  static const char *const types[] = { NULL, "html", "jsonl", "markdown", "text", "archive" };
  static const char *const names[] = { "x", "x.docx", "x.html", "x.jsonl" };
  if (n < 1) {
    return 0;
  }
  struct input in = { p + 1, n - 1, 0 };
  struct doc_options o = { 1 << 20, 1 << 22, "auto", types[p[0] % 6], 5 };
  struct doc_sink sink = { document, row, refused, NULL };
  struct doc_stream s = { .read = pull, .ctx = &in, .uri = "fuzz", .name = names[p[0] / 6 % 4] };
  struct err e;
  setenv("PATH", "/nonexistent", 1); /* no pdftotext: a PDF must be refused with a message */
  struct buf json = { 0 };
  struct err ye;
  if (yaml_to_json((struct span){ (const char *)p + 1, n - 1 }, "fuzz", 0, &json, &ye) == STATUS_OK &&
      span_check_json((struct span){ json.p, json.n }, &ye) != STATUS_OK) {
    abort(); /* front matter of any document becomes valid JSON or an error */
  }
  buf_free(&json);
  if (document_read(&s, &o, &sink, 0, &e) != STATUS_OK && e.code != STATUS_NOMEM) {
    abort();
  }
  return 0;
}
