/* SPDX-License-Identifier: Apache-2.0
 * Reading the inputs of the report. See report_data.h. */
#include "report_data.h"
#include <fcntl.h>
#include <math.h>
#include <unistd.h>
#include "file.h"
#include "json.h"
#include "line.h"

enum { FILE_MAX = 1 << 28 };

static enum status curve_add(struct curve *c, struct arena *a, double x, double y, struct err *e) {
  if (!isfinite(x) || !isfinite(y)) return STATUS_OK;
  if (c->n == c->cap) {
    size_t cap = c->cap ? c->cap * 2 : 64;
    double *p = arena_alloc(a, 2 * cap * sizeof *p);
    if (!p) return err_nomem(e, 2 * cap * sizeof *p);
    if (c->n) {
      memcpy(p, c->x, c->n * sizeof *p);
      memcpy(p + cap, c->y, c->n * sizeof *p);
    }
    c->x = p;
    c->y = p + cap;
    c->cap = cap;
  }
  c->x[c->n] = x;
  c->y[c->n++] = y;
  return STATUS_OK;
}

enum status curve_thin(const struct curve *c, size_t most, double keep, struct arena *a, struct curve *out, struct err *e) {
  enum status st = STATUS_OK;
  size_t group = c->n > most ? (c->n + most - 1) / most : 1;
  double smooth = 0, weight = 0;
  *out = (struct curve){ NULL, NULL, 0, 0 };
  for (size_t i = 0; i < c->n; i += group) {
    double x = 0, y = 0;
    size_t k = 0;
    for (; k < group && i + k < c->n; k++) {
      /* every point enters the mean, with the start corrected as in Adam */
      smooth = keep * smooth + (1 - keep) * c->y[i + k];
      weight = keep * weight + (1 - keep);
      x += c->x[i + k];
      y += keep > 0 ? smooth / weight : c->y[i + k];
    }
    TRY(curve_add(out, a, x / (double)k, y / (double)k, e));
  }
out:
  return st;
}

/* f for every object of a JSON Lines file. */
static enum status each_line(const char *path, enum status (*f)(void *ctx, const struct json *j, struct err *e), void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  struct line_reader *r = NULL;
  struct json *j = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
  r = line_reader_new(fd, path, FILE_MAX);
  if (!r) TRY(err_nomem(e, 0));
  for (;;) {
    struct span line;
    int got;
    TRY(line_next(r, &line, &got, e));
    if (!got) break;
    st = json_parse(line, path, &j, e);
    if (st != STATUS_OK) {
      (void)err_prefix(e, "row %llu", (unsigned long long)line_number(r));
      goto out;
    }
    TRY(f(ctx, j, e));
    json_free(j);
    j = NULL;
  }
out:
  json_free(j);
  line_reader_free(r);
  close(fd);
  return st;
}

struct metrics { struct report_run *run; struct arena *a; };

static enum status take_metric(void *ctx, const struct json *j, struct err *e) {
  enum status st = STATUS_OK;
  struct metrics *m = ctx;
  struct report_run *r = m->run;
  const struct json *v = json_get(j, "eval");
  double x = json_num(json_get(j, "tokens"), NAN);
  if (json_type(v) == JSON_OBJECT) {
    TRY(curve_add(&r->eval_loss, m->a, x, json_num(json_get(v, "loss"), NAN), e));
    TRY(curve_add(&r->eval_kl, m->a, x, json_num(json_get(v, "kl"), NAN), e));
    TRY(curve_add(&r->eval_agreement, m->a, x, json_num(json_get(v, "agreement"), NAN), e));
  } else {
    TRY(curve_add(&r->loss, m->a, x, json_num(json_get(j, "loss"), NAN), e));
    TRY(curve_add(&r->kl, m->a, x, json_num(json_get(j, "kl"), NAN), e));
    TRY(curve_add(&r->tok_s, m->a, x, json_num(json_get(j, "tok_s"), NAN), e));
  }
  r->n_metrics++;
out:
  return st;
}

enum status report_run_load(const char *path, struct arena *a, struct report_run *r, struct err *e) {
  enum status st = STATUS_OK;
  struct json *j = NULL;
  struct metrics m = { r, a };
  size_t n = strlen(path), from;
  memset(r, 0, sizeof *r);
  r->loss_name = "";
  r->steps = r->tokens = r->seconds = r->peak_bytes = r->lr = NAN;
  while (n > 1 && path[n - 1] == '/') n--;
  for (from = n; from > 0 && path[from - 1] != '/'; from--) continue;
  r->path = path;
  r->name = arena_strndup(a, path + from, n - from);
  char *metrics = path_join(a, path, "metrics.jsonl"), *manifest = path_join(a, path, "manifest.json");
  if (!r->name || !metrics || !manifest) return err_nomem(e, n);
  if (!folder_exists(path)) return err_set(e, STATUS_IO, "'%s': no such run folder", path);
  if (file_exists(metrics)) TRY(each_line(metrics, take_metric, &m, e));
  if (!file_exists(manifest)) return STATUS_OK;
  TRY(json_parse_file(manifest, FILE_MAX, &j, e));
  const struct json *res = json_get(j, "result");
  r->steps = json_num(json_get(res, "steps"), NAN);
  r->tokens = json_num(json_get(res, "tokens"), NAN);
  r->seconds = json_num(json_get(res, "seconds"), NAN);
  r->peak_bytes = json_num(json_get(res, "peak_rss_bytes"), NAN);
  r->lr = json_num(json_path(j, "options.lr"), NAN);
  const char *loss = json_cstr(json_get(j, "loss"), "");
  r->loss_name = arena_strndup(a, loss, strlen(loss));
  if (!r->loss_name) st = err_nomem(e, strlen(loss));
out:
  json_free(j);
  return st;
}

/* ---- summary ---- */

struct summary { struct arena *a; struct report_row *row; size_t n, cap; };

static enum status take_row(struct summary *s, struct span name, const struct json *j, struct err *e) {
  if (json_type(j) != JSON_OBJECT || (!json_get(j, "params") && !json_get(j, "loss") && !json_get(j, "kl"))) return STATUS_OK;
  if (s->n == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 16;
    struct report_row *p = arena_alloc(s->a, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    if (s->n) memcpy(p, s->row, s->n * sizeof *p);
    s->row = p;
    s->cap = cap;
  }
  struct report_row *r = &s->row[s->n++];
  const struct { const char *key; double *to; } num[] = { { "params", &r->params }, { "bytes", &r->bytes }, { "loss", &r->loss }, { "kl", &r->kl }, { "kl_low", &r->kl_low },
    { "kl_high", &r->kl_high }, { "agreement", &r->agreement }, { "text_loss", &r->text_loss }, { "tok_s", &r->tok_s } };
  for (size_t i = 0; i < sizeof num / sizeof *num; i++) *num[i].to = json_num(json_get(j, num[i].key), NAN);
  if (!name.p) name = json_str(json_get(j, "name"));
  if (!name.p) name = json_str(json_get(j, "row"));
  if (!name.p) name = (struct span){ "?", 1 };
  r->name = arena_strndup(s->a, name.p, name.n);
  return r->name ? STATUS_OK : err_nomem(e, name.n);
}

static enum status take_rows(void *ctx, const struct json *j, struct err *e) {
  enum status st = STATUS_OK;
  struct summary *s = ctx;
  void *it = NULL;
  struct span key;
  const struct json *v;
  size_t before = s->n;
  if (json_get(j, "rows")) j = json_get(j, "rows");
  for (size_t i = 0; json_type(j) == JSON_ARRAY && i < json_size(j); i++) TRY(take_row(s, (struct span){ NULL, 0 }, json_at(j, i), e));
  if (json_type(j) != JSON_OBJECT) goto out;
  TRY(take_row(s, (struct span){ NULL, 0 }, j, e));
  if (s->n > before) goto out; /* one line of JSON Lines */
  while (json_next(j, &it, &key, &v)) TRY(take_row(s, key, v, e));
out:
  return st;
}

enum status report_summary_load(const char *path, struct arena *a, struct report_row **rows, size_t *n, struct err *e) {
  struct summary s = { .a = a };
  struct json *j = NULL;
  struct err whole = { STATUS_OK, "" };
  enum status st = json_parse_file(path, FILE_MAX, &j, &whole);
  if (st == STATUS_OK) {
    st = take_rows(&s, j, e);
    json_free(j);
  } else if (st == STATUS_DATA) {
    st = each_line(path, take_rows, &s, e); /* several objects: JSON Lines */
  } else if (e) {
    *e = whole;
  }
  *rows = s.row;
  *n = s.n;
  return st;
}

/* ---- samples ---- */

struct samples { struct arena *a; struct report_sample *list; size_t n, cap; };

static struct span keep(struct arena *a, const struct json *j) {
  struct span s = json_str(j);
  char *p = s.p ? arena_strndup(a, s.p, s.n) : NULL;
  return (struct span){ p, p ? s.n : 0 };
}

static enum status take_sample(void *ctx, const struct json *j, struct err *e) {
  struct samples *s = ctx;
  if (s->n == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 16;
    struct report_sample *p = arena_alloc(s->a, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    if (s->n) memcpy(p, s->list, s->n * sizeof *p);
    s->list = p;
    s->cap = cap;
  }
  /* a row of the pipe (retort generate --into) asks with its last user message */
  const struct json *question = json_get(j, "question"), *messages = json_get(j, "messages");
  for (size_t i = json_size(messages); !question && i-- > 0;) {
    const struct json *m = json_at(messages, i);
    if (!strcmp(json_cstr(json_get(m, "role"), ""), "user")) question = json_get(m, "content");
  }
  s->list[s->n++] = (struct report_sample){ keep(s->a, question), keep(s->a, json_get(j, "teacher")), keep(s->a, json_get(j, "student")) };
  return STATUS_OK;
}

enum status report_samples_load(const char *path, struct arena *a, struct report_sample **list, size_t *n, struct err *e) {
  struct samples s = { .a = a };
  enum status st = each_line(path, take_sample, &s, e);
  *list = s.list;
  *n = s.n;
  return st;
}
