/* SPDX-License-Identifier: Apache-2.0
 * Samples of 2,048 two-byte ids written into a shard folder and read again (three times in order, once in random order), by the
 * calls that `shard` and `train` use. usage: bench_shards IDS-FILE(u16) FOLDER ; tests/bench/shards.sh runs it beside the peer. */
#include <stdio.h>
#include <time.h>
#include "file.h"
#include "pool.h"
#include "rng.h"
#include "shard.h"

enum { TOKENS = 2048 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum status write_all(const uint16_t *ids, int64_t n, const char *folder, struct arena *a, struct err *e) {
  enum status st;
  struct shard_writer *w = NULL;
  struct shard_writer_options o = { .folder = folder, .context = TOKENS, .vocab = 65536, .replace = 1 };
  static unsigned char mask[TOKENS];
  static int32_t id[TOKENS];
  int32_t start[2] = { 0, TOKENS };
  memset(mask + 1, 1, TOKENS - 1);
  TRY(shard_writer_new(&o, &w, e));
  for (int64_t i = 0; i < n; i++) {
    char name[24];
    const char *row = name;
    snprintf(name, sizeof name, "%lld", (long long)i);
    for (int j = 0; j < TOKENS; j++) id[j] = ids[i * TOKENS + j];
    struct sample s = { .n_tok = TOKENS, .n_doc = 1, .ids = id, .mask = mask, .doc_start = start, .row_id = &row };
    arena_reset(a);
    TRY(shard_write(w, &s, e));
  }
  TRY(shard_writer_commit(w, (struct span){ NULL, 0 }, e));
out:
  shard_writer_free(w);
  return st;
}

/* order NULL: as stored. compare: every id, else the first and the last. */
static enum status read_all(const char *folder, const int64_t *order, const uint16_t *ids, int64_t n, int compare, struct arena *a, struct err *e) {
  enum status st;
  struct shard_reader *r = NULL;
  TRY(shard_open(folder, &r, e));
  for (int64_t i = 0; i < n; i++) {
    struct sample s;
    int64_t at = order ? order[i] : i;
    if (order && i % 64 == 0) TRY(shard_ahead(r, order + i, n - i < 64 ? n - i : 64, e));
    arena_reset(a);
    TRY(shard_read(r, at, a, &s, e));
    uint32_t wrong = (uint32_t)(s.n_tok != TOKENS || s.ids[0] != ids[at * TOKENS] || s.ids[TOKENS - 1] != ids[at * TOKENS + TOKENS - 1]);
    for (int j = 0; compare && j < TOKENS; j++) wrong |= (uint32_t)s.ids[j] ^ ids[at * TOKENS + j];
    if (wrong) return err_set(e, STATUS_DATA, "sample %lld came back wrong", (long long)at);
  }
out:
  shard_close(r);
  return st;
}

static enum status run(const char *file, const char *folder, struct err *e) {
  enum status st;
  struct buf b = { 0 };
  struct arena *a = arena_new(0);
  int64_t *order = NULL;
  double t;
  TRY(file_read(file, (size_t)1 << 32, &b, e));
  int64_t n = (int64_t)(b.n / 2 / TOKENS);
  const uint16_t *ids = (const uint16_t *)(const void *)b.p;
  order = mem_calloc((size_t)n, sizeof *order);
  if (!a || !order) return err_nomem(e, 0);
  t = now();
  TRY(write_all(ids, n, folder, a, e));
  printf("{\"samples\":%lld,\"write_samples_s\":%.0f,\"read_samples_s\":[", (long long)n, (double)n / (now() - t));
  for (int pass = 0; pass < 3; pass++) {
    t = now();
    TRY(read_all(folder, NULL, ids, n, 0, a, e));
    printf("%s%.0f", pass ? "," : "", (double)n / (now() - t));
  }
  struct rng g = { 1, 2, 0 };
  rng_permutation(&g, (uint64_t)n, (uint64_t *)order);
  t = now();
  TRY(read_all(folder, order, ids, n, 0, a, e));
  double random = now() - t;
  TRY(read_all(folder, NULL, ids, n, 1, a, e));
  printf("],\"random_samples_s\":%.0f}\n", (double)n / random);
out:
  mem_free(order);
  buf_free(&b);
  arena_free(a);
  return st;
}

int main(int argc, char **argv) {
  struct err e = { 0 };
  if (argc < 3) return fprintf(stderr, "usage: bench_shards IDS-FILE FOLDER\n"), 2;
  enum status st = pool_setup(0, &e);
  if (st == STATUS_OK) st = run(argv[1], argv[2], &e);
  pool_close();
  return st == STATUS_OK ? 0 : (fprintf(stderr, "bench_shards: %s\n", e.msg), 1);
}
