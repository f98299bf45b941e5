/* SPDX-License-Identifier: Apache-2.0
 * Checks JSON values against a subset of JSON Schema (draft 2020-12). Used wherever an answer must have a stated form:
 * recipes, tool calls, constrained decoding, answers of servers that were asked for a schema.
 *   everywhere  type (one or a list), enum, const, allOf, anyOf, oneOf, not, $ref into the same document (also recursive),
 *               true and false as schemas
 *   objects     properties, required, additionalProperties, minProperties, maxProperties
 *   arrays      prefixItems, items, minItems, maxItems, uniqueItems
 *   strings     minLength, maxLength (code points), pattern (found anywhere, ECMA-262 meaning as far as PCRE2 has it)
 *   numbers     minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf
 * Annotations are passed over: title description default examples $schema $id (at the root) $comment deprecated readOnly
 * writeOnly format contentEncoding contentMediaType, and names that begin with "x-". Any other keyword would change what is
 * valid and is refused when the schema is opened; so are references that lead nowhere or back to themselves.
 * Equality is that of JSON Schema: 1 is 1.0, the order of members does not count. multipleOf forgives the rounding of
 * decimal fractions: 19.99 is a multiple of 0.01.
 * A schema is constant once opened: any number of threads may check with it. */
#ifndef CORE_SCHEMA_H
#define CORE_SCHEMA_H
#include "err.h"
#include "json.h"
#include "span.h"

struct schema;
struct schema_node;
/* what: name for messages (a file, "recipe qa, schema"). STATUS_DATA names the keyword by its JSON pointer. */
MUST_USE enum status schema_open(struct span text, const char *what, struct schema **s, struct err *e);
MUST_USE enum status schema_open_file(const char *path, struct schema **s, struct err *e);
void schema_close(struct schema *s);
/* OK, or STATUS_DATA with a message such as `'/items/3/age': found "twelve", expected integer`: the JSON pointer into the
 * value, what stands there, what the schema wants. Of alternatives (anyOf, oneOf) the one that came farthest is told.
 * STATUS_LIMIT: deeper than 256 levels, more than ten million steps, or a pattern that needs too long. */
MUST_USE enum status schema_check(const struct schema *s, const struct json *value, struct err *e);
/* Parses and checks text; what: as in json_parse. */
MUST_USE enum status schema_check_text(const struct schema *s, struct span text, const char *what, struct err *e);
/* The schema as it came (compact JSON text owned by s), for servers that take one. */
struct span schema_text(const struct schema *s);
/* The root, for those who walk it (schema_node.h). */
const struct schema_node *schema_root(const struct schema *s);
#endif
