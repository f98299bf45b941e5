/* SPDX-License-Identifier: Apache-2.0
 * A parsed JSON document (jansson behind it; no caller sees jansson's types). For configurations, tokenizer.json,
 * manifests, API answers and single field values; record lines stay spans (span.h).
 * Nodes belong to the document: json_free(root) frees all. Every accessor accepts NULL and a wrong type (gives the
 * default), so optional fields need no ladders of ifs. Integers beyond int64 and reals: json_num. */
#ifndef CORE_JSON_H
#define CORE_JSON_H
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "span.h"

struct json; /* opaque node */
MUST_USE enum status json_parse(struct span text, const char *what, struct json **root, struct err *e);
MUST_USE enum status json_parse_file(const char *path, size_t max_bytes, struct json **root, struct err *e);
void json_free(struct json *root);

enum json_type { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
enum json_type json_type(const struct json *j);
const struct json *json_get(const struct json *obj, const char *key);
const struct json *json_path(const struct json *j, const char *dotted); /* "choices.0.message.content" */
const struct json *json_at(const struct json *arr, size_t i);
size_t json_size(const struct json *j); /* of an array or object */
struct span json_str(const struct json *j); /* {NULL,0} when not a string; bytes belong to the document */
const char *json_cstr(const struct json *j, const char *dflt); /* dflt when not a string or when it holds a NUL */
int64_t json_int(const struct json *j, int64_t dflt);
double json_num(const struct json *j, double dflt);
int json_bool(const struct json *j, int dflt);
/* Iteration over an object in file order: void *it = NULL; while (json_next(obj, &it, &key, &val)) ... */
int json_next(const struct json *obj, void **it, struct span *key, const struct json **val);
/* Appends the node as compact JSON, keys in file order. */
MUST_USE enum status json_put(struct buf *b, const struct json *j, struct err *e);

#endif
