/* SPDX-License-Identifier: Apache-2.0
 * Models (GGUF, safetensors, Hugging Face folders), run folders and books. */
#include <math.h>
#include "book.h"
#include "checker.h"
#include "file.h"
#include "json.h"
#include "line.h"
#include "weights.h"

#define CHUNK_VALUES ((int64_t)1 << 20)

static int has(const char *folder, const char *name) {
  char path[4096];
  return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path && (file_exists(path) || folder_exists(path));
}

static int ends(const char *path, const char *end) {
  size_t n = strlen(path), k = strlen(end);
  return n >= k && strcmp(path + n - k, end) == 0;
}

/* ---- model ---- */
static enum status check_values(struct checker *k, const struct tensor *t, float *chunk, struct err *e) {
  struct err why = { STATUS_OK, "" };
  int64_t rows = t->n_dim > 0 ? t->dim[0] : 1, cols = 1, bad = 0, first = -1;
  for (int d = 1; d < t->n_dim; d++) cols *= t->dim[d];
  if (rows < 1 || cols < 1 || cols > CHUNK_VALUES * 64) return check_find(k, STATUS_DATA, e, "tensor '%s': rows of %lld values", t->name, (long long)cols);
  int64_t step = t->n_dim < 2 ? rows : cols >= CHUNK_VALUES ? 1 : CHUNK_VALUES / cols; /* a vector is read whole */
  int64_t room = step * cols;
  float *wide = NULL, *at = chunk;
  if (room > CHUNK_VALUES && (at = wide = mem_alloc((size_t)room * sizeof *wide)) == NULL) return err_nomem(e, (size_t)room * sizeof *wide);
  for (int64_t r = 0; r < rows; r += step) {
    int64_t n = rows - r < step ? rows - r : step;
    enum status st = weights_read(t, r, n, at, &why);
    if (st != STATUS_OK) {
      mem_free(wide);
      return check_failed(k, st, &why, e);
    }
    for (int64_t i = 0; i < n * cols; i++) {
      if (isfinite(at[i])) continue;
      if (bad++ == 0) first = r * cols + i;
    }
  }
  mem_free(wide);
  return bad ? check_find(k, STATUS_DATA, e, "tensor '%s': %lld values are not finite, the first at %lld", t->name, (long long)bad, (long long)first) : STATUS_OK;
}

enum status check_model_at(struct checker *k, const char *path, int64_t *params, struct err *e) {
  enum status st;
  struct weights *w = NULL;
  struct tensor_out *need = NULL;
  size_t n = 0;
  struct err why = { STATUS_OK, "" };
  float *chunk = mem_alloc((size_t)CHUNK_VALUES * sizeof *chunk);
  *params = 0;
  if (!chunk) return err_nomem(e, (size_t)CHUNK_VALUES * sizeof *chunk);
  st = weights_open(path, &w, &why);
  if (st != STATUS_OK) {
    st = check_failed(k, st, &why, e);
    goto out;
  }
  if (weights_config(w)) {
    TRY(model_tensor_list(weights_config(w), DT_F32, k->a, &need, &n, e));
    for (size_t i = 0; i < n; i++) {
      const struct tensor *t;
      st = weights_need(w, need[i].name, need[i].dim[0], need[i].n_dim > 1 ? need[i].dim[1] : 0, &t, &why);
      if (st != STATUS_OK) TRY(check_failed(k, st, &why, e));
    }
  }
  for (size_t i = 0; i < weights_count(w); i++) {
    const struct tensor *t = weights_at(w, i);
    int64_t size = 1;
    for (int d = 0; d < t->n_dim; d++) size *= t->dim[d];
    *params += size;
    TRY(check_values(k, t, chunk, e));
    if (stop_requested()) {
      st = err_set(e, STATUS_STOPPED, "stopped");
      goto out;
    }
  }
out:
  weights_close(w);
  mem_free(chunk);
  return st;
}

static int is_model(const char *path) {
  return ends(path, ".gguf") || ends(path, ".safetensors") || (folder_exists(path) && has(path, "config.json"));
}

static enum status run_model(struct checker *k, const char *path, struct err *e) {
  int64_t params;
  enum status st = check_model_at(k, path, &params, e);
  return st == STATUS_OK ? check_fine(k, e, "model: %lld parameters, all finite", (long long)params) : st;
}

const struct check_kind check_kind_model = { "model", "model file or folder", is_model, run_model };

/* ---- run folder ---- */
static int is_run(const char *path) { return folder_exists(path) && (has(path, "metrics.jsonl") || has(path, "run.json") || has(path, "student")); }

static enum status check_metrics(struct checker *k, const char *path, int64_t *lines, struct err *e) {
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  struct err why = { STATUS_OK, "" };
  *lines = 0;
  st = file_read(path, (size_t)1 << 30, &text, &why);
  if (st != STATUS_OK) return check_failed(k, st, &why, e);
  for (size_t at = 0; at < text.n;) {
    const char *nl = memchr(text.p + at, '\n', text.n - at);
    size_t end = nl ? (size_t)(nl - text.p) : text.n;
    struct record r;
    ++*lines;
    st = record_split((struct span){ text.p + at, end - at }, k->a, &r, &why);
    if (st != STATUS_OK) TRY(check_find(k, st, e, "metrics.jsonl line %lld: %s", (long long)*lines, why.msg));
    else if (span_type(record_get(&r, "loss")) == '0')
      TRY(check_find(k, STATUS_DATA, e, "metrics.jsonl line %lld: the loss is not a number", (long long)*lines));
    if (!nl) TRY(check_find(k, STATUS_DATA, e, "metrics.jsonl: the last line is cut off"));
    at = end + 1;
  }
out:
  buf_free(&text);
  return st;
}

static enum status check_json_file(struct checker *k, const char *path, struct err *e) {
  struct json *j = NULL;
  struct err why = { STATUS_OK, "" };
  enum status st = json_parse_file(path, (size_t)1 << 28, &j, &why);
  json_free(j);
  return st == STATUS_OK ? st : check_failed(k, st, &why, e);
}

static enum status check_checkpoints(struct checker *k, const char *folder, struct err *e) {
  enum status st;
  const char **names = NULL;
  size_t n = 0;
  TRY(folder_list(folder, k->a, &names, &n, e));
  for (size_t i = 0; i < n; i++) {
    const char **files = NULL;
    size_t n_files = 0;
    char *step = path_join(k->a, folder, names[i]);
    if (!step) return err_nomem(e, 0);
    if (!folder_exists(step)) continue;
    TRY(folder_list(step, k->a, &files, &n_files, e));
    for (size_t f = 0; f < n_files; f++) {
      char *file = path_join(k->a, step, files[f]);
      int64_t params;
      if (!file) return err_nomem(e, 0);
      if (ends(file, ".safetensors")) TRY(check_model_at(k, file, &params, e));
      if (ends(file, ".json")) TRY(check_json_file(k, file, e));
    }
  }
out:
  return st;
}

static enum status run_run(struct checker *k, const char *path, struct err *e) {
  enum status st = STATUS_OK;
  int64_t lines = 0, params = 0;
  static const char *const jsons[] = { "run.json", "manifest.json" };
  for (size_t i = 0; i < 2; i++)
    if (has(path, jsons[i])) TRY(check_json_file(k, path_join(k->a, path, jsons[i]), e));
  if (has(path, "metrics.jsonl")) TRY(check_metrics(k, path_join(k->a, path, "metrics.jsonl"), &lines, e));
  if (has(path, "checkpoints")) TRY(check_checkpoints(k, path_join(k->a, path, "checkpoints"), e));
  if (has(path, "student")) TRY(check_model_at(k, path_join(k->a, path, "student"), &params, e));
  else TRY(check_find(k, STATUS_DATA, e, "no student in it: the training did not end"));
  TRY(check_fine(k, e, "run: %lld metric lines, student of %lld parameters", (long long)lines, (long long)params));
out:
  return st;
}

const struct check_kind check_kind_run = { "run", "run folder", is_run, run_run };

/* ---- book ---- */
static int is_book(const char *path) { return folder_exists(path) && has(path, "retort-book"); }

static enum status run_book(struct checker *k, const char *path, struct err *e) {
  struct buf report = { 0 };
  struct err why = { STATUS_OK, "" };
  enum status st = book_verify(path, &report, &why);
  if (st != STATUS_OK) {
    st = check_failed(k, st, &why, e);
  } else {
    size_t lines = 0;
    for (size_t i = 0; i < report.n; i++) lines += report.p[i] == '\n';
    st = check_fine(k, e, "book: every record of every segment is sound (%zu lines by 'retort book verify')", lines);
  }
  buf_free(&report);
  return st;
}

const struct check_kind check_kind_book = { "book", "book", is_book, run_book };
