/* SPDX-License-Identifier: Apache-2.0
 * For tests of rule-based augmentation: one row through a rule file, without the stage around it. */
#ifndef TESTS_RULE_CASE_H
#define TESTS_RULE_CASE_H
#include <unistd.h>
#include "check.h"
#include "hash.h"
#include "record.h"
#include "rule_match.h"

static char rule_folder[64];

static int rule_case_setup(void **state) {
  (void)state;
  snprintf(rule_folder, sizeof rule_folder, "/tmp/retort-rule-XXXXXX");
  return mkdtemp(rule_folder) == NULL;
}

static void rule_case_write(const char *name, const char *text) {
  char path[200];
  snprintf(path, sizeof path, "%s/%s", rule_folder, name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
  assert_int_equal(fclose(f), 0);
}

static int rule_case_teardown(void **state) {
  (void)state;
  static const char *const names[] = {"r.yaml", "t.csv", "t.jsonl", "map.jsonl"};
  for (size_t i = 0; i < 4; i++) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", rule_folder, names[i]);
    unlink(path);
  }
  return rmdir(rule_folder);
}

static enum status rule_case_open(const char *yaml, struct rules **r, struct err *e) {
  char path[200];
  rule_case_write("r.yaml", yaml);
  snprintf(path, sizeof path, "%s/r.yaml", rule_folder);
  return rules_open(path, r, e);
}

/* Copy number `copy` of the row; the caller frees out. */
static enum status rule_case_row(const struct rules *r, const char *line, int64_t copy, uint64_t seed, struct buf *out, struct err *e) {
  struct arena *a = arena_new(0);
  struct record rec;
  struct regex_matcher m = {0};
  struct rule_row row = {0};
  enum status st = record_split((struct span){line, strlen(line)}, a, &rec, e);
  if (st == STATUS_OK) st = regex_matcher_new(&m, e);
  if (st == STATUS_OK) st = record_strings(&rec, a, &row.text, &row.n, e);
  row.a = a;
  row.copy = copy;
  row.m = &m;
  for (size_t i = 0; st == STATUS_OK && i < r->n; i++) {
    row.on = r->rule[i].on;
    row.rng = (struct rng){seed, (uint64_t)copy * 100 + i, 0};
    st = r->rule[i].c->apply(r->rule[i].state, &row, e);
  }
  if (st == STATUS_OK) st = record_splice(rec.line, row.text, row.n, out, e);
  regex_matcher_end(&m);
  arena_free(a);
  return st;
}

/* yaml on a row gives want. */
static inline void rule_gives(const char *yaml, const char *line, const char *want) {
  struct rules *r = NULL;
  struct buf out = {0};
  struct err e = {0};
  if (rule_case_open(yaml, &r, &e) != STATUS_OK || rule_case_row(r, line, 1, 1, &out, &e) != STATUS_OK) fail_msg("%s on %s: %s", yaml, line, e.msg);
  if (strcmp(out.p, want) != 0) fail_msg("%s\non %s\ngives %s\nexpected %s", yaml, line, out.p, want);
  buf_free(&out);
  rules_close(r);
}

/* The same on one text. */
static inline void rule_text_gives(const char *yaml, const char *text, const char *want) {
  struct buf line = {0}, wanted = {0};
  OK(buf_puts(&line, "{\"text\":", e));
  OK(json_put_cstr(&line, text, e));
  OK(buf_puts(&line, "}", e));
  OK(buf_puts(&wanted, "{\"text\":", e));
  OK(json_put_cstr(&wanted, want, e));
  OK(buf_puts(&wanted, "}", e));
  rule_gives(yaml, line.p, wanted.p);
  buf_free(&line);
  buf_free(&wanted);
}

static inline void rule_refused(const char *yaml, enum status want, const char *part) {
  struct rules *r = NULL;
  FAILS(want, part, rule_case_open(yaml, &r, e));
  assert_null(r);
}
#endif
