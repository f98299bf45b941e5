/* SPDX-License-Identifier: Apache-2.0
 * What every cmocka test includes: cmocka's headers in the order it wants, and two helpers. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "err.h"
/* The call must succeed; its message is shown when it does not. */
#define OK(call)                                                        \
  do {                                                                  \
    struct err ok_err = { STATUS_OK, "" }, *e = &ok_err;                \
    if ((call) != STATUS_OK) fail_msg("%s: %s", #call, ok_err.msg);     \
  } while (0)
/* The call must fail with this status, and its message must hold `part`. */
#define FAILS(want_, part, call)                                                                                      \
  do {                                                                                                               \
    struct err ok_err = { STATUS_OK, "" }, *e = &ok_err;                                                             \
    enum status ok_got = (call);                                                                                     \
    if (ok_got != (want_)) fail_msg("%s: %s, expected %s (%s)", #call, status_name(ok_got), status_name(want_), ok_err.msg); \
    if (strstr(ok_err.msg, part) == NULL) fail_msg("%s: message '%s' lacks '%s'", #call, ok_err.msg, part);          \
  } while (0)
#endif
