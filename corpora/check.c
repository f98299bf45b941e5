/* SPDX-License-Identifier: Apache-2.0
 * `retort check PATH...`: recognises artefacts and looks at every byte of them. One line a finding on stdout, exit 1 when
 * there is one, 6 when one is a checksum mismatch. */
#include "checker.h"
#include <stdarg.h>
#include "file.h"
#include "log.h"

static const struct check_kind *const kinds[] = {
#define CHECK(name) &check_kind_##name,
#include "checks.def"
#undef CHECK
  NULL
};

static enum status put_line(struct checker *k, const char *status, const char *text, struct err *e) {
  if (!k->o->json) return ctx_print(k->c, e, "%s: %s: %s\n", k->path, status, text);
  enum status st;
  struct buf b = { 0 };
  TRY(buf_puts(&b, "{\"path\":", e));
  TRY(json_put_cstr(&b, k->path, e));
  TRY(buf_printf(&b, e, ",\"kind\":\"%s\",\"status\":\"%s\",\"message\":", k->kind, status));
  TRY(json_put_cstr(&b, text, e));
  TRY(buf_puts(&b, "}", e));
  TRY(ctx_print(k->c, e, "%s\n", b.p));
out:
  buf_free(&b);
  return st;
}

static enum status put_formatted(struct checker *k, const char *status, struct err *e, const char *fmt, va_list ap) {
  char text[2400];
  vsnprintf(text, sizeof text, fmt, ap);
  return put_line(k, status, text, e);
}

enum status check_find(struct checker *k, enum status code, struct err *e, const char *fmt, ...) {
  va_list ap;
  enum status st = STATUS_OK;
  k->findings++;
  k->checksum |= code == STATUS_CHECKSUM;
  if (++k->here <= FINDINGS_SHOWN) {
    va_start(ap, fmt);
    st = put_formatted(k, code == STATUS_CHECKSUM ? "damaged" : "bad", e, fmt, ap);
    va_end(ap);
  }
  return st;
}

enum status check_failed(struct checker *k, enum status st, const struct err *why, struct err *e) {
  if (st == STATUS_STOPPED || st == STATUS_NOMEM) {
    if (e) *e = *why;
    return st;
  }
  return check_find(k, st, e, "%s", why->msg);
}

enum status check_fine(struct checker *k, struct err *e, const char *fmt, ...) {
  va_list ap;
  if (k->here > 0) return STATUS_OK;
  va_start(ap, fmt);
  enum status st = put_formatted(k, "ok", e, fmt, ap);
  va_end(ap);
  return st;
}

static enum status check_path(struct checker *k, const char *path, struct err *e) {
  enum status st;
  k->path = path;
  k->kind = "unknown";
  k->here = 0;
  arena_reset(k->a);
  if (!file_exists(path) && !folder_exists(path)) return check_find(k, STATUS_IO, e, "no such file or folder");
  for (size_t i = 0; kinds[i]; i++) {
    if (!kinds[i]->is(path)) continue;
    k->kind = kinds[i]->name;
    st = kinds[i]->run(k, path, e);
    if (st == STATUS_OK && k->here > FINDINGS_SHOWN) {
      char more[64];
      snprintf(more, sizeof more, "%llu more findings", (unsigned long long)(k->here - FINDINGS_SHOWN));
      st = put_line(k, "bad", more, e);
    }
    return st;
  }
  return check_find(k, STATUS_DATA, e, "neither a finished shard folder, a book, a run folder, a model nor record lines (.jsonl)");
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  struct checker k = { .c = c, .o = options };
  struct tokenizer *t = NULL;
  enum status st = STATUS_OK;
  if (args->n == 0) return err_set(e, STATUS_USAGE, "check needs a PATH: a shard folder, a book, a run folder, a model or a .jsonl file");
  if ((k.a = arena_new(0)) == NULL) return err_nomem(e, 0);
  if (k.o->tokenizer) TRY(tokenizer_open(k.o->tokenizer, &t, e));
  k.tokenizer = t;
  for (size_t i = 0; i < args->n; i++) TRY(check_path(&k, args->item[i], e));
  if (k.findings)
    st = err_set(e, k.checksum ? STATUS_CHECKSUM : STATUS_DATA, "%llu finding%s in %zu path%s", (unsigned long long)k.findings,
                 k.findings == 1 ? "" : "s", args->n, args->n == 1 ? "" : "s");
out:
  if (st == STATUS_CHECKSUM || st == STATUS_DATA) { /* the findings must be out before the exit number */
    enum status flushed = ctx_flush(c, NULL);
    if (flushed != STATUS_OK) st = flushed;
  }
  tokenizer_close(t);
  arena_free(k.a);
  return st;
}

static const struct opt_row rows[] = {
  OPT_ROW(check_options, json, "json", 0, OPT_FLAG, NULL, NULL, NULL, "one JSON object a line: path, kind, status, message"),
  OPT_ROW(check_options, tokenizer, "tokenizer", 0, OPT_STR, NULL, NULL, "T", "tokenizer that the shards must have been made with"),
  OPT_ROW(check_options, samples, "samples", 0, OPT_INT, "64", "0..", "N", "documents that are decoded and tokenised again (with --tokenizer)"),
  OPT_END
};

const struct stage stage_check = {
  "check", "PATH...", "verify shards, books, models, runs and rows",
  "Reads every byte of an artefact and says what is wrong: damage, but also the mistakes that make distillation silently wrong:\n"
  "another tokenizer, targets of other tokens or shifted by one, a loss mask over the prompt, probability mass above 1.\n\n"
  "  retort check shards/ retort.book run/\n"
  "  retort check shards/ --tokenizer T.gguf --json",
  STAGE_COMPUTE, rows, sizeof(struct check_options), run
};
