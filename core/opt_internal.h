/* SPDX-License-Identifier: Apache-2.0
 * What opt.c, opt_yaml.c and opt_help.c share. */
#ifndef CORE_OPT_INTERNAL_H
#define CORE_OPT_INTERNAL_H
#include "opt.h"
MUST_USE enum status opt_set(const struct opt_row *row, void *target, const char *value, struct arena *a, struct err *e);
const struct opt_row *opt_find(const struct opt_row *rows, const char *name, size_t n);
enum status opt_unknown(const char *stage, const struct opt_row *rows, const struct opt_row *common, const char *given, struct err *e);
MUST_USE enum status opt_yaml(const char *path, const char *stage, const struct opt_row *rows, void *target, const struct opt_row *common,
                              void *common_target, struct arena *a, struct err *e);
/* Words of text wrapped at column 80, further lines indented by `from`, a newline at the end. */
MUST_USE enum status opt_wrap(struct buf *out, const char *text, size_t from, struct err *e);
#endif
