/* SPDX-License-Identifier: Apache-2.0
 * The book, open: segments found and absorbed into memory, our own segment appended to with group commit. One mutex;
 * only the sync itself runs outside it. Other processes' segments are only ever read. */
#include "book_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "book_index.h"
#include "file.h"
#include "hash.h"
#include "log.h"

const char book_marker[] = "retort-book", book_marker_text[] = "retort book 1\n";
enum { OUT_BYTES = 1 << 20, FDS_MAX = 64 };

uint64_t book_time_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t book_monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

const char *book_path(const struct book *b) { return b->path; }

/* ---- the folder ---- */

static int ours(const char *name) {
  return !strncmp(name, book_marker, strlen(book_marker)) || !strncmp(name, "seg-", 4) || !strncmp(name, "index.sqlite", 12) || !strcmp(name, "lock");
}

static enum status check_marker(const char *path, int flags, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  struct buf text = { 0 };
  struct file_atomic f = { 0 };
  const char **names = NULL;
  size_t n = 0;
  if (!a) return err_nomem(e, 0);
  char *marker = path_join(a, path, book_marker);
  if (!marker) TRY(err_nomem(e, 0));
  if (file_exists(marker)) {
    TRY(file_read(marker, 4096, &text, e));
    if (!text.p || strcmp(text.p, book_marker_text))
      st = err_set(e, STATUS_DATA, "'%s': not a book of this version (found '%.40s', expected '%.13s')", marker, text.p ? text.p : "", book_marker_text);
    goto out;
  }
  if (!(flags & BOOK_CREATE)) TRY(err_set(e, STATUS_IO, "'%s': no book there (no file '%s' in it)", path, book_marker));
  TRY(folder_make(path, e));
  TRY(folder_list(path, a, &names, &n, e));
  for (size_t i = 0; i < n; i++)
    if (!ours(names[i])) TRY(err_set(e, STATUS_USAGE, "'%s': a folder with other files in it ('%s'), not a book: name a new one", path, names[i]));
  TRY(file_atomic_open(&f, marker, e));
  f.fresh = 0; /* whoever else makes it now writes the same */
  if (fputs(book_marker_text, f.fp) < 0) TRY(err_sys(e, STATUS_IO, "'%s' cannot be written", marker));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  buf_free(&text);
  arena_free(a);
  return st;
}

enum status book_seg_new(struct book *b, const char *name, struct seg **out, struct err *e) {
  if (b->n_seg == b->cap_seg) {
    size_t cap = b->cap_seg ? b->cap_seg * 2 : 16;
    struct seg *s = mem_realloc(b->seg, cap * sizeof *s);
    if (!s) return err_nomem(e, cap * sizeof *s);
    b->seg = s;
    b->cap_seg = cap;
  }
  struct seg s = { .name = mem_strdup(name), .fd = -1, .grown_ns = book_monotonic_ns() };
  struct buf path = { 0 };
  enum status st = s.name ? buf_printf(&path, e, "%s/%s", b->path, name) : err_nomem(e, strlen(name));
  if (st != STATUS_OK) {
    mem_free(s.name);
    buf_free(&path);
    return st;
  }
  s.path = path.p;
  b->seg[b->n_seg++] = s;
  *out = &b->seg[b->n_seg - 1];
  return STATUS_OK;
}

/* A segment opened for reading. At most FDS_MAX of others' stay open, given up in turn (thousands of Slurm tasks may
 * share one book). */
enum status book_source(struct book *b, size_t i, struct seg_source *src, struct err *e) {
  struct seg *s = &b->seg[i];
  struct stat info;
  if (s->fd < 0) {
    while (b->fd_open >= FDS_MAX) {
      struct seg *old = &b->seg[b->fd_hand++ % b->n_seg];
      if (old->own || old->fd < 0 || b->fd_kept == (size_t)(old - b->seg) + 1) continue;
      close(old->fd);
      old->fd = -1;
      b->fd_open--;
    }
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) return err_sys(e, STATUS_IO, "'%s' cannot be opened", s->path);
    b->fd_open++;
  }
  if (fstat(s->fd, &info) != 0) return err_sys(e, STATUS_IO, "'%s' cannot be read", s->path);
  *src = (struct seg_source){ s->fd, NULL, (uint64_t)info.st_size, s->path };
  return STATUS_OK;
}

static struct seg *seg_find(struct book *b, const char *name) {
  for (size_t i = 0; i < b->n_seg; i++)
    if (!strcmp(b->seg[i].name, name)) return &b->seg[i];
  return NULL;
}

/* ---- absorbing ---- */

/* base: where in the segment byte 0 of src stands (0 for files, the record's own offset for one still in memory). */
struct absorb { struct book *b; uint32_t seg; struct seg_source src; uint64_t base; };

enum status book_note_add(struct book *b, uint32_t seg, const struct seg_record *r, struct err *e) {
  if (b->n_note == b->cap_note) {
    size_t cap = b->cap_note ? b->cap_note * 2 : 64;
    struct note_ref *n = mem_realloc(b->note, cap * sizeof *n);
    if (!n) return err_nomem(e, cap * sizeof *n);
    b->note = n;
    b->cap_note = cap;
  }
  b->note[b->n_note++] = (struct note_ref){ seg, *r };
  return STATUS_OK;
}

static enum status absorb(void *ctx, const struct seg_record *r, struct err *e) {
  struct absorb *x = ctx;
  enum status st = STATUS_OK;
  unsigned char p[SEG_KEY];
  struct seg_record here = *r;
  here.offset -= x->base;
  struct entry en = { .seg = x->seg, .time_ns = r->time_ns, .offset = r->offset, .length = r->length, .xxh3 = r->xxh3 };
  switch (r->type) {
    case SEG_ANSWER:
      TRY(seg_payload_start(&x->src, &here, en.key, SEG_KEY, e));
      book_claim_end(x->b, en.key, BOOK_ANY_SEG);
      return book_map_add(x->b, &en, e);
    case SEG_FAILED:
      TRY(seg_payload_start(&x->src, &here, en.key, SEG_KEY, e));
      book_claim_end(x->b, en.key, x->seg);
      return STATUS_OK;
    case SEG_CLAIM:
      TRY(seg_payload_start(&x->src, &here, en.key, SEG_KEY, e));
      return book_claim_add(x->b, en.key, x->seg, e);
    case SEG_RESERVE: case SEG_SETTLE:
      TRY(seg_payload_start(&x->src, &here, p, 16, e));
      return book_money_add(x->b, r->type, seg_u64(p), seg_u64(p + 8), e);
    case SEG_NOTE: return book_note_add(x->b, x->seg, r, e);
    default: return STATUS_OK; /* types of a later version */
  }
out:
  return st;
}

enum status book_scan_seg(struct book *b, size_t i, struct err *e) {
  struct absorb x = { .b = b, .seg = (uint32_t)i };
  struct seg_report rep;
  if (b->seg[i].own || b->seg[i].bad || b->seg[i].closed) return STATUS_OK; /* our own records were absorbed when they were put */
  struct stat info; /* thousands of segments do not grow any more: they are not even opened */
  if (b->seg[i].fd < 0 && stat(b->seg[i].path, &info) == 0 && (uint64_t)info.st_size == b->seg[i].scanned) return STATUS_OK;
  enum status st = book_source(b, i, &x.src, e);
  if (st != STATUS_OK) return st;
  if (x.src.bytes == b->seg[i].scanned) return STATUS_OK;
  b->fd_kept = i + 1;
  st = seg_scan(&x.src, b->seg[i].scanned, absorb, &x, &rep, e);
  b->fd_kept = 0;
  if (st == STATUS_DATA) {
    log_warn("%s; left out", e ? e->msg : b->seg[i].path);
    b->seg[i].bad = 1;
    return STATUS_OK;
  }
  if (st != STATUS_OK) return st;
  if (rep.damaged_bytes)
    log_warn("'%s' byte %llu: %llu damaged bytes left out; see 'retort book verify'", b->seg[i].path, (unsigned long long)rep.damaged_at,
             (unsigned long long)rep.damaged_bytes);
  if (rep.end > b->seg[i].scanned) b->seg[i].grown_ns = book_monotonic_ns();
  b->seg[i].scanned = rep.end;
  return STATUS_OK;
}

enum status book_scan_all(struct book *b, struct err *e) {
  enum status st = STATUS_OK;
  DIR *d = opendir(b->path);
  struct dirent *ent;
  struct seg *s;
  if (!d) return err_sys(e, STATUS_IO, "'%s' cannot be listed", b->path);
  while ((ent = readdir(d)) != NULL) {
    size_t n = strlen(ent->d_name);
    if (n < 8 || strncmp(ent->d_name, "seg-", 4) || strcmp(ent->d_name + n - 4, ".seg") || seg_find(b, ent->d_name)) continue;
    TRY(book_seg_new(b, ent->d_name, &s, e));
  }
  for (size_t i = 0; i < b->n_seg; i++) TRY(book_scan_seg(b, i, e));
  b->refreshed_ns = book_monotonic_ns();
out:
  closedir(d);
  return st;
}

/* ---- our own segment ---- */

static enum status own_open(struct book *b, struct err *e) {
  unsigned char rnd[6];
  char host[64] = "host", hex[13], name[160];
  struct seg *s = NULL;
  if (RAND_bytes(rnd, sizeof rnd) != 1) return err_set(e, STATUS_IO, "no random numbers for the name of a segment");
  hash_hex(rnd, sizeof rnd, hex);
  if (gethostname(host, sizeof host - 1) != 0) memcpy(host, "host", 5);
  host[40] = 0;
  for (char *p = host; *p; p++)
    if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.')) *p = '-';
  uint64_t now = book_time_ns();
again:
  snprintf(name, sizeof name, "seg-%016llx-%s-%ld-%s.seg", (unsigned long long)now, host, (long)getpid(), hex);
  enum status st = book_seg_new(b, name, &s, e);
  if (st != STATUS_OK) return st;
  s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (s->fd < 0) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be made", s->path);
    mem_free(s->name);
    mem_free(s->path);
    b->n_seg--;
    return st;
  }
  /* Says "somebody writes here" to claims and book_compact; gone with the process. A compaction that found the file before
   * the lock was ours has removed it: then another one. */
  struct stat info;
  while (flock(s->fd, LOCK_EX) != 0 && errno == EINTR) continue;
  if (fstat(s->fd, &info) == 0 && info.st_nlink == 0) {
    close(s->fd);
    mem_free(s->name);
    mem_free(s->path);
    b->n_seg--;
    now++;
    goto again;
  }
  s->own = 1;
  b->own = (int)(s - b->seg);
  b->flushed = b->durable = 0;
  return seg_put_head(&b->out, now, e);
}

enum status book_flush(struct book *b, struct err *e) {
  if (b->own < 0 || b->out.n == 0) return STATUS_OK;
  struct seg *s = &b->seg[b->own];
  enum status st = file_write_all(s->fd, b->out.p, b->out.n, e);
  if (st != STATUS_OK) { /* half a record must not stand before the next one */
    (void)err_prefix(e, "'%s'", s->path);
    if (ftruncate(s->fd, (off_t)b->flushed) != 0 || lseek(s->fd, (off_t)b->flushed, SEEK_SET) < 0) b->broken = 1;
    return st == STATUS_STOPPED ? STATUS_IO : st;
  }
  b->flushed += b->out.n;
  s->scanned = b->flushed;
  buf_clear(&b->out);
  return STATUS_OK;
}

static enum status check_usable(const struct book *b, struct err *e) {
  if (b->broken) return err_set(e, STATUS_IO, "'%s': an earlier write failed; nothing more is written", b->path);
  if (!(b->flags & BOOK_CREATE)) return err_set(e, STATUS_USAGE, "'%s': opened for reading only", b->path);
  return STATUS_OK;
}

enum status book_append(struct book *b, uint32_t type, const struct span *parts, size_t n, struct err *e) {
  enum status st = check_usable(b, e);
  if (st == STATUS_OK && b->own < 0) st = own_open(b, e);
  if (st != STATUS_OK) return st;
  struct absorb x = { .b = b, .seg = (uint32_t)b->own };
  struct seg_record r = { .type = type, .time_ns = book_time_ns(), .offset = b->flushed + b->out.n };
  size_t at = b->out.n;
  st = seg_put_record(&b->out, type, r.time_ns, parts, n, e);
  if (st != STATUS_OK) return st;
  const unsigned char *head = (const unsigned char *)b->out.p + at;
  r.length = seg_u64(head + 8);
  r.xxh3 = seg_u64(head + 24);
  x.base = r.offset;
  x.src = (struct seg_source){ -1, head, b->out.n - at, b->seg[b->own].path };
  st = absorb(&x, &r, e);
  if (st == STATUS_OK && b->out.n >= OUT_BYTES) st = book_flush(b, e);
  return st;
}

enum status book_sync(struct book *b, struct err *e) {
  enum status st = STATUS_OK;
  if (b->own < 0) return STATUS_OK;
  uint64_t want = b->flushed + b->out.n;
  while (b->durable < want) {
    if (b->broken) return check_usable(b, e);
    if (b->syncing) {
      pthread_cond_wait(&b->synced, &b->mu);
      continue;
    }
    int fd = b->seg[b->own].fd, first = b->durable == 0, err = 0;
    TRY(book_flush(b, e));
    uint64_t upto = b->flushed;
    b->syncing = 1;
    pthread_mutex_unlock(&b->mu);
    if (fdatasync(fd) != 0) err = errno;
    if (!err && first) { /* the name of a new file is durable only after its folder is */
      int dir = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (dir >= 0 && fsync(dir) != 0 && errno != EINVAL) err = errno;
      if (dir >= 0) close(dir);
    }
    pthread_mutex_lock(&b->mu);
    b->syncing = 0;
    pthread_cond_broadcast(&b->synced);
    if (err) { /* after a failed sync the kernel may have dropped the pages: never try again and believe it */
      b->broken = 1;
      errno = err;
      return err_sys(e, STATUS_IO, "'%s' cannot be synced", b->path);
    }
    if (upto > b->durable) b->durable = upto;
  }
out:
  return st;
}

/* ---- open and close ---- */

static void book_free(struct book *b) {
  for (size_t i = 0; i < b->n_seg; i++) {
    if (b->seg[i].fd >= 0) close(b->seg[i].fd);
    mem_free(b->seg[i].name);
    mem_free(b->seg[i].path);
    mem_free(b->seg[i].chunk);
  }
  book_index_close(b->index);
  if (b->lock_fd >= 0) close(b->lock_fd);
  mem_free(b->seg);
  book_map_free(b);
  mem_free(b->money);
  mem_free(b->tag);
  mem_free(b->note);
  mem_free(b->claim);
  buf_free(&b->out);
  pthread_mutex_destroy(&b->mu);
  pthread_cond_destroy(&b->synced);
  mem_free(b->path);
  mem_free(b);
}

enum status book_open(const char *path, int flags, struct book **out, struct err *e) {
  enum status st = STATUS_OK;
  *out = NULL;
  TRY(check_marker(path, flags, e));
  struct book *b = mem_calloc(1, sizeof *b);
  if (!b) return err_nomem(e, sizeof *b);
  pthread_mutex_init(&b->mu, NULL);
  pthread_cond_init(&b->synced, NULL);
  b->flags = flags;
  b->lock_fd = b->own = -1;
  b->path = mem_strdup(path);
  st = !b->path ? err_nomem(e, strlen(path)) : flags & BOOK_NO_INDEX ? STATUS_OK : book_index_open(b, &b->index, e);
  if (st == STATUS_OK) st = book_scan_all(b, e);
  if (st != STATUS_OK) book_free(b);
  else *out = b;
out:
  return st;
}

enum status book_close(struct book *b, struct err *e) {
  if (!b) return STATUS_OK;
  pthread_mutex_lock(&b->mu);
  enum status st = b->broken ? STATUS_OK : book_sync(b, e); /* what broke was an error of the call that broke it */
  pthread_mutex_unlock(&b->mu);
  book_free(b);
  return st;
}

/* ---- journal ---- */

int book_key(struct span identity, struct span body, uint32_t ordinal, unsigned char key[32]) {
  unsigned char n[8 + 8 + 4];
  struct sha256 *s = sha256_new();
  seg_put_u64(n, identity.n);
  seg_put_u64(n + 8, body.n);
  seg_put_u32(n + 16, ordinal);
  memset(key, 0, 32);
  if (!s) return 0;
  sha256_add(s, n, sizeof n);
  sha256_add(s, identity.p, identity.n);
  sha256_add(s, body.p, body.n);
  sha256_end(s, key);
  return 1;
}

static enum status read_answer(struct book *b, const struct entry *en, const struct span *body, struct arena *a, struct book_answer *ans,
                               int *found, struct err *e) {
  enum status st = STATUS_OK;
  struct seg_source src;
  struct span payload;
  struct seg_answer sa;
  struct seg_record r = { SEG_ANSWER, en->time_ns, en->offset, en->length, en->xxh3 };
  if (b->seg[en->seg].own && seg_record_end(&r) > b->durable) TRY(book_sync(b, e));
  TRY(book_source(b, en->seg, &src, e));
  st = seg_payload(&src, &r, a, &payload, e);
  if (st == STATUS_DATA) return STATUS_OK; /* never committed: ask again */
  if (st != STATUS_OK) goto out;
  TRY(seg_answer_parse(payload, &sa, e));
  if (memcmp(sa.key, en->key, SEG_KEY)) TRY(err_set(e, STATUS_CHECKSUM, "'%s' byte %llu: holds another answer than expected", src.name, (unsigned long long)r.offset));
  if (body && (sa.body.n != body->n || (body->n && memcmp(sa.body.p, body->p, body->n)))) goto out;
  *ans = (struct book_answer){ sa.body, sa.answer, sa.meta };
  *found = 1;
out:
  return st;
}

enum { REFRESH_NS = 200000000 };

static enum status find(struct book *b, const unsigned char key[32], const struct span *body, struct arena *a, struct book_answer *ans,
                        int *found, struct err *e) {
  enum status st = STATUS_OK;
  struct entry en, from_index;
  int in_map = 0, in_index = 0;
  *found = 0;
  pthread_mutex_lock(&b->mu);
  TRY(book_map_get(b, key, &en, &in_map, e));
  TRY(book_index_find(b, key, &from_index, &in_index, e));
  if (in_index && (!in_map || from_index.time_ns < en.time_ns)) en = from_index; /* the earliest counts */
  if (!in_map && !in_index && book_monotonic_ns() - b->refreshed_ns > REFRESH_NS) { /* somebody else may have asked it meanwhile */
    TRY(book_scan_all(b, e));
    TRY(book_map_get(b, key, &en, &in_map, e));
  }
  if (in_map || in_index) TRY(read_answer(b, &en, body, a, ans, found, e));
out:
  pthread_mutex_unlock(&b->mu);
  return st;
}

enum status book_find(struct book *b, const unsigned char key[32], struct span body, struct arena *a, struct book_answer *ans,
                      int *found, struct err *e) {
  return find(b, key, &body, a, ans, found, e);
}

enum status book_find_key(struct book *b, const unsigned char key[32], struct arena *a, struct book_answer *ans, int *found, struct err *e) {
  return find(b, key, NULL, a, ans, found, e);
}

static enum status put(struct book *b, uint32_t type, const unsigned char key[32], const struct book_answer *ans, struct err *e) {
  unsigned char n[24];
  seg_put_u64(n, ans->body.n);
  seg_put_u64(n + 8, ans->answer.n);
  seg_put_u64(n + 16, ans->meta.n);
  struct span parts[] = { { (const char *)key, SEG_KEY }, { (const char *)n, sizeof n }, ans->body, ans->answer, ans->meta };
  pthread_mutex_lock(&b->mu);
  enum status st = book_append(b, type, parts, 5, e);
  pthread_mutex_unlock(&b->mu);
  return st;
}

enum status book_put(struct book *b, const unsigned char key[32], const struct book_answer *ans, struct err *e) {
  return put(b, SEG_ANSWER, key, ans, e);
}

enum status book_put_failed(struct book *b, const unsigned char key[32], const struct book_answer *ans, struct err *e) {
  return put(b, SEG_FAILED, key, ans, e);
}

enum status book_commit(struct book *b, struct err *e) {
  pthread_mutex_lock(&b->mu);
  enum status st = book_sync(b, e);
  pthread_mutex_unlock(&b->mu);
  return st;
}
