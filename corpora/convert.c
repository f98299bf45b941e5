/* SPDX-License-Identifier: Apache-2.0
 * `retort convert SOURCE --to FORMAT`: shard folders and rows in the layouts of other programs, and rows of Alpaca, ShareGPT or
 * TRL prompt/completion as `messages`. Folders are complete or absent. */
#include "convert.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "file.h"
#include "line.h"
#include "log.h"
#include "record.h"

static const struct format *const formats[] = {
#define FORMAT(name) &format_##name,
#include "formats.def"
#undef FORMAT
  NULL
};

struct convert_options {
  const char *to, *output;
  uint64_t part_bytes;
};

enum status convert_file(struct convert *k, const char *name, FILE **f, struct err *e) {
  char *path = path_join(k->a, k->folder, name);
  if (!path) return err_nomem(e, 0);
  *f = fopen(path, "wb");
  return *f ? STATUS_OK : err_sys(e, STATUS_IO, "'%s': cannot create", path);
}

enum status convert_put(struct convert *k, FILE *f, const void *p, size_t n, struct err *e) {
  return fwrite(p, 1, n, f) == n ? STATUS_OK : err_sys(e, STATUS_IO, "'%s': cannot write", k->folder);
}

enum status convert_done(struct convert *k, FILE **f, struct err *e) {
  FILE *x = *f;
  int bad = fflush(x) != 0 || fsync(fileno(x)) != 0;
  *f = NULL;
  bad |= fclose(x) != 0;
  return bad ? err_sys(e, STATUS_IO, "'%s': cannot write", k->folder) : STATUS_OK;
}

static enum status from_shards(struct convert *k, const struct format *f, struct err *e) {
  enum status st = STATUS_OK;
  for (int64_t i = 0; i < k->info->n_samples; i++, k->n++) {
    struct sample s;
    arena_reset(k->a);
    if (stop_requested()) return err_set(e, STATUS_STOPPED, "stopped at sample %lld", (long long)i);
    TRY(shard_read(k->reader, i, k->a, &s, e));
    if ((s.about = arena_calloc(k->a, (size_t)s.n_doc, sizeof *s.about)) == NULL) return err_nomem(e, 0);
    for (int32_t d = 0; d < s.n_doc; d++) {
      struct span about;
      TRY(shard_about(k->reader, i, d, k->a, &about, e));
      s.about[d] = about.p;
    }
    TRY(f->sample(k, &s, e));
  }
out:
  return st;
}

/* The row with `messages` instead of what Alpaca, ShareGPT or TRL call it; rows without any of them stay as they are. */
static enum status normalise(struct convert *k, struct record *r, struct err *e) {
  enum status st;
  struct span messages;
  struct buf b = { 0 };
  struct field_edit edits[] = { { "instruction", { NULL, 0 } }, { "input", { NULL, 0 } }, { "output", { NULL, 0 } }, { "conversations", { NULL, 0 } },
    { "prompt", { NULL, 0 } }, { "completion", { NULL, 0 } }, { "messages", { NULL, 0 } } };
  size_t n = sizeof edits / sizeof *edits;
  TRY(record_messages(r, k->a, &messages, e));
  if (!messages.p || record_get(r, "messages").p) goto out;
  edits[n - 1].value = messages;
  TRY(record_edit(r, edits, n, &b, e));
  char *line = arena_strndup(k->a, b.p, b.n);
  if (!line) {
    st = err_nomem(e, b.n);
    goto out;
  }
  TRY(record_split((struct span){ line, b.n }, k->a, r, e));
out:
  buf_free(&b);
  return st;
}

static enum status from_rows(struct convert *k, const struct format *f, struct err *e) {
  enum status st = STATUS_OK;
  int own = strcmp(k->source, "-") != 0, fd = own ? open(k->source, O_RDONLY | O_CLOEXEC) : 0, got = 1;
  if (fd < 0) return err_sys(e, STATUS_IO, "'%s': cannot open", k->source);
  struct line_reader *lr = line_reader_new(fd, k->source, LINE_MAX_DEFAULT);
  if (!lr) {
    st = err_nomem(e, 0);
    goto out;
  }
  for (; got; k->n++) {
    struct span line;
    struct record r;
    arena_reset(k->a);
    TRY(line_next(lr, &line, &got, e));
    if (!got) break;
    st = record_split(line, k->a, &r, e);
    if (st == STATUS_OK) st = normalise(k, &r, e);
    if (st == STATUS_OK) st = f->row(k, &r, e);
    if (st != STATUS_OK) {
      err_prefix(e, "'%s' row %llu", k->source, (unsigned long long)line_number(lr));
      goto out;
    }
  }
out:
  line_reader_free(lr);
  if (own) close(fd);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  const struct convert_options *o = options;
  struct convert k = { .c = c, .part_bytes = o->part_bytes };
  const struct format *f = NULL;
  char *tmp = NULL;
  int done = 0;
  for (size_t i = 0; o->to && formats[i]; i++)
    if (strcmp(formats[i]->name, o->to) == 0) f = formats[i];
  if (args->n != 1 || !f) return err_set(e, STATUS_USAGE, "convert needs a shard folder or a file of rows, and --to FORMAT: jsonl, hf, mds, webdataset, megatron");
  k.source = args->item[0];
  int shards = folder_exists(k.source), to_stdout = (f->takes & FORMAT_STDOUT) != 0;
  if (!(f->takes & (shards ? FORMAT_SAMPLES : FORMAT_ROWS)))
    return err_set(e, STATUS_USAGE, "'--to %s' takes %s; '%s' is %s", f->name, shards ? "rows" : "a shard folder", k.source, shards ? "a folder" : "a file of rows: make shards first");
  if (to_stdout != !o->output) return err_set(e, STATUS_USAGE, to_stdout ? "'--to jsonl' writes to stdout: leave -o away" : "'--to %s' writes a folder: give -o DIR", f->name);
  if ((k.a = arena_new(0)) == NULL) return err_nomem(e, 0);
  if (shards) {
    TRY(shard_open(k.source, &k.reader, e));
    k.info = shard_info(k.reader);
  }
  if (!to_stdout) {
    if (folder_exists(o->output) && !ctx_common(c)->force) {
      st = err_set(e, STATUS_USAGE, "'%s': exists already; remove it or use --force", o->output);
      goto out;
    }
    TRY(folder_atomic_begin(o->output, &tmp, e));
    k.folder = tmp;
  }
  if (f->open) TRY(f->open(&k, e));
  TRY(shards ? from_shards(&k, f, e) : from_rows(&k, f, e));
  if (f->close) TRY(f->close(&k, e));
  if (!to_stdout) TRY(folder_atomic_commit(o->output, tmp, ctx_common(c)->force, e));
  done = 1;
  log_info("%llu %s converted", (unsigned long long)k.n, shards ? "samples" : "rows");
out:
  if (f->drop) f->drop(&k);
  if (tmp && !done) {
    enum status gone = folder_remove(tmp, NULL);
    (void)gone;
  }
  mem_free(tmp);
  shard_close(k.reader);
  arena_free(k.a);
  return st;
}

static const struct opt_row rows[] = {
  OPT_ROW(convert_options, to, "to", 0, OPT_STR, NULL, NULL, "FORMAT", "jsonl (stdout), hf, mds, webdataset, megatron"),
  OPT_ROW(convert_options, output, "output", 'o', OPT_STR, NULL, NULL, "DIR", "folder to write, complete or absent"),
  OPT_ROW(convert_options, part_bytes, "part-bytes", 0, OPT_BYTES, "64M", "1K..1G", "BYTES", "a new file begins above this (mds, webdataset)"),
  OPT_END
};

const struct stage stage_convert = {
  "convert", "SOURCE", "shards and rows in the layouts of other programs, foreign rows as messages",
  "SOURCE is a shard folder or a file of rows (- is stdin). Rows of Alpaca (instruction, input, output), ShareGPT (conversations) and TRL\n"
  "(prompt, completion) come out with `messages`. Documents of shards come out with `ids` and `mask`.\n\n"
  "  retort convert shards/ --to mds -o for-streaming/\n"
  "  retort convert alpaca.jsonl --to jsonl | retort curate > kept.jsonl",
  STAGE_ROWS_OUT, rows, sizeof(struct convert_options), run
};
