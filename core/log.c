/* SPDX-License-Identifier: Apache-2.0
 * Log lines and progress on stderr. One lock; a bar is redrawn at most five times a second and wiped before a log line. */
#include "log.h"
#include <pthread.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "mem.h"
#include "span.h"

static struct {
  pthread_mutex_t lock;
  const char *stage;
  enum log_level max;
  int json, progress, tty, bar_drawn;
} L = { .lock = PTHREAD_MUTEX_INITIALIZER, .stage = "retort", .max = LOG_INFO, .progress = -1 };

struct progress {
  const char *what, *unit;
  uint64_t total, done, from;
  double start, last_draw;
  char note[96];
};

double clock_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void log_setup(const char *stage, enum log_level max, int json, int progress) {
  L.stage = stage, L.max = max, L.json = json, L.progress = progress;
  L.tty = isatty(STDERR_FILENO);
}

static void wipe_bar(void) {
  if (!L.bar_drawn) return;
  fputs("\r\033[K", stderr);
  L.bar_drawn = 0;
}

static void time_text(char out[40]) {
  struct timespec t;
  struct tm tm;
  clock_gettime(CLOCK_REALTIME, &t);
  gmtime_r(&t.tv_sec, &tm);
  size_t n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
  snprintf(out + n, 40 - n, ".%03ldZ", t.tv_nsec / 1000000);
}

/* extra: further JSON members starting with a comma, or "" */
static void emit_json(const char *level, const char *msg, const char *extra) {
  struct buf b = { 0 };
  struct err e;
  char when[40];
  time_text(when);
  if (buf_printf(&b, &e, "{\"time\":\"%s\",\"level\":\"%s\",\"stage\":\"%s\",\"msg\":", when, level, L.stage) == STATUS_OK &&
      json_put_cstr(&b, msg, &e) == STATUS_OK && buf_printf(&b, &e, "%s}\n", extra) == STATUS_OK) {
    fwrite(b.p, 1, b.n, stderr);
  }
  buf_free(&b);
}

static void emit(enum log_level level, const char *fmt, va_list ap) {
  static const char *const name[] = { "error", "warn", "info", "debug" };
  if (level > L.max) return;
  char msg[4096];
  vsnprintf(msg, sizeof msg, fmt, ap);
  pthread_mutex_lock(&L.lock);
  wipe_bar();
  if (L.json) emit_json(name[level], msg, "");
  else if (level == LOG_INFO) fprintf(stderr, "retort %s: %s\n", L.stage, msg);
  else fprintf(stderr, "retort %s: %s: %s\n", L.stage, name[level], msg);
  fflush(stderr);
  pthread_mutex_unlock(&L.lock);
}

#define LOG_FUNCTION(f, level)   \
  void f(const char *fmt, ...) { \
    va_list ap;                  \
    va_start(ap, fmt);           \
    emit(level, fmt, ap);        \
    va_end(ap);                  \
  }
LOG_FUNCTION(log_error, LOG_ERROR)
LOG_FUNCTION(log_warn, LOG_WARN)
LOG_FUNCTION(log_info, LOG_INFO)
LOG_FUNCTION(log_debug, LOG_DEBUG)

struct progress *progress_new(const char *what, const char *unit, uint64_t total) {
  struct progress *p = mem_calloc(1, sizeof *p);
  if (p == NULL) return NULL; /* every call below accepts NULL: no bar is no error */
  p->what = what, p->unit = unit, p->total = total;
  p->start = clock_seconds();
  p->last_draw = p->start;
  return p;
}

static void span_text(double s, char *out, size_t cap) {
  if (s < 0) s = 0;
  unsigned long t = (unsigned long)(s + 0.5);
  if (t >= 3600) snprintf(out, cap, "%luh%02lum", t / 3600, t / 60 % 60);
  else if (t >= 60) snprintf(out, cap, "%lum%02lus", t / 60, t % 60);
  else snprintf(out, cap, "%lus", t);
}

static void count_text(double v, char *out, size_t cap) {
  if (v >= 1e7) snprintf(out, cap, "%.1fM", v / 1e6);
  else if (v >= 1e5) snprintf(out, cap, "%.0fk", v / 1e3);
  else if (v >= 100 || v == (double)(long)v) snprintf(out, cap, "%.0f", v);
  else snprintf(out, cap, "%.1f", v);
}

static void draw(struct progress *p, double now, int last) {
  double spent = now - p->start, rate = spent > 0 ? (double)(p->done - p->from) / spent : 0;
  char done[24], total[24], rates[24], left[24], head[64], line[512];
  if (strcmp(L.stage, p->what) == 0) snprintf(head, sizeof head, "%s", p->what);
  else snprintf(head, sizeof head, "%s %s", L.stage, p->what);
  count_text((double)p->done, done, sizeof done);
  count_text((double)p->total, total, sizeof total);
  count_text(rate, rates, sizeof rates);
  span_text(last || p->total == 0 ? spent : rate > 0 ? (double)(p->total - (p->done < p->total ? p->done : p->total)) / rate : 0, left,
            sizeof left);
  const char *tail = last || p->total == 0 ? "" : " left";
  int width = 80;
  struct winsize w;
  if (L.tty && ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20) width = w.ws_col;
  if (L.json) {
    char extra[256];
    snprintf(extra, sizeof extra, ",\"progress\":{\"done\":%llu,\"total\":%llu,\"rate\":%.3f,\"seconds\":%.1f}",
             (unsigned long long)p->done, (unsigned long long)p->total, rate, spent);
    emit_json("info", p->what, extra);
    return;
  }
  if (p->total > 0) {
    int bar = 20, full = (int)((double)bar * (double)p->done / (double)p->total);
    if (full > bar) full = bar;
    snprintf(line, sizeof line, "%s [%.*s%.*s] %s/%s %s  %s %s/s  %s%s%s%s", head, full, "####################", bar - full,
             "--------------------", done, total, p->unit, rates, p->unit, left, tail, p->note[0] ? "  " : "", p->note);
  } else {
    snprintf(line, sizeof line, "%s %s %s  %s %s/s  %s%s%s", head, done, p->unit, rates, p->unit, left,
             p->note[0] ? "  " : "", p->note);
  }
  if (L.tty) {
    if (last) fprintf(stderr, "\r\033[Kretort %s\n", line);
    else fprintf(stderr, "\r\033[K%.*s", width - 1, line);
    L.bar_drawn = !last;
  } else {
    fprintf(stderr, "retort %s\n", line);
  }
  fflush(stderr);
}

void progress_set(struct progress *p, uint64_t done, const char *note) {
  if (p == NULL) return;
  p->done = done;
  if (note) snprintf(p->note, sizeof p->note, "%s", note);
  if (L.progress == 0 || L.max < LOG_INFO) return;
  double now = clock_seconds(), wait = L.tty && !L.json ? 0.2 : 60.0;
  if (now - p->last_draw < wait) return;
  p->last_draw = now;
  pthread_mutex_lock(&L.lock);
  draw(p, now, 0);
  pthread_mutex_unlock(&L.lock);
}

void progress_from(struct progress *p, uint64_t done) {
  if (p) p->from = p->done = done;
}

void progress_total(struct progress *p, uint64_t total) {
  if (p) p->total = total;
}

void progress_free(struct progress *p) {
  if (p == NULL) return;
  double now = clock_seconds();
  if (L.progress != 0 && L.max >= LOG_INFO && (p->done > 0 || L.bar_drawn)) {
    pthread_mutex_lock(&L.lock);
    draw(p, now, 1);
    pthread_mutex_unlock(&L.lock);
  }
  mem_free(p);
}
