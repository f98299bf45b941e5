/* SPDX-License-Identifier: Apache-2.0
 * The `train` stage from outside, as a child process: a run killed at random moments ends with the same bytes as one that
 * was left alone; 1, 2 and 3 threads give the same student; Ctrl-C saves and says how to go on; a complete run is left
 * alone; other options are refused; vocabularies that do not match are refused; stored targets and gradients can be had. */
#include "golden_file.h"
#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "json.h"
#include "log.h"
#include "rng.h"
#include "shard.h"
#include "stage.h"

#define STUDENT TEST_SOURCE "/tests/golden/data/model/llama_tied"
#define TEACHER TEST_SOURCE "/tests/golden/data/model/qwen2"
enum { VOCAB = 320, CONTEXT = 48, SAMPLES = 40, TOP = 6 };
static char dir[64];
static struct arena *arena;

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) {
    fail_msg("%s: %s", status_name(st), e->msg);
  }
}

static const char *in_dir(const char *name) {
  return arena_printf(arena, "%s/%s", dir, name);
}

static void write_shards(const char *path, int vocab, int top_k) {
  struct err e;
  struct shard_writer *w = NULL;
  struct shard_writer_options o = { .folder = path, .context = CONTEXT, .vocab = vocab, .top_k = top_k, .replace = 1 };
  o.info.teacher = top_k > 0 ? "T" : "";
  o.info.teacher_identity = o.info.teacher;
  o.info.terms = "Apache-2.0";
  ok(shard_writer_new(&o, &w, &e), &e);
  for (int i = 0; i < SAMPLES; i++) {
    struct rng r = { 5, (uint64_t)i, 0 };
    struct sample s = { .n_tok = 8 + (int32_t)rng_below(&r, CONTEXT - 7), .n_doc = 2 };
    static int32_t ids[CONTEXT], start[3], top[CONTEXT * TOP];
    static float lp[CONTEXT * TOP], rest[CONTEXT];
    static unsigned char mask[CONTEXT];
    static const char *row[2] = { "a", "b" };
    for (int j = 0; j < s.n_tok; j++) {
      ids[j] = (int32_t)rng_below(&r, (uint64_t)vocab);
      mask[j] = rng_below(&r, 4) > 0;
    }
    start[0] = 0;
    start[1] = 5;
    start[2] = s.n_tok;
    s.ids = ids;
    s.mask = mask;
    s.doc_start = start;
    s.row_id = row;
    s.k = top_k;
    ok(sample_targets(&s, arena, &e), &e);
    for (int j = 0; j < s.n_target * top_k; j++) {
      top[j] = (ids[j / top_k] + 13 * (j % top_k)) % vocab;
      lp[j] = logf(0.9f / TOP) - 0.01f * (float)(j % top_k);
    }
    for (int j = 0; j < s.n_target; j++) {
      double kept = 0;
      for (int k = 0; k < top_k; k++) {
        kept += exp((double)lp[j * top_k + k]);
      }
      rest[j] = (float)log1p(-kept);
    }
    s.top_id = top;
    s.top_logprob = lp;
    s.rest = rest;
    ok(shard_write(w, &s, &e), &e);
  }
  ok(shard_writer_commit(w, (struct span){ NULL, 0 }, &e), &e);
  shard_writer_free(w);
}

/* Starts `retort ARGS` as a child; stderr goes to dir/log. */
static pid_t start(const char *const *args) {
  char *argv[40] = { (char *)(uintptr_t)"retort" };
  int argc = 1;
  for (; args[argc - 1] != NULL; argc++) {
    argv[argc] = (char *)(uintptr_t)args[argc - 1];
  }
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    if (freopen(in_dir("log"), "w", stderr) == NULL || freopen(in_dir("out"), "w", stdout) == NULL) {
      _exit(99);
    }
    _exit(stage_main(argc, argv));
  }
  return pid;
}

static int wait_for(pid_t pid) {
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int retort(const char *const *args) {
  return wait_for(start(args));
}

static void expect_log(const char *text) {
  struct buf b = { 0 };
  struct err e;
  ok(file_read(in_dir("log"), 1 << 20, &b, &e), &e);
  if (strstr(b.p, text) == NULL) {
    fail_msg("expected '%s' in: %s", text, b.p);
  }
  buf_free(&b);
}

static void same_file(const char *a, const char *b) {
  struct buf x = { 0 }, y = { 0 };
  struct err e;
  ok(file_read(in_dir(a), 1 << 26, &x, &e), &e);
  ok(file_read(in_dir(b), 1 << 26, &y, &e), &e);
  assert_int_equal(x.n, y.n);
  assert_memory_equal(x.p, y.p, x.n);
  buf_free(&x);
  buf_free(&y);
}

#define WEIGHTS "/student/model.safetensors"
#define TRAIN(out, ...) (const char *const[]){ "train", "--student", STUDENT, "--shards", in_dir("shards"), "--teacher", TEACHER, "--accept-terms", "made for this test", "--tokens-per-step", "128", \
    "--micro-tokens", "64", "--epochs", "4", "--checkpoint-every", "3", "-o", in_dir(out), __VA_ARGS__, NULL }

static void threads_give_the_same_student(void **state) {
  (void)state;
  assert_int_equal(retort(TRAIN("t1", "--threads", "1")), 0);
  assert_int_equal(retort(TRAIN("t2", "--threads", "2")), 0);
  assert_int_equal(retort(TRAIN("t3", "--threads", "3")), 0);
  same_file("t1" WEIGHTS, "t2" WEIGHTS);
  same_file("t1" WEIGHTS, "t3" WEIGHTS);
  assert_true(file_exists(in_dir("t1/manifest.json")) && file_exists(in_dir("t1/metrics.jsonl")) && !folder_exists(in_dir("t1.part")));
}

static void killed_runs_end_the_same(void **state) {
  (void)state;
  struct rng r = { (uint64_t)getpid(), 1, 0 };
  int kills = 0;
  print_message("seed %d\n", (int)getpid());
  double begin = clock_seconds(), whole;
  assert_int_equal(retort(TRAIN("timed", "--threads", "1")), 0);
  whole = clock_seconds() - begin;
  for (int i = 0; i < 200; i++) {
    if (folder_exists(in_dir("killed"))) { /* a busy machine let it finish: once more, until it was killed often enough */
      if (kills >= 2) {
        break;
      }
      struct err e;
      ok(folder_remove(in_dir("killed"), &e), &e);
    }
    pid_t pid = start(TRAIN("killed", "--threads", "1"));
    double wait = whole * (0.05 + 0.6 * rng_uniform(&r));
    struct timespec t = { (time_t)wait, (long)((wait - floor(wait)) * 1e9) };
    nanosleep(&t, NULL);
    if (waitpid(pid, NULL, WNOHANG) == pid) {
      continue;
    }
    kill(pid, SIGKILL);
    wait_for(pid);
    kills += !folder_exists(in_dir("killed"));
  }
  assert_int_equal(retort(TRAIN("killed", "--threads", "1")), 0);
  print_message("%d kills, %.2f s each run\n", kills, whole);
  assert_true(kills >= 2);
  same_file("timed" WEIGHTS, "killed" WEIGHTS);
  /* every step once in the metrics, in order */
  struct buf b = { 0 };
  struct err e;
  ok(file_read(in_dir("killed/metrics.jsonl"), 1 << 26, &b, &e), &e);
  long want = 1;
  for (char *at = b.p; *at != '\0'; at = strchr(at, '\n') + 1) {
    assert_int_equal(strtol(at + strlen("{\"step\":"), NULL, 10), want++);
  }
  assert_true(want > 20);
  buf_free(&b);
}

static void interrupt_saves(void **state) {
  (void)state;
  pid_t pid = start(TRAIN("stopped", "--epochs", "400"));
  for (int i = 0; i < 500 && !folder_exists(in_dir("stopped.part/checkpoints/step-00000003")) && !folder_exists(in_dir("stopped.part/checkpoints/step-00000006")); i++) {
    nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
  }
  kill(pid, SIGINT);
  assert_int_equal(wait_for(pid), 130);
  expect_log("run the same command again");
  assert_false(folder_exists(in_dir("stopped")));
  assert_true(folder_exists(in_dir("stopped.part/checkpoints")));
}

static void complete_is_left_alone(void **state) {
  (void)state;
  struct stat before, after;
  assert_int_equal(retort(TRAIN("alone", "--threads", "2")), 0);
  assert_int_equal(stat(in_dir("alone" WEIGHTS), &before), 0);
  assert_int_equal(retort(TRAIN("alone", "--threads", "1")), 0);
  expect_log("left alone");
  assert_int_equal(stat(in_dir("alone" WEIGHTS), &after), 0);
  assert_int_equal(before.st_ino, after.st_ino);
  assert_int_equal(retort(TRAIN("alone", "--lr", "1e-3")), 2);
  expect_log("--force");
  assert_int_equal(retort(TRAIN("alone", "--lr", "1e-3", "--force")), 0);
  assert_int_equal(stat(in_dir("alone" WEIGHTS), &after), 0);
  assert_true(before.st_ino != after.st_ino);
}

static void mismatches_are_refused(void **state) {
  (void)state;
  write_shards(in_dir("other"), VOCAB + 1, 0);
  assert_int_equal(retort(TRAIN("bad", "--shards", in_dir("other"))), 1);
  expect_log("vocabulary of 320");
  assert_int_equal(retort(TRAIN("bad", "--loss", "topk")), 2);
  expect_log("hold no top-k targets");
  assert_int_equal(retort(TRAIN("bad", "--loss", "nosuch")), 2);
  assert_int_equal(retort((const char *const[]){ "train", "--student", STUDENT, "--shards", in_dir("shards"), "-o", in_dir("bad"), NULL }), 2);
  expect_log("needs a teacher");
  assert_int_equal(retort((const char *const[]){ "train", "--student", STUDENT, "--shards", in_dir("shards"), "--teacher", TEACHER, "-o", in_dir("bad"), NULL }), 10);
  expect_log("terms");
  assert_false(folder_exists(in_dir("bad")) || folder_exists(in_dir("bad.part")));
}

static void stored_targets_and_gradients(void **state) {
  (void)state;
  write_shards(in_dir("topk"), VOCAB, TOP);
  assert_int_equal(retort((const char *const[]){ "train", "--student", STUDENT, "--shards", in_dir("topk"), "-o", in_dir("k"), "--tokens-per-step", "200", NULL }), 0);
  expect_log("top-k targets");
  assert_int_equal(retort((const char *const[]){ "train", "--student", STUDENT, "--shards", in_dir("topk"), "--dump-grads", in_dir("g.safetensors"), NULL }), 0);
  struct golden_file g;
  size_t n = 0;
  double square = 0;
  golden_open(&g, in_dir("g.safetensors"));
  double *v = golden_get(&g, "model.norm.weight", &n);
  assert_non_null(v);
  assert_int_equal(n, 48);
  for (size_t i = 0; i < n; i++) {
    square += v[i] * v[i];
  }
  assert_true(isfinite(square) && square > 0);
  mem_free(v);
  golden_close(&g);
}

/* Through the command line: gradients of six models and their loss against float64 (model/NAME/grads.safetensors, io). */
static void golden_gradients(void **state) {
  (void)state;
  static const char *const names[] = { "llama_tied", "llama_untied_rope3", "qwen2", "qwen3", "mistral", "mistral_window" };
  for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
    struct err e;
    struct golden_file io, want, got;
    struct shard_writer *w = NULL;
    size_t n = 0, n_start = 0, n_loss = 0;
    const char *model = arena_printf(arena, TEST_SOURCE "/tests/golden/data/model/%s", names[m]);
    golden_open(&io, arena_printf(arena, "%s/io.safetensors", model));
    golden_open(&want, arena_printf(arena, "%s/grads.safetensors", model));
    double *ids = golden_get(&io, "input_ids", &n), *starts = golden_get(&io, "cu_seqlens", &n_start), *labels = golden_get(&io, "labels", &n);
    double *loss = golden_get(&io, "loss_f64", &n_loss);
    struct sample s = { .n_tok = (int32_t)n, .n_doc = (int32_t)n_start - 1 };
    int32_t id[64], start_at[8];
    unsigned char mask[64] = { 0 };
    const char *row[8] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    assert_true(n <= 64 && n_start <= 8);
    for (size_t i = 0; i < n; i++) {
      id[i] = (int32_t)ids[i];
      if (labels[i] >= 0) { /* row i predicts token i + 1 */
        mask[i + 1] = 1;
        assert_true(labels[i] == ids[i + 1]);
      }
    }
    for (size_t i = 0; i < n_start; i++) {
      start_at[i] = (int32_t)starts[i];
    }
    s.ids = id;
    s.mask = mask;
    s.doc_start = start_at;
    s.row_id = row;
    ok(sample_targets(&s, arena, &e), &e);
    struct shard_writer_options o = { .folder = in_dir("io"), .context = 64, .vocab = VOCAB, .replace = 1, .info = { .teacher = "", .teacher_identity = "", .terms = "" } };
    ok(shard_writer_new(&o, &w, &e), &e);
    ok(shard_write(w, &s, &e), &e);
    ok(shard_writer_commit(w, (struct span){ NULL, 0 }, &e), &e);
    shard_writer_free(w);
    assert_int_equal(retort((const char *const[]){ "train", "--student", model, "--shards", in_dir("io"), "--loss", "ce", "--dump-grads", in_dir("io.grads"), NULL }), 0);
    golden_open(&got, in_dir("io.grads"));
    struct json *j = NULL;
    ok(json_parse_file(arena_printf(arena, "%s/train.json", model), 1 << 24, &j, &e), &e);
    void *it = NULL;
    struct span key;
    const struct json *value;
    double worst = 0;
    while (json_next(json_get(j, "final_params_f64"), &it, &key, &value)) {
      char name[200];
      size_t a = 0, b = 0;
      double top = 0, off = 0;
      snprintf(name, sizeof name, "%.*s", (int)key.n, key.p);
      double *x = golden_get(&got, name, &a), *y = golden_get(&want, name, &b);
      assert_true(x != NULL && y != NULL && a == b);
      for (size_t i = 0; i < a; i++) {
        top = fmax(top, fabs(y[i]));
        off = fmax(off, fabs(x[i] - y[i]));
      }
      worst = fmax(worst, off / top);
      if (!(off <= 5e-5 * top)) {
        fail_msg("%s %s: off by %g of its maximum", names[m], name, off / top);
      }
      mem_free(x);
      mem_free(y);
    }
    print_message("%s: gradients off by %.1e of their tensor's maximum\n", names[m], worst); /* observed up to 4e-6 */
    json_free(j);
    j = NULL;
    assert_int_equal(retort((const char *const[]){ "eval", model, "--data", in_dir("io"), "--json", NULL }), 0);
    ok(json_parse_file(in_dir("out"), 1 << 20, &j, &e), &e);
    assert_true(fabs(json_num(json_get(j, "loss"), NAN) - loss[0]) < 1e-5);
    json_free(j);
    mem_free(ids);
    mem_free(starts);
    mem_free(labels);
    mem_free(loss);
    golden_close(&io);
    golden_close(&want);
    golden_close(&got);
  }
}

static void not_finite_ends_with_a_report(void **state) {
  (void)state;
  assert_int_equal(retort(TRAIN("nan", "--lr", "1e30", "--warmup", "0", "--clip", "0")), 1);
  expect_log("were not finite");
  expect_log("rows a b");
  assert_false(folder_exists(in_dir("nan")));
}

/* The teacher against itself: KL 0 and agreement 1; the trained run nearer to it than the start. */
static void eval_compares(void **state) {
  (void)state;
  assert_int_equal(retort(TRAIN("e", "--threads", "2", "--lr", "1e-2", "--epochs", "12", "--warmup", "0")), 0);
  assert_int_equal(retort((const char *const[]){ "eval", "teacher=" TEACHER, "pruned=" STUDENT, arena_printf(arena, "distilled=%s", in_dir("e")), "--teacher", TEACHER, "--data", in_dir("shards"),
    "--json", "--text", in_dir("shards"), "--summary", in_dir("summary.json"), NULL }), 0);
  struct json *sum = NULL;
  struct buf b = { 0 };
  struct err e;
  double kl[3], agree[3];
  ok(file_read(in_dir("out"), 1 << 20, &b, &e), &e);
  char *line = b.p;
  for (int i = 0; i < 3; i++) {
    struct json *j = NULL;
    char *end = strchr(line, '\n');
    assert_non_null(end);
    ok(json_parse((struct span){ line, (size_t)(end - line) }, "out", &j, &e), &e);
    kl[i] = json_num(json_get(j, "kl"), NAN);
    agree[i] = json_num(json_get(j, "agreement"), NAN);
    assert_true(json_num(json_get(j, "kl_low"), NAN) <= kl[i] && kl[i] <= json_num(json_get(j, "kl_high"), NAN));
    assert_string_equal(json_cstr(json_get(j, "targets"), ""), "online");
    assert_true(json_int(json_get(j, "bytes"), 0) > 100000);
    json_free(j);
    line = end + 1;
  }
  assert_true(kl[0] == 0 && agree[0] == 1);
  assert_true(kl[2] < 0.9 * kl[1]);
  buf_free(&b);
  ok(json_parse_file(in_dir("summary.json"), 1 << 20, &sum, &e), &e);
  assert_true(json_num(json_path(sum, "distilled.kl"), NAN) == kl[2]);
  assert_true(fabs(json_num(json_path(sum, "pruned.text_loss"), NAN) - json_num(json_path(sum, "pruned.loss"), 0)) < 1e-9); /* the same shards */
  json_free(sum);
  assert_int_equal(retort((const char *const[]){ "eval", STUDENT, "--data", in_dir("other"), NULL }), 1);
  expect_log("vocabulary of 320");
  assert_int_equal(retort((const char *const[]){ "eval", STUDENT, NULL }), 2);
}

static int setup(void **state) {
  (void)state;
  struct err e;
  arena = arena_new(0);
  snprintf(dir, sizeof dir, "train-run-%d", (int)getpid());
  ok(folder_make(dir, &e), &e);
  write_shards(in_dir("shards"), VOCAB, 0);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  struct err e;
  ok(folder_remove(dir, &e), &e);
  arena_free(arena);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(threads_give_the_same_student),
    cmocka_unit_test(killed_runs_end_the_same),
    cmocka_unit_test(interrupt_saves),
    cmocka_unit_test(complete_is_left_alone),
    cmocka_unit_test(mismatches_are_refused),
    cmocka_unit_test(stored_targets_and_gradients),
    cmocka_unit_test(eval_compares),
    cmocka_unit_test(golden_gradients),
    cmocka_unit_test(not_finite_ends_with_a_report),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
