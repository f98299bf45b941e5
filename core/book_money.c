/* SPDX-License-Identifier: Apache-2.0
 * Money across the processes of one book. The lock file makes "look at everybody's records, add mine" one step; the
 * record is in the file before the lock is given back, and durable before the request may be sent. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/file.h>
#include <unistd.h>
#include "book_internal.h"
#include "log.h"

enum status book_lock(struct book *b, int *locked, struct err *e) {
  static int said;
  *locked = 0;
  if (b->lock_fd < 0) {
    struct buf path = { 0 };
    enum status st = buf_printf(&path, e, "%s/lock", b->path);
    if (st != STATUS_OK) return st;
    b->lock_fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (b->lock_fd < 0) st = err_sys(e, STATUS_IO, "'%s' cannot be opened", path.p);
    buf_free(&path);
    if (st != STATUS_OK) return st;
  }
  while (flock(b->lock_fd, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    if (errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP) return err_sys(e, STATUS_IO, "'%s/lock' cannot be locked", b->path);
    if (!said++) log_warn("'%s': this file system has no locks: processes that share the book may ask the same question twice", b->path);
    return STATUS_OK;
  }
  *locked = 1;
  return STATUS_OK;
}

void book_unlock(struct book *b) { (void)flock(b->lock_fd, LOCK_UN); }

void book_spender(struct book *b, const char *stage) {
  pthread_mutex_lock(&b->mu);
  snprintf(b->stage, sizeof b->stage, "%s", stage);
  pthread_mutex_unlock(&b->mu);
}

/* 40 random bits that no other writer has, then a count: so readers can forget what is settled (book_map.c). */
static enum status next_id(struct book *b, uint64_t *id, struct err *e) {
  unsigned char p[8];
  if (b->money_tag == 0 || b->money_next > BOOK_MONEY_COUNT) {
    do {
      if (RAND_bytes(p, 8) != 1) return err_set(e, STATUS_IO, "no random number for a reservation");
      b->money_tag = seg_u64(p) & ~(uint64_t)BOOK_MONEY_COUNT;
    } while (b->money_tag == 0);
    b->money_next = 1;
  }
  *id = b->money_tag | b->money_next++;
  return STATUS_OK;
}

static enum status reserve_one(struct book *b, const char *model, int priced, struct book_money *m, struct err *e) {
  unsigned char p[16];
  uint64_t id = 0;
  enum status st = next_id(b, &id, e);
  if (st != STATUS_OK) return st;
  seg_put_u64(p, id);
  seg_put_u64(p + 8, m->micro_usd);
  struct span parts[] = { { (const char *)p, sizeof p }, { model, strlen(model) }, { "\n", 1 }, { b->stage, strlen(b->stage) }, { "\n?", priced ? 0 : 2 } };
  st = book_append(b, SEG_RESERVE, parts, 5, e);
  if (st == STATUS_OK) m->reservation = id;
  return st;
}

enum status book_reserve_all(struct book *b, const char *model, int priced, struct book_money *m, size_t n, uint64_t limit_micro_usd,
                             size_t *granted, struct err *e) {
  enum status st = STATUS_OK;
  int locked = 0, limited = limit_micro_usd != UINT64_MAX;
  *granted = 0;
  pthread_mutex_lock(&b->mu);
  if (limited) TRY(book_lock(b, &locked, e));
  if (limited && !locked)
    TRY(err_set(e, STATUS_IO, "'%s': a limit of money needs a file system with locks (flock); put the book on another one", b->path));
  if (limited) TRY(book_scan_all(b, e));
  for (size_t i = 0; i < n; i++) {
    m[i].reservation = 0;
    if (limited && (m[i].micro_usd > limit_micro_usd || b->spent > limit_micro_usd - m[i].micro_usd)) {
      err_set(e, STATUS_LIMIT, "the limit of %.6f USD is reached: %.6f are spent or reserved in '%s', this request needs up to %.6f",
              (double)limit_micro_usd / 1e6, (double)b->spent / 1e6, b->path, (double)m[i].micro_usd / 1e6);
      break;
    }
    TRY(reserve_one(b, model, priced, &m[i], e));
    ++*granted;
  }
  if (limited) TRY(book_flush(b, e));
out:
  if (locked) book_unlock(b);
  if (st == STATUS_OK && limited) st = book_sync(b, e);
  pthread_mutex_unlock(&b->mu);
  return st;
}

enum status book_reserve(struct book *b, const char *model, uint64_t micro_usd, uint64_t limit_micro_usd, uint64_t *reservation,
                         struct err *e) {
  struct book_money m = { micro_usd, 0 };
  size_t granted;
  enum status st = book_reserve_all(b, model, 1, &m, 1, limit_micro_usd, &granted, e);
  *reservation = m.reservation;
  return st == STATUS_OK && granted == 0 ? STATUS_LIMIT : st;
}

enum status book_settle(struct book *b, uint64_t reservation, uint64_t micro_usd, uint64_t tokens_in, uint64_t tokens_out, struct err *e) {
  unsigned char p[32];
  seg_put_u64(p, reservation);
  seg_put_u64(p + 8, micro_usd);
  seg_put_u64(p + 16, tokens_in);
  seg_put_u64(p + 24, tokens_out);
  struct span part = { (const char *)p, sizeof p };
  pthread_mutex_lock(&b->mu);
  enum status st = book_append(b, SEG_SETTLE, &part, 1, e);
  pthread_mutex_unlock(&b->mu);
  return st;
}

enum status book_spent(struct book *b, uint64_t *micro_usd, struct err *e) {
  pthread_mutex_lock(&b->mu);
  enum status st = book_scan_all(b, e);
  *micro_usd = b->spent;
  pthread_mutex_unlock(&b->mu);
  return st;
}
