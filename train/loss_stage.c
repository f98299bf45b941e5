/* SPDX-License-Identifier: Apache-2.0
 * `retort loss NAME`: the value and gradient of one loss for logits given as JSON, computed by the very row functions that
 * `train` runs, in float32. An instrument for researchers and tests. Input (one object on stdin):
 *   student, teacher   logits, one row [..] or several [[..], ..]
 *   labels, mask       one number a row; mask 1 = counted (default all)
 *   temperature, t2    and the loss's own: beta, skew, alpha
 *   k, tail            top-k targets made from the teacher's logits; or top_ids, top_logprobs, rest as they are
 * Output: {"value", "grad"}, the mean over the rows counted, grad of the same shape as student. */
#include <float.h>
#include <math.h>
#include "file.h"
#include "json.h"
#include "kernel.h"
#include "loss.h"
#include "mem.h"
#include "span.h"
#include "stage.h"

#define INPUT_MAX ((size_t)1 << 30)
#define MASS_TOLERANCE 1e-3

struct loss_input {
  const struct loss *loss;
  struct loss_params params;
  int64_t rows, vocab, k, counted;
  int flat; /* student was one row without the outer array */
  float *z, *y, *dz, *top_logprob, *rest;
  int32_t *label, *top_id;
  unsigned char *mask;
};

/* Row i of a matrix that may be given flat when it has one row. */
static const struct json *row_at(const struct json *m, size_t i) {
  return json_type(json_at(m, 0)) == JSON_ARRAY ? json_at(m, i) : i == 0 ? m : NULL;
}

static enum status read_numbers(const struct json *row, const char *key, size_t i, size_t n, double *out, struct err *e) {
  if (json_size(row) != n || json_type(row) != JSON_ARRAY) {
    return err_set(e, STATUS_DATA, "'%s' row %zu has %zu values, expected %zu", key, i, json_size(row), n);
  }
  for (size_t j = 0; j < n; j++) {
    const struct json *v = json_at(row, j);
    if (json_type(v) != JSON_INT && json_type(v) != JSON_REAL && json_type(v) != JSON_BOOL) {
      return err_set(e, STATUS_DATA, "'%s' row %zu: value %zu is not a number", key, i, j);
    }
    out[j] = json_type(v) == JSON_BOOL ? json_bool(v, 0) : json_num(v, 0);
  }
  return STATUS_OK;
}

/* A (rows, width) matrix; a wanted integer range when lo <= hi. Arena memory. */
static enum status read_matrix(const struct json *in, const char *key, int64_t rows, int64_t width, double lo, double hi,
                               struct arena *a, double **out, struct err *e) {
  enum status st = STATUS_OK;
  const struct json *m = json_get(in, key);
  *out = NULL;
  if (m == NULL) {
    return STATUS_OK;
  }
  double *v = arena_calloc(a, (size_t)(rows * width), sizeof *v);
  if (v == NULL) {
    return err_nomem(e, (unsigned long long)rows * (unsigned long long)width * sizeof *v);
  }
  if (width == 1 && json_type(json_at(m, 0)) != JSON_ARRAY) { /* one number a row */
    TRY(read_numbers(m, key, 0, (size_t)rows, v, e));
  } else {
    for (int64_t i = 0; i < rows; i++) {
      TRY(read_numbers(row_at(m, (size_t)i), key, (size_t)i, (size_t)width, v + i * width, e));
    }
  }
  for (int64_t i = 0; lo <= hi && i < rows * width; i++) {
    if (v[i] != floor(v[i]) || v[i] < lo || v[i] > hi) {
      st = err_set(e, STATUS_DATA, "'%s' holds %g, expected an integer in %g..%g", key, v[i], lo, hi);
      goto out;
    }
  }
  *out = v;
out:
  return st;
}

/* NULL stays a block of zeros. */
static enum status to_float(struct arena *a, const char *key, const double *v, int64_t rows, int64_t width, float **out, struct err *e) {
  int64_t n = rows * width;
  float *f = *out = arena_calloc(a, (size_t)n, sizeof *f);
  if (f == NULL) {
    return err_nomem(e, (unsigned long long)n * sizeof *f);
  }
  for (int64_t i = 0; v != NULL && i < n; i++) {
    f[i] = (float)v[i];
    if (!isfinite(f[i])) {
      return err_set(e, STATUS_DATA, "'%s' row %lld: value %lld is %g, beyond what float32 holds (%g)", key, (long long)(i / width),
                     (long long)(i % width), v[i], (double)FLT_MAX);
    }
  }
  return STATUS_OK;
}

static int32_t *to_int(struct arena *a, const double *v, int64_t n) {
  int32_t *f = arena_calloc(a, (size_t)n, sizeof *f);
  for (int64_t i = 0; f != NULL && v != NULL && i < n; i++) {
    f[i] = (int32_t)v[i];
  }
  return f;
}

static enum status need(const struct loss_input *x, const char *key, const void *v, struct err *e) {
  return v != NULL ? STATUS_OK : err_set(e, STATUS_DATA, "loss '%s' needs '%s' in the input object", x->loss->name, key);
}

/* A row of sparse targets is (a part of) one distribution: no token twice, no mass above 1. */
static enum status check_topk(const struct loss_input *x, int with_rest, struct err *e) {
  for (int64_t r = 0; r < x->rows; r++) {
    const int32_t *id = x->top_id + r * x->k;
    double mass = with_rest ? exp((double)x->rest[r]) : 0;
    for (int64_t j = 0; j < x->k; j++) {
      mass += exp((double)x->top_logprob[r * x->k + j]);
      for (int64_t i = 0; i < j; i++) {
        if (id[i] == id[j]) {
          return err_set(e, STATUS_DATA, "'top_ids' row %lld: token %d stands at %lld and at %lld, expected different ones", (long long)r, id[j],
                         (long long)i, (long long)j);
        }
      }
    }
    if (!(mass <= 1 + MASS_TOLERANCE)) {
      return err_set(e, STATUS_DATA, "'top_logprobs'%s row %lld: a mass of %g, expected at most 1: natural logarithms of probabilities",
                     with_rest ? " and 'rest'" : "", (long long)r, mass);
    }
  }
  return STATUS_OK;
}

/* Sparse targets: as given, or the k greatest of the teacher at the temperature of the loss. */
static enum status read_topk(struct loss_input *x, const struct json *in, const double *teacher, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  const struct json *ids = json_get(in, "top_ids");
  double *id = NULL, *lp = NULL, *rest = NULL;
  x->k = ids != NULL ? (int64_t)json_size(row_at(ids, 0)) : json_int(json_get(in, "k"), 0);
  int64_t most = x->vocab < LOSS_MAX_K ? x->vocab : LOSS_MAX_K;
  if (x->k < 1 || x->k > most) {
    return err_set(e, STATUS_DATA, "loss '%s' needs 'k' (with 'teacher') or 'top_ids': found %lld kept tokens, expected 1..%lld",
                   x->loss->name, (long long)x->k, (long long)most);
  }
  TRY(read_matrix(in, "top_ids", x->rows, x->k, 0, (double)(x->vocab - 1), a, &id, e));
  TRY(read_matrix(in, "top_logprobs", x->rows, x->k, 1, 0, a, &lp, e));
  TRY(read_matrix(in, "rest", x->rows, 1, 1, 0, a, &rest, e));
  x->top_id = to_int(a, id, x->rows * x->k);
  if (x->top_id == NULL) {
    st = err_nomem(e, 0);
    goto out;
  }
  TRY(to_float(a, "top_logprobs", lp, x->rows, x->k, &x->top_logprob, e));
  TRY(to_float(a, "rest", rest, x->rows, 1, &x->rest, e));
  if (id != NULL) {
    TRY(need(x, "top_logprobs", lp, e));
    if (x->loss->needs & LOSS_TOPK) {
      TRY(need(x, "rest", rest, e));
    }
    TRY(check_topk(x, rest != NULL, e));
    goto out;
  }
  TRY(x->loss->needs & LOSS_DRAWS ? need(x, "top_ids", NULL, e) : STATUS_OK); /* a teacher's top k would be taken for draws */
  TRY(need(x, "teacher", teacher, e));
  float *scaled = arena_calloc(a, (size_t)(x->rows * x->vocab), sizeof *scaled);
  if (scaled == NULL) {
    st = err_nomem(e, (unsigned long long)x->rows * (unsigned long long)x->vocab * sizeof *scaled);
    goto out;
  }
  for (int64_t i = 0; i < x->rows * x->vocab; i++) {
    scaled[i] = (float)(teacher[i] / x->params.temperature);
  }
  kernels_cpu()->row_topk(NULL, x->rows, x->vocab, x->k, scaled, x->top_id, x->top_logprob, x->rest);
out:
  return st;
}

/* ---- single members ---- */

static const struct { const char *name; char is; /* n number, i whole number, b boolean, s string, * checked where it is read */ } members[] = {
  { "student", '*' }, { "teacher", '*' }, { "label", '*' }, { "labels", '*' }, { "mask", '*' }, { "temperature", 'n' }, { "t2", 'b' },
  { "beta", 'n' }, { "skew", 'n' }, { "alpha", 'n' }, { "k", 'i' }, { "tail", 's' }, { "top_ids", '*' }, { "top_logprobs", '*' }, { "rest", '*' },
};
#define N_MEMBERS (sizeof members / sizeof members[0])

static enum status check_type(const char *key, char is, const struct json *v, struct err *e) {
  enum json_type t = json_type(v);
  int fits = is == '*' || (is == 'i' && t == JSON_INT) || (is == 'n' && (t == JSON_INT || t == JSON_REAL)) || (is == 's' && t == JSON_STRING) ||
             (is == 'b' && (t == JSON_BOOL || (t == JSON_INT && (json_int(v, 2) & ~(int64_t)1) == 0)));
  const char *wanted = is == 'n' ? "a number" : is == 'i' ? "a whole number" : is == 'b' ? "true or false" : "a string";
  if (fits) {
    return STATUS_OK;
  }
  struct buf b = { 0 };
  enum status st = json_put(&b, v, e);
  if (st == STATUS_OK) {
    st = err_set(e, STATUS_DATA, "'%s' is %.60s, expected %s", key, b.p, wanted);
  }
  buf_free(&b);
  return st;
}

/* A misspelt, doubled or mistyped member would give the loss of another question. */
static enum status check_members(struct span text, const struct json *in, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct record r;
  unsigned seen = 0;
  if (json_type(in) != JSON_OBJECT) {
    return err_set(e, STATUS_DATA, "'stdin': found something else than an object, expected {\"student\": [...], ...}");
  }
  while (text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1]) != NULL) {
    text.n--;
  }
  TRY(record_split(text, a, &r, e));
  for (size_t f = 0; f < r.n_fields; f++) {
    size_t i = 0;
    while (i < N_MEMBERS && !span_key_is(r.field[f].key, members[i].name)) {
      i++;
    }
    if (i == N_MEMBERS) {
      char known[256] = "";
      for (size_t j = 0, n = 0; j < N_MEMBERS; j++) {
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", j > 0 ? ", " : "", members[j].name);
      }
      return err_set(e, STATUS_DATA, "'%.*s' is no member of the input; known: %s", (int)(r.field[f].key.n < 80 ? r.field[f].key.n : 80),
                     r.field[f].key.p, known);
    }
    if (seen & 1u << i) {
      return err_set(e, STATUS_DATA, "'%s' stands twice, expected once", members[i].name);
    }
    seen |= 1u << i;
    TRY(check_type(members[i].name, members[i].is, json_get(in, members[i].name), e));
  }
out:
  return st;
}

static struct loss_params read_params(const struct json *in) {
  const struct json *t2 = json_get(in, "t2");
  return (struct loss_params){ .temperature = json_num(json_get(in, "temperature"), 1), .t2 = json_bool(t2, json_int(t2, 0) != 0),
                             .beta = json_num(json_get(in, "beta"), 0.5), .skew = json_num(json_get(in, "skew"), 0.1),
                             .alpha = json_num(json_get(in, "alpha"), 0.5) };
}

static enum status read_input(struct loss_input *x, const struct json *in, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  const struct json *s = json_get(in, "student");
  double *z = NULL, *y = NULL, *label = NULL, *mask = NULL;
  TRY(need(x, "student", s, e));
  x->flat = json_type(json_at(s, 0)) != JSON_ARRAY;
  x->rows = x->flat ? 1 : (int64_t)json_size(s);
  x->vocab = (int64_t)json_size(row_at(s, 0));
  if (x->vocab < 1 || x->vocab > INT32_MAX) {
    st = err_set(e, STATUS_DATA, "'student' must hold rows of logits, found a row of %lld", (long long)x->vocab);
    goto out;
  }
  x->params = read_params(in);
  if (!(x->params.temperature > 0)) {
    st = err_set(e, STATUS_DATA, "'temperature' is %g, expected above 0", x->params.temperature);
    goto out;
  }
  TRY(read_matrix(in, "student", x->rows, x->vocab, 1, 0, a, &z, e));
  TRY(read_matrix(in, "teacher", x->rows, x->vocab, 1, 0, a, &y, e));
  TRY(read_matrix(in, json_get(in, "label") != NULL ? "label" : "labels", x->rows, 1, -100, (double)(x->vocab - 1), a, &label, e));
  TRY(read_matrix(in, "mask", x->rows, 1, 0, 1, a, &mask, e));
  if (x->loss->needs & LOSS_TEACHER) {
    TRY(need(x, "teacher", y, e));
  }
  if (x->loss->needs & LOSS_LABEL) {
    TRY(need(x, "labels", label, e));
  }
  if (x->loss->needs & (LOSS_TOPK | LOSS_DRAWS)) {
    TRY(read_topk(x, in, y, a, e));
  }
  TRY(to_float(a, "student", z, x->rows, x->vocab, &x->z, e));
  TRY(to_float(a, "teacher", y, x->rows, x->vocab, &x->y, e));
  TRY(to_float(a, "grad", NULL, x->rows, x->vocab, &x->dz, e));
  x->label = to_int(a, label, x->rows);
  x->mask = arena_calloc(a, (size_t)x->rows, 1);
  if (x->label == NULL || x->mask == NULL) {
    st = err_nomem(e, 0);
    goto out;
  }
  for (int64_t i = 0; i < x->rows; i++) {
    /* a negative label is a row without a next token, as in the usual -100 */
    x->mask[i] = (mask == NULL || mask[i] > 0) && !((x->loss->needs & LOSS_LABEL) && x->label[i] < 0);
    x->counted += x->mask[i];
  }
out:
  return st;
}

static double compute(struct loss_input *x) {
  const struct loss_loops *v = loss_loops_find(kernels_cpu()->isa);
  double value = 0;
  for (int64_t i = 0; i < x->rows; i++) {
    struct loss_position p = { .vocab = x->vocab, .z = x->z + i * x->vocab, .y = x->y + i * x->vocab, .label = x->label[i],
                               .k = (int32_t)x->k, .grad_scale = (float)(1 / (double)x->counted), .dz = x->dz + i * x->vocab };
    if (x->k > 0) {
      p.top_id = x->top_id + i * x->k;
      p.top_logprob = x->top_logprob + i * x->k;
      p.rest = x->rest[i];
    }
    if (x->mask[i]) {
      value += x->loss->position(v, &x->params, &p);
    }
  }
  return x->counted > 0 ? value / (double)x->counted : 0;
}

/* Finite logits can lie so far apart that their difference is not. */
static enum status result_finite(const struct loss_input *x, double value, struct err *e) {
  if (!isfinite(value)) {
    return err_set(e, STATUS_DATA, "the value is %g: the logits lie too far apart for float32", value);
  }
  for (int64_t i = 0; i < x->rows * x->vocab; i++) {
    if (!isfinite(x->dz[i])) {
      return err_set(e, STATUS_DATA, "the gradient of row %lld, logit %lld is %g: the logits lie too far apart for float32", (long long)(i / x->vocab),
                     (long long)(i % x->vocab), (double)x->dz[i]);
    }
  }
  return STATUS_OK;
}

static enum status print_result(struct ctx *c, const struct loss_input *x, double value, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(buf_puts(&b, "{\"value\":", e));
  TRY(json_put_num(&b, value, e));
  TRY(buf_puts(&b, x->flat ? ",\"grad\":" : ",\"grad\":[", e));
  for (int64_t i = 0; i < x->rows; i++) {
    TRY(buf_puts(&b, i > 0 ? ",[" : "[", e));
    for (int64_t j = 0; j < x->vocab; j++) {
      if (j > 0) {
        TRY(buf_putc(&b, ',', e));
      }
      TRY(json_put_num(&b, (double)x->dz[i * x->vocab + j], e));
    }
    TRY(buf_putc(&b, ']', e));
  }
  TRY(ctx_print(c, e, "%s%s}\n", b.p, x->flat ? "" : "]"));
out:
  buf_free(&b);
  return st;
}

/* "topk" with "tail":"raw" is the row topk_raw. */
static enum status find_row(const char *name, const struct json *in, const struct loss **row, struct err *e) {
  char full[64];
  const char *tail = json_cstr(json_get(in, "tail"), NULL);
  snprintf(full, sizeof full, "%s%s%s", name, tail != NULL ? "_" : "", tail != NULL ? tail : "");
  *row = loss_find(full);
  if (*row != NULL) {
    return STATUS_OK;
  }
  char known[1000] = "";
  for (size_t i = 0; loss_table[i] != NULL; i++) {
    size_t n = strlen(known);
    snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", loss_table[i]->name);
  }
  return err_set(e, STATUS_USAGE, "'%s' is not a loss; known: %s", full, known);
}

struct loss_options { int none; };
static const struct opt_row option_rows[] = { OPT_END };

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  (void)options;
  enum status st = STATUS_OK;
  struct buf text = { .max_bytes = INPUT_MAX };
  struct json *in = NULL;
  struct loss_input x = { 0 };
  if (args->n != 1) {
    return err_set(e, STATUS_USAGE, "expected one argument, the name of a loss, found %zu", args->n);
  }
  if (loss_find(args->item[0]) == NULL) {
    TRY(find_row(args->item[0], NULL, &x.loss, e)); /* a wrong name is told before the input is read */
  }
  TRY(file_read("-", INPUT_MAX, &text, e));
  TRY(json_parse((struct span){ text.p, text.n }, "stdin", &in, e));
  TRY(find_row(args->item[0], in, &x.loss, e));
  TRY(check_members((struct span){ text.p, text.n }, in, ctx_arena(c), e));
  TRY(read_input(&x, in, ctx_arena(c), e));
  double value = compute(&x);
  TRY(result_finite(&x, value, e));
  TRY(print_result(c, &x, value, e));
out:
  json_free(in);
  buf_free(&text);
  return st;
}

const struct stage stage_loss = {
  .name = "loss",
  .args = "NAME",
  .summary = "value and gradient of one loss for logits given as JSON",
  .details = "Reads one JSON object: \"student\" and \"teacher\" logits (one row or several), \"labels\", \"mask\",\n"
             "\"temperature\", \"t2\", \"k\" and \"tail\" (raw, renorm, both, ghost) for topk, or \"top_ids\",\n"
             "\"top_logprobs\" and \"rest\". Writes {\"value\",\"grad\"}: the mean over the rows whose mask is 1.\n"
             "Names: ce, fkl, topk, topk_ghost, topk_raw, topk_renorm, topk_both, sample (ids drawn from the teacher as \"top_ids\").\n\n"
             "  echo '{\"teacher\":[2,1,0],\"student\":[0,1,2]}' | retort loss fkl\n"
             "  echo '{\"teacher\":[2,1,0],\"student\":[0,1,2],\"k\":1,\"tail\":\"ghost\"}' | retort loss topk\n",
  .flags = STAGE_INSTRUMENT,
  .options = option_rows,
  .options_bytes = sizeof(struct loss_options),
  .run = run,
};
