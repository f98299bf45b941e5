/* SPDX-License-Identifier: Apache-2.0
 * Safetensors files made by hand: types, scalars, sharded index, and every way a file can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "scratch_file.h"
#include "weights.h"

static int align_header = 1;
static const char *make(const char *name, const char *header, size_t data_bytes) {
  struct buf b = { 0 };
  size_t n = strlen(header), pad = align_header ? (8 - n % 8) % 8 : 0;
  put_u64(&b, n + pad);
  put_bytes(&b, header, n);
  put_bytes(&b, "        ", pad);
  for (size_t i = 0; i < data_bytes; i++) put_bytes(&b, &(unsigned char){ (unsigned char)i }, 1);
  const char *path = scratch_write(name, b.p, b.n);
  buf_free(&b);
  assert_non_null(path);
  return path;
}

static void refused(const char *path, const char *why) {
  struct weights *w = NULL;
  struct err e = { 0 };
  enum status st = weights_open(path, &w, &e);
  weights_close(w);
  if (st != STATUS_DATA || strstr(e.msg, why) == NULL) fail_msg("wanted DATA with '%s', got %s: %s", why, status_name(st), e.msg);
  assert_non_null(strstr(e.msg, "scratch-")); /* the file is named */
}

#define H8 "                                        " /* padding so that the data begins at a multiple of 8 */

static void reads_types_and_shapes(void **state) {
  (void)state;
  /* f16 1.0 = 3c00, -2.0 = c000; bf16 1.0 = 3f80, -0.5 = bf00 */
  struct buf b = { 0 };
  const char *head = "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F16\",\"shape\":[2, 1],\"data_offsets\":[0,4]},"
                     "\"b\\u0031\":{\"shape\":[2],\"dtype\":\"BF16\",\"data_offsets\":[4,8]},\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
                     "\"i\":{\"dtype\":\"I32\",\"shape\":[1,1,1],\"data_offsets\":[12,16]},\"z\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[16,16]}}";
  size_t n = (strlen(head) + 7) / 8 * 8;
  put_u64(&b, n);
  put_bytes(&b, head, strlen(head));
  put_bytes(&b, H8, n - strlen(head));
  put_bytes(&b, "\x00\x3c\x00\xc0\x80\x3f\x00\xbf", 8);
  put_f32(&b, 7.25f);
  put_u32(&b, (uint32_t)-3);
  const char *path = scratch_write("types.safetensors", b.p, b.n);
  buf_free(&b);
  struct weights *w = NULL;
  struct err e = { 0 };
  if (weights_open(path, &w, &e) != STATUS_OK) fail_msg("%s", e.msg);
  assert_null(weights_config(w));
  assert_int_equal(weights_count(w), 5);
  assert_int_equal(weights_is_gguf(w), 0);
  float v[2];
  assert_int_equal(weights_read(weights_find(w, "a"), 1, 1, v, &e), STATUS_OK);
  assert_true(v[0] == -2.0f);
  assert_int_equal(weights_read(weights_find(w, "b1"), 0, 2, v, &e), STATUS_OK);
  assert_true(v[0] == 1.0f && v[1] == -0.5f);
  assert_int_equal(weights_read(weights_find(w, "s"), 0, 1, v, &e), STATUS_OK);
  assert_true(v[0] == 7.25f);
  assert_int_equal(weights_read(weights_find(w, "i"), 0, 1, v, &e), STATUS_OK);
  assert_true(v[0] == -3.0f);
  assert_int_equal(weights_find(w, "z")->bytes, 0);
  assert_null(weights_find(w, "b\\u0031"));
  assert_int_equal(weights_read(weights_find(w, "a"), 1, 2, v, &e), STATUS_USAGE);
  const struct tensor *t;
  assert_int_equal(weights_need(w, "a", 2, 1, &t, &e), STATUS_OK);
  assert_int_equal(weights_need(w, "a", 3, 1, &t, &e), STATUS_DATA);
  assert_non_null(strstr(e.msg, "2 x 1"));
  assert_int_equal(weights_need(w, "nothing", 3, 1, &t, &e), STATUS_DATA);
  weights_close(w);
}

static void refuses_bad_files(void **state) {
  (void)state;
#define T(name, type, shape, from, to) "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"
  refused(make("x.safetensors", "{" T("a", "F32", "[2]", "0", "8") "," T("a", "F32", "[2]", "8", "16") "}", 16), "stands twice");
  refused(make("x.safetensors", "{" T("a", "F32", "[2]", "0", "8") "," T("b", "F32", "[2]", "4", "12") "}", 12), "overlap");
  refused(make("x.safetensors", "{" T("a", "F32", "[2]", "0", "8") "}", 4), "is cut");
  refused(make("x.safetensors", "{" T("a", "F32", "[2]", "0", "8") "}", 12), "8");            /* bytes that belong to nobody */
  refused(make("x.safetensors", "{" T("a", "F32", "[-2]", "0", "8") "}", 8), "bad shape");
  refused(make("x.safetensors", "{" T("a", "F32", "[2.0]", "0", "8") "}", 8), "bad shape");
  refused(make("x.safetensors", "{" T("a", "F32", "[1,1,1,1,2]", "0", "8") "}", 8), "bad shape");
  refused(make("x.safetensors", "{" T("a", "F32", "[4294967296,4294967296]", "0", "0") "}", 0), "impossible shape");
  refused(make("x.safetensors", "{" T("a", "F32", "[99999999999999999999]", "0", "0") "}", 0), "bad shape");
  refused(make("x.safetensors", "{" T("a", "F32", "[2]", "8", "0") "}", 8), "lies at");
  refused(make("x.safetensors", "{" T("a", "F32", "[3]", "0", "8") "}", 8), "need 12");
  refused(make("x.safetensors", "{" T("a", "F32", "[2]", "-8", "0") "}", 8), "data_offsets");
  refused(make("x.safetensors", "{" T("a", "F8_E4M3", "[8]", "0", "8") "}", 8), "F8_E4M3");
  align_header = 0;
  refused(make("x.safetensors", "{" T("a", "F32", "[2]", "0", "8") "}" , 8), "not aligned"); /* 55 bytes of header */
  align_header = 1;
  refused(make("x.safetensors", "{\"a\":3}", 0), "not an object");
  refused(make("x.safetensors", "{\"a\":{\"dtype\":\"F32\"}}", 0), "bad shape");
  refused(make("x.safetensors", "[1,2,3,4]", 0), "header");
  refused(make("x.safetensors", "{\"a\":", 0), "header");
  refused(make("x.safetensors", "{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0), "NUL");
  refused(scratch_write("x.safetensors", "", 0), "no safetensors");
  refused(scratch_write("x.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "header of");
  refused(scratch_write("x.safetensors", "\x40\0\0\0\0\0\0\0{}", 10), "header of");
}

static void index_joins_files(void **state) {
  (void)state;
  struct weights *w = NULL;
  struct err e = { 0 };
  assert_int_equal(folder_make(scratch_path("m"), &e), STATUS_OK);
  const char *config = "{\"model_type\":\"llama\",\"hidden_size\":4,\"num_hidden_layers\":1,\"num_attention_heads\":2,\"vocab_size\":3,\"intermediate_size\":5}";
  scratch_write("m/config.json", config, strlen(config));
  make("m/one.safetensors", "{" T("a", "U8", "[2]", "0", "2") "}", 2);
  make("m/two.safetensors", "{" T("b", "U8", "[3]", "0", "3") "," T("c", "U8", "[1]", "3", "4") "}", 4);
  const char *good = "{\"metadata\":{\"total_size\":6},\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\",\"c\":\"two.safetensors\"}}";
  scratch_write("m/model.safetensors.index.json", good, strlen(good));
  if (weights_open(scratch_path("m"), &w, &e) != STATUS_OK) fail_msg("%s", e.msg);
  float v[3];
  assert_int_equal(weights_read(weights_find(w, "b"), 0, 3, v, &e), STATUS_OK);
  assert_true(v[2] == 2.0f);
  weights_close(w);
  const char *up = "{\"weight_map\":{\"a\":\"../one.safetensors\"}}";
  scratch_write("m/model.safetensors.index.json", up, strlen(up));
  refused(scratch_path("m"), "same folder");
  const char *few = "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}";
  scratch_write("m/model.safetensors.index.json", few, strlen(few));
  refused(scratch_path("m"), "lists 2 tensors");
  make("m/two.safetensors", "{" T("a", "U8", "[4]", "0", "4") "}", 4);
  refused(scratch_path("m"), "stands twice");
  assert_int_equal(folder_make(scratch_path("run"), &e), STATUS_OK);
  refused(scratch_path("run"), "no model");
  assert_int_equal(weights_open(scratch_path("missing.safetensors"), &w, &e), STATUS_IO);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(reads_types_and_shapes),
    cmocka_unit_test(refuses_bad_files),
    cmocka_unit_test(index_joins_files),
  };
  return cmocka_run_group_tests(tests, scratch_begin, scratch_end);
}
