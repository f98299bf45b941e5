/* SPDX-License-Identifier: Apache-2.0
 * Errors: one type for every fallible call. `enum status f(..., struct err *e)`.
 * A message is lower case, without a full stop, the failing thing first in quotes; it names the file, the row or
 * byte, what was found, what was expected and what to do. Nothing here prints or exits. Thread safe: no globals. */
#ifndef CORE_ERR_H
#define CORE_ERR_H

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum status {
#define STATUS(name, number, text) STATUS_##name = number,
#include "status.def"
#undef STATUS
};

struct err {
  enum status code;
  char msg[2000]; /* cut at the end when longer, always terminated, always valid UTF-8 as far as the parts were */
};

/* Sets code and message and returns the code, so that a caller writes `return err_set(e, STATUS_DATA, ...)`.
 * e may be NULL. */
enum status err_set(struct err *e, enum status code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Same, with `: strerror(errno)` appended; ENOMEM becomes STATUS_NOMEM. */
enum status err_sys(struct err *e, enum status code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "text: " before the message already there and returns the code already there. */
enum status err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* STATUS_NOMEM with the size that was asked for. */
enum status err_nomem(struct err *e, unsigned long long bytes);

const char *status_name(enum status s); /* "DATA" */
const char *status_text(enum status s); /* "bad data" */

/* `TRY(call)` leaves the function through its `out:` label with st set. */
#define TRY(call)              \
  do {                         \
    st = (call);               \
    if (st != STATUS_OK) {     \
      goto out;                \
    }                          \
  } while (0)

#endif
