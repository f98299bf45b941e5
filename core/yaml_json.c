/* SPDX-License-Identifier: Apache-2.0
 * YAML to JSON over libyaml's document tree. Used for recipes, terms and front matter; must not be used for record lines. */
#include "yaml_json.h"
#include <yaml.h>

#define YAML_MAX_DEPTH 64

struct walk {
  yaml_document_t *doc;
  const char *what;
  int flags;
  struct buf *out;
};

static int is_json_number(const char *s, size_t n)
{
  if (n == 0 || n > 40 || !((s[0] >= '0' && s[0] <= '9') || s[0] == '-')) {
    return 0;
  }
  struct span v = { s, n };
  return span_type(v) == 'n' && span_check_json(v, NULL) == STATUS_OK;
}

static enum status put_scalar(struct walk *w, const yaml_node_t *node, int as_key, struct err *e)
{
  struct span s = { (const char *)node->data.scalar.value, node->data.scalar.length };
  int plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !as_key && !(w->flags & YAML_ALL_STRINGS);
  if (plain) {
    if (s.n == 0 || span_is(s, "~") || span_is(s, "null")) {
      return buf_puts(w->out, "null", e);
    }
    if (span_is(s, "true") || span_is(s, "false") || is_json_number(s.p, s.n)) {
      return buf_put(w->out, s.p, s.n, e);
    }
  }
  return json_put_string(w->out, s, e);
}

static enum status put_node(struct walk *w, int index, int depth, struct err *e)
{
  enum status st = STATUS_OK;
  const yaml_node_t *node = yaml_document_get_node(w->doc, index);
  if (node == NULL) {
    return buf_puts(w->out, "null", e);
  }
  if (depth > YAML_MAX_DEPTH || w->out->n > YAML_MAX_JSON) {
    return err_set(e, STATUS_LIMIT, "'%s': line %lu: YAML nests deeper than %d levels or unfolds beyond %zu bytes", w->what,
                   (unsigned long)node->start_mark.line + 1, YAML_MAX_DEPTH, YAML_MAX_JSON);
  }
  switch (node->type) {
  case YAML_SCALAR_NODE:
    return put_scalar(w, node, 0, e);
  case YAML_SEQUENCE_NODE:
    TRY(buf_putc(w->out, '[', e));
    for (const yaml_node_item_t *it = node->data.sequence.items.start; it < node->data.sequence.items.top; it++) {
      if (it > node->data.sequence.items.start) {
        TRY(buf_putc(w->out, ',', e));
      }
      TRY(put_node(w, *it, depth + 1, e));
    }
    return buf_putc(w->out, ']', e);
  case YAML_MAPPING_NODE:
    TRY(buf_putc(w->out, '{', e));
    for (const yaml_node_pair_t *it = node->data.mapping.pairs.start; it < node->data.mapping.pairs.top; it++) {
      const yaml_node_t *key = yaml_document_get_node(w->doc, it->key);
      if (key == NULL || key->type != YAML_SCALAR_NODE) {
        return err_set(e, STATUS_DATA, "'%s': line %lu: found a key that is not a scalar, expected a plain word", w->what,
                       (unsigned long)node->start_mark.line + 1);
      }
      if (it > node->data.mapping.pairs.start) {
        TRY(buf_putc(w->out, ',', e));
      }
      TRY(put_scalar(w, key, 1, e));
      TRY(buf_putc(w->out, ':', e));
      TRY(put_node(w, it->value, depth + 1, e));
    }
    return buf_putc(w->out, '}', e);
  default:
    return buf_puts(w->out, "null", e);
  }
out:
  return st;
}

enum status yaml_to_json(struct span text, const char *what, int flags, struct buf *json, struct err *e)
{
  enum status st = STATUS_OK;
  yaml_parser_t parser;
  yaml_document_t doc;
  int have_doc = 0;
  if (!yaml_parser_initialize(&parser)) {
    return err_nomem(e, sizeof parser);
  }
  yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
  if (!yaml_parser_load(&parser, &doc)) {
    st = err_set(e, STATUS_DATA, "'%s': line %lu, column %lu: not YAML: %s", what, (unsigned long)parser.problem_mark.line + 1,
                 (unsigned long)parser.problem_mark.column + 1, parser.problem ? parser.problem : "unreadable");
    goto out;
  }
  have_doc = 1;
  struct walk w = { &doc, what, flags, json };
  if (yaml_document_get_root_node(&doc) == NULL) {
    TRY(buf_puts(json, "null", e));
    goto out;
  }
  TRY(put_node(&w, 1, 0, e)); /* libyaml numbers nodes from 1; the root is the first */
out:
  if (have_doc) {
    yaml_document_delete(&doc);
  }
  yaml_parser_delete(&parser);
  return st;
}
