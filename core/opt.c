/* SPDX-License-Identifier: Apache-2.0
 * Option rows -> parsing. Help and man page are in opt_help.c, `-C FILE` in opt_yaml.c. */
#include "opt.h"
#include <errno.h>
#include <math.h>
#include "opt_internal.h"

enum status opt_parse_int(const char *s, int64_t *out, struct err *e) {
  char *end = NULL;
  errno = 0;
  long long v = strtoll(s, &end, 10);
  if (end == s || *end != '\0' || errno != 0) return err_set(e, STATUS_USAGE, "'%s' is not a whole number", s);
  *out = v;
  return STATUS_OK;
}

enum status opt_parse_num(const char *s, double *out, struct err *e) {
  char *end = NULL;
  errno = 0;
  double v = strtod(s, &end);
  if (end == s || *end != '\0' || !isfinite(v)) return err_set(e, STATUS_USAGE, "'%s' is not a number", s);
  *out = v;
  return STATUS_OK;
}

enum status opt_parse_size(const char *s, unsigned step, uint64_t *out, struct err *e) {
  char *end = NULL;
  errno = 0;
  double v = strtod(s, &end);
  double f = 1;
  if (end != s && *end != '\0') {
    static const char unit[] = "KMGT";
    const char *u = strchr(unit, *end >= 'a' ? *end - 32 : *end);
    if (u != NULL && *u != '\0') {
      for (long i = 0; i <= u - unit; i++) f *= step;
      end++;
    }
  }
  if (end == s || *end != '\0' || !isfinite(v) || v < 0 || v * f >= 0x1p63) {
    return err_set(e, STATUS_USAGE, "'%s' is not a size: a number with an optional K, M, G or T is expected", s);
  }
  *out = (uint64_t)(v * f + 0.5);
  return STATUS_OK;
}

static size_t distance(const char *a, const char *b) {
  size_t row[64], n = strlen(b);
  if (n >= 63) return 99;
  for (size_t j = 0; j <= n; j++) row[j] = j;
  for (size_t i = 1; a[i - 1]; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= n; j++) {
      size_t best = diagonal + (a[i - 1] != b[j - 1]);
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      diagonal = row[j];
      row[j] = best;
    }
  }
  return row[n];
}

const char *opt_nearest(const char *s, const char *const *names, size_t n) {
  const char *best = NULL;
  size_t least = strlen(s) < 4 ? 2 : 3;
  for (size_t i = 0; i < n; i++) {
    size_t d = distance(s, names[i]);
    size_t prefix = strlen(s);
    if (prefix >= 3 && strncmp(s, names[i], prefix) == 0) d = 1; /* an unfinished name */
    if (d < least) least = d, best = names[i];
  }
  return best;
}

static int in_enum(const char *v, const char *range) {
  size_t n = strlen(v);
  for (const char *p = range; p != NULL; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
    if (strncmp(p, v, n) == 0 && (p[n] == '|' || p[n] == '\0')) return 1;
  }
  return 0;
}

/* One end of a range in the words of the option's own type ("1K" of a size). */
static double range_end(const char *p, size_t n, unsigned step) {
  char text[32];
  uint64_t u = 0;
  if (n >= sizeof text) return 0;
  memcpy(text, p, n);
  text[n] = '\0';
  if (step != 0 && opt_parse_size(text, step, &u, NULL) == STATUS_OK) return (double)u;
  return strtod(text, NULL);
}

/* range "a..b" with either end left out */
static int in_range(double v, const char *range, unsigned step) {
  if (range == NULL) return 1;
  const char *dots = strstr(range, "..");
  if (dots == NULL) return 1;
  if (dots != range && v < range_end(range, (size_t)(dots - range), step)) return 0;
  return dots[2] == '\0' || v <= range_end(dots + 2, strlen(dots + 2), step);
}

enum status opt_set(const struct opt_row *row, void *target, const char *value, struct arena *a, struct err *e) {
  char *at = (char *)target + row->offset;
  double v = 0;
  struct err why = { 0 };
  enum status st = STATUS_OK;
  switch (row->type) {
    case OPT_FLAG: {
      int on = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0 || strcmp(value, "on") == 0 || strcmp(value, "1") == 0;
      int off = strcmp(value, "false") == 0 || strcmp(value, "no") == 0 || strcmp(value, "off") == 0 || strcmp(value, "0") == 0;
      if (!on && !off) return err_set(e, STATUS_USAGE, "'--%s': '%s' was given, true or false is expected", row->name, value);
      memcpy(at, &on, sizeof on);
      return STATUS_OK;
    }
    case OPT_INT: {
      int64_t i = 0;
      st = opt_parse_int(value, &i, &why);
      v = (double)i;
      if (st == STATUS_OK) memcpy(at, &i, sizeof i);
      break;
    }
    case OPT_NUM:
      st = opt_parse_num(value, &v, &why);
      if (st == STATUS_OK) memcpy(at, &v, sizeof v);
      break;
    case OPT_BYTES:
    case OPT_COUNT: {
      uint64_t u = 0;
      st = opt_parse_size(value, row->type == OPT_BYTES ? 1024 : 1000, &u, &why);
      v = (double)u;
      if (st == STATUS_OK) memcpy(at, &u, sizeof u);
      break;
    }
    case OPT_ENUM:
      if (!in_enum(value, row->range)) {
        return err_set(e, STATUS_USAGE, "'--%s': '%s' was given, one of %s is expected", row->name, value, row->range);
      } /* fall through */
    case OPT_STR: memcpy(at, &value, sizeof value); return STATUS_OK;
    case OPT_LIST: {
      struct opt_list l;
      memcpy(&l, at, sizeof l);
      const char **grown = arena_alloc(a, (l.n + 1) * sizeof *grown);
      if (grown == NULL) return err_nomem(e, (l.n + 1) * sizeof *grown);
      if (l.n) memcpy(grown, l.item, l.n * sizeof *grown);
      grown[l.n++] = value;
      l.item = grown;
      memcpy(at, &l, sizeof l);
      return STATUS_OK;
    }
  }
  if (st != STATUS_OK) return err_set(e, STATUS_USAGE, "'--%s': %s", row->name, why.msg);
  if (!in_range(v, row->range, row->type == OPT_BYTES ? 1024 : row->type == OPT_COUNT ? 1000 : 0)) {
    return err_set(e, STATUS_USAGE, "'--%s': %s was given, a value in %s is expected", row->name, value, row->range);
  }
  return STATUS_OK;
}

const struct opt_row *opt_find(const struct opt_row *rows, const char *name, size_t n) {
  for (const struct opt_row *r = rows; r != NULL && r->name != NULL; r++) {
    if (strlen(r->name) == n && memcmp(r->name, name, n) == 0) return r;
  }
  return NULL;
}

static const struct opt_row *find_letter(const struct opt_row *rows, char letter) {
  for (const struct opt_row *r = rows; r != NULL && r->name != NULL; r++) {
    if (r->letter != 0 && r->letter == letter) return r;
  }
  return NULL;
}

enum status opt_unknown(const char *stage, const struct opt_row *rows, const struct opt_row *common, const char *given, struct err *e) {
  const char *names[256];
  size_t n = 0;
  for (const struct opt_row *r = rows; r && r->name && n < 256; r++) names[n++] = r->name;
  for (const struct opt_row *r = common; r && r->name && n < 256; r++) names[n++] = r->name;
  const char *near = opt_nearest(given, names, n);
  if (near) return err_set(e, STATUS_USAGE, "'--%s' is not an option of %s; did you mean '--%s'?", given, stage, near);
  return err_set(e, STATUS_USAGE, "'--%s' is not an option of %s; see 'retort %s -h'", given, stage, stage);
}

struct parser {
  const char *stage;
  const struct opt_row *rows[2];
  void *target[2];
  struct arena *arena;
  int argc, i;
  char **argv;
};

static enum status need_value(struct parser *p, const struct opt_row *r, const char *inl, const char **value, struct err *e) {
  if (inl != NULL) {
    *value = inl;
    return STATUS_OK;
  }
  if (p->i + 1 >= p->argc) return err_set(e, STATUS_USAGE, "'--%s' needs a value (%s)", r->name, r->arg ? r->arg : "VALUE");
  *value = p->argv[++p->i];
  return STATUS_OK;
}

static enum status parse_long(struct parser *p, const char *arg, struct err *e) {
  const char *eq = strchr(arg, '=');
  size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
  for (int t = 0; t < 2; t++) {
    const struct opt_row *r = opt_find(p->rows[t], arg, n);
    if (r != NULL) {
      const char *value = eq ? eq + 1 : "true";
      if (r->type != OPT_FLAG) {
        enum status st = need_value(p, r, eq ? eq + 1 : NULL, &value, e);
        if (st != STATUS_OK) return st;
      }
      return opt_set(r, p->target[t], value, p->arena, e);
    }
    if (n > 3 && eq == NULL && strncmp(arg, "no-", 3) == 0) {
      r = opt_find(p->rows[t], arg + 3, n - 3);
      if (r != NULL && r->type == OPT_FLAG) return opt_set(r, p->target[t], "false", p->arena, e);
    }
  }
  char given[128];
  snprintf(given, sizeof given, "%.*s", (int)(n < 127 ? n : 127), arg);
  return opt_unknown(p->stage, p->rows[0], p->rows[1], given, e);
}

static enum status parse_letters(struct parser *p, const char *letters, struct err *e) {
  for (const char *c = letters; *c; c++) {
    int t = 0;
    const struct opt_row *r = find_letter(p->rows[0], *c);
    if (r == NULL) t = 1, r = find_letter(p->rows[1], *c);
    if (r == NULL) return err_set(e, STATUS_USAGE, "'-%c' is not an option of %s; see 'retort %s -h'", *c, p->stage, p->stage);
    const char *value = "true";
    if (r->type != OPT_FLAG) {
      enum status st = need_value(p, r, c[1] ? c + 1 : NULL, &value, e);
      if (st != STATUS_OK) return st;
    }
    enum status st = opt_set(r, p->target[t], value, p->arena, e);
    if (st != STATUS_OK || r->type != OPT_FLAG) return st;
  }
  return STATUS_OK;
}

static enum status set_defaults(const struct opt_row *rows, void *target, struct arena *a, struct err *e) {
  for (const struct opt_row *r = rows; r != NULL && r->name != NULL; r++) {
    if (r->dflt == NULL) continue;
    enum status st = opt_set(r, target, r->dflt, a, e);
    if (st != STATUS_OK) return st;
  }
  return STATUS_OK;
}

static enum status parse_flags(struct parser *p, struct opt_list *rest, struct err *e) {
  int only_rest = 0;
  rest->n = 0;
  rest->item = arena_alloc(p->arena, (size_t)(p->argc + 1) * sizeof *rest->item);
  if (rest->item == NULL) return err_nomem(e, 0);
  for (p->i = 1; p->i < p->argc; p->i++) {
    const char *arg = p->argv[p->i];
    enum status st = STATUS_OK;
    if (only_rest || arg[0] != '-' || arg[1] == '\0') rest->item[rest->n++] = arg;
    else if (strcmp(arg, "--") == 0) only_rest = 1;
    else if (arg[1] == '-') st = parse_long(p, arg + 2, e);
    else st = parse_letters(p, arg + 1, e);
    if (st != STATUS_OK) return st;
  }
  rest->item[rest->n] = NULL;
  return STATUS_OK;
}

/* `-C FILE` is looked for first, since flags on the line win over the file. */
static const char *find_config(int argc, char **argv) {
  const char *found = NULL;
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
    if ((strcmp(argv[i], "-C") == 0 || strcmp(argv[i], "--config") == 0) && i + 1 < argc) found = argv[++i];
    else if (strncmp(argv[i], "--config=", 9) == 0) found = argv[i] + 9;
  }
  return found;
}

enum status opt_parse(const char *stage, const struct opt_row *rows, void *target, const struct opt_row *common, void *common_target,
                      int argc, char **argv, struct opt_list *rest, struct arena *a, struct err *e) {
  struct parser p = { stage, { rows, common }, { target, common_target }, a, argc, 0, argv };
  enum status st = STATUS_OK;
  TRY(set_defaults(rows, target, a, e));
  TRY(set_defaults(common, common_target, a, e));
  const char *config = find_config(argc, argv);
  if (config != NULL) TRY(opt_yaml(config, stage, rows, target, common, common_target, a, e));
  /* A list given on the line replaces the file's. */
  TRY(parse_flags(&p, rest, e));
out:
  return st;
}
