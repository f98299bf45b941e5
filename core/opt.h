/* SPDX-License-Identifier: Apache-2.0
 * Options: one table of rows per stage gives parsing, `-C FILE` (YAML), `-h`, the man page, the completion and the
 * record of what was set. The same option means the same in every stage: shared groups are macros in opt_common.h.
 * Target fields: OPT_FLAG int, OPT_INT int64_t, OPT_NUM double, OPT_BYTES/OPT_COUNT uint64_t (suffix K M G T; BYTES
 * takes 1024 steps, COUNT 1000 steps), OPT_STR/OPT_ENUM const char *, OPT_LIST struct opt_list (repeatable). */
#ifndef CORE_OPT_H
#define CORE_OPT_H
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "mem.h"

enum opt_type { OPT_FLAG, OPT_INT, OPT_NUM, OPT_BYTES, OPT_COUNT, OPT_STR, OPT_ENUM, OPT_LIST };

struct opt_list {
  const char **item;
  size_t n;
};

struct opt_row {
  const char *name;   /* long name without dashes; NULL ends the table */
  char letter;        /* 0 = none */
  enum opt_type type;
  size_t offset;      /* offsetof(struct x_options, field) */
  const char *dflt;   /* default as text; NULL = unset (0 / NULL) */
  const char *range;  /* OPT_INT/OPT_NUM/OPT_COUNT/OPT_BYTES: "1..64", "0..", "0..1"; OPT_ENUM: "a|b|c"; else NULL */
  const char *arg;    /* word for the value in help, such as "FILE"; NULL for flags */
  const char *help;   /* one sentence, lower case, no full stop */
};
#define OPT_ROW(stru, field, name, letter, type, dflt, range, arg, help) \
  { name, letter, type, offsetof(struct stru, field), dflt, range, arg, help }
#define OPT_END { NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, NULL }

/* Parses argv[1..) into target (zeroed by the caller) with defaults from the rows, then `-C FILE`, then flags.
 * `--` ends options; `-` alone is an argument; `--no-NAME` clears a flag; `--name=value`. Positional arguments come
 * back in rest (arena memory). `common` is a second table and target for the options every stage has (may be NULL).
 * Errors: STATUS_USAGE with the nearest known name suggested. Strings live in argv or in the arena. */
MUST_USE enum status opt_parse(const char *stage, const struct opt_row *rows, void *target,
                               const struct opt_row *common, void *common_target, int argc, char **argv,
                               struct opt_list *rest, struct arena *a, struct err *e);
/* One canonical line of JSON with every option, keys sorted: for manifests and for the
 * question "same options as last time?". */
MUST_USE enum status opt_canonical(const struct opt_row *rows, const void *target, struct buf *out, struct err *e);
/* Help text (fits 80 columns) and man page body (roff) from the rows. */
MUST_USE enum status opt_help(const struct opt_row *rows, struct buf *out, struct err *e);
MUST_USE enum status opt_man(const struct opt_row *rows, struct buf *out, struct err *e);

/* Checked number parsers, the only ones used in the program. Whole string must match. */
MUST_USE enum status opt_parse_int(const char *s, int64_t *out, struct err *e);
MUST_USE enum status opt_parse_num(const char *s, double *out, struct err *e);
MUST_USE enum status opt_parse_size(const char *s, unsigned step, uint64_t *out, struct err *e); /* step 1000 or 1024 */
/* Nearest of n names by edit distance, or NULL when none is near. */
const char *opt_nearest(const char *s, const char *const *names, size_t n);

#endif
