/* SPDX-License-Identifier: Apache-2.0
 * Error values. No globals, no printing. */
#include "err.h"
#include <errno.h>
#include <stdarg.h>

/* Cuts a message that was too long at a character border, so that it stays valid UTF-8. */
static void trim_utf8(char *s, size_t cap) {
  size_t n = strlen(s);
  if (n + 1 < cap) return;
  while (n > 0 && ((unsigned char)s[n - 1] & 0xC0) == 0x80) n--;
  if (n > 0 && (unsigned char)s[n - 1] >= 0xC0) n--;
  s[n] = '\0';
}

static void err_vset(struct err *e, enum status code, const char *fmt, va_list ap) {
  e->code = code;
  vsnprintf(e->msg, sizeof e->msg, fmt, ap);
  trim_utf8(e->msg, sizeof e->msg);
}

enum status err_set(struct err *e, enum status code, const char *fmt, ...) {
  if (e != NULL) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, code, fmt, ap);
    va_end(ap);
  }
  return code;
}

enum status err_sys(struct err *e, enum status code, const char *fmt, ...) {
  int number = errno;
  if (number == ENOMEM) code = STATUS_NOMEM;
  if (e != NULL) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, code, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->msg);
    snprintf(e->msg + n, sizeof e->msg - n, ": %s", strerror(number)); /* thread safe in glibc >= 2.32 and musl */
  }
  return code;
}

enum status err_prefix(struct err *e, const char *fmt, ...) {
  if (e == NULL) return STATUS_DATA;
  char head[sizeof e->msg];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(head, sizeof head, fmt, ap);
  va_end(ap);
  size_t h = strlen(head), m = strlen(e->msg);
  if (h + 2 >= sizeof e->msg) return e->code;
  size_t room = sizeof e->msg - h - 3;
  if (m > room) m = room;
  memmove(e->msg + h + 2, e->msg, m);
  memcpy(e->msg, head, h);
  memcpy(e->msg + h, ": ", 2);
  e->msg[h + 2 + m] = '\0';
  return e->code;
}

enum status err_nomem(struct err *e, unsigned long long bytes) {
  return err_set(e, STATUS_NOMEM, "out of memory: %llu bytes could not be had", bytes);
}

const char *status_name(enum status s) {
  switch (s) {
#define STATUS(name, number, text) case STATUS_##name: return #name;
#include "status.def"
#undef STATUS
  }
  return "?";
}

const char *status_text(enum status s) {
  switch (s) {
#define STATUS(name, number, text) case STATUS_##name: return text;
#include "status.def"
#undef STATUS
  }
  return "unknown status";
}
