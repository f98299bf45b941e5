/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer's tables: opening by kind of file, building, accessors, identity hash, decoding. Encoding stands in
 * tokenizer_encode.c, readers in tokenizer_json.c and tokenizer_gguf.c, the writer in tokenizer_write.c. */
#include "tokenizer.h"
#include "file.h"
#include "hash.h"
#include "tokenizer_impl.h"
#include "tokenizer_utf8.h"
#include "weights.h"
#include "word_cache.h"

/* ------------------------------------------------------------------------------------------------------------- opening */

static int ends_with(const char *s, const char *tail) {
  size_t n = strlen(s), k = strlen(tail);
  return n >= k && strcmp(s + n - k, tail) == 0;
}

enum status tokenizer_open(const char *path, struct tokenizer **t, struct err *e) {
  enum status st = STATUS_OK;
  struct weights *w = NULL;
  struct arena *a = arena_new(0);
  *t = NULL;
  if (!a) return err_nomem(e, 64);
  if (folder_exists(path)) {
    const char *own = path_join(a, path, "tokenizer.json"), *student = path_join(a, path, "student/tokenizer.json");
    if (!own || !student) {
      st = err_nomem(e, strlen(path));
    } else if (file_exists(own)) {
      st = tokenizer_read_json(own, t, e);
    } else if (file_exists(student)) {
      st = tokenizer_read_json(student, t, e);
    } else {
      st = err_set(e, STATUS_DATA, "'%s': no tokenizer.json in this folder nor in its student/; expected a Hugging Face or run folder", path);
    }
  } else if (ends_with(path, ".json")) {
    st = tokenizer_read_json(path, t, e);
  } else {
    TRY(weights_open(path, &w, e));
    st = tokenizer_from_weights(w, t, e);
  }
out:
  weights_close(w);
  arena_free(a);
  return st;
}

/* ------------------------------------------------------------------------------------------------------------ building */

static enum status trie_add(struct trie *t, struct span s, int32_t id, struct err *e) {
  int32_t at = 0;
  if (!t->n) {
    t->node = mem_alloc(64 * sizeof *t->node);
    if (!t->node) return err_nomem(e, 64 * sizeof *t->node);
    t->cap = 64, t->n = 1;
    t->node[0] = (struct trie_node){ -1, -1, -1, 0 };
  }
  t->only = (unsigned char)s.p[0];
  t->n_first += !t->first[t->only];
  t->first[t->only] = 1;
  for (size_t i = 0; i < s.n; i++) {
    int32_t k = t->node[at].child;
    while (k >= 0 && t->node[k].byte != (unsigned char)s.p[i]) k = t->node[k].sib;
    if (k < 0) {
      if (t->n == t->cap) {
        if (t->cap > INT32_MAX / 2) return err_set(e, STATUS_LIMIT, "added tokens are too long together");
        struct trie_node *p = mem_realloc(t->node, (size_t)t->cap * 2 * sizeof *p);
        if (!p) return err_nomem(e, (size_t)t->cap * 2 * sizeof *p);
        t->node = p, t->cap *= 2;
      }
      k = t->n++;
      t->node[k] = (struct trie_node){ -1, t->node[at].child, -1, (unsigned char)s.p[i] };
      t->node[at].child = k;
    }
    at = k;
  }
  t->node[at].id = id;
  return STATUS_OK;
}

/* Bytes of every token into one blob. Added tokens stand for their own text, others for what the byte alphabet says. */
static enum status build_blob(const struct tok_source *s, struct tokenizer *t, struct err *e) {
  uint64_t total = 0;
  for (int32_t i = 0; i < s->n; i++) total += s->token[i].text.n;
  t->blob = mem_alloc(total);
  t->off = mem_alloc(((size_t)s->n + 1) * sizeof *t->off);
  t->type = mem_calloc((size_t)s->n, 1);
  t->flag = mem_calloc((size_t)s->n, 1);
  if (!t->blob || !t->off || !t->type || !t->flag) return err_nomem(e, total + (uint64_t)s->n * 11);
  uint64_t at = 0;
  for (int32_t i = 0; i < s->n; i++) {
    const struct tok_entry *k = &s->token[i];
    t->off[i] = at;
    t->type[i] = k->type ? k->type : TOKEN_UNUSED;
    t->flag[i] = k->flag;
    if (t->type[i] == TOKEN_UNUSED) continue;
    if (utf8_valid_prefix(k->text) != k->text.n) return err_set(e, STATUS_DATA, "'%s': token %d is not UTF-8; expected byte-level BPE", s->what, i);
    size_t n = 0;
    if (k->flag & ADDED || !bpe_text_bytes(k->text, t->blob + at, &n)) {
      n = k->text.n;
      if (n) memcpy(t->blob + at, k->text.p, n);
    }
    at += n;
  }
  t->off[s->n] = at;
  return STATUS_OK;
}

/* Words are found by bytes among tokens that are written wholly in the byte alphabet. */
static enum status build_words(const struct tok_source *s, struct tokenizer *t, struct err *e) {
  enum status st = STATUS_OK;
  TRY(word_map_new(&t->words, (size_t)s->n, e));
  TRY(word_map_new(&t->added, (size_t)s->n, e));
  for (int b = 0; b < 256; b++) t->bpe.byte_id[b] = -1;
  for (int32_t i = 0; i < s->n; i++) {
    struct span w = tokenizer_token_bytes(t, i);
    if (t->type[i] == TOKEN_UNUSED) continue;
    if (t->flag[i] & ADDED) {
      if (!w.n) {
        st = err_set(e, STATUS_DATA, "'%s': added token %d is empty", s->what, i);
        goto out;
      }
      word_map_put(&t->added, w, i);
    }
    if (!w.n) continue;
    /* A token with characters outside the alphabet kept its text, which then decodes to nothing. */
    size_t n;
    char small[64], *tmp = s->token[i].text.n <= sizeof small ? small : mem_alloc(s->token[i].text.n);
    if (!tmp) {
      st = err_nomem(e, s->token[i].text.n);
      goto out;
    }
    if (bpe_text_bytes(s->token[i].text, tmp, &n) && n == w.n && memcmp(tmp, w.p, n) == 0) {
      word_map_put(&t->words, w, i);
      if (n == 1 && t->bpe.byte_id[(unsigned char)w.p[0]] < 0) t->bpe.byte_id[(unsigned char)w.p[0]] = i;
    }
    if (tmp != small) mem_free(tmp);
  }
out:
  return st;
}

/* Decodes one half of a merge into out; -1 when the vocabulary lacks it. */
static int32_t half_id(const struct tokenizer *t, struct span text, char *out, size_t *n) {
  if (utf8_valid_prefix(text) != text.n || !bpe_text_bytes(text, out, n)) return -1;
  return word_map_get(&t->words, (struct span){ out, *n });
}

static enum status build_merges(const struct tok_source *s, struct tokenizer *t, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  t->bpe.merge = mem_alloc(s->n_merge * sizeof *t->bpe.merge);
  if (!t->bpe.merge) return err_nomem(e, s->n_merge * sizeof *t->bpe.merge);
  for (size_t i = 0; i < s->n_merge; i++) {
    struct span l = s->merge[i].left, r = s->merge[i].right;
    size_t n_left = 0, n_right = 0;
    buf_clear(&b);
    TRY(buf_reserve(&b, l.n + r.n, e));
    struct bpe_merge m = { .a = half_id(t, l, b.p, &n_left) };
    if (m.a >= 0) m.b = half_id(t, r, b.p + n_left, &n_right);
    m.to = m.a >= 0 && m.b >= 0 ? word_map_get(&t->words, (struct span){ b.p, n_left + n_right }) : -1;
    if (m.to < 0) {
      st = err_set(e, STATUS_DATA, "'%s': merge %zu (\"%.*s\" \"%.*s\") names a token that is not in the vocabulary", s->what, i,
                   (int)(l.n < 80 ? l.n : 80), l.p, (int)(r.n < 80 ? r.n : 80), r.p);
      goto out;
    }
    t->bpe.merge[t->bpe.n_merge++] = m;
  }
  TRY(bpe_index(&t->bpe, e));
out:
  buf_free(&b);
  return st;
}

/* Tokens matched after normalisation are looked for in their normalised form. */
static enum status build_tries(struct tokenizer *t, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  if (!a) return err_nomem(e, 64);
  for (int32_t i = 0; i < t->n; i++) {
    if (!(t->flag[i] & ADDED)) continue;
    struct span w = tokenizer_token_bytes(t, i);
    if (t->nfc && t->flag[i] & ADDED_NORMALIZED) TRY(utf8_nfc(w, a, &w, NULL, e));
    TRY(trie_add(t->flag[i] & ADDED_NORMALIZED ? &t->norm : &t->raw, w, i, e));
  }
out:
  arena_free(a);
  return st;
}

static int32_t checked_id(int32_t id, int32_t n) { return id >= 0 && id < n ? id : -1; }

enum status tokenizer_build(const struct tok_source *s, struct tokenizer **out, struct err *e) {
  enum status st = STATUS_OK;
  struct tokenizer *t = mem_calloc(1, sizeof *t);
  *out = NULL;
  if (!t) return err_nomem(e, sizeof *t);
  t->n = s->n;
  t->pre = s->pre, t->nfc = s->nfc, t->prefix_space = s->prefix_space, t->ignore_merges = s->ignore_merges, t->add_bos = s->add_bos;
  t->bos = checked_id(s->bos, s->n), t->eos = checked_id(s->eos, s->n), t->pad = checked_id(s->pad, s->n);
  t->unk = checked_id(s->unk, s->n), t->bpe_unk = checked_id(s->bpe_unk, s->n);
  if (s->n <= 0) {
    st = err_set(e, STATUS_DATA, "'%s': the vocabulary is empty", s->what);
    goto out;
  }
  if (s->chat_template.p && !(t->chat_template = mem_strndup(s->chat_template.p, s->chat_template.n))) {
    st = err_nomem(e, s->chat_template.n);
    goto out;
  }
  t->cache = mem_calloc(TOKENIZER_CACHES, sizeof *t->cache);
  if (!t->cache) {
    st = err_nomem(e, TOKENIZER_CACHES * sizeof *t->cache);
    goto out;
  }
  TRY(build_blob(s, t, e));
  TRY(build_words(s, t, e));
  for (int b = 0; b < 256; b++)
    if (t->bpe.byte_id[b] < 0 && s->fuse_unk && t->bpe_unk >= 0) {
      st = err_set(e, STATUS_DATA, "'%s': fuse_unk with a vocabulary that lacks byte 0x%02x is not understood", s->what, (unsigned)b);
      goto out;
    }
  TRY(build_merges(s, t, e));
  TRY(build_tries(t, e));
  TRY(pretok_new(t->pre, &t->pretok, e));
  *out = t, t = NULL;
out:
  tokenizer_close(t);
  return st;
}

void tokenizer_close(struct tokenizer *t) {
  if (!t) return;
  mem_free(t->blob);
  mem_free(t->off);
  mem_free(t->type);
  mem_free(t->flag);
  for (int i = 0; t->cache && i < TOKENIZER_CACHES; i++) word_cache_free(atomic_load(&t->cache[i]));
  mem_free((void *)t->cache);
  bpe_free(&t->bpe);
  word_map_free(&t->words);
  word_map_free(&t->added);
  mem_free(t->raw.node);
  mem_free(t->norm.node);
  pretok_free(t->pretok);
  mem_free(t->chat_template);
  mem_free(t);
}

/* ----------------------------------------------------------------------------------------------------------- accessors */

struct span tokenizer_token_bytes(const struct tokenizer *t, int32_t id) {
  if (id < 0 || id >= t->n) return (struct span){ NULL, 0 };
  return (struct span){ t->blob + t->off[id], (size_t)(t->off[id + 1] - t->off[id]) };
}

int tokenizer_is_special(const struct tokenizer *t, int32_t id) { return id >= 0 && id < t->n && t->type[id] == TOKEN_CONTROL; }

int32_t tokenizer_id(const struct tokenizer *t, const char *token) {
  struct span w = { token, strlen(token) };
  int32_t id = word_map_get(&t->added, w);
  return id >= 0 ? id : word_map_get(&t->words, w);
}

int32_t tokenizer_vocab(const struct tokenizer *t) { return t->n; }
int32_t tokenizer_bos(const struct tokenizer *t) { return t->bos; }
int32_t tokenizer_eos(const struct tokenizer *t) { return t->eos; }
int32_t tokenizer_pad(const struct tokenizer *t) { return t->pad; }
int32_t tokenizer_unk(const struct tokenizer *t) { return t->unk; }
int tokenizer_add_bos(const struct tokenizer *t) { return t->add_bos && t->bos >= 0; }
const char *tokenizer_template(const struct tokenizer *t) { return t->chat_template; }
const char *tokenizer_pre_name(const struct tokenizer *t) { return t->pre->gguf[0]; }
size_t tokenizer_merge_count(const struct tokenizer *t) { return t->bpe.n_merge; }

void tokenizer_merge_at(const struct tokenizer *t, size_t i, int32_t *left, int32_t *right) {
  *left = t->bpe.merge[i].a, *right = t->bpe.merge[i].b;
}

struct token_quirks tokenizer_quirks(const struct tokenizer *t) {
  return (struct token_quirks){ t->nfc, t->prefix_space, t->ignore_merges, t->bpe_unk };
}

int tokenizer_added_flags(const struct tokenizer *t, int32_t id) { return id < 0 || id >= t->n ? 0 : t->flag[id] & ADDED_QUIRKS; }

enum token_type tokenizer_token_type(const struct tokenizer *t, int32_t id) {
  return id < 0 || id >= t->n ? TOKEN_UNUSED : (enum token_type)t->type[id];
}

enum status tokenizer_token_text(const struct tokenizer *t, int32_t id, struct buf *out, struct err *e) {
  struct span w = tokenizer_token_bytes(t, id);
  if (id < 0 || id >= t->n || t->type[id] == TOKEN_UNUSED) return buf_printf(out, e, "[PAD%d]", id);
  /* Only tokens in the word table are in the byte alphabet; added ones and odd ones kept their text. */
  if (t->flag[id] & ADDED || word_map_get(&t->words, w) != id) return buf_put(out, w.p, w.n, e);
  return bpe_bytes_text(w, out, e);
}

static void hash_u32(struct sha256 *h, uint32_t v) {
  unsigned char b[4] = { (unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16), (unsigned char)(v >> 24) };
  sha256_add(h, b, 4);
}

/* Holes and unused entries are left out, and IN_VOCAB and (without a normaliser) ADDED_NORMALIZED do not count, so that the
 * GGUF and the tokenizer.json of one model have one identity. */
void tokenizer_hash(const struct tokenizer *t, unsigned char out[32]) {
  struct sha256 *h = sha256_new();
  memset(out, 0, 32);
  if (!h) return;
  sha256_add(h, "retort tokenizer 1", 18);
  sha256_add(h, t->pre->name, strlen(t->pre->name) + 1);
  hash_u32(h, (uint32_t)(t->nfc | t->prefix_space << 1 | t->ignore_merges << 2));
  for (int32_t i = 0; i < t->n; i++) {
    if (t->type[i] == TOKEN_UNUSED) continue;
    struct span w = tokenizer_token_bytes(t, i);
    unsigned flag = t->flag[i] & ~(unsigned)IN_VOCAB;
    if (!t->nfc) flag &= ~(unsigned)ADDED_NORMALIZED;
    hash_u32(h, (uint32_t)i);
    hash_u32(h, (uint32_t)t->type[i] << 8 | flag);
    hash_u32(h, (uint32_t)w.n);
    sha256_add(h, w.p, w.n);
  }
  for (size_t i = 0; i < t->bpe.n_merge; i++) {
    hash_u32(h, (uint32_t)t->bpe.merge[i].a);
    hash_u32(h, (uint32_t)t->bpe.merge[i].b);
  }
  sha256_end(h, out);
}

enum status tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n, int skip_special, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < n; i++) {
    if (id[i] < 0 || id[i] >= t->n) {
      st = err_set(e, STATUS_DATA, "token id %d at place %zu is outside the vocabulary of %d", id[i], i, t->n);
      goto out;
    }
    struct span w = tokenizer_token_bytes(t, id[i]);
    if (!(skip_special && t->type[id[i]] == TOKEN_CONTROL)) TRY(buf_put(out, w.p, w.n, e));
  }
out:
  return st;
}
