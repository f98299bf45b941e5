/* SPDX-License-Identifier: Apache-2.0
 * The filters against the brute-force truth of the curation goldens (580 documents): exact duplicates all and only, near
 * duplicates the greedy rule over the true Jaccard values, contamination at 13 words all and only. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>
#include "curate_scan.h"
#include "file.h"
#include "json.h"
#include "line.h"
#include "rng.h"

#define DATA TEST_SOURCE "/tests/golden/data/curate/"
enum { DOCS = 580 };
static struct arena *arena;
static struct row doc[DOCS];
static int english[DOCS]; /* and at least 5 words: what the truth covers */
static struct json *truth;

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) fail_msg("%s: %s", status_name(st), e->msg);
}

static int number(struct span id) { return (id.p[1] - '0') * 1000 + (id.p[2] - '0') * 100 + (id.p[3] - '0') * 10 + id.p[4] - '0'; }

static void load_sets(const struct curate_options *o, void *const *state, int sets) {
  struct err e = { 0 };
  int fd = open(DATA "corpus.jsonl", O_RDONLY), got = 1;
  assert_true(fd >= 0);
  struct line_reader *lr = line_reader_new(fd, "corpus.jsonl", LINE_MAX_DEFAULT);
  struct split_spec none = { NULL, 0 };
  arena_reset(arena);
  memset(doc, 0, sizeof doc);
  for (int i = 0; i < DOCS; i++) {
    struct span line;
    struct record rec;
    ok(line_next(lr, &line, &got, &e), &e);
    assert_true(got);
    char *copy = arena_strndup(arena, line.p, line.n);
    ok(record_split((struct span){ copy, line.n }, arena, &rec, &e), &e);
    struct row *r = &doc[i];
    r->a = arena;
    r->rec = rec;
    ok(curate_scan_row(o, &none, sets, state, r, &e), &e);
    assert_int_equal(number(r->id), i);
    english[i] = span_is(record_get(&rec, "lang"), "\"en\"") && r->words.n >= 5;
  }
  line_reader_free(lr);
  close(fd);
}

static void load(const struct curate_options *o, void *const *state) { load_sets(o, state, 1); }

/* The walk over the loaded documents, added in the order of `order`; verdicts come back into doc[].v. */
static void walk(const struct curate_options *o, const int *order, int n, uint64_t memory) {
  static const char *const reasons[] = { NULL, "exact_duplicate", "near_duplicate", "split_leak" };
  struct dedup_settings s = { .exact = o->exact, .near = o->near, .memory_bytes = memory };
  struct dedup *d;
  struct dedup_result r;
  struct err e = { 0 };
  ok(dedup_new(&s, &d, &e), &e);
  for (int i = 0; i < n; i++) {
    const struct row *x = &doc[order[i]];
    struct dedup_row y = { .id = x->id, .line = x->line, .normal = { x->normal[0], x->normal[1] }, .shingle = x->shingle, .n_shingle = x->n_shingle, .sig = x->sig, .side = DEDUP_SIDE_NONE };
    ok(dedup_add(d, &y, &e), &e);
  }
  ok(dedup_decide(d, NULL, NULL, &e), &e);
  for (int i = 0; i < n; i++) {
    ok(dedup_next(d, &r, &e), &e);
    doc[order[i]].v = (struct verdict){ .reason = reasons[r.verdict], .score = r.score, .evidence = "", .witness = r.verdict ? arena_strndup(arena, r.witness.p, r.witness.n) : "" };
  }
  dedup_free(d);
}
static void shuffle(int *order, int n, uint64_t seed) {
  for (int i = n - 1; i > 0; i--) {
    uint32_t r[4];
    rng_philox(seed, 0, (uint64_t)i, r);
    int k = (int)(r[0] % (uint32_t)(i + 1)), t = order[i];
    order[i] = order[k], order[k] = t;
  }
}

static int witness(const struct row *r) { return number((struct span){ r->v.witness, strlen(r->v.witness) }); }

static void exact_duplicates(void **state) {
  (void)state;
  static void *none[64];
  struct curate_options o = { .exact = 1 };
  static const char *const lists[] = { "exact_groups", "normalised_exact_groups" };
  static int group[DOCS];
  load(&o, none);
  static int order[DOCS];
  for (int i = 0; i < DOCS; i++) order[i] = i;
  shuffle(order, DOCS, 3);
  walk(&o, order, DOCS, 1 << 26);
  for (int i = 0; i < DOCS; i++) group[i] = -1 - i;
  int n_group = 0, expected = 0, dropped = 0;
  for (int l = 0; l < 2; l++) {
    const struct json *groups = json_get(truth, lists[l]);
    for (size_t g = 0; g < json_size(groups); g++, n_group++)
      for (size_t k = 0; k < json_size(json_at(groups, g)); k++) group[number(json_str(json_at(json_at(groups, g), k)))] = n_group;
  }
  for (int i = 0; i < DOCS; i++) {
    int first = 0;
    for (; group[first] != group[i]; first++) {}
    expected += first < i;
    if ((first < i) != (doc[i].v.reason != NULL) && (english[i] || first < i)) fail_msg("d%04d: expected %s", i, first < i ? "a duplicate" : "kept");
    if (!doc[i].v.reason) continue;
    dropped++;
    assert_string_equal(doc[i].v.reason, "exact_duplicate");
    if (english[i]) assert_int_equal(witness(&doc[i]), first);
  }
  printf("exact: %d of %d\n", dropped, expected); /* 45 of 45 */
  assert_int_equal(dropped, expected);
}

static void near_duplicates(void **state) {
  (void)state;
  static void *none[64];
  static double jaccard[DOCS][DOCS];
  static const double thresholds[] = { 0.8, 0.5, 0.7, 0.9 };
  memset(jaccard, 0, sizeof jaccard);
  const struct json *pairs = json_get(truth, "pairs_jaccard_ge_0.2");
  for (size_t p = 0; p < json_size(pairs); p++) {
    int a = number(json_str(json_at(json_at(pairs, p), 0))), b = number(json_str(json_at(json_at(pairs, p), 1)));
    jaccard[a][b] = jaccard[b][a] = json_num(json_at(json_at(pairs, p), 2), 0);
  }
  for (size_t t = 0; t < sizeof thresholds / sizeof *thresholds; t++) {
    struct curate_options o = { .near = thresholds[t] };
    static int keep[DOCS];
    static int order[DOCS];
    int expected = 0, found = 0, n = 0;
    load(&o, none);
    for (int i = 0; i < DOCS; i++)
      if (english[i]) order[n++] = i;
    shuffle(order, n, t);
    walk(&o, order, n, t % 2 ? 1 << 26 : 1 << 16);
    for (int i = 0; i < DOCS; i++) {
      if (!english[i]) continue;
      int drop = 0;
      for (int j = 0; j < i; j++) drop = drop || (english[j] && keep[j] && jaccard[i][j] >= o.near);
      keep[i] = !drop;
      expected += drop;
      if (!doc[i].v.reason) continue;
      found++;
      int w = witness(&doc[i]);
      if (!keep[w] || w >= i || jaccard[i][w] < o.near) fail_msg("d%04d dropped for d%04d: Jaccard %g", i, w, jaccard[i][w]);
      assert_true(doc[i].v.score - jaccard[i][w] < 1e-6 && jaccard[i][w] - doc[i].v.score < 1e-6); /* truth has 6 digits */
      assert_true(drop);
    }
    printf("near %.1f: %d of %d\n", o.near, found, expected); /* all of them at each threshold */
    assert_true((double)found >= 0.98 * expected);
  }
}

static void contamination(void **state) {
  (void)state;
  const char *file = DATA "eval.jsonl";
  struct curate_options o = { .against = { &file, 1 }, .against_n = 13 };
  struct err e = { 0 };
  void *states[64] = { NULL };
  size_t at = 0;
  while (filter_table[at] != &filter_against) at++;
  ok(filter_against.open(&o, &states[at], &e), &e);
  load(&o, states);
  const struct json *list = json_get(truth, "contamination_13");
  static int bad[DOCS];
  for (size_t i = 0; i < json_size(list); i++) bad[number(json_str(json_get(json_at(list, i), "doc")))] = 1;
  for (int i = 0; i < DOCS; i++) {
    if (bad[i] != (doc[i].v.reason != NULL)) fail_msg("d%04d: expected %s", i, bad[i] ? "contaminated" : "clean");
    if (!bad[i]) continue;
    int pair = 0; /* the item named must really share a run with the document */
    for (size_t k = 0; k < json_size(list); k++) {
      const struct json *c = json_at(list, k);
      pair += number(json_str(json_get(c, "doc"))) == i && strcmp(json_cstr(json_get(c, "eval"), ""), doc[i].v.witness) == 0;
    }
    assert_true(pair);
    assert_true(strlen(doc[i].v.evidence) > 20);
  }
  filter_against.close(states[at]);
}

/* Two rows through scanning and the walk. */
static enum status two_rows(const struct curate_options *o, struct arena *a, struct err *e) {
  static const char line[] = "{\"id\":\"x\",\"conversations\":[{\"from\":\"human\",\"value\":\"what is \\u00e9 in the law of the land today\"},"
                             "{\"from\":\"gpt\",\"value\":\"it is a letter, as far as anybody can tell from here\"}]}";
  enum status st;
  struct row r = { .a = a };
  void *states[64] = { NULL };
  struct split_spec by_id = { NULL, 0 };
  struct dedup_settings s;
  struct dedup *d = NULL;
  struct dedup_result result;
  curate_dedup_settings(o, &by_id, &s);
  TRY(dedup_new(&s, &d, e));
  TRY(record_split((struct span){ line, sizeof line - 1 }, a, &r.rec, e));
  for (size_t f = 0; filter_table[f]; f++)
    if (filter_table[f]->open && filter_table[f]->enabled(o)) TRY(filter_table[f]->open(o, &states[f], e));
  TRY(curate_scan_row(o, &by_id, 1, states, &r, e));
  struct dedup_row x = { .id = r.id, .line = r.line, .normal = { r.normal[0], r.normal[1] }, .shingle = r.shingle, .n_shingle = r.n_shingle, .sig = r.sig };
  TRY(dedup_add(d, &x, e));
  x.id.n = 0;
  x.normal[0]++; /* the same words, another text: near */
  TRY(dedup_add(d, &x, e));
  TRY(dedup_decide(d, NULL, NULL, e));
  TRY(dedup_next(d, &result, e));
  assert_int_equal(result.verdict, DEDUP_NEAR);
out:
  for (size_t f = 0; filter_table[f]; f++)
    if (filter_table[f]->close && states[f]) filter_table[f]->close(states[f]);
  dedup_free(d);
  return st;
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  const char *file = DATA "eval.jsonl";
  struct curate_options o = { .against = { &file, 1 }, .against_n = 13, .near = 0.8, .exact = 1, .refusals = 1, .repetition = 1, .min_chars = 1, .memory = 1 << 24 };
  for (long n = 1;; n++) {
    struct err e = { STATUS_OK, "" };
    struct arena *a = arena_new(0);
    mem_fail_at(n);
    enum status st = two_rows(&o, a, &e);
    int hit = mem_failed();
    mem_fail_at(0);
    arena_free(a);
    if (!hit) {
      ok(st, &e);
      assert_true(n > 20);
      return;
    }
    if (st != STATUS_NOMEM) fail_msg("allocation %ld: %s: %s", n, status_name(st), e.msg);
  }
}

int main(void) {
  struct err e = { 0 };
  arena = arena_new(0);
  if (json_parse_file(DATA "truth.json", 1 << 24, &truth, &e) != STATUS_OK) {
    fprintf(stderr, "%s\n", e.msg);
    return 1;
  }
  const struct CMUnitTest tests[] = { cmocka_unit_test(exact_duplicates), cmocka_unit_test(near_duplicates), cmocka_unit_test(contamination), cmocka_unit_test(every_allocation_may_fail) };
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  json_free(truth);
  arena_free(arena);
  return rc;
}
