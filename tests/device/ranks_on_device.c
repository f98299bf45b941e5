/* SPDX-License-Identifier: Apache-2.0
 * `retort train --device cuda` as a user starts it: alone, on the CPU, and as two data-parallel ranks with the variables that mpirun
 * sets. All end with the same student up to rounding, the ranks with one folder, one line of metrics a step and no file of theirs. */
#include "device/device_test.h"
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>
#include "file.h"
#include "json.h"
#include "model.h"
#include "rng.h"
#include "shard.h"
#include "stage.h"

enum { SAMPLES = 12, CONTEXT = 16, VOCAB = 320 };
static char dir[] = "ranks-XXXXXX";

static const char *in_dir(const char *name) {
  static char path[8][600];
  static int turn;
  char *p = path[turn = (turn + 1) % 8];
  snprintf(p, sizeof path[0], "%s/%s", dir, name);
  return p;
}

static void write_shards(void) {
  struct err e;
  struct shard_writer *w = NULL;
  struct arena *a = arena_new(0);
  struct shard_writer_options o = { .folder = in_dir("shards"), .context = CONTEXT, .vocab = VOCAB, .replace = 1 };
  o.info.teacher = o.info.teacher_identity = "";
  o.info.terms = "Apache-2.0";
  ok(shard_writer_new(&o, &w, &e), &e);
  for (int i = 0; i < SAMPLES; i++) {
    struct rng r = { 5, (uint64_t)i, 0 };
    struct sample s = { .n_tok = 8 + (int32_t)rng_below(&r, CONTEXT - 7), .n_doc = 1 };
    int32_t ids[CONTEXT], start[2] = { 0, s.n_tok };
    unsigned char mask[CONTEXT];
    const char *row[1] = { "a" };
    for (int j = 0; j < s.n_tok; j++) {
      ids[j] = (int32_t)rng_below(&r, VOCAB);
      mask[j] = rng_below(&r, 4) > 0;
    }
    s.ids = ids;
    s.mask = mask;
    s.doc_start = start;
    s.row_id = row;
    ok(sample_targets(&s, a, &e), &e);
    ok(shard_write(w, &s, &e), &e);
  }
  ok(shard_writer_commit(w, (struct span){ NULL, 0 }, &e), &e);
  shard_writer_free(w);
  arena_free(a);
}

/* Starts a rank of `retort train`; n = 0: without a launcher. */
static pid_t start(const char *out, const char *device, int rank, int n) {
  char log[40], number[20];
  snprintf(log, sizeof log, "%s.%d.log", out, rank);
  const char *argv[] = { "retort", "train", "--student", TEST_SOURCE "/tests/golden/data/model/llama_tied", "--shards", in_dir("shards"), "-o", in_dir(out),
                         "--loss", "ce", "--tokens", "280", "--tokens-per-step", "64", "--micro-tokens", "16", "--device", device };
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    if (freopen(in_dir(log), "w", stderr) == NULL) {
      _exit(99);
    }
    if (n > 0) {
      snprintf(number, sizeof number, "%d", rank);
      setenv("OMPI_COMM_WORLD_RANK", number, 1);
      setenv("OMPI_COMM_WORLD_LOCAL_RANK", number, 1);
      snprintf(number, sizeof number, "%d", n);
      setenv("OMPI_COMM_WORLD_SIZE", number, 1);
      setenv("RETORT_CUDASIM_DEVICES", number, 1);
    }
    _exit(stage_main(sizeof argv / sizeof *argv, (char **)(uintptr_t)argv));
  }
  return pid;
}

static void finish(pid_t pid, const char *log) {
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    struct buf b = { 0 };
    struct err e;
    fail_msg("ended with %x: %s", status, file_read(in_dir(log), 1 << 16, &b, &e) == STATUS_OK ? b.p : "");
  }
}

/* Losses of the steps in RUN/metrics.jsonl. */
static int losses(const char *out, double *loss) {
  struct buf b = { 0 };
  struct err e;
  char path[700];
  int n = 0;
  snprintf(path, sizeof path, "%s/metrics.jsonl", in_dir(out));
  ok(file_read(path, 1 << 20, &b, &e), &e);
  for (char *p = b.p; *p != '\0' && n < 32;) {
    char *end = strchr(p, '\n');
    struct json *j = NULL;
    ok(json_parse((struct span){ p, (size_t)(end - p) }, "metrics", &j, &e), &e);
    if (json_get(j, "loss") != NULL) {
      loss[n++] = json_num(json_get(j, "loss"), NAN);
    }
    json_free(j);
    p = end + 1;
  }
  buf_free(&b);
  return n;
}

static struct model *student(const char *out) {
  struct err e;
  struct model *m = NULL;
  char path[700];
  snprintf(path, sizeof path, "%s/student", in_dir(out));
  device_use(NULL);
  ok(model_open(path, MODEL_TRAIN, &m, &e), &e);
  return m;
}

static void two_are_one(void **state) {
  static const char *const runs[] = { "cpu", "one", "two" };
  double loss[3][32];
  int steps[3];
  (void)state;
  write_shards();
  finish(start("cpu", "cpu", 0, 0), "cpu.0.log");
  finish(start("one", "cuda", 0, 0), "one.0.log");
  pid_t a = start("two", "cuda", 0, 2), b = start("two", "cuda", 1, 2);
  finish(a, "two.0.log");
  finish(b, "two.1.log");
  assert_false(file_exists(in_dir("two.ranks")));
  assert_false(folder_exists(in_dir("two.part")));
  for (int i = 0; i < 3; i++) {
    steps[i] = losses(runs[i], loss[i]);
    assert_int_equal(steps[i], steps[0]);
    for (int s = 0; s < steps[i]; s++) {
      assert_true(fabs(loss[i][s] - loss[0][s]) < 2e-6 * loss[0][s]); /* observed 2e-7 */
    }
  }
  assert_true(steps[0] >= 4);
  struct model *m[3] = { student(runs[0]), student(runs[1]), student(runs[2]) };
  int64_t n;
  const float *x[3];
  for (int i = 0; i < 3; i++) {
    x[i] = model_param_block(m[i], &n);
  }
  for (int64_t j = 0; j < n; j++) {
    assert_true(fabsf(x[1][j] - x[0][j]) < 1e-4f && fabsf(x[2][j] - x[1][j]) < 1e-4f); /* observed 2e-5: lr is 3e-4 */
  }
  for (int i = 0; i < 3; i++) {
    model_close(m[i]);
  }
  struct err e;
  ok(folder_remove(dir, &e), &e);
}

/* The children open the device themselves. */
int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(two_are_one) };
  if (getenv("RETORT_CUDA") == NULL) {
    printf("skipped: RETORT_CUDA names no plugin\n");
    return 77;
  }
  if (mkdtemp(dir) == NULL) {
    return 1;
  }
  (void)device_main;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
