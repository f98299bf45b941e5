/* SPDX-License-Identifier: Apache-2.0
 * Speed of tokenizer_encode on one thread: every row of a JSON Lines file once, from memory, in a tokenizer that was just opened
 * (cold: what it keeps of words is empty). Prints one JSON line; tests/bench/tokenizer.sh runs it beside the peers.
 * usage: bench_tokenizer MODEL ROWS.jsonl [IDS-OUT [HF-FOLDER-OUT]]   IDS-OUT: per row its count and its ids, int32 */
#include <stdio.h>
#include <time.h>
#include "file.h"
#include "hash.h"
#include "span.h"
#include "tokenizer.h"

static double now(void) { /* of this thread's processor time: what others do on the machine does not count */
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum status read_rows(const char *path, struct buf *file, struct arena *a, struct span **row, size_t *n, struct err *e) {
  enum status st = STATUS_OK;
  size_t lines = 1;
  TRY(file_read(path, (size_t)1 << 32, file, e));
  for (size_t i = 0; i < file->n; i++) lines += file->p[i] == '\n';
  if (!(*row = arena_calloc(a, lines, sizeof **row))) return err_nomem(e, lines * sizeof **row);
  *n = 0;
  for (char *p = file->p, *end = file->p + file->n, *nl; p < end; p = nl + 1) {
    struct record r;
    if (!(nl = memchr(p, '\n', (size_t)(end - p)))) nl = end;
    TRY(record_split((struct span){ p, (size_t)(nl - p) }, a, &r, e));
    TRY(span_string(record_get(&r, "text"), a, &(*row)[(*n)++], e));
  }
out:
  return st;
}

static enum status pass(const struct tokenizer *t, const struct span *row, size_t n, FILE *out, size_t *n_id, double *took, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  if (!a) return err_nomem(e, 64);
  double start = now();
  *n_id = 0;
  for (size_t i = 0; i < n; i++) {
    struct tokens k;
    arena_reset(a);
    TRY(tokenizer_encode(t, row[i], 0, a, &k, e));
    *n_id += k.n;
    if (!out) continue;
    int32_t count = (int32_t)k.n;
    if (fwrite(&count, 4, 1, out) != 1 || fwrite(k.id, 4, k.n, out) != k.n) {
      st = err_sys(e, STATUS_IO, "ids");
      goto out;
    }
  }
  *took = now() - start;
out:
  arena_free(a);
  return st;
}

int main(int argc, char **argv) {
  enum status st = STATUS_OK;
  struct err err = { 0 }, *e = &err;
  struct buf file = { 0 };
  struct tokenizer *t = NULL;
  struct arena *a = arena_new(0);
  struct span *row = NULL;
  size_t n = 0, n_id = 0, bytes = 0;
  double load, cold, warm, dump;
  FILE *out = NULL;
  if (argc < 3 || !a) return 2;
  TRY(read_rows(argv[2], &file, a, &row, &n, e));
  for (size_t i = 0; i < n; i++) bytes += row[i].n;
  load = now();
  TRY(tokenizer_open(argv[1], &t, e));
  load = now() - load;
  TRY(pass(t, row, n, NULL, &n_id, &cold, e));
  TRY(pass(t, row, n, NULL, &n_id, &warm, e));
  if (argc > 3) {
    if (!(out = fopen(argv[3], "wb"))) return 3;
    TRY(pass(t, row, n, out, &n_id, &dump, e));
  }
  if (argc > 4) TRY(tokenizer_write_hf(t, argv[4], e));
  printf("{\"rows\":%zu,\"bytes\":%zu,\"tokens\":%zu,\"load_s\":%.4f,\"cold_mb_s\":%.2f,\"warm_mb_s\":%.2f,\"rss_mb\":%.0f}\n", n, bytes, n_id, load,
         (double)bytes / 1e6 / cold, (double)bytes / 1e6 / warm, (double)mem_peak_rss_bytes() / 1e6);
out:
  if (st != STATUS_OK) fprintf(stderr, "bench_tokenizer: %s\n", err.msg);
  if (out && fclose(out) != 0) st = STATUS_IO;
  tokenizer_close(t);
  arena_free(a);
  buf_free(&file);
  return st != STATUS_OK;
}
