/* SPDX-License-Identifier: Apache-2.0
 * core/: errors, memory, hashes, random numbers, files. */
#include "check.h"
#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file.h"
#include "hash.h"
#include "mem.h"
#include "rng.h"

static void err_texts(void **state) {
  (void)state;
  struct err e;
  assert_int_equal(err_set(&e, STATUS_DATA, "'%s' row %d", "f", 3), STATUS_DATA);
  assert_string_equal(e.msg, "'f' row 3");
  assert_int_equal(err_prefix(&e, "stage"), STATUS_DATA);
  assert_string_equal(e.msg, "stage: 'f' row 3");
  errno = ENOENT;
  assert_int_equal(err_sys(&e, STATUS_IO, "'x'"), STATUS_IO);
  assert_string_equal(e.msg, "'x': No such file or directory");
  char longer[6000];
  for (size_t i = 0; i + 2 < sizeof longer; i += 2) memcpy(longer + i, "\xc3\xa9", 2);
  longer[sizeof longer - 2] = '\0';
  err_set(&e, STATUS_DATA, "%s", longer);
  size_t n = strlen(e.msg);
  assert_true(n % 2 == 0 && (unsigned char)e.msg[n - 1] == 0xa9); /* never half a character */
  assert_int_equal(err_set(NULL, STATUS_NET, "x"), STATUS_NET);
}

static void memory_fails_on_purpose(void **state) {
  (void)state;
  mem_fail_at(2);
  void *a = mem_alloc(8), *b = mem_alloc(8), *c = mem_alloc(8);
  assert_non_null(a);
  assert_null(b);
  assert_non_null(c);
  assert_true(mem_failed());
  mem_fail_at(0);
  mem_free(a);
  mem_free(c);
  assert_null(mem_calloc(SIZE_MAX / 2, 3));
}

static void arena_keeps_and_caps(void **state) {
  (void)state;
  struct arena *a = arena_new(100000);
  char *first = arena_strndup(a, "hello", 5);
  for (int i = 0; i < 100; i++) {
    char *p = arena_alloc(a, 100);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 16, 0);
    memset(p, i, 100);
  }
  assert_string_equal(first, "hello");
  assert_null(arena_alloc(a, 200000));
  assert_null(arena_alloc(a, SIZE_MAX - 3));
  arena_reset(a);
  assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
  arena_free(a);
  arena_free(NULL);
}

static void buffer_grows_to_its_cap(void **state) {
  (void)state;
  struct buf b = { 0 };
  b.max_bytes = 1000;
  OK(buf_puts(&b, "abc", e));
  OK(buf_printf(&b, e, "%05d", 42));
  assert_string_equal(b.p, "abc00042");
  char big[1001] = { 0 };
  FAILS(STATUS_LIMIT, "1000", buf_put(&b, big, sizeof big, e));
  assert_int_equal(b.n, 8);
  buf_free(&b);
}

static void hashes_of_published_vectors(void **state) {
  (void)state;
  unsigned char h[32];
  char hex[65];
  sha256_of("abc", 3, h); /* FIPS 180-2, appendix B.1 */
  hash_hex(h, 32, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  struct sha256 *s = sha256_new();
  sha256_add(s, "a", 1);
  sha256_add(s, "bc", 2);
  sha256_end(s, h);
  hash_hex(h, 32, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_true(xxh3("", 0) == 0x2D06800538D394C2u); /* xxHash's own sanity test */
}

static void philox_known_answers(void **state) {
  (void)state;
  uint32_t w[4]; /* Random123 1.09, kat_vectors, philox4x32 10 */
  rng_philox(0, 0, 0, w);
  assert_true(w[0] == 0x6627e8d5 && w[1] == 0xe169c58d && w[2] == 0xbc57ac4c && w[3] == 0x9b00dbd8);
  rng_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX, w);
  assert_true(w[0] == 0x408f276d && w[1] == 0x41c83b0e && w[2] == 0xa20bc7c6 && w[3] == 0x6d5451fd);
  rng_philox(0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u, w);
  assert_true(w[0] == 0xd16cfe09 && w[1] == 0x94fdcceb && w[2] == 0x5001e420 && w[3] == 0x24126ea1);
}

static void random_distributions(void **state) {
  (void)state;
  struct rng r = { 7, 1, 0 };
  double sum = 0, sq = 0, u = 0;
  int count[5] = { 0 };
  for (int i = 0; i < 100000; i++) {
    double x = rng_normal(&r);
    sum += x, sq += x * x, u += rng_uniform(&r);
    count[rng_below(&r, 5)]++;
  }
  assert_true(fabs(sum / 1e5) < 0.015 && fabs(sq / 1e5 - 1) < 0.02 && fabs(u / 1e5 - 0.5) < 0.005);
  for (int i = 0; i < 5; i++) assert_true(abs(count[i] - 20000) < 600);
  uint64_t p[100], seen[100] = { 0 };
  rng_permutation(&r, 100, p);
  for (int i = 0; i < 100; i++) seen[p[i]]++;
  for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
}

static void files_are_whole_or_absent(void **state) {
  (void)state;
  char dir[] = "/tmp/retort test é XXXXXX";
  assert_non_null(mkdtemp(dir));
  struct arena *a = arena_new(0);
  char *path = path_join(a, dir, "out put.txt");
  struct file_atomic f;
  OK(file_atomic_open(&f, path, e));
  fputs("hello", f.fp);
  assert_false(file_exists(path));
  file_atomic_abort(&f);
  assert_false(file_exists(path));
  OK(file_atomic_open(&f, path, e));
  fputs("hello", f.fp);
  OK(file_atomic_commit(&f, e));
  assert_int_equal(file_bytes(path), 5);
  struct buf b = { 0 };
  OK(file_read(path, 100, &b, e));
  assert_string_equal(b.p, "hello");
  FAILS(STATUS_LIMIT, "out put.txt", file_read(path, 3, &b, e));
  buf_free(&b);
  const char **names;
  size_t n;
  OK(folder_list(dir, a, &names, &n, e));
  assert_int_equal(n, 1);
  struct file_map m;
  OK(file_map_open(path, &m, e));
  assert_memory_equal(m.p, "hello", 5);
  file_map_close(&m);
  FAILS(STATUS_IO, "not a regular", file_map_open(dir, &m, e));
  FAILS(STATUS_IO, "nowhere", file_map_open("/nowhere", &m, e));

  char *folder = path_join(a, dir, "made/deep"), *tmp = NULL;
  OK(folder_make(folder, e));
  OK(folder_atomic_begin(path_join(a, dir, "shards"), &tmp, e));
  assert_true(folder_exists(tmp));
  OK(folder_atomic_commit(path_join(a, dir, "shards"), tmp, 0, e));
  mem_free(tmp);
  OK(folder_atomic_begin(path_join(a, dir, "shards"), &tmp, e));
  FAILS(STATUS_IO, "--force", folder_atomic_commit(path_join(a, dir, "shards"), tmp, 0, e));
  OK(folder_atomic_commit(path_join(a, dir, "shards"), tmp, 1, e));
  mem_free(tmp);
  FAILS(STATUS_IO, "not a folder", folder_make(path, e));
  /* a link inside is removed, not followed */
  assert_int_equal(symlink("/tmp", path_join(a, folder, "link")), 0);
  OK(folder_remove(dir, e));
  assert_false(folder_exists(dir));
  assert_true(folder_exists("/tmp"));
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(err_texts),
    cmocka_unit_test(memory_fails_on_purpose),
    cmocka_unit_test(arena_keeps_and_caps),
    cmocka_unit_test(buffer_grows_to_its_cap),
    cmocka_unit_test(hashes_of_published_vectors),
    cmocka_unit_test(philox_known_answers),
    cmocka_unit_test(random_distributions),
    cmocka_unit_test(files_are_whole_or_absent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
