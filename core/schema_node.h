/* SPDX-License-Identifier: Apache-2.0
 * A schema as its parts: what the checker (schema_check.c) and the compiler of token constraints (model/constrain_json.c)
 * walk. Made by schema.c, constant afterwards. Absent lists are NULL with a count of 0. */
#ifndef CORE_SCHEMA_NODE_H
#define CORE_SCHEMA_NODE_H
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "schema.h"

#define SCHEMA_DEPTH 256 /* levels of a schema, and of a value while it is checked */

enum schema_type { /* bits of schema_node.types */
  SCHEMA_NULL = 1, SCHEMA_BOOL = 2, SCHEMA_INTEGER = 4, SCHEMA_NUMBER = 8 /* with INTEGER always */, SCHEMA_STRING = 16,
  SCHEMA_ARRAY = 32, SCHEMA_OBJECT = 64, SCHEMA_ANY = 127
};

struct schema_list { struct schema_node **node; size_t n; };
struct schema_prop { struct span name; struct schema_node *node; };

struct schema_node {
  const struct json *json; /* where it was read */
  const char *at;          /* its JSON pointer: "#/properties/age" */
  int state;               /* of the search for circles: 0 new, 1 open, 2 done */
  int never;               /* the schema `false` */
  unsigned types;          /* all of SCHEMA_ANY when no type is stated */
  struct schema_prop *prop;
  size_t n_prop;
  struct span *required;
  size_t n_required;
  struct schema_node *additional; /* NULL = anything */
  struct schema_list prefix;
  struct schema_node *items;      /* NULL = anything */
  int64_t min_items, max_items, min_props, max_props, min_chars, max_chars; /* max: INT64_MAX = none */
  int unique;
  struct span pattern;            /* {NULL,0} = none */
  pcre2_code *code;               /* of pattern */
  const struct json *min, *max, *above, *below, *multiple; /* numbers; NULL = none */
  const struct json *konst, *one_of_values;                /* const, enum */
  struct schema_list all, any, one;
  struct schema_node *not, *ref;
};
/* 1 when the value fits this part of a schema; 0 when it does not or cannot be checked. */
int schema_node_fits(const struct schema_node *n, const struct json *value);
#endif
