/* SPDX-License-Identifier: Apache-2.0
 * The ledger of one run: counts, digests, opening and closing lines. The frame opens and closes it; stages count. */
#include "ledger.h"
#include <inttypes.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <unistd.h>
#include "book.h"
#include "log.h"
#include "pipe_record.h"

struct reason { char *text; uint64_t n; };
struct reasons { struct reason *row; size_t n, cap; uint64_t total; };

struct ledger {
  pthread_mutex_t mu;
  struct book *book;
  char *stage, *options;
  char run[17], in_id[PIPE_ID_MAX], out_id[PIPE_ID_MAX];
  int in_fd, out_fd, announced, opened, closed, out_of_memory;
  const char *upstream; /* "none" nothing to check, "checked", "outside retort", "unread" */
  double start;
  uint64_t in, kept, made;
  struct hash128 in_digest, out_digest;
  struct reasons dropped, failed, changed;
};

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct ledger *ledger_new(const char *stage, struct book *book) {
  unsigned char id[8];
  struct ledger *l = mem_calloc(1, sizeof *l);
  if (!l) return NULL;
  pthread_mutex_init(&l->mu, NULL);
  l->stage = mem_strdup(stage);
  l->book = book;
  l->in_fd = l->out_fd = -1;
  l->upstream = "none";
  if (l->stage && RAND_bytes(id, sizeof id) == 1) {
    hash_hex(id, sizeof id, l->run);
    return l;
  }
  ledger_free(l);
  return NULL;
}

static void reasons_free(struct reasons *r) {
  for (size_t i = 0; i < r->n; i++) mem_free(r->row[i].text);
  mem_free(r->row);
}

void ledger_free(struct ledger *l) {
  if (!l) return;
  reasons_free(&l->dropped);
  reasons_free(&l->failed);
  reasons_free(&l->changed);
  pthread_mutex_destroy(&l->mu);
  mem_free(l->stage);
  mem_free(l->options);
  mem_free(l);
}

/* ---- counting ---- */

static void digest_add(struct hash128 *sum, struct span line) {
  struct hash128 h = xxh3_128(line.p, line.n);
  sum->lo += h.lo;
  sum->hi += h.hi + (sum->lo < h.lo);
}

void ledger_in(struct ledger *l, struct span line) {
  if (!l) return;
  pthread_mutex_lock(&l->mu);
  l->in++;
  digest_add(&l->in_digest, line);
  pthread_mutex_unlock(&l->mu);
}

void ledger_made(struct ledger *l, struct span line) {
  if (!l) return;
  pthread_mutex_lock(&l->mu);
  l->made++;
  digest_add(&l->out_digest, line);
  pthread_mutex_unlock(&l->mu);
}

void ledger_kept(struct ledger *l) {
  if (!l) return;
  pthread_mutex_lock(&l->mu);
  l->kept++;
  pthread_mutex_unlock(&l->mu);
}

static void count(struct ledger *l, struct reasons *r, const char *text, uint64_t n) {
  pthread_mutex_lock(&l->mu);
  r->total += n;
  for (size_t i = 0; i < r->n; i++) {
    if (strcmp(r->row[i].text, text)) continue;
    r->row[i].n += n;
    goto out;
  }
  if (r->n == r->cap) {
    size_t cap = r->cap ? r->cap * 2 : 16;
    struct reason *row = mem_realloc(r->row, cap * sizeof *row);
    if (!row) {
      l->out_of_memory = 1; /* said when the ledger is closed */
      goto out;
    }
    r->row = row;
    r->cap = cap;
  }
  r->row[r->n].text = mem_strdup(text);
  r->row[r->n].n = n;
  if (r->row[r->n].text) r->n++;
  else l->out_of_memory = 1;
out:
  pthread_mutex_unlock(&l->mu);
}

void ledger_dropped(struct ledger *l, const char *reason) {
  if (l) count(l, &l->dropped, reason, 1);
}
void ledger_failed(struct ledger *l, const char *reason) {
  if (l) count(l, &l->failed, reason, 1);
}
void ledger_changed(struct ledger *l, const char *what, uint64_t n) {
  if (l && n) count(l, &l->changed, what, n);
}
uint64_t ledger_count_in(const struct ledger *l) { return l ? l->in : 0; }
uint64_t ledger_count_kept(const struct ledger *l) { return l ? l->kept : 0; }
uint64_t ledger_count_made(const struct ledger *l) { return l ? l->made : 0; }
uint64_t ledger_count_dropped(const struct ledger *l) { return l ? l->dropped.total : 0; }
uint64_t ledger_count_failed(const struct ledger *l) { return l ? l->failed.total : 0; }

static int by_text(const void *a, const void *b) { return strcmp(((const struct reason *)a)->text, ((const struct reason *)b)->text); }

static enum status put_reasons(struct buf *out, const char *name, const struct reasons *r, struct err *e) {
  enum status st = STATUS_OK;
  if (r->n) qsort(r->row, r->n, sizeof *r->row, by_text);
  TRY(buf_printf(out, e, ",\"%s\":{", name));
  for (size_t i = 0; i < r->n; i++) {
    if (i) TRY(buf_putc(out, ',', e));
    TRY(json_put_cstr(out, r->row[i].text, e));
    TRY(buf_printf(out, e, ":%" PRIu64, r->row[i].n));
  }
  TRY(buf_putc(out, '}', e));
out:
  return st;
}

enum status ledger_json(const struct ledger *l, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(out, "{\"stage\":", e));
  TRY(json_put_cstr(out, l->stage, e));
  TRY(buf_printf(out, e, ",\"in\":%" PRIu64 ",\"kept\":%" PRIu64 ",\"made\":%" PRIu64, l->in, l->kept, l->made));
  TRY(put_reasons(out, "dropped", &l->dropped, e));
  TRY(put_reasons(out, "failed", &l->failed, e));
  if (l->changed.n) TRY(put_reasons(out, "changed", &l->changed, e));
  TRY(buf_printf(out, e, ",\"in_digest\":\"%016" PRIx64 "%016" PRIx64 "\",\"out_digest\":\"%016" PRIx64 "%016" PRIx64 "\"}", l->in_digest.hi,
                 l->in_digest.lo, l->out_digest.hi, l->out_digest.lo));
out:
  return st;
}

/* ---- lines of history ---- */

static enum status note_open(struct ledger *l, struct err *e) {
  enum status st = STATUS_OK;
  struct buf j = { 0 };
  char host[64] = "";
  if (!l->book) return STATUS_OK;
  (void)gethostname(host, sizeof host - 1);
  TRY(buf_printf(&j, e, "{\"event\":\"open\",\"run\":\"%s\",\"stage\":", l->run));
  TRY(json_put_cstr(&j, l->stage, e));
  TRY(buf_printf(&j, e, ",\"pid\":%ld,\"host\":", (long)getpid()));
  TRY(json_put_cstr(&j, host, e));
  TRY(buf_printf(&j, e, ",\"time\":%.3f,\"stdin\":\"%s\",\"stdout\":\"%s\",\"options\":%s}", l->start, l->in_id, l->out_id, l->options));
  TRY(book_note(l->book, "run", (struct span){ j.p, j.n }, e));
out:
  buf_free(&j);
  return st;
}

static enum status note_close(struct ledger *l, const char *outcome, struct err *e) {
  enum status st = STATUS_OK;
  struct buf j = { 0 };
  if (!l->book) return STATUS_OK;
  TRY(buf_printf(&j, e, "{\"event\":\"close\",\"run\":\"%s\",\"outcome\":", l->run));
  TRY(json_put_cstr(&j, outcome, e));
  TRY(buf_printf(&j, e, ",\"time\":%.3f,\"upstream\":\"%s\",\"counts\":", now_s(), l->upstream));
  TRY(ledger_json(l, &j, e));
  TRY(buf_putc(&j, '}', e));
  TRY(book_note(l->book, "run", (struct span){ j.p, j.n }, e));
out:
  buf_free(&j);
  return st;
}

void ledger_announce(struct ledger *l, int out_fd) {
  struct err ignored;
  l->out_fd = out_fd;
  if (pipe_identity(out_fd, l->out_id)) l->announced = pipe_record_open(out_fd, l->stage, l->run, &ignored) == STATUS_OK;
}

enum status ledger_open(struct ledger *l, int in_fd, int out_fd, struct span options_json, struct err *e) {
  enum status st = STATUS_OK;
  l->in_fd = in_fd;
  l->out_fd = out_fd;
  l->start = now_s();
  l->options = mem_strndup(options_json.n ? options_json.p : "{}", options_json.n ? options_json.n : 2);
  if (!l->options) return err_nomem(e, options_json.n);
  if (pipe_identity(in_fd, l->in_id)) l->upstream = "unread";
  if (pipe_identity(out_fd, l->out_id)) {
    pipe_record_clean();
    if (!l->announced) TRY(pipe_record_open(out_fd, l->stage, l->run, e));
  }
  l->opened = 1;
  TRY(note_open(l, e));
out:
  return st;
}

enum status ledger_attach(struct ledger *l, struct book *book, struct err *e) {
  if (!l || l->book == book) return STATUS_OK;
  l->book = book;
  return l->opened ? note_open(l, e) : STATUS_OK;
}

enum status ledger_check_upstream(struct ledger *l, struct err *e) {
  int upstream = 0;
  if (strcmp(l->upstream, "unread")) return STATUS_OK;
  enum status st = pipe_record_check(l->in_fd, l->start, l->in, l->in_digest, &upstream, e);
  l->upstream = !upstream ? "outside retort" : st == STATUS_OK ? "checked" : "broken";
  if (!upstream) log_debug("stdin comes from outside retort: nobody's closing line to compare %" PRIu64 " rows with", l->in);
  return st;
}

enum status ledger_close(struct ledger *l, struct err *e) {
  enum status st = STATUS_OK;
  if (l->closed) return STATUS_OK;
  if (l->out_of_memory) return err_set(e, STATUS_NOMEM, "out of memory while reasons were counted");
  int counts_rows = l->in_fd >= 0 || l->in > 0; /* a source without rows in has nothing to balance */
  if (counts_rows && l->in != l->kept + l->dropped.total + l->failed.total)
    return err_set(e, STATUS_DATA, "ledger of '%s' does not add up: %" PRIu64 " rows in, %" PRIu64 " kept + %" PRIu64 " dropped + %" PRIu64 " failed",
                   l->stage, l->in, l->kept, l->dropped.total, l->failed.total);
  TRY(note_close(l, "done", e));
  TRY(pipe_record_close(l->out_fd, l->run, "done", l->made, l->out_digest, e));
  l->closed = 1;
out:
  return st;
}

void ledger_abort(struct ledger *l, const char *outcome) {
  struct err e = { STATUS_OK, "" };
  if (!l || l->closed || (!l->opened && !l->announced)) return;
  l->closed = 1;
  if (l->opened && note_close(l, outcome, &e) != STATUS_OK) log_warn("closing line: %s", e.msg);
  if (!strcmp(outcome, "broken pipe")) pipe_record_forget(l->out_fd);
  else if (pipe_record_close(l->out_fd, l->run, outcome, l->made, l->out_digest, &e) != STATUS_OK) log_warn("closing line: %s", e.msg);
}
