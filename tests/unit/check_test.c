/* SPDX-License-Identifier: Apache-2.0
 * `retort check` on shard folders with one mistake each that no hash can see, on damaged files, and on rows. The folders are
 * made with the writer itself, so everything but the mistake is right. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "file.h"
#include "rng.h"
#include "shard.h"

enum { VOCAB = 100, TOP = 4, TOK = 40 };
enum mistake { NONE, SHIFTED, MASS_HIGH, MASS_LOW, MASK_FIRST, TWICE, LEDGER, NO_TERMS };
static struct arena *arena;
static char dir[64];

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) fail_msg("%s: %s", status_name(st), e->msg);
}

static struct sample make(int i, enum mistake m) {
  struct rng r = { 5, (uint64_t)i, 0 };
  struct err e = { 0 };
  struct sample s = { .n_tok = TOK, .n_doc = 2, .k = TOP };
  s.ids = arena_alloc(arena, TOK * 4);
  s.mask = arena_alloc(arena, TOK);
  s.doc_start = arena_alloc(arena, 3 * 4);
  s.row_id = arena_alloc(arena, 2 * sizeof *s.row_id);
  s.doc_start[0] = 0, s.doc_start[1] = 15, s.doc_start[2] = TOK;
  s.row_id[0] = "a", s.row_id[1] = "b";
  for (int j = 0; j < TOK; j++) s.ids[j] = (int32_t)rng_below(&r, VOCAB), s.mask[j] = j != 0 && j != 15;
  if (m == MASK_FIRST && i == 1) s.mask[15] = 1;
  ok(sample_targets(&s, arena, &e), &e);
  size_t n = (size_t)s.n_target;
  s.top_id = arena_alloc(arena, n * TOP * 4);
  s.top_logprob = arena_alloc(arena, n * TOP * 4);
  s.rest = arena_alloc(arena, n * 4);
  for (size_t t = 0; t < n; t++) {
    static const float p[TOP] = { 0.5f, 0.25f, 0.125f, 0.0625f };
    int32_t at = s.target_pos[t] + (m == SHIFTED ? 2 : 1);
    s.top_id[t * TOP] = at < TOK ? s.ids[at] : 0;
    for (int j = 0; j < TOP; j++) {
      if (j) s.top_id[t * TOP + (size_t)j] = (s.top_id[t * TOP] + 17 * j) % VOCAB;
      s.top_logprob[t * TOP + (size_t)j] = logf(p[j]);
    }
    s.rest[t] = logf(0.0625f);
  }
  if (m == MASS_HIGH && i == 1) s.rest[3] = logf(0.25f);
  if (m == MASS_LOW && i == 1) s.rest[3] = -INFINITY, s.top_logprob[12] = logf(0.25f);
  if (m == TWICE && i == 1) s.top_id[5] = s.top_id[4];
  return s;
}

static void folder(const char *path, enum mistake m) {
  struct err e = { 0 };
  struct shard_writer *w = NULL;
  struct shard_writer_options o = { .folder = path, .context = TOK, .vocab = VOCAB, .top_k = TOP, .replace = 1, .unchecked = 1 };
  o.info.teacher = "T", o.info.teacher_identity = "id", o.info.terms = m == NO_TERMS ? "" : "apache-2.0";
  ok(shard_writer_new(&o, &w, &e), &e);
  for (int i = 0; i < 4; i++) {
    struct sample s = make(i, m);
    ok(shard_write(w, &s, &e), &e);
  }
  const char *extra = m == LEDGER ? "\"ledger\":{\"in\":5,\"kept\":3,\"dropped\":{\"x\":1},\"failed\":{}}" : "\"ledger\":{\"in\":4,\"kept\":3,\"dropped\":{\"x\":1},\"failed\":{}}";
  ok(shard_writer_commit(w, (struct span){ extra, strlen(extra) }, &e), &e);
  shard_writer_free(w);
}

/* Exit number of `retort check PATH`, its output in text. */
static int check(const char *path, char *text, size_t room) {
  char command[1024];
  snprintf(command, sizeof command, "\"%s\" check -q \"%s\" 2>/dev/null", getenv("RETORT"), path);
  FILE *f = popen(command, "r");
  assert_non_null(f);
  size_t n = fread(text, 1, room - 1, f);
  text[n] = 0;
  int rc = pclose(f);
  assert_true(WIFEXITED(rc));
  return WEXITSTATUS(rc);
}

static void expect(const char *path, int want, const char *words) {
  char text[8192];
  int rc = check(path, text, sizeof text);
  if (rc != want || !strstr(text, words)) fail_msg("%s: exit %d (expected %d), '%s' expected in: %s", path, rc, want, words, text);
}

static void mistakes_are_named(void **state) {
  (void)state;
  static const struct { enum mistake m; int rc; const char *words; } rows[] = {
    { NONE, 0, ": ok: shards: 4 samples" }, { SHIFTED, 1, "shifted by one" }, { MASS_HIGH, 1, "target 3: the top 4 and the rest sum to 1.20" },
    { MASS_LOW, 1, "sum to 0.6985" }, { MASK_FIRST, 1, "row 'b': the first token is in the loss" }, { TWICE, 1, "a token stands twice" },
    { LEDGER, 1, "5 rows in, 4 kept" }, { NO_TERMS, 1, "identity or terms" } };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char *path = arena_printf(arena, "%s/m%zu", dir, i);
    folder(path, rows[i].m);
    expect(path, rows[i].rc, rows[i].words);
  }
}

static void change(const char *path, const char *name, long at, int cut) {
  struct buf b = { 0 };
  struct err e = { 0 };
  char *full = path_join(arena, path, name);
  ok(file_read(full, 1 << 24, &b, &e), &e);
  if (at >= 0) b.p[at] ^= 4;
  FILE *f = fopen(full, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(b.p, 1, b.n - (size_t)cut, f), b.n - (size_t)cut);
  fclose(f);
  buf_free(&b);
}

static void damage_is_exit_6(void **state) {
  (void)state;
  char *path = arena_printf(arena, "%s/damaged", dir);
  folder(path, NONE);
  change(path, "data-00000.rtz", 100, 0);
  expect(path, 6, "damaged: 'data-00000.rtz' does not match the manifest's SHA-256");
  folder(path, NONE);
  change(path, "manifest.json", 60, 0);
  expect(path, 6, "manifest_sha256");
  folder(path, NONE);
  change(path, "data-00000.rtz", -1, 1);
  expect(path, 6, "the manifest says");
  folder(path, NONE);
  char *stray = path_join(arena, path, "data-00001.rtz");
  FILE *f = fopen(stray, "wb");
  assert_non_null(f);
  fclose(f);
  expect(path, 1, "'data-00001.rtz' is not in the manifest");
  folder(path, NONE);
  assert_int_equal(unlink(path_join(arena, path, "manifest.json")), 0);
  expect(path, 1, "not a finished shard folder");
}

static void models_with_nan(void **state) {
  (void)state;
  struct err e = { 0 };
  struct buf b = { 0 };
  expect(TEST_SOURCE "/tests/golden/data/model/llama_tied", 0, "ok: model: 75600 parameters");
  char *path = arena_printf(arena, "%s/model", dir);
  ok(folder_make(path, &e), &e);
  static const char *const names[] = { "config.json", "model.safetensors" };
  for (int i = 0; i < 2; i++) {
    buf_clear(&b);
    ok(file_read(path_join(arena, TEST_SOURCE "/tests/golden/data/model/llama_tied", names[i]), 1 << 26, &b, &e), &e);
    if (i == 1) memset(b.p + b.n - 8, 0xFF, 4); /* one NaN near the end */
    FILE *f = fopen(path_join(arena, path, names[i]), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.p, 1, b.n, f), b.n);
    fclose(f);
  }
  buf_free(&b);
  expect(path, 1, "1 values are not finite");
}

static void text_file(const char *path, const char *text) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void run_folders(void **state) {
  (void)state;
  struct err e = { 0 };
  struct buf b = { 0 };
  char *path = arena_printf(arena, "%s/run", dir), *student = path_join(arena, path, "student"), *metrics = path_join(arena, path, "metrics.jsonl");
  ok(folder_make(student, &e), &e);
  static const char *const names[] = { "config.json", "model.safetensors" };
  text_file(path_join(arena, path, "run.json"), "{\"key\":\"x\"}\n");
  text_file(metrics, "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":2.25}\n");
  for (int i = 0; i < 2; i++) {
    buf_clear(&b);
    ok(file_read(path_join(arena, TEST_SOURCE "/tests/golden/data/model/qwen2", names[i]), 1 << 26, &b, &e), &e);
    FILE *f = fopen(path_join(arena, student, names[i]), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.p, 1, b.n, f), b.n);
    fclose(f);
  }
  buf_free(&b);
  expect(path, 0, "ok: run: 2 metric lines, student of 32032 parameters");
  text_file(metrics, "{\"step\":1,\"loss\":null}\n{\"step\":2,\"los");
  expect(path, 1, "metrics.jsonl line 1: the loss is not a number");
  expect(path, 1, "the last line is cut off");
  text_file(metrics, "{\"step\":1,\"loss\":2.5}\n");
  text_file(path_join(arena, path, "run.json"), "{\"key\":");
  expect(path, 1, "run.json");
  text_file(path_join(arena, path, "run.json"), "{}\n");
  ok(folder_remove(student, &e), &e);
  expect(path, 1, "no student in it");
}

static void rows_and_strangers(void **state) {
  (void)state;
  char *path = arena_printf(arena, "%s/rows.jsonl", dir);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  fputs("{\"id\":\"a\",\"text\":1}\n{\"id\":\"a\"}\n{\"id\":\n", f);
  fclose(f);
  expect(path, 1, "row 1: field 'text' is a number, expected a string");
  expect(path, 1, "row 3: ");
  expect(path, 1, "1 rows have the id of another row");
  expect("/nonexistent", 1, "no such file");
  expect(dir, 1, "neither a finished shard folder");
}

int main(void) {
  struct err e = { 0 };
  arena = arena_new(0);
  snprintf(dir, sizeof dir, "check_test.%ld", (long)getpid());
  if (!getenv("RETORT") || folder_make(dir, &e) != STATUS_OK) return 1;
  const struct CMUnitTest tests[] = { cmocka_unit_test(mistakes_are_named), cmocka_unit_test(damage_is_exit_6), cmocka_unit_test(models_with_nan), cmocka_unit_test(run_folders),
    cmocka_unit_test(rows_and_strangers) };
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_free(arena);
  if (folder_remove(dir, &e) != STATUS_OK) return 1;
  return rc;
}
