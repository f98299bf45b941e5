/* SPDX-License-Identifier: Apache-2.0
 * Option tables: parsing, defaults, ranges, the YAML file, suggestions, help. */
#include "check.h"
#include <unistd.h>
#include "file.h"
#include "opt.h"

struct o {
  int on;
  int64_t n;
  double x;
  uint64_t bytes, count;
  const char *s, *mode;
  struct opt_list list;
};
static const struct opt_row rows[] = {
  OPT_ROW(o, on, "on", 'o', OPT_FLAG, NULL, NULL, NULL, "switch it on"),
  OPT_ROW(o, n, "number", 'n', OPT_INT, "3", "1..10", "N", "how many"),
  OPT_ROW(o, x, "near", 0, OPT_NUM, "0.8", "0..1", "T", "how near"),
  OPT_ROW(o, bytes, "memory", 'm', OPT_BYTES, "64M", "1K..8G", "SIZE", "memory"),
  OPT_ROW(o, count, "tokens", 0, OPT_COUNT, "0", NULL, "N", "tokens"),
  OPT_ROW(o, s, "output", 0, OPT_STR, NULL, NULL, "FILE", "where to"),
  OPT_ROW(o, mode, "mode", 0, OPT_ENUM, "fast", "fast|exact", "MODE", "which way"),
  OPT_ROW(o, list, "drop", 0, OPT_LIST, NULL, NULL, "X", "what to drop"),
  OPT_END
};

static enum status parse(struct o *o, struct opt_list *rest, struct arena *a, struct err *e, int argc, const char **argv) {
  memset(o, 0, sizeof *o);
  return opt_parse("test", rows, o, NULL, NULL, argc, (char **)(uintptr_t)argv, rest, a, e);
}
#define PARSE(...)                                              \
  (argv_ = (const char *[]){ "test", __VA_ARGS__, NULL },       \
   parse(&o, &rest, a, e, (int)(sizeof((const char *[]){ "test", __VA_ARGS__ }) / sizeof(char *)), argv_))

static void values_and_defaults(void **state) {
  (void)state;
  struct o o;
  struct opt_list rest;
  struct arena *a = arena_new(0);
  const char **argv_;
  OK(PARSE("file one", "-on5", "--near=0.25", "--memory", "1.5G", "--tokens", "2M", "--drop", "a", "--drop=b", "--", "-x"));
  assert_true(o.on && o.n == 5 && o.x == 0.25 && o.bytes == 1610612736u && o.count == 2000000);
  assert_true(o.list.n == 2 && strcmp(o.list.item[1], "b") == 0 && strcmp(o.mode, "fast") == 0 && o.s == NULL);
  assert_true(rest.n == 2 && strcmp(rest.item[0], "file one") == 0 && strcmp(rest.item[1], "-x") == 0);
  OK(PARSE("-"));
  assert_true(!o.on && o.n == 3 && o.x == 0.8 && o.bytes == 64u << 20 && rest.n == 1);
  OK(PARSE("-o", "--no-on"));
  assert_false(o.on);
  arena_free(a);
}

static void bad_values_say_what_is_expected(void **state) {
  (void)state;
  struct o o;
  struct opt_list rest;
  struct arena *a = arena_new(0);
  const char **argv_;
  FAILS(STATUS_USAGE, "did you mean '--near'", PARSE("--naer", "1"));
  FAILS(STATUS_USAGE, "1..10", PARSE("-n", "11"));
  FAILS(STATUS_USAGE, "not a whole number", PARSE("-n", "3x"));
  FAILS(STATUS_USAGE, "not a number", PARSE("--near", "nan"));
  FAILS(STATUS_USAGE, "fast|exact", PARSE("--mode", "fas"));
  FAILS(STATUS_USAGE, "needs a value (FILE)", PARSE("--output"));
  FAILS(STATUS_USAGE, "'-z'", PARSE("-z"));
  FAILS(STATUS_USAGE, "1K..8G", PARSE("--memory", "512"));
  FAILS(STATUS_USAGE, "1K..8G", PARSE("--memory", "9G"));
  FAILS(STATUS_USAGE, "not a size", PARSE("--memory", "-5M"));
  arena_free(a);
}

static void yaml_file_and_line_together(void **state) {
  (void)state;
  struct o o;
  struct opt_list rest;
  struct arena *a = arena_new(0);
  const char **argv_;
  char path[] = "/tmp/retort-opt-XXXXXX";
  int fd = mkstemp(path);
  const char text[] = "number: 7\non: true\ndrop: [x, y]\nmode: exact\n";
  assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)(sizeof text - 1));
  OK(parse(&o, &rest, a, e, 1, (const char *[]){ "test", NULL }));
  struct opt_row common[] = { OPT_END };
  const char *argv[] = { "test", "-C", path, "-n", "9", NULL };
  struct config { const char *c; } cfg = { NULL };
  static const struct opt_row with_config[] = { OPT_ROW(config, c, "config", 'C', OPT_STR, NULL, NULL, "FILE", "file"), OPT_END };
  (void)common;
  memset(&o, 0, sizeof o);
  OK(opt_parse("test", rows, &o, with_config, &cfg, 5, (char **)(uintptr_t)argv, &rest, a, e));
  assert_true(o.n == 9 && o.on && o.list.n == 2 && strcmp(o.mode, "exact") == 0); /* the line wins */
  assert_int_equal(ftruncate(fd, 0), 0);
  assert_int_equal(pwrite(fd, "\nnumbr: 7\n", 10, 0), 10);
  FAILS(STATUS_USAGE, "line 2", opt_parse("test", rows, &o, with_config, &cfg, 5, (char **)(uintptr_t)argv, &rest, a, e));
  FAILS(STATUS_USAGE, "did you mean '--number'", opt_parse("test", rows, &o, with_config, &cfg, 5, (char **)(uintptr_t)argv, &rest, a, e));
  assert_int_equal(ftruncate(fd, 0), 0);
  assert_int_equal(pwrite(fd, "number: [1\n", 11, 0), 11);
  FAILS(STATUS_USAGE, path, opt_parse("test", rows, &o, with_config, &cfg, 5, (char **)(uintptr_t)argv, &rest, a, e));
  close(fd);
  unlink(path);
  (void)argv_;
  arena_free(a);
}

static void help_fits_the_screen(void **state) {
  (void)state;
  struct buf b = { 0 };
  OK(opt_help(rows, &b, e));
  size_t col = 0;
  for (size_t i = 0; i < b.n; i++) {
    col = b.p[i] == '\n' ? 0 : col + 1;
    assert_true(col <= 80);
  }
  assert_non_null(strstr(b.p, "-n, --number N"));
  assert_non_null(strstr(b.p, "[0.8]"));
  buf_clear(&b);
  struct o o;
  struct opt_list rest;
  struct arena *a = arena_new(0);
  OK(parse(&o, &rest, a, e, 1, (const char *[]){ "test", NULL }));
  OK(opt_canonical(rows, &o, &b, e));
  assert_string_equal(b.p, "{\"drop\":[],\"memory\":67108864,\"mode\":\"fast\",\"near\":0.8,\"number\":3,\"on\":false,\"output\":null,\"tokens\":0}");
  buf_free(&b);
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(values_and_defaults),
    cmocka_unit_test(bad_values_say_what_is_expected),
    cmocka_unit_test(yaml_file_and_line_together),
    cmocka_unit_test(help_fits_the_screen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
