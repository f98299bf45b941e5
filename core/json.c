/* SPDX-License-Identifier: Apache-2.0
 * Parsed JSON documents: a thin layer over jansson, whose types stay in this file. Its memory goes through core/mem.h.
 * What jansson refuses and RFC 8259 allows is taken here: lone surrogate escapes (become U+FFFD) and integers beyond
 * int64 (become reals). */
/* jansson has the same names for its types as json.h; they are renamed while its header is read. Its json_is_x macros
 * are therefore not usable below. */
#define json_type jansson_type
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_INTEGER JANSSON_INTEGER
#define JSON_REAL JANSSON_REAL
#define JSON_TRUE JANSSON_TRUE
#define JSON_FALSE JANSSON_FALSE
#define JSON_NULL JANSSON_NULL
#include <jansson.h>
#undef json_type
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_INTEGER
#undef JSON_REAL
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL
#include "json.h"
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include "file.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* jansson goes on after some failed allocations: a string's text then lacks a character, if it is the closing quote the scanner
 * writes behind its memory. So a parse is left at the first one, and what it had allocated until then, listed here, is freed. */
struct block { struct block *before, *next; };
_Static_assert(sizeof(struct block) % 16 == 0, "what follows a block is aligned as malloc's");
struct parse { jmp_buf out; struct block *first; };
static _Thread_local struct parse *parsing;

static void *listing_alloc(size_t n) {
  struct block *b = n < SIZE_MAX - sizeof *b ? mem_alloc(sizeof *b + n) : NULL;
  if (!b && parsing) longjmp(parsing->out, 1);
  if (!b) return NULL;
  *b = (struct block){ NULL, NULL };
  if (parsing) {
    b->next = parsing->first;
    if (b->next) b->next->before = b;
    parsing->first = b;
  }
  return b + 1;
}

static void listing_free(void *p) {
  struct block *b = p ? (struct block *)p - 1 : NULL;
  if (b && parsing) { /* a parse frees what is its own; afterwards the list is not kept */
    if (b->next) b->next->before = b->before;
    if (b->before) b->before->next = b->next;
    else parsing->first = b->next;
  }
  mem_free(b);
}

static void setup(void) {
  json_set_alloc_funcs(listing_alloc, listing_free);
  json_object_seed(0);
}

/* A function of its own: nothing of it changes between setjmp and longjmp. */
static json_t *load_or_leave(struct parse *p, struct span text, size_t flags, json_error_t *je, int *starved) {
  if (setjmp(p->out) != 0) {
    *starved = 1;
    return NULL;
  }
  return json_loadb(text.p ? text.p : "", text.n, flags, je);
}

static json_t *load(struct span text, size_t flags, json_error_t *je, int *starved) {
  struct parse p = { .first = NULL };
  parsing = &p;
  json_t *j = load_or_leave(&p, text, flags, je, starved);
  parsing = NULL;
  while (*starved && p.first) {
    struct block *next = p.first->next;
    mem_free(p.first);
    p.first = next;
  }
  return j;
}
static const json_t *node(const struct json *j) { return (const json_t *)(const void *)j; }

static int hex_value(const char *p, const char *end) {
  int v = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int c = p[i], d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (d < 0) return -1;
    v = v * 16 + d;
  }
  return v;
}

/* Overwrites \uXXXX escapes of lone surrogates in place by \ufffd (the same length). */
static void mend_surrogates(char *p, size_t n) {
  char *end = p + n;
  while (p < end) {
    if (*p != '\\' || p + 1 == end) {
      p++;
      continue;
    }
    int c = p[1] == 'u' ? hex_value(p + 2, end) : -1;
    if (c < 0xD800 || c >= 0xE000) {
      p += 2; /* also steps over an escaped backslash */
      continue;
    }
    int low = c < 0xDC00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex_value(p + 8, end) : -1;
    if (low >= 0xDC00 && low < 0xE000) {
      p += 12;
    } else {
      memcpy(p, "\\ufffd", 6);
      p += 6;
    }
  }
}

enum status json_parse(struct span text, const char *what, struct json **root, struct err *e) {
  enum status st = STATUS_OK;
  json_error_t je = { 0 };
  char *copy = NULL;
  size_t flags = JSON_ALLOW_NUL | JSON_DECODE_ANY;
  *root = NULL;
  pthread_once(&once, setup);
  /* jansson's stream skips a raw NUL behind a number */
  const char *nul = text.n ? memchr(text.p, 0, text.n) : NULL;
  if (nul) return err_set(e, STATUS_DATA, "'%s': not valid JSON at byte %zu: found byte 0x00", what, (size_t)(nul - text.p) + 1);
  int starved = 0;
  json_t *j = load(text, flags, &je, &starved);
  if (!j && !starved && strstr(je.text, "invalid Unicode")) {
    copy = mem_strndup(text.p, text.n);
    if (!copy) return err_nomem(e, text.n);
    mend_surrogates(copy, text.n);
    text.p = copy;
    j = load(text, flags, &je, &starved);
  }
  if (!j && !starved && json_error_code(&je) == json_error_numeric_overflow && strstr(je.text, "integer"))
    j = load(text, flags | JSON_DECODE_INT_AS_REAL, &je, &starved);
  if (starved) st = err_nomem(e, text.n);
  else if (!j && text.n == 0) st = err_set(e, STATUS_DATA, "'%s': empty, expected JSON", what);
  else if (!j) st = err_set(e, STATUS_DATA, "'%s': not valid JSON at byte %d (line %d): %s", what, je.position, je.line, je.text);
  mem_free(copy);
  *root = (struct json *)(void *)j;
  return st;
}

enum status json_parse_file(const char *path, size_t max_bytes, struct json **root, struct err *e) {
  struct buf b = { 0 };
  *root = NULL;
  enum status st = file_read(path, max_bytes, &b, e);
  if (st == STATUS_OK) st = json_parse((struct span){ b.p, b.n }, path, root, e);
  buf_free(&b);
  return st;
}

void json_free(struct json *root) { json_decref((json_t *)(void *)root); }

enum json_type json_type(const struct json *j) {
  if (!j) return JSON_NONE;
  switch (json_typeof(node(j))) {
    case JANSSON_OBJECT: return JSON_OBJECT;
    case JANSSON_ARRAY: return JSON_ARRAY;
    case JANSSON_STRING: return JSON_STRING;
    case JANSSON_INTEGER: return JSON_INT;
    case JANSSON_REAL: return JSON_REAL;
    case JANSSON_TRUE: case JANSSON_FALSE: return JSON_BOOL;
    case JANSSON_NULL: return JSON_NULL;
  }
  return JSON_NONE;
}

const struct json *json_get(const struct json *obj, const char *key) {
  return json_type(obj) == JSON_OBJECT ? (const struct json *)(void *)json_object_get(node(obj), key) : NULL;
}

const struct json *json_at(const struct json *arr, size_t i) {
  return json_type(arr) == JSON_ARRAY ? (const struct json *)(void *)json_array_get(node(arr), i) : NULL;
}

const struct json *json_path(const struct json *j, const char *dotted) {
  while (j && *dotted) {
    size_t n = strcspn(dotted, ".");
    if (json_type(j) == JSON_ARRAY) {
      size_t i = 0;
      if (n == 0 || n > 9) return NULL;
      for (size_t k = 0; k < n; k++) {
        if (dotted[k] < '0' || dotted[k] > '9') return NULL;
        i = i * 10 + (size_t)(dotted[k] - '0');
      }
      j = json_at(j, i);
    } else if (json_type(j) == JSON_OBJECT) {
      j = (const struct json *)(void *)json_object_getn(node(j), dotted, n);
    } else {
      return NULL;
    }
    dotted += n + (dotted[n] == '.');
  }
  return j;
}

size_t json_size(const struct json *j) {
  if (json_type(j) == JSON_ARRAY) return json_array_size(node(j));
  return json_type(j) == JSON_OBJECT ? json_object_size(node(j)) : 0;
}

struct span json_str(const struct json *j) {
  if (json_type(j) != JSON_STRING) return (struct span){ NULL, 0 };
  return (struct span){ json_string_value(node(j)), json_string_length(node(j)) };
}

const char *json_cstr(const struct json *j, const char *dflt) {
  struct span s = json_str(j);
  return s.p && !memchr(s.p, 0, s.n) ? s.p : dflt;
}

int64_t json_int(const struct json *j, int64_t dflt) {
  if (json_type(j) == JSON_INT) return json_integer_value(node(j));
  if (json_type(j) != JSON_REAL) return dflt;
  double v = json_real_value(node(j));
  /* 1e6 and 5.0 are whole numbers too; 2^63 itself is not an int64 */
  return v >= -9223372036854775808.0 && v < 9223372036854775808.0 && (double)(int64_t)v == v ? (int64_t)v : dflt;
}

double json_num(const struct json *j, double dflt) {
  if (json_type(j) == JSON_REAL) return json_real_value(node(j));
  return json_type(j) == JSON_INT ? (double)json_integer_value(node(j)) : dflt;
}

int json_bool(const struct json *j, int dflt) {
  return json_type(j) == JSON_BOOL ? json_typeof(node(j)) == JANSSON_TRUE : dflt;
}

int json_next(const struct json *obj, void **it, struct span *key, const struct json **val) {
  if (json_type(obj) != JSON_OBJECT) return 0;
  json_t *o = (json_t *)(void *)(uintptr_t)obj; /* the iterator calls take no const */
  void *i = *it ? json_object_iter_next(o, *it) : json_object_iter(o);
  if (!i) return 0;
  *it = i;
  *key = (struct span){ json_object_iter_key(i), json_object_iter_key_len(i) };
  *val = (const struct json *)(void *)json_object_iter_value(i);
  return 1;
}

/* A real keeps looking like one (2.0, not 2), so that a second reader finds the same type. */
static enum status put_real(struct buf *b, double v, struct err *e) {
  size_t at = b->n;
  enum status st = json_put_num(b, v, e);
  if (st == STATUS_OK && !strpbrk(b->p + at, ".en")) st = buf_puts(b, ".0", e);
  return st;
}

/* Depth is bounded by jansson's own parser limit (2,048). */
enum status json_put(struct buf *b, const struct json *j, struct err *e) {
  enum status st = STATUS_OK;
  void *it = NULL;
  struct span key;
  const struct json *val;
  size_t n = 0;
  switch (json_type(j)) {
    case JSON_NONE: case JSON_NULL: return buf_puts(b, "null", e);
    case JSON_BOOL: return buf_puts(b, json_bool(j, 0) ? "true" : "false", e);
    case JSON_INT: return json_put_int(b, json_int(j, 0), e);
    case JSON_REAL: return put_real(b, json_num(j, 0), e);
    case JSON_STRING: return json_put_string(b, json_str(j), e);
    case JSON_ARRAY:
      TRY(buf_putc(b, '[', e));
      for (; n < json_size(j); n++) {
        if (n) TRY(buf_putc(b, ',', e));
        TRY(json_put(b, json_at(j, n), e));
      }
      TRY(buf_putc(b, ']', e));
      break;
    case JSON_OBJECT:
      TRY(buf_putc(b, '{', e));
      while (json_next(j, &it, &key, &val)) {
        if (n++) TRY(buf_putc(b, ',', e));
        TRY(json_put_string(b, key, e));
        TRY(buf_putc(b, ':', e));
        TRY(json_put(b, val, e));
      }
      TRY(buf_putc(b, '}', e));
      break;
  }
out:
  return st;
}
