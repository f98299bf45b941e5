/* SPDX-License-Identifier: Apache-2.0
 * Ordered worker pipeline: a ring of items in input order under one mutex. The caller reads into its tail and writes from
 * its head; workers take the first item nobody has. Items behind a failed one are not worked on any more. */
#include "workers.h"
#include <pthread.h>
#include <stdint.h>
#include "mem.h"
#include "pool.h"

enum { THREADS_MAX = 256, ITEMS_PER_THREAD = 256 };
enum item_state { WAITING, WORKING, FINISHED };
struct slot { struct work_item item; size_t counted; enum item_state state; };

struct line_up {
  const struct workers_ops *ops;
  void *ctx;
  struct slot *ring; /* position p stands in ring[p % cap] */
  size_t cap, head, tail, next, bytes; /* head..tail: items in the window; next: first one not taken */
  size_t failed_at; /* position of the earliest failure, SIZE_MAX = none */
  enum status failed;
  struct err err;
  int closing;
  pthread_mutex_t mu;
  pthread_cond_t work, done; /* work: an item waits or closing; done: the head may be finished */
};

struct worker { struct line_up *w; int number; pthread_t thread; };

static void note_failure(struct line_up *w, size_t at, enum status st, const struct err *e) {
  if (at >= w->failed_at) return;
  w->failed_at = at;
  w->failed = st;
  w->err = *e;
}

/* Works on the item at position `at`, mu held on entry and return. */
static void work_one(struct line_up *w, size_t at, int number) {
  struct slot *s = &w->ring[at % w->cap];
  struct err e = { STATUS_OK, "" };
  s->state = WORKING;
  struct work_item item = s->item;
  pthread_mutex_unlock(&w->mu);
  enum status st = w->ops->work(w->ctx, &item, number, &e);
  pthread_mutex_lock(&w->mu);
  s->item = item;
  s->state = FINISHED;
  w->bytes += item.bytes - s->counted; /* unsigned wrap is undone by the sum */
  s->counted = item.bytes;
  if (st != STATUS_OK) note_failure(w, at, st, &e);
  if (at == w->head || st != STATUS_OK) pthread_cond_signal(&w->done);
}

static void *worker_main(void *arg) {
  struct worker *me = arg;
  struct line_up *w = me->w;
  pthread_mutex_lock(&w->mu);
  for (;;) {
    if (w->next < w->tail && w->next < w->failed_at && !w->closing) work_one(w, w->next++, me->number);
    else if (w->closing) break;
    else pthread_cond_wait(&w->work, &w->mu);
  }
  pthread_mutex_unlock(&w->mu);
  return NULL;
}

/* Writes the head, mu held on entry and return. */
static enum status write_head(struct line_up *w, struct err *e) {
  struct work_item item = w->ring[w->head % w->cap].item;
  w->bytes -= w->ring[w->head % w->cap].counted;
  w->head++;
  pthread_mutex_unlock(&w->mu);
  enum status st = w->ops->write(w->ctx, &item, e);
  pthread_mutex_lock(&w->mu);
  return st;
}

/* Reads one item into the tail, mu held on entry and return. */
static enum status read_tail(struct line_up *w, int *got, struct err *e) {
  struct work_item item = { NULL, 0 };
  pthread_mutex_unlock(&w->mu);
  enum status st = w->ops->read(w->ctx, &item, got, e);
  pthread_mutex_lock(&w->mu);
  if (st != STATUS_OK || !*got) return st;
  w->ring[w->tail % w->cap] = (struct slot){ item, item.bytes, WAITING };
  w->bytes += item.bytes;
  w->tail++;
  pthread_cond_signal(&w->work);
  return STATUS_OK;
}

static int may_read(struct line_up *w, size_t window_bytes) {
  if (w->head == w->tail) return 1;
  if (w->tail - w->head == w->cap || w->bytes >= window_bytes) return 0;
  return !w->ops->ready || w->ops->ready(w->ctx);
}

/* The caller's loop. threads 0: no worker could be started, or one thread was asked for. */
static enum status pump(struct line_up *w, int threads, size_t window_bytes, struct err *e) {
  enum status st = STATUS_OK, read_status = STATUS_OK;
  struct err read_err = { STATUS_OK, "" };
  int at_end = 0;
  pthread_mutex_lock(&w->mu);
  for (;;) {
    if (w->head == w->failed_at) {
      st = w->failed;
      if (e) *e = w->err;
      break;
    }
    if (w->head < w->tail && w->ring[w->head % w->cap].state == FINISHED) {
      st = write_head(w, e);
      if (st != STATUS_OK) break;
    } else if (!at_end && w->failed_at == SIZE_MAX && may_read(w, window_bytes)) {
      int got = 0;
      read_status = read_tail(w, &got, &read_err);
      at_end = read_status != STATUS_OK || !got;
    } else if (w->head == w->tail) { /* at the end, all written */
      st = read_status;
      if (st != STATUS_OK && e) *e = read_err;
      break;
    } else if (threads == 0) {
      work_one(w, w->next++, 0);
    } else {
      pthread_cond_wait(&w->done, &w->mu);
    }
  }
  w->closing = 1;
  pthread_cond_broadcast(&w->work);
  pthread_mutex_unlock(&w->mu);
  return st;
}

enum status workers_run(const struct workers_ops *ops, void *ctx, int threads, size_t window_bytes, struct err *e) {
  struct line_up w = { .ops = ops, .ctx = ctx, .failed_at = SIZE_MAX };
  struct worker *list = NULL;
  int started = 0;
  if (threads <= 0) threads = pool_threads();
  if (threads > THREADS_MAX) threads = THREADS_MAX;
  w.cap = threads > 1 ? (size_t)threads * ITEMS_PER_THREAD : 1;
  w.ring = mem_calloc(w.cap, sizeof *w.ring);
  if (!w.ring) return err_nomem(e, w.cap * sizeof *w.ring);
  list = mem_calloc((size_t)threads, sizeof *list);
  if (!list) {
    mem_free(w.ring);
    return err_nomem(e, (size_t)threads * sizeof *list);
  }
  pthread_mutex_init(&w.mu, NULL);
  pthread_cond_init(&w.work, NULL);
  pthread_cond_init(&w.done, NULL);
  for (; threads > 1 && started < threads; started++) {
    list[started] = (struct worker){ .w = &w, .number = started };
    if (pthread_create(&list[started].thread, NULL, worker_main, &list[started]) != 0) break; /* fewer will do */
  }
  enum status st = pump(&w, started, window_bytes, e);
  for (int i = 0; i < started; i++) pthread_join(list[i].thread, NULL);
  for (; w.head < w.tail; w.head++)
    if (ops->drop) ops->drop(ctx, &w.ring[w.head % w.cap].item);
  pthread_mutex_destroy(&w.mu);
  pthread_cond_destroy(&w.work);
  pthread_cond_destroy(&w.done);
  mem_free(list);
  mem_free(w.ring);
  return st;
}
