/* SPDX-License-Identifier: Apache-2.0
 * Building the tree of a vocabulary: tokens sorted by their bytes are the preorder. */
#include "constrain_vocab.h"

struct entry { struct span text; int32_t id; };

static int by_text(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
  int c = memcmp(x->text.p, y->text.p, n);
  return c ? c : x->text.n != y->text.n ? (x->text.n < y->text.n ? -1 : 1) : x->id < y->id ? -1 : x->id > y->id;
}

static size_t common(struct span a, struct span b) {
  size_t n = 0;
  while (n < a.n && n < b.n && a.p[n] == b.p[n]) {
    n++;
  }
  return n;
}

/* Nodes of the entry's bytes from depth `from` on; path[d] = node at depth d + 1. */
static void add_nodes(struct trie *t, const struct entry *x, size_t from, int32_t at, int32_t *path) {
  for (size_t d = from; d < x->text.n; d++) {
    t->node[t->n] = (struct trie_node){.byte = (unsigned char)x->text.p[d], .depth = (uint16_t)(d + 1), .first = at, .here = at};
    path[d] = t->n++;
  }
  t->node[path[x->text.n - 1]].here = at + 1;
}

static void close_nodes(struct trie *t, size_t from, size_t to, const int32_t *path) {
  for (size_t d = from; d < to; d++) {
    t->node[path[d]].end = t->n;
  }
}

enum status trie_from_texts(const struct span *text, int32_t n, struct trie **out, struct err *e) {
  enum status st = STATUS_OK;
  struct trie *t = mem_calloc(1, sizeof *t);
  struct entry *entry = mem_calloc((size_t)n + 1, sizeof *entry);
  int32_t *path = NULL;
  size_t bytes = 1, count = 0;
  *out = NULL;
  if (!t || !entry) {
    st = err_nomem(e, (size_t)n * sizeof *entry);
    goto out;
  }
  t->vocab = n;
  t->text = mem_calloc((size_t)n + 1, sizeof *t->text);
  if (!t->text) {
    st = err_nomem(e, (size_t)n * sizeof *t->text);
    goto out;
  }
  for (int32_t i = 0; i < n; i++) {
    if (text[i].n > 0 && text[i].n < 1000) { /* no real token is longer */
      entry[count++] = (struct entry){text[i], i};
      t->text[i] = text[i];
      bytes += text[i].n;
      t->longest = (int32_t)text[i].n > t->longest ? (int32_t)text[i].n : t->longest;
      if (text[i].n == 1) {
        byte_add(&t->single, (unsigned char)text[i].p[0]);
      }
    }
  }
  if (count) {
    qsort(entry, count, sizeof *entry, by_text);
  }
  t->node = mem_calloc(bytes, sizeof *t->node);
  t->token = mem_calloc(count + 1, sizeof *t->token);
  path = mem_calloc((size_t)t->longest + 1, sizeof *path);
  if (!t->node || !t->token || !path) {
    st = err_nomem(e, bytes * sizeof *t->node);
    goto out;
  }
  for (size_t i = 0; i < count; i++) {
    size_t shared = i ? common(entry[i - 1].text, entry[i].text) : 0;
    if (i) {
      close_nodes(t, shared, entry[i - 1].text.n, path);
    }
    t->token[i] = entry[i].id;
    add_nodes(t, &entry[i], shared, (int32_t)i, path);
  }
  if (count) {
    close_nodes(t, 0, entry[count - 1].text.n, path);
  }
  t->n_token = (int32_t)count;
  t->node[t->n] = (struct trie_node){.depth = 0, .end = t->n, .first = t->n_token, .here = t->n_token};
  t->below = mem_calloc((size_t)t->n + 1, sizeof *t->below);
  if (!t->below) {
    st = err_nomem(e, (size_t)t->n * sizeof *t->below);
    goto out;
  }
  for (int32_t i = t->n; i-- > 0;) { /* children come behind their parent */
    for (int32_t c = i + 1; c < t->node[i].end; c = t->node[c].end) {
      byte_add(&t->below[i], t->node[c].byte);
      for (int k = 0; k < 4; k++) {
        t->below[i].w[k] |= t->below[c].w[k];
      }
    }
  }
out:
  mem_free(entry);
  mem_free(path);
  if (st != STATUS_OK) {
    trie_free(t);
    t = NULL;
  }
  *out = t;
  return st;
}

enum status trie_new(const struct tokenizer *t, struct trie **out, struct err *e) {
  int32_t n = tokenizer_vocab(t);
  struct span *text = mem_calloc((size_t)n + 1, sizeof *text);
  *out = NULL;
  if (!text) {
    return err_nomem(e, (size_t)n * sizeof *text);
  }
  for (int32_t i = 0; i < n; i++) {
    enum token_type type = tokenizer_token_type(t, i);
    if (!tokenizer_is_special(t, i) && (type == TOKEN_NORMAL || type == TOKEN_USER || type == TOKEN_BYTE)) {
      text[i] = tokenizer_token_bytes(t, i);
    }
  }
  enum status st = trie_from_texts(text, n, out, e);
  mem_free(text);
  return st;
}

void trie_free(struct trie *t) {
  if (t) {
    mem_free(t->node);
    mem_free(t->below);
    mem_free(t->token);
    mem_free(t->text);
    mem_free(t);
  }
}

int32_t trie_longest(const struct trie *t, struct span text, size_t *n) {
  int32_t best = -1, i = 0, end = t->n;
  *n = 0;
  for (size_t d = 0; d < text.n && i < end;) {
    if (t->node[i].byte != (unsigned char)text.p[d]) {
      i = t->node[i].end;
      continue;
    }
    if (t->node[i].here > t->node[i].first) {
      best = t->token[t->node[i].first];
      *n = d + 1;
    }
    end = t->node[i].end;
    i++;
    d++;
  }
  return best;
}
