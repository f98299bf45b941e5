/* SPDX-License-Identifier: Apache-2.0
 * Reads Hugging Face's tokenizer.json (byte-level BPE only) with tokenizer_config.json, chat_template.jinja and config.json
 * beside it. Anything it does not understand is an error that names what was found: a tokenizer that is nearly right is
 * wrong without anybody noticing. */
#include "file.h"
#include "json.h"
#include "tokenizer.h"
#include "tokenizer_impl.h"

#define TOKENIZER_FILE_MAX ((size_t)1 << 29)

/* ----------------------------------------------------------------------------------------------------------- normaliser */

static enum status read_normalizer(const struct json *j, int *nfc, const char *what, struct err *e) {
  enum status st = STATUS_OK;
  enum json_type type = json_type(j);
  if (type == JSON_NONE || type == JSON_NULL) return STATUS_OK;
  const char *name = json_cstr(json_get(j, "type"), "?");
  if (strcmp(name, "NFC") == 0) {
    *nfc = 1;
  } else if (strcmp(name, "Sequence") == 0) {
    const struct json *list = json_get(j, "normalizers");
    for (size_t i = 0; i < json_size(list); i++) TRY(read_normalizer(json_at(list, i), nfc, what, e));
  } else {
    st = err_set(e, STATUS_DATA, "'%s': normalizer '%.60s' is not understood; known: none, NFC", what, name);
  }
out:
  return st;
}

/* ----------------------------------------------------------------------------------------------------------- vocabulary */

static enum status check_model(const struct json *m, const char *what, struct err *e) {
  static const char *const must_be_null[] = { "dropout", "continuing_subword_prefix", "end_of_word_suffix", NULL };
  const char *type = json_cstr(json_get(m, "type"), NULL);
  if (json_type(json_get(m, "vocab")) != JSON_OBJECT || (type && strcmp(type, "BPE") != 0))
    return err_set(e, STATUS_DATA, "'%s': model type '%.60s'; expected \"BPE\" with a \"vocab\" object", what, type ? type : "none");
  for (int i = 0; must_be_null[i]; i++) {
    const struct json *v = json_get(m, must_be_null[i]);
    enum json_type t = json_type(v);
    if (t != JSON_NONE && t != JSON_NULL && !(t == JSON_STRING && json_str(v).n == 0))
      return err_set(e, STATUS_DATA, "'%s': model.%s is set; byte-level BPE without it is understood", what, must_be_null[i]);
  }
  if (json_bool(json_get(m, "byte_fallback"), 0)) return err_set(e, STATUS_DATA, "'%s': model.byte_fallback is set: not a byte-level BPE", what);
  return STATUS_OK;
}

/* Highest id of vocabulary and added tokens, within what their number makes plausible. */
static enum status count_ids(const struct json *vocab, const struct json *added, int32_t *n, const char *what, struct err *e) {
  int64_t max = -1, entries = (int64_t)json_size(vocab) + (int64_t)json_size(added), limit = entries * 4 + 65536;
  if (limit > TOKEN_ID_LIMIT) limit = TOKEN_ID_LIMIT;
  struct span key;
  const struct json *v;
  void *it = NULL;
  while (json_next(vocab, &it, &key, &v)) {
    int64_t id = json_int(v, -1);
    if (id < 0 || id >= limit)
      return err_set(e, STATUS_DATA, "'%s': \"%.*s\" has id %lld; expected 0 to %lld", what, (int)(key.n < 80 ? key.n : 80), key.p, (long long)id, (long long)limit - 1);
    if (id > max) max = id;
  }
  for (size_t i = 0; i < json_size(added); i++) {
    int64_t id = json_int(json_get(json_at(added, i), "id"), -1);
    if (id < 0 || id >= limit || !json_str(json_get(json_at(added, i), "content")).n)
      return err_set(e, STATUS_DATA, "'%s': added_tokens[%zu]: expected an \"id\" of 0 to %lld and a \"content\"", what, i, (long long)limit - 1);
    if (id > max) max = id;
  }
  if (json_size(vocab) == 0) return err_set(e, STATUS_DATA, "'%s': \"model\".\"vocab\" is empty, expected tokens with their ids", what);
  *n = (int32_t)(max + 1);
  return STATUS_OK;
}

static enum status read_vocab(const struct json *vocab, struct tok_source *s, struct err *e) {
  struct span key;
  const struct json *v;
  void *it = NULL;
  while (json_next(vocab, &it, &key, &v)) {
    struct tok_entry *t = &s->token[json_int(v, 0)];
    if (t->type)
      return err_set(e, STATUS_DATA, "'%s': id %lld belongs to \"%.*s\" and \"%.*s\"", s->what, (long long)json_int(v, 0),
                     (int)(t->text.n < 80 ? t->text.n : 80), t->text.p, (int)(key.n < 80 ? key.n : 80), key.p);
    *t = (struct tok_entry){ key, TOKEN_NORMAL, IN_VOCAB };
  }
  return STATUS_OK;
}

static enum status read_added(const struct json *added, const struct json *vocab, struct tok_source *s, struct err *e) {
  for (size_t i = 0; i < json_size(added); i++) {
    const struct json *j = json_at(added, i);
    struct span text = json_str(json_get(j, "content"));
    struct tok_entry *t = &s->token[json_int(json_get(j, "id"), 0)];
    if (t->type && (t->text.n != text.n || memcmp(t->text.p, text.p, text.n) != 0))
      return err_set(e, STATUS_DATA, "'%s': added token \"%.*s\" has the id of \"%.*s\"", s->what, (int)(text.n < 80 ? text.n : 80), text.p,
                     (int)(t->text.n < 80 ? t->text.n : 80), t->text.p);
    const char *name = json_cstr(json_get(j, "content"), NULL);
    int64_t id = json_int(json_get(j, "id"), 0), other = name ? json_int(json_get(vocab, name), id) : id;
    if (other != id)
      return err_set(e, STATUS_DATA, "'%s': added token \"%.80s\" has id %lld but is %lld in the vocabulary", s->what, name, (long long)id, (long long)other);
    unsigned flag = ADDED | (t->flag & (unsigned)IN_VOCAB);
    int special = json_bool(json_get(j, "special"), 0);
    if (json_bool(json_get(j, "lstrip"), 0)) flag |= ADDED_LSTRIP;
    if (json_bool(json_get(j, "rstrip"), 0)) flag |= ADDED_RSTRIP;
    if (json_bool(json_get(j, "single_word"), 0)) flag |= ADDED_SINGLE_WORD;
    if (json_bool(json_get(j, "normalized"), !special)) flag |= ADDED_NORMALIZED;
    *t = (struct tok_entry){ text, special ? TOKEN_CONTROL : TOKEN_USER, (unsigned char)flag };
  }
  return STATUS_OK;
}

/* Merges are "a b" strings or ["a","b"] pairs. */
static enum status read_merges(const struct json *list, struct arena *a, struct tok_source *s, struct err *e) {
  s->n_merge = json_size(list);
  s->merge = arena_alloc(a, (s->n_merge + 1) * sizeof *s->merge);
  if (!s->merge) return err_nomem(e, s->n_merge * sizeof *s->merge);
  for (size_t i = 0; i < s->n_merge; i++) {
    const struct json *m = json_at(list, i);
    struct tok_pair p = { json_str(json_at(m, 0)), json_str(json_at(m, 1)) };
    if (json_type(m) == JSON_STRING) {
      struct span w = json_str(m);
      const char *blank = memchr(w.p, ' ', w.n);
      if (blank) p = (struct tok_pair){ { w.p, (size_t)(blank - w.p) }, { blank + 1, (size_t)(w.p + w.n - blank - 1) } };
    }
    if (!p.left.n || !p.right.n || (json_type(m) == JSON_ARRAY && json_size(m) != 2))
      return err_set(e, STATUS_DATA, "'%s': model.merges[%zu]: expected \"left right\" or [\"left\", \"right\"]", s->what, i);
    s->merge[i] = p;
  }
  return STATUS_OK;
}

/* --------------------------------------------------------------------------------------------------- special token ids */

static int32_t id_of_text(const struct tok_source *s, struct span text) {
  for (int32_t i = 0; text.p && i < s->n; i++)
    if (s->token[i].type && s->token[i].text.n == text.n && memcmp(s->token[i].text.p, text.p, text.n) == 0) return i;
  return -1;
}

/* "bos_token": a string or {"content": string}; id_key in config.json is the second choice (a number or a list). */
static int32_t special_id(const struct tok_source *s, const struct json *config, const char *key, const struct json *model, const char *id_key) {
  const struct json *j = json_get(config, key);
  int32_t id = id_of_text(s, json_str(json_type(j) == JSON_OBJECT ? json_get(j, "content") : j));
  if (id >= 0 || json_type(j) == JSON_NULL) return id;
  j = json_get(model, id_key);
  int64_t n = json_int(json_type(j) == JSON_ARRAY ? json_at(j, 0) : j, -1);
  return n >= 0 && n < s->n ? (int32_t)n : -1;
}

/* Token that a TemplateProcessing puts in front of a single text, or -1. */
static int32_t post_bos(const struct tok_source *s, const struct json *post) {
  if (strcmp(json_cstr(json_get(post, "type"), ""), "Sequence") == 0) {
    const struct json *list = json_get(post, "processors");
    for (size_t i = 0; i < json_size(list); i++) {
      int32_t id = strcmp(json_cstr(json_path(json_at(list, i), "type"), ""), "Sequence") == 0 ? -1 : post_bos(s, json_at(list, i));
      if (id >= 0) return id;
    }
    return -1;
  }
  return id_of_text(s, json_str(json_get(json_get(json_at(json_get(post, "single"), 0), "SpecialToken"), "id")));
}

static void read_specials(const struct json *root, const struct json *config, const struct json *model, struct tok_source *s) {
  s->bos = special_id(s, config, "bos_token", model, "bos_token_id");
  s->eos = special_id(s, config, "eos_token", model, "eos_token_id");
  s->pad = special_id(s, config, "pad_token", model, "pad_token_id");
  s->unk = special_id(s, config, "unk_token", NULL, "");
  s->bpe_unk = id_of_text(s, json_str(json_path(root, "model.unk_token")));
  int32_t front = post_bos(s, json_get(root, "post_processor"));
  s->add_bos = front >= 0 || json_bool(json_get(config, "add_bos_token"), 0);
  if (s->bos < 0) s->bos = front;
}

/* "chat_template": text, or a list of {name, template} of which "default" counts. */
static struct span config_template(const struct json *config) {
  const struct json *j = json_get(config, "chat_template");
  for (size_t i = 0; json_type(j) == JSON_ARRAY && i < json_size(j); i++)
    if (strcmp(json_cstr(json_get(json_at(j, i), "name"), ""), "default") == 0) return json_str(json_get(json_at(j, i), "template"));
  return json_str(j);
}

/* -------------------------------------------------------------------------------------------------------------- reading */

static enum status from_json(const struct json *root, const char *what, const struct json *config, const struct json *model_config,
                             struct span tmpl, struct tokenizer **t, struct err *e) {
  enum status st = STATUS_OK;
  struct tok_source s = { .what = what };
  struct arena *a = arena_new(0);
  if (!a) return err_nomem(e, 64);
  const struct json *model = json_get(root, "model"), *vocab = json_get(model, "vocab"), *added = json_get(root, "added_tokens");
  TRY(check_model(model, what, e));
  TRY(read_normalizer(json_get(root, "normalizer"), &s.nfc, what, e));
  st = pretok_by_json(json_get(root, "pre_tokenizer"), &s.pre, &s.prefix_space, e);
  if (st != STATUS_OK) {
    st = err_prefix(e, "'%s'", what);
    goto out;
  }
  TRY(count_ids(vocab, added, &s.n, what, e));
  s.token = arena_calloc(a, (size_t)s.n + 1, sizeof *s.token);
  if (!s.token) {
    st = err_nomem(e, (size_t)s.n * sizeof *s.token);
    goto out;
  }
  TRY(read_vocab(vocab, &s, e));
  TRY(read_added(added, vocab, &s, e));
  TRY(read_merges(json_get(model, "merges"), a, &s, e));
  s.ignore_merges = json_bool(json_get(model, "ignore_merges"), 0);
  s.fuse_unk = json_bool(json_get(model, "fuse_unk"), 0);
  read_specials(root, config, model_config, &s);
  s.chat_template = tmpl.p ? tmpl : config_template(config);
  TRY(tokenizer_build(&s, t, e));
out:
  arena_free(a);
  return st;
}

enum status tokenizer_parse_json(struct span text, const char *what, const struct json *config, struct span tmpl, struct tokenizer **t,
                                 struct err *e) {
  struct json *root = NULL;
  *t = NULL;
  enum status st = json_parse(text, what, &root, e);
  if (st == STATUS_OK) st = from_json(root, what, config, NULL, tmpl, t, e);
  json_free(root);
  return st;
}

/* A JSON file beside tokenizer.json; *j stays NULL when there is none. */
static enum status read_beside(struct arena *a, const char *folder, const char *name, struct json **j, struct err *e) {
  const char *path = path_join(a, folder, name);
  if (!path) return err_nomem(e, strlen(folder));
  return file_exists(path) ? json_parse_file(path, TOKENIZER_FILE_MAX, j, e) : STATUS_OK;
}

enum status tokenizer_read_json(const char *path, struct tokenizer **t, struct err *e) {
  enum status st = STATUS_OK;
  struct json *root = NULL, *config = NULL, *model = NULL;
  struct buf tmpl = { 0 };
  struct arena *a = arena_new(0);
  const char *slash = strrchr(path, '/');
  if (!a) return err_nomem(e, 64);
  const char *folder = slash ? arena_strndup(a, path, (size_t)(slash - path) + (slash == path)) : ".";
  const char *jinja = folder ? path_join(a, folder, "chat_template.jinja") : NULL;
  if (!jinja) {
    st = err_nomem(e, strlen(path));
    goto out;
  }
  st = json_parse_file(path, TOKENIZER_FILE_MAX, &root, e);
  if (st == STATUS_LIMIT) st = err_set(e, STATUS_DATA, "'%.300s' is larger than %zu bytes, which no tokenizer is", path, TOKENIZER_FILE_MAX);
  if (st != STATUS_OK) goto out;
  TRY(read_beside(a, folder, "tokenizer_config.json", &config, e));
  TRY(read_beside(a, folder, "config.json", &model, e));
  if (file_exists(jinja)) TRY(file_read(jinja, 1 << 24, &tmpl, e));
  TRY(from_json(root, path, config, model, (struct span){ tmpl.p, tmpl.n }, t, e));
out:
  buf_free(&tmpl);
  json_free(root);
  json_free(config);
  json_free(model);
  arena_free(a);
  return st;
}
