/* SPDX-License-Identifier: Apache-2.0
 * Ledger lines of a book joined to runs, linked by pipes, and checked. See flow.h. */
#include "flow.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>
#include "json.h"

struct load { struct arena *a; struct flow_run *run; size_t n, cap; };

static const char *text(struct load *x, const struct json *j) {
  struct span s = json_str(j);
  const char *p = arena_strndup(x->a, s.p ? s.p : "", s.p ? s.n : 0);
  return p ? p : "";
}

static struct flow_run *find(struct load *x, const char *id) {
  for (size_t i = x->n; i-- > 0;)
    if (!strcmp(x->run[i].run, id)) return &x->run[i];
  return NULL;
}

static void digest(const struct json *j, struct hash128 *d) {
  char half[17] = "";
  const char *s = json_cstr(j, "");
  if (strlen(s) != 32) return;
  memcpy(half, s, 16);
  d->hi = strtoull(half, NULL, 16);
  d->lo = strtoull(s + 16, NULL, 16);
}

static enum status reasons(struct load *x, const struct json *o, struct flow_reason **list, size_t *n, uint64_t *total, struct err *e) {
  void *it = NULL;
  struct span key;
  const struct json *v;
  *n = 0;
  *total = 0;
  *list = arena_alloc(x->a, (json_size(o) + 1) * sizeof **list);
  if (!*list) return err_nomem(e, json_size(o) * sizeof **list);
  while (json_next(o, &it, &key, &v)) {
    struct flow_reason r = { arena_strndup(x->a, key.p, key.n), (uint64_t)json_int(v, 0) };
    if (!r.text) return err_nomem(e, key.n);
    (*list)[(*n)++] = r;
    *total += r.n;
  }
  return STATUS_OK;
}

static enum status take_open(struct load *x, const struct json *j, struct err *e) {
  struct buf options = { 0 };
  if (find(x, json_cstr(json_get(j, "run"), ""))) return STATUS_OK; /* twice after an interrupted compact */
  if (x->n == x->cap) {
    size_t cap = x->cap ? x->cap * 2 : 32;
    struct flow_run *more = arena_alloc(x->a, cap * sizeof *more);
    if (!more) return err_nomem(e, cap * sizeof *more);
    if (x->n) memcpy(more, x->run, x->n * sizeof *more);
    x->run = more;
    x->cap = cap;
  }
  struct flow_run *r = &x->run[x->n++];
  memset(r, 0, sizeof *r);
  r->run = text(x, json_get(j, "run"));
  r->stage = text(x, json_get(j, "stage"));
  r->host = text(x, json_get(j, "host"));
  r->stdin_id = text(x, json_get(j, "stdin"));
  r->stdout_id = text(x, json_get(j, "stdout"));
  r->upstream = "";
  r->pid = (long)json_int(json_get(j, "pid"), 0);
  r->start = json_num(json_get(j, "time"), 0);
  enum status st = json_put(&options, json_get(j, "options"), e);
  r->options = st == STATUS_OK ? arena_strndup(x->a, options.p, options.n) : NULL;
  buf_free(&options);
  return st != STATUS_OK ? st : r->options ? STATUS_OK : err_nomem(e, 0);
}

static enum status take_close(struct load *x, const struct json *j, struct err *e) {
  enum status st = STATUS_OK;
  struct flow_run *r = find(x, json_cstr(json_get(j, "run"), ""));
  const struct json *c = json_get(j, "counts");
  if (!r) return STATUS_OK; /* its opening line is in another book */
  r->outcome = text(x, json_get(j, "outcome"));
  r->upstream = text(x, json_get(j, "upstream"));
  r->end = json_num(json_get(j, "time"), 0);
  r->in = (uint64_t)json_int(json_get(c, "in"), 0);
  r->kept = (uint64_t)json_int(json_get(c, "kept"), 0);
  r->made = (uint64_t)json_int(json_get(c, "made"), 0);
  digest(json_get(c, "in_digest"), &r->in_digest);
  digest(json_get(c, "out_digest"), &r->out_digest);
  TRY(reasons(x, json_get(c, "dropped"), &r->dropped_why, &r->n_dropped_why, &r->dropped, e));
  TRY(reasons(x, json_get(c, "failed"), &r->failed_why, &r->n_failed_why, &r->failed, e));
  TRY(reasons(x, json_get(c, "changed"), &r->changed_why, &r->n_changed_why, &r->changed, e));
out:
  return st;
}

static enum status take(void *ctx, struct span line, struct err *e) {
  struct json *j = NULL;
  enum status st = json_parse(line, "ledger line", &j, e);
  if (st == STATUS_OK) {
    const char *event = json_cstr(json_get(j, "event"), "");
    if (!strcmp(event, "open")) st = take_open(ctx, j, e);
    if (!strcmp(event, "close")) st = take_close(ctx, j, e);
  }
  json_free(j);
  return st;
}

/* ---- links ---- */

static int is(const char *id, const char *kind) { return !strncmp(id, kind, strlen(kind)); }

static int same_rows(const struct flow_run *from, const struct flow_run *to) {
  return from->made == to->in && from->out_digest.lo == to->in_digest.lo && from->out_digest.hi == to->in_digest.hi;
}

static int feeds(const struct flow_run *from, const struct flow_run *to) {
  if (from == to || strcmp(from->stdout_id, to->stdin_id)) return 0;
  /* A pipe's number may come again after days: both must have lived at the same time, or nearly. */
  if (is(from->stdout_id, "pipe:")) return (!to->end || from->start <= to->end + 1) && (!from->end || to->start <= from->end + 60);
  /* A file may be written again, or edited in between: only the very rows are a link. */
  return is(from->stdout_id, "file:") && from->outcome && to->outcome && from->start <= to->end && same_rows(from, to);
}

static enum status link_runs(struct load *x, struct err *e) {
  size_t *tmp = arena_alloc(x->a, (x->n + 1) * sizeof *tmp);
  if (!tmp) return err_nomem(e, x->n * sizeof *tmp);
  for (size_t i = 0; i < x->n; i++) {
    struct flow_run *to = &x->run[i];
    size_t n = 0;
    for (size_t k = 0; k < x->n; k++)
      if (feeds(&x->run[k], to)) tmp[n++] = k;
    if (n > 1 && is(to->stdin_id, "file:")) tmp[0] = tmp[n - 1], n = 1; /* the same rows made several times: the latest */
    to->up = arena_alloc(x->a, (n + 1) * sizeof *to->up);
    if (!to->up) return err_nomem(e, n * sizeof *to->up);
    memcpy(to->up, tmp, n * sizeof *tmp);
    to->n_up = n;
    to->flow = (int)i;
  }
  /* Depth and flow number spread along the links; n rounds are enough for any chain, and end a cycle of files. */
  int changed = 1;
  for (size_t round = 0; changed && round <= x->n; round++) {
    changed = 0;
    for (size_t i = 0; i < x->n; i++) {
      struct flow_run *to = &x->run[i];
      for (size_t k = 0; k < to->n_up; k++) {
        struct flow_run *from = &x->run[to->up[k]];
        int low = from->flow < to->flow ? from->flow : to->flow;
        if (to->depth < from->depth + 1) to->depth = from->depth + 1, changed = 1;
        if (from->flow != low || to->flow != low) from->flow = to->flow = low, changed = 1;
      }
    }
  }
  return STATUS_OK;
}

/* ---- checks ---- */

static int process_lives(const struct flow_run *r) {
  char host[64] = "";
  (void)gethostname(host, sizeof host - 1);
  return !strcmp(host, r->host) && r->pid > 0 && (kill((pid_t)r->pid, 0) == 0 || errno == EPERM);
}

static const char *link_problem(struct load *x, const struct flow_run *r) {
  uint64_t made = 0;
  struct hash128 sum = { 0, 0 };
  if (r->n_up == 0 || !is(r->stdin_id, "pipe:") || strcmp(r->outcome, "done")) return NULL;
  for (size_t k = 0; k < r->n_up; k++) {
    const struct flow_run *u = &x->run[r->up[k]];
    if (!u->outcome) return arena_printf(x->a, "its upstream '%s' has no closing line", u->stage);
    made += u->made;
    sum.lo += u->out_digest.lo;
    sum.hi += u->out_digest.hi + (sum.lo < u->out_digest.lo);
  }
  if (made != r->in) return arena_printf(x->a, "upstream made %" PRIu64 " rows, %" PRIu64 " came in", made, r->in);
  return sum.lo == r->in_digest.lo && sum.hi == r->in_digest.hi ? NULL : "the rows that came in are not the ones upstream made (digests differ)";
}

static void check(struct load *x) {
  for (size_t i = 0; i < x->n; i++) {
    struct flow_run *r = &x->run[i];
    for (size_t k = i + 1; k < x->n && !r->superseded; k++) {
      const struct flow_run *l = &x->run[k];
      r->superseded = (!r->outcome || strcmp(r->outcome, "done")) && l->outcome && !strcmp(l->outcome, "done") && !strcmp(l->stage, r->stage) && !strcmp(l->options, r->options);
    }
    if (!r->outcome) {
      r->alive = process_lives(r);
      r->problem = r->alive ? "still running" : "no closing line (killed?)";
    } else if (!strcmp(r->outcome, "done")) {
      int counts_rows = strcmp(r->stdin_id, "none") != 0 || r->in > 0;
      if (counts_rows && r->in != r->kept + r->dropped + r->failed)
        r->problem = arena_printf(x->a, "%" PRIu64 " rows in, %" PRIu64 " kept + %" PRIu64 " dropped + %" PRIu64 " failed", r->in, r->kept, r->dropped, r->failed);
      else r->problem = link_problem(x, r);
    }
  }
}

static int by_place(const void *p, const void *q) {
  const struct flow_run *a = p, *b = q;
  if (a->flow != b->flow) return a->flow < b->flow ? -1 : 1;
  if (a->depth != b->depth) return a->depth < b->depth ? -1 : 1;
  return a->start < b->start ? -1 : a->start > b->start;
}

/* Sorts, turns the links into new positions and the flow numbers into 0, 1, 2... */
static enum status sort(struct load *x, struct err *e) {
  const char **old = arena_alloc(x->a, (x->n + 1) * sizeof *old);
  if (!old) return err_nomem(e, x->n * sizeof *old);
  for (size_t i = 0; i < x->n; i++) old[i] = x->run[i].run;
  if (x->n) qsort(x->run, x->n, sizeof *x->run, by_place);
  int number = -1, last = -1;
  for (size_t i = 0; i < x->n; i++) {
    if (x->run[i].flow != last) last = x->run[i].flow, number++;
    x->run[i].flow = number;
    x->run[i].index = i;
    for (size_t k = 0; k < x->run[i].n_up; k++) x->run[i].up[k] = (size_t)(find(x, old[x->run[i].up[k]]) - x->run);
  }
  return STATUS_OK;
}

enum status flow_load(struct book *b, struct arena *a, struct flow_run **runs, size_t *n, struct err *e) {
  enum status st = STATUS_OK;
  struct load x = { .a = a };
  *runs = NULL;
  *n = 0;
  TRY(book_notes(b, "run", take, &x, e));
  TRY(link_runs(&x, e));
  check(&x);
  TRY(sort(&x, e));
  *runs = x.run;
  *n = x.n;
out:
  return st;
}
