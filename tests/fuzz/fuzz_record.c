/* SPDX-License-Identifier: Apache-2.0
 * Record lines against jansson: both must accept or refuse the same bytes. Known differences of jansson are left out:
 * lone surrogate escapes, raw NUL bytes (its stream skips some behind numbers), \u0000 in keys, numbers that overflow, depth above ours. An accepted line is edited and must
 * stay valid; its strings must decode to what jansson decodes. */
#include <jansson.h>
#include "scan.h"
#include "span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok, const char *what, const uint8_t *data, size_t size) {
  if (ok) return;
  fprintf(stderr, "%s: ", what);
  for (size_t i = 0; i < size; i++) fprintf(stderr, data[i] >= 32 && data[i] < 127 ? "%c" : "\\x%02x", data[i]);
  fputc('\n', stderr);
  abort();
}

static void compare_fields(const struct record *r, json_t *j, struct arena *a, const uint8_t *data, size_t size) {
  for (size_t i = 0; i < r->n_fields; i++) {
    struct span key, quoted = { r->field[i].key.p - 1, r->field[i].key.n + 2 }, text;
    check(span_string(quoted, a, &key, NULL) == STATUS_OK, "key does not decode", data, size);
    json_t *v = json_object_getn(j, key.p, key.n);
    check(v != NULL, "jansson lacks the key", data, size);
    char *z = arena_strndup(a, key.p, key.n); /* keys of jansson hold no NUL */
    check(span_key_is(r->field[i].key, z), "span_key_is says no", data, size);
    struct span last = record_get(r, z);
    if (last.p != r->field[i].value.p) continue; /* an earlier duplicate */
    check((span_type(last) == 's') == (json_typeof(v) == JSON_STRING), "types differ", data, size);
    if (span_type(last) != 's') continue;
    check(span_string(last, a, &text, NULL) == STATUS_OK, "value does not decode", data, size);
    check(text.n == json_string_length(v) && !memcmp(text.p, json_string_value(v), text.n), "strings differ", data, size);
  }
}

static void edit(const struct record *r, struct arena *a, const uint8_t *data, size_t size) {
  struct buf one = { 0 }, two = { 0 };
  struct record r2;
  struct field_edit edits[] = { { "text", { "[1]", 3 } }, { "id", { NULL, 0 } }, { "fresh", { "{}", 2 } } };
  check(record_edit(r, edits, 0, &one, NULL) == STATUS_OK, "edit failed", data, size);
  check(one.n == r->line.n && !memcmp(one.p, r->line.p, one.n), "an empty edit changed bytes", data, size);
  check(record_edit(r, edits, 3, &two, NULL) == STATUS_OK, "edit failed", data, size);
  check(record_split((struct span){ two.p, two.n }, a, &r2, NULL) == STATUS_OK, "edited line is not valid", data, size);
  check(span_is(record_get(&r2, "text"), "[1]") && span_is(record_get(&r2, "fresh"), "{}") && !record_get(&r2, "id").p,
        "edit did not take", data, size);
  buf_free(&one);
  buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena *a = arena_new(0);
  struct record r;
  struct err e = { 0 };
  struct span line = { (const char *)data, size };
  json_error_t je = { 0 };
  json_t *j = json_loadb((const char *)data, size, JSON_ALLOW_NUL | JSON_DECODE_ANY, &je);
  int ours = span_check_json(line, &e) == STATUS_OK;
  int record = record_split(line, a, &r, NULL) == STATUS_OK;
  int known = !j && (strstr(je.text, "invalid Unicode") || json_error_code(&je) == json_error_null_byte_in_key ||
                     json_error_code(&je) == json_error_numeric_overflow);
  known |= !ours && memchr(data, 0, size) != NULL;
  known |= !ours && strstr(e.msg, "levels of nesting") != NULL;
  if (!known) check(ours == (j != NULL), ours ? "only retort accepts" : "only jansson accepts", data, size);
  if (!known) check(record == (j && json_typeof(j) == JSON_OBJECT), "record_split disagrees", data, size);
  if (record && j) compare_fields(&r, j, a, data, size);
  if (record) edit(&r, a, data, size);
  json_decref(j);
  arena_free(a);
  return 0;
}
