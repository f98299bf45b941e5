/* SPDX-License-Identifier: Apache-2.0
 * Batches in the book; see batch_book.h. */
#include "batch_book.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "hash.h"
#include "json.h"
#include "log.h"

#define BUCKETS 65536

void batch_key_hex(const unsigned char key[32], char out[65])
{
  hash_hex(key, 32, out);
}

int batch_key_read(struct span hex, unsigned char key[32])
{
  return hex.n == 64 && hash_unhex(hex.p, 32, key);
}

/* ---- keys ---- */

static struct batch_key **bucket_of(const struct batch_book *b, const unsigned char key[32])
{
  return &b->bucket[key[0] | (size_t)key[1] << 8];
}

struct batch_key *batch_book_key(const struct batch_book *b, const unsigned char key[32])
{
  struct batch_key *k = *bucket_of(b, key);
  while (k != NULL && memcmp(k->key, key, 32) != 0) {
    k = k->next;
  }
  return k;
}

enum status batch_book_set_key(struct batch_book *b, const unsigned char key[32], enum batch_key_state state, const char *reason, struct err *e)
{
  struct batch_key *k = batch_book_key(b, key);
  if (k == NULL) {
    k = arena_calloc(b->a, 1, sizeof *k);
    if (k == NULL) {
      return err_nomem(e, sizeof *k);
    }
    memcpy(k->key, key, 32);
    k->next = *bucket_of(b, key);
    *bucket_of(b, key) = k;
  }
  k->state = state;
  k->tries += state == BATCH_AGAIN;
  k->reason = NULL;
  if (reason != NULL && (k->reason = arena_printf(b->a, "%s", reason)) == NULL) {
    return err_nomem(e, strlen(reason));
  }
  return STATUS_OK;
}

/* ---- parts ---- */

char *batch_book_file(const struct batch_book *b, const struct batch_part *p)
{
  return arena_printf(b->a, "%s/batch-%s.jsonl", book_path(b->book), p->name);
}

static struct batch_part *find_part(const struct batch_book *b, const char *name)
{
  struct batch_part *p = b->part;
  while (p != NULL && strcmp(p->name, name) != 0) {
    p = p->next;
  }
  return p;
}

static enum status new_part(struct batch_book *b, const char *name, struct batch_part **out, struct err *e)
{
  struct batch_part *p = arena_calloc(b->a, 1, sizeof *p);
  if (p == NULL) {
    return err_nomem(e, sizeof *p);
  }
  snprintf(p->name, sizeof p->name, "%.16s", name);
  if (b->last == NULL) {
    b->part = p;
  } else {
    b->last->next = p;
  }
  b->last = p;
  *out = p;
  return STATUS_OK;
}

static enum status read_closed(struct batch_book *b, const struct json *j, struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *refused = json_get(j, "refused"), *again = json_get(j, "again"), *value;
  unsigned char key[32];
  struct span name;
  void *it = NULL;
  while (json_type(refused) == JSON_OBJECT && json_next(refused, &it, &name, &value)) {
    if (batch_key_read(name, key)) {
      TRY(batch_book_set_key(b, key, BATCH_REFUSED, json_cstr(value, "refused"), e));
    }
  }
  for (size_t i = 0; i < json_size(again) && json_type(again) == JSON_ARRAY; i++) {
    if (batch_key_read(json_str(json_at(again, i)), key)) {
      TRY(batch_book_set_key(b, key, BATCH_AGAIN, NULL, e));
    }
  }
out:
  return st;
}

static enum status read_note(void *ctx, struct span note, struct err *e)
{
  enum status st = STATUS_OK;
  struct batch_book *b = ctx;
  struct json *j = NULL;
  TRY(json_parse(note, "a note of the book", &j, e));
  const char *event = json_cstr(json_get(j, "event"), ""), *name = json_cstr(json_get(j, "part"), "");
  if (strcmp(json_cstr(json_get(j, "identity"), ""), b->identity) != 0 || strlen(name) != 16) {
    goto out;
  }
  struct batch_part *p = find_part(b, name);
  if (p == NULL) {
    TRY(new_part(b, name, &p, e));
  }
  if (strcmp(event, "part") == 0) {
    p->requests = (size_t)json_int(json_get(j, "requests"), 0);
    p->reservation = strtoull(json_cstr(json_get(j, "reservation"), "0"), NULL, 16);
    p->reserved = (uint64_t)json_int(json_get(j, "micro_usd"), 0);
  } else if (strcmp(event, "sending") == 0) {
    p->sending = json_int(json_get(j, "time"), 0);
  } else if (strcmp(event, "made") == 0) {
    p->batch = arena_printf(b->a, "%s", json_cstr(json_get(j, "batch"), ""));
    st = p->batch ? STATUS_OK : err_nomem(e, 64);
  } else if (strcmp(event, "closed") == 0) {
    p->closed = 1;
    TRY(read_closed(b, j, e));
  }
out:
  json_free(j);
  return st;
}

/* Every question in the file of an open part waits. */
static enum status read_file(struct batch_book *b, struct batch_part *p, struct err *e)
{
  enum status st = STATUS_OK;
  struct file_map m = { 0 };
  static const char head[] = "{\"custom_id\":\"";
  const char *path = batch_book_file(b, p);
  unsigned char key[32];
  if (path == NULL) {
    return err_nomem(e, 300);
  }
  if (!file_exists(path)) {
    if (p->batch != NULL) {
      return err_set(e, STATUS_IO, "'%s': missing, but batch '%s' was made of it: its answers cannot be assigned; restore the file", path, p->batch);
    }
    p->closed = 1; /* somebody took it away before it was sent: it is not asked */
    return STATUS_OK;
  }
  TRY(file_map_open(path, &m, e));
  for (const char *at = (const char *)m.p, *end = at + m.bytes; at != NULL && at < end;) {
    const char *nl = memchr(at, '\n', (size_t)(end - at));
    size_t n = nl ? (size_t)(nl - at) : (size_t)(end - at);
    if (n < sizeof head - 1 + 64 || memcmp(at, head, sizeof head - 1) != 0 || !batch_key_read((struct span){ at + sizeof head - 1, 64 }, key)) {
      st = err_set(e, STATUS_DATA, "'%s' byte %zu: no line of a batch; the file was changed", path, (size_t)(at - (const char *)m.p));
      goto out;
    }
    TRY(batch_book_set_key(b, key, BATCH_WAITS, NULL, e));
    at += n + 1;
  }
out:
  file_map_close(&m);
  return st;
}

static enum status take_lock(struct batch_book *b, struct err *e)
{
  const char *path = arena_printf(b->a, "%s/batch-%016llx.lock", book_path(b->book), (unsigned long long)xxh3(b->identity, strlen(b->identity)));
  if (path == NULL) {
    return err_nomem(e, 300);
  }
  b->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (b->lock < 0) {
    return err_sys(e, STATUS_IO, "'%s'", path);
  }
  if (flock(b->lock, LOCK_EX | LOCK_NB) != 0) {
    return errno == EWOULDBLOCK ? err_set(e, STATUS_STOPPED, "'%s': another process works on the batches of this teacher and book; wait for it", path)
                                : err_sys(e, STATUS_IO, "'%s'", path);
  }
  return STATUS_OK;
}

enum status batch_book_open(struct batch_book *b, struct book *book, const char *identity, struct err *e)
{
  enum status st = STATUS_OK;
  *b = (struct batch_book){ .book = book, .identity = identity, .a = arena_new(0), .lock = -1 };
  b->bucket = mem_calloc(BUCKETS, sizeof *b->bucket);
  if (b->a == NULL || b->bucket == NULL) {
    st = err_nomem(e, BUCKETS * sizeof *b->bucket);
    goto out;
  }
  TRY(take_lock(b, e));
  TRY(book_notes(book, "batch", read_note, b, e));
  for (struct batch_part *p = b->part; p != NULL; p = p->next) {
    if (!p->closed) {
      TRY(read_file(b, p, e));
    }
  }
out:
  return st;
}

void batch_book_close(struct batch_book *b)
{
  if (b->lock >= 0) {
    close(b->lock);
  }
  b->lock = -1;
  mem_free(b->bucket);
  b->bucket = NULL;
  arena_free(b->a);
  b->a = NULL;
}

/* ---- steps ---- */

static enum status begin_note(const struct batch_book *b, const struct batch_part *p, const char *event, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_printf(out, e, "{\"event\":\"%s\",\"part\":\"%s\",\"identity\":", event, p->name));
  TRY(json_put_cstr(out, b->identity, e));
  TRY(buf_printf(out, e, ",\"time\":%lld", (long long)time(NULL)));
out:
  return st;
}

static enum status end_note(struct batch_book *b, struct buf *note, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_putc(note, '}', e));
  TRY(book_note(b->book, "batch", (struct span){ note->p, note->n }, e));
out:
  buf_free(note);
  return st;
}

enum status batch_book_add(struct batch_book *b, struct span lines, size_t requests, const struct book_money *m, struct batch_part **out,
                           struct err *e)
{
  enum status st = STATUS_OK;
  struct buf note = { 0 };
  struct file_atomic f = { 0 };
  struct batch_part *p = NULL;
  unsigned char sha[32];
  char seed[100], name[65];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int n = snprintf(seed, sizeof seed, "%lld.%09ld %ld %016llx", (long long)now.tv_sec, now.tv_nsec, (long)getpid(), (unsigned long long)xxh3(lines.p, lines.n));
  sha256_of(seed, (size_t)n, sha);
  hash_hex(sha, 32, name);
  TRY(new_part(b, name, &p, e));
  p->requests = requests;
  p->reservation = m->reservation;
  p->reserved = m->micro_usd;
  char *path = batch_book_file(b, p);
  if (path == NULL) {
    st = err_nomem(e, 300);
    goto out;
  }
  TRY(file_atomic_open(&f, path, e));
  f.fresh = 0; /* the newest state counts */
  TRY(file_write_all(fileno(f.fp), lines.p, lines.n, e));
  TRY(file_atomic_commit(&f, e));
  TRY(begin_note(b, p, "part", &note, e));
  TRY(buf_printf(&note, e, ",\"requests\":%zu,\"bytes\":%zu,\"reservation\":\"%016llx\",\"micro_usd\":%llu", requests, lines.n,
                 (unsigned long long)m->reservation, (unsigned long long)m->micro_usd));
  TRY(end_note(b, &note, e));
  *out = p;
out:
  file_atomic_abort(&f);
  buf_free(&note);
  return st;
}

enum status batch_book_sending(struct batch_book *b, struct batch_part *p, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf note = { 0 };
  TRY(begin_note(b, p, "sending", &note, e));
  TRY(end_note(b, &note, e));
  p->sending = (int64_t)time(NULL);
out:
  buf_free(&note);
  return st;
}

enum status batch_book_made(struct batch_book *b, struct batch_part *p, const char *batch, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf note = { 0 };
  TRY(begin_note(b, p, "made", &note, e));
  TRY(buf_puts(&note, ",\"batch\":", e));
  TRY(json_put_cstr(&note, batch, e));
  TRY(end_note(b, &note, e));
  p->batch = arena_printf(b->a, "%s", batch);
  st = p->batch ? STATUS_OK : err_nomem(e, strlen(batch));
out:
  buf_free(&note);
  return st;
}

enum status batch_book_shut(struct batch_book *b, struct batch_part *p, const char *status, size_t answered, struct span refused,
                            struct span again, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf note = { 0 };
  const char *path = batch_book_file(b, p);
  TRY(begin_note(b, p, "closed", &note, e));
  TRY(buf_puts(&note, ",\"batch\":", e));
  TRY(json_put_cstr(&note, p->batch ? p->batch : "", e));
  TRY(buf_puts(&note, ",\"status\":", e));
  TRY(json_put_cstr(&note, status, e));
  TRY(buf_printf(&note, e, ",\"answered\":%zu,\"refused\":", answered));
  TRY(buf_put(&note, refused.p, refused.n, e));
  TRY(buf_puts(&note, ",\"again\":", e));
  TRY(buf_put(&note, again.p, again.n, e));
  TRY(end_note(b, &note, e));
  p->closed = 1;
  if (path != NULL && unlink(path) != 0) {
    log_warn("'%s' cannot be removed; it is not needed any more", path);
  }
out:
  buf_free(&note);
  return st;
}
