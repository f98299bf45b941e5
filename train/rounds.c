/* SPDX-License-Identifier: Apache-2.0
 * The stage `retort rounds`: the student answers, the teacher feeds back (or the student judges itself), the student is trained again; the
 * held-out loss is measured and the loop stops when it worsens. Each step is a stage of this program in a process of its own whose output is
 * complete or absent, so the same command again goes on where it stopped. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "file.h"
#include "json.h"
#include "log.h"
#include "stage.h"

extern char **environ;

struct rounds_options {
  const char *student, *student_terms, *teacher, *teacher_terms, *prompts, *held_out, *output, *kind, *loss;
  struct opt_list answer_words, feedback_words, shard_words, train_words;
  double worse;
};

static const struct opt_row rounds_rows[] = {
  OPT_ROW(rounds_options, student, "student", 0, OPT_STR, NULL, NULL, "MODEL", "the model to begin with"),
  OPT_ROW(rounds_options, student_terms, "student-terms", 0, OPT_STR, NULL, NULL, "ID", "licence or terms of the student: its answers may become training rows"),
  OPT_ROW(rounds_options, teacher, "teacher", 't', OPT_STR, NULL, NULL, "T", "who feeds back; not needed for --kind star, vote, self_judge"),
  OPT_ROW(rounds_options, teacher_terms, "teacher-terms", 0, OPT_STR, NULL, NULL, "ID", "licence or terms of the teacher, such as apache-2.0"),
  OPT_ROW(rounds_options, prompts, "prompts", 0, OPT_STR, NULL, NULL, "FILE", "rows with questions"),
  OPT_ROW(rounds_options, held_out, "held-out", 0, OPT_STR, NULL, NULL, "SHARDS", "token shards whose loss decides"),
  OPT_ROW(rounds_options, output, "output", 'o', OPT_STR, NULL, NULL, "DIR", "folder for round-1/, round-2/ ..."),
  OPT_ROW(rounds_options, kind, "kind", 'k', OPT_ENUM, "revise", "answer|revise|score|star|vote|self_judge", "NAME", "feedback: the teacher answers, revises or scores; or the student alone"),
  OPT_ROW(rounds_options, loss, "loss", 0, OPT_STR, "ce", NULL, "NAME", "loss of the training"),
  OPT_ROW(rounds_options, answer_words, "answer-option", 0, OPT_LIST, NULL, NULL, "WORD", "further word of the command line of the student's `label` (repeatable)"),
  OPT_ROW(rounds_options, feedback_words, "feedback-option", 0, OPT_LIST, NULL, NULL, "WORD", "the same for the teacher's `label`"),
  OPT_ROW(rounds_options, shard_words, "shard-option", 0, OPT_LIST, NULL, NULL, "WORD", "the same for `shard`"),
  OPT_ROW(rounds_options, train_words, "train-option", 0, OPT_LIST, NULL, NULL, "WORD", "the same for `train`"),
  OPT_ROW(rounds_options, worse, "worse", 0, OPT_NUM, "0", "0..100", "X", "stop when the held-out loss rises by more than this over the round before"),
  OPT_END
};

#define MAX_WORDS 128

struct command {
  const char *word[MAX_WORDS];
  size_t n;
};

static void add(struct command *k, const char *word)
{
  if (word != NULL && k->n + 1 < MAX_WORDS) {
    k->word[k->n++] = word;
  }
}

static void add_all(struct command *k, const struct opt_list *l)
{
  for (size_t i = 0; i < l->n; i++) {
    add(k, l->item[i]);
  }
}

/* Runs one stage; in and out may be NULL (nothing read; our stdout is not theirs). out is complete or absent. */
static enum status run(struct ctx *c, struct command *k, const char *in, const char *out, struct err *e)
{
  enum status st = STATUS_OK;
  char exe[4096], *argv[MAX_WORDS + 2];
  struct file_atomic f = { 0 };
  posix_spawn_file_actions_t fa;
  int made = 0, code = 0;
  pid_t pid = -1;
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (n <= 0) {
    return err_sys(e, STATUS_IO, "'/proc/self/exe'");
  }
  exe[n] = '\0';
  add(k, "--no-progress");
  if (ctx_common(c)->book != NULL) {
    add(k, "--book");
    add(k, ctx_common(c)->book);
  }
  if (ctx_common(c)->accept_terms != NULL) {
    add(k, "--accept-terms");
    add(k, ctx_common(c)->accept_terms);
  }
  argv[0] = exe;
  for (size_t i = 0; i < k->n; i++) {
    argv[i + 1] = arena_printf(ctx_arena(c), "%s", k->word[i]);
    if (argv[i + 1] == NULL) {
      return err_nomem(e, 64);
    }
  }
  argv[k->n + 1] = NULL;
  if (out != NULL) {
    TRY(file_atomic_open(&f, out, e));
  }
  if (posix_spawn_file_actions_init(&fa) != 0) {
    st = err_nomem(e, sizeof fa);
    goto out;
  }
  made = 1;
  posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, in ? in : "/dev/null", O_RDONLY, 0);
  if (out != NULL) {
    posix_spawn_file_actions_adddup2(&fa, fileno(f.fp), STDOUT_FILENO);
  } else {
    posix_spawn_file_actions_adddup2(&fa, STDERR_FILENO, STDOUT_FILENO);
  }
  int rc = posix_spawn(&pid, exe, &fa, NULL, argv, environ);
  if (rc != 0) {
    st = err_set(e, STATUS_IO, "'%s %s' cannot be run: %s", exe, k->word[0], strerror(rc));
    goto out;
  }
  while (waitpid(pid, &code, 0) < 0 && errno == EINTR) {
  }
  if (stop_requested()) {
    st = err_set(e, STATUS_STOPPED, "stopped by a signal; run the same command again to go on");
  } else if (!WIFEXITED(code) || WEXITSTATUS(code) != 0) {
    st = err_set(e, STATUS_DATA, "'retort %s' ended with %s %d (its messages stand above)", k->word[0], WIFEXITED(code) ? "exit" : "signal",
                 WIFEXITED(code) ? WEXITSTATUS(code) : WTERMSIG(code));
  } else if (out != NULL) {
    st = file_atomic_commit(&f, e);
  }
out:
  if (made) {
    posix_spawn_file_actions_destroy(&fa);
  }
  file_atomic_abort(&f);
  return st;
}

/* Held-out loss of a model; the evaluation is kept in path. */
static enum status measure(struct ctx *c, const struct rounds_options *o, const char *model, const char *path, double *loss, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *j = NULL;
  struct command k = { .n = 0 };
  if (!file_exists(path)) {
    add(&k, "eval");
    add(&k, model);
    add(&k, "--data");
    add(&k, o->held_out);
    add(&k, "--json");
    TRY(run(c, &k, NULL, path, e));
  }
  TRY(json_parse_file(path, (size_t)1 << 20, &j, e));
  *loss = json_num(json_get(j, "loss"), -1);
  if (*loss < 0) {
    st = err_set(e, STATUS_DATA, "'%s': no member \"loss\"", path);
  }
out:
  json_free(j);
  return st;
}

static enum status count_rows(const char *path, int64_t *n, struct err *e)
{
  struct file_map m;
  enum status st = file_map_open(path, &m, e);
  *n = 0;
  if (st == STATUS_OK) {
    const char *p = (const char *)m.p;
    for (size_t i = 0; i < m.bytes; i++) {
      *n += p[i] == '\n';
    }
    file_map_close(&m);
  }
  return st;
}

/* answers.jsonl -> feedback.jsonl -> shards/ -> run/ -> eval.json, each only when it is not there yet. */
static enum status one_round(struct ctx *c, const struct rounds_options *o, int64_t nth, const char *student, const char **next, double *loss, struct err *e)
{
  enum status st = STATUS_OK;
  struct arena *a = ctx_arena(c);
  char *dir = arena_printf(a, "%s/round-%lld", o->output, (long long)nth), *answers = arena_printf(a, "%s/answers.jsonl", dir ? dir : ""),
       *feedback = arena_printf(a, "%s/feedback.jsonl", dir ? dir : ""), *shards = arena_printf(a, "%s/shards", dir ? dir : ""),
       *trained = arena_printf(a, "%s/run", dir ? dir : ""), *eval = arena_printf(a, "%s/eval.json", dir ? dir : "");
  int alone = strcmp(o->kind, "star") == 0 || strcmp(o->kind, "vote") == 0 || strcmp(o->kind, "self_judge") == 0;
  int64_t rows = 0, kept = 0;
  if (eval == NULL || trained == NULL || shards == NULL || feedback == NULL || answers == NULL) {
    return err_nomem(e, 4096);
  }
  if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
    return err_sys(e, STATUS_IO, "'%s'", dir);
  }
  if (!file_exists(answers)) {
    struct command k = { .n = 0 };
    add(&k, "label");
    add(&k, "--kind");
    add(&k, alone ? o->kind : "answer");
    add(&k, "--teacher");
    add(&k, student);
    if (o->student_terms != NULL) {
      add(&k, "--teacher-terms");
      add(&k, o->student_terms);
    }
    add_all(&k, &o->answer_words);
    TRY(run(c, &k, o->prompts, answers, e));
  }
  if (!alone && !file_exists(feedback)) {
    struct command k = { .n = 0 };
    add(&k, "label");
    add(&k, "--kind");
    add(&k, o->kind);
    add(&k, "--teacher");
    add(&k, o->teacher);
    if (o->teacher_terms != NULL) {
      add(&k, "--teacher-terms");
      add(&k, o->teacher_terms);
    }
    add(&k, strcmp(o->kind, "answer") == 0 ? "--relabel" : NULL);
    add_all(&k, &o->feedback_words);
    TRY(run(c, &k, answers, feedback, e));
  }
  const char *rows_path = alone ? answers : feedback;
  if (!file_exists(shards)) {
    struct command k = { .n = 0 };
    add(&k, "shard");
    add(&k, "--tokenizer");
    add(&k, o->student);
    add_all(&k, &o->shard_words);
    add(&k, "-o");
    add(&k, shards);
    TRY(run(c, &k, rows_path, NULL, e));
  }
  if (!file_exists(trained)) {
    struct command k = { .n = 0 };
    add(&k, "train");
    add(&k, "--student");
    add(&k, student);
    add(&k, "--shards");
    add(&k, shards);
    add(&k, "--loss");
    add(&k, o->loss);
    add_all(&k, &o->train_words);
    add(&k, "-o");
    add(&k, trained);
    TRY(run(c, &k, NULL, NULL, e));
  }
  TRY(measure(c, o, trained, eval, loss, e));
  TRY(count_rows(o->prompts, &rows, e));
  TRY(count_rows(rows_path, &kept, e));
  TRY(ctx_print(c, e, "{\"round\":%lld,\"loss\":%.6f,\"rows\":%lld,\"kept\":%lld,\"student\":\"%s\"}\n", (long long)nth, *loss, (long long)rows, (long long)kept, trained));
  TRY(ctx_flush(c, e));
  *next = trained;
out:
  return st;
}

static enum status check(const struct rounds_options *o, const struct opt_list *args, int64_t *n, struct err *e)
{
  int alone = strcmp(o->kind, "star") == 0 || strcmp(o->kind, "vote") == 0 || strcmp(o->kind, "self_judge") == 0;
  const struct { const char *value, *name; } needed[] = { { o->student, "student" }, { o->prompts, "prompts" }, { o->held_out, "held-out" }, { o->output, "output" },
                                                          { alone ? "-" : o->teacher, "teacher" } };
  if (args->n != 1 || opt_parse_int(args->item[0], n, e) != STATUS_OK || *n < 1 || *n > 1000) {
    return err_set(e, STATUS_USAGE, "'%s': expected the number of rounds, 1 to 1000", args->n ? args->item[0] : "");
  }
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
    if (needed[i].value == NULL) {
      return err_set(e, STATUS_USAGE, "--%s is needed (or `%s:` in the file of -C)", needed[i].name, needed[i].name);
    }
  }
  return STATUS_OK;
}

static enum status rounds_run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e)
{
  enum status st = STATUS_OK;
  const struct rounds_options *o = options;
  const char *student = o->student, *best = o->student, *next = NULL;
  double before = 0, loss = 0, lowest = 0;
  int64_t n = 0;
  TRY(check(o, args, &n, e));
  if (mkdir(o->output, 0777) != 0 && errno != EEXIST) {
    return err_sys(e, STATUS_IO, "'%s'", o->output);
  }
  char *first = arena_printf(ctx_arena(c), "%s/round-0.json", o->output);
  if (first == NULL) {
    return err_nomem(e, 4096);
  }
  TRY(measure(c, o, student, first, &before, e));
  lowest = before;
  TRY(ctx_print(c, e, "{\"round\":0,\"loss\":%.6f,\"student\":\"%s\"}\n", before, student));
  for (int64_t i = 1; i <= n; i++) {
    TRY(one_round(c, o, i, student, &next, &loss, e));
    if (loss < lowest) {
      lowest = loss;
      best = next;
    }
    if (loss > before + o->worse) {
      log_info("round %lld: held-out loss rose from %.4f to %.4f: stopped", (long long)i, before, loss);
      break;
    }
    before = loss;
    student = next;
  }
  log_info("best student: %s (held-out loss %.4f)", best, lowest);
out:
  return st;
}

const struct stage stage_rounds = {
  .name = "rounds",
  .args = "N -C loop.yaml",
  .summary = "answer, feedback, training, again and again",
  .details = "In each round the student answers the prompts, the teacher feeds back (--kind revise, answer, score; or the student alone: star, vote, "
             "self_judge), the rows become shards and the student is trained on them. One line of JSON a round on stdout: held-out loss, rows. Stops "
             "when that loss rises by more than --worse; the best student is named on stderr. Every step is complete or absent: the same command again goes on.\n\n"
             "  retort rounds 3 -C loop.yaml\n"
             "  retort rounds 2 --student run/ --teacher T.gguf --prompts questions.jsonl --held-out held-out/ --train-option=--lr --train-option=1e-5 -o loop/",
  .flags = 0,
  .options = rounds_rows,
  .options_bytes = sizeof(struct rounds_options),
  .run = rounds_run,
};
