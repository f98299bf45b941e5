/* SPDX-License-Identifier: Apache-2.0
 * `-C FILE`: a YAML mapping of option names to scalars or lists of scalars (libyaml). A key that names the stage holds a
 * mapping for that stage alone; keys that name other stages are skipped, so one file can serve a whole pipe. */
#include <yaml.h>
#include "file.h"
#include "opt_internal.h"
#include "stage.h"

struct source {
  const char *path, *stage;
  const struct opt_row *rows[2];
  void *target[2];
  struct arena *arena;
  yaml_document_t *doc;
};

static const char *scalar(struct source *s, yaml_node_t *n) {
  return n && n->type == YAML_SCALAR_NODE && memchr(n->data.scalar.value, 0, n->data.scalar.length) == NULL ? arena_strndup(s->arena, (const char *)n->data.scalar.value, n->data.scalar.length) : NULL;
}

static enum status set_one(struct source *s, const char *key, yaml_node_t *value, struct err *e) {
  for (int t = 0; t < 2; t++) {
    const struct opt_row *r = opt_find(s->rows[t], key, strlen(key));
    if (r == NULL) continue;
    if (value && value->type == YAML_SEQUENCE_NODE && r->type == OPT_LIST) {
      for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top; i++) {
        const char *v = scalar(s, yaml_document_get_node(s->doc, *i));
        if (v == NULL) return err_set(e, STATUS_USAGE, "'%s': '%s' holds a list item that is not a scalar", s->path, key);
        enum status st = opt_set(r, s->target[t], v, s->arena, e);
        if (st != STATUS_OK) return err_prefix(e, "'%s'", s->path);
      }
      return STATUS_OK;
    }
    const char *v = scalar(s, value);
    if (v == NULL) {
      return err_set(e, STATUS_USAGE, "'%s' line %zu: '%s' needs one value", s->path, value ? value->start_mark.line + 1 : 0, key);
    }
    if (opt_set(r, s->target[t], v, s->arena, e) != STATUS_OK) {
      return err_prefix(e, "'%s' line %zu", s->path, value->start_mark.line + 1);
    }
    return STATUS_OK;
  }
  enum status st = opt_unknown(s->stage, s->rows[0], s->rows[1], key, e);
  (void)err_prefix(e, "'%s' line %zu", s->path, value ? value->start_mark.line + 1 : 0);
  return st;
}

static int same_key(struct source *s, const yaml_node_pair_t *p, const char *key) {
  const yaml_node_t *n = yaml_document_get_node(s->doc, p->key);
  return n && n->type == YAML_SCALAR_NODE && strcmp((const char *)n->data.scalar.value, key) == 0;
}

static enum status set_mapping(struct source *s, yaml_node_t *map, int top, struct err *e) {
  for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
    yaml_node_t *value = yaml_document_get_node(s->doc, p->value);
    const char *key = scalar(s, yaml_document_get_node(s->doc, p->key));
    if (key == NULL) return err_set(e, STATUS_USAGE, "'%s': a key is not a scalar, or holds a NUL character", s->path);
    for (yaml_node_pair_t *before = map->data.mapping.pairs.start; before < p; before++)
      if (same_key(s, before, key))
        return err_set(e, STATUS_USAGE, "'%s' line %zu: '%s' stands there a second time", s->path, value ? value->start_mark.line + 1 : 0, key);
    enum status st = STATUS_OK;
    if (top && value && value->type == YAML_MAPPING_NODE && stage_find(key) != NULL) {
      if (strcmp(key, s->stage) == 0) st = set_mapping(s, value, 0, e);
    } else {
      st = set_one(s, key, value, e);
    }
    if (st != STATUS_OK) return st;
  }
  return STATUS_OK;
}

enum status opt_yaml(const char *path, const char *stage, const struct opt_row *rows, void *target, const struct opt_row *common,
                     void *common_target, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  yaml_parser_t parser;
  yaml_document_t doc;
  int have_parser = 0, have_doc = 0;
  TRY(file_read(path, 1 << 20, &text, e));
  have_parser = yaml_parser_initialize(&parser);
  if (!have_parser) {
    st = err_nomem(e, sizeof parser);
    goto out;
  }
  yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
  have_doc = yaml_parser_load(&parser, &doc);
  if (!have_doc) {
    st = err_set(e, STATUS_USAGE, "'%s' line %zu: %s", path, parser.problem_mark.line + 1, parser.problem ? parser.problem : "not YAML");
    goto out;
  }
  yaml_node_t *root = yaml_document_get_root_node(&doc);
  if (root == NULL) goto out; /* an empty file sets nothing */
  if (root->type != YAML_MAPPING_NODE) {
    st = err_set(e, STATUS_USAGE, "'%s': a mapping of option names to values is expected", path);
    goto out;
  }
  yaml_document_t next; /* the stream ends with an empty one */
  int more = yaml_parser_load(&parser, &next);
  if (more) {
    more = yaml_document_get_root_node(&next) != NULL;
    yaml_document_delete(&next);
  }
  if (more || parser.error != YAML_NO_ERROR) {
    st = err_set(e, STATUS_USAGE, "'%s' line %zu: one YAML document is expected", path, parser.mark.line + 1);
    goto out;
  }
  struct source s = { path, stage, { rows, common }, { target, common_target }, a, &doc };
  st = set_mapping(&s, root, 1, e);
out:
  if (have_doc) yaml_document_delete(&doc);
  if (have_parser) yaml_parser_delete(&parser);
  buf_free(&text);
  return st;
}
