/* SPDX-License-Identifier: Apache-2.0
 * Inside of `retort convert`: a format that others read is one file corpora/convert_NAME.c with `const struct format
 * format_NAME` and one row in formats.def. It gets samples of a shard folder or rows of a file, in order. */
#ifndef CORPORA_CONVERT_H
#define CORPORA_CONVERT_H
#include "err.h"
#include "mem.h"
#include "shard.h"
#include "span.h"
#include "stage.h"

struct convert {
  struct ctx *c;
  const char *source, *folder; /* folder: written beside, NULL for formats that go to stdout */
  const struct shard_info *info; /* NULL when the source is rows */
  struct shard_reader *reader;
  struct arena *a;     /* reset between samples or rows */
  uint64_t n;          /* samples or rows so far */
  uint64_t part_bytes; /* a new part begins above it */
  void *state;         /* the format's own */
};
enum { FORMAT_SAMPLES = 1, FORMAT_ROWS = 2, FORMAT_STDOUT = 4 };
struct format {
  const char *name, *what;
  unsigned takes;
  enum status (*open)(struct convert *k, struct err *e);
  enum status (*sample)(struct convert *k, const struct sample *s, struct err *e); /* about is set */
  enum status (*row)(struct convert *k, const struct record *r, struct err *e);    /* messages normalised */
  enum status (*close)(struct convert *k, struct err *e);                          /* the files are whole and synced */
  void (*drop)(struct convert *k); /* frees state */
};
#define FORMAT(name) extern const struct format format_##name;
#include "formats.def"
#undef FORMAT

/* A file of the output folder, written through stdio. */
MUST_USE enum status convert_file(struct convert *k, const char *name, FILE **f, struct err *e);
MUST_USE enum status convert_put(struct convert *k, FILE *f, const void *p, size_t n, struct err *e);
MUST_USE enum status convert_done(struct convert *k, FILE **f, struct err *e); /* sync and close; *f = NULL */
/* One document of a sample as a row: {"id","ids","mask", what else the row said}. */
MUST_USE enum status convert_document(const struct sample *s, int32_t d, struct buf *out, struct err *e);
#endif
