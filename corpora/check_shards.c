/* SPDX-License-Identifier: Apache-2.0
 * Shard folders: SHA-256 of every file, XXH3 and structure of every block (by reading all samples), counts, and what a hash
 * cannot see: mass of the targets, order and doubles in the top k, a shift by one, masks over prompts, a foreign tokenizer. */
#include <math.h>
#include "checker.h"
#include "file.h"
#include "hash.h"
#include "json.h"
#include "shard.h"
#include "shard_file.h"

#define SHIFT_MIN 64        /* targets that are needed before a shift is claimed */

struct tally {
  int64_t tokens, targets, docs;
  int64_t hit[3], hit_n;   /* token in the top k at the position before (-1), as stored (0), behind (+1) */
  int64_t redone, differ;  /* documents tokenised again */
  int32_t turn_start, turn_end_role; /* control tokens of the template, -1 = none */
};

static int is(const char *path) {
  char name[4096];
  struct buf text = { 0 };
  int yes = 0;
  if (snprintf(name, sizeof name, "%s/manifest.json", path) < (int)sizeof name && file_exists(name))
    yes = file_read(name, (size_t)1 << 30, &text, NULL) == STATUS_OK && text.p && strstr(text.p, "\"retort-shards\"") != NULL;
  buf_free(&text);
  snprintf(name, sizeof name, "%s/data-00000.rtz", path);
  return yes || file_exists(name); /* a damaged manifest is still one of shards */
}

/* ---- files ---- */
/* The frames give the manifest's Merkle root. */
static enum status check_merkle(struct checker *k, const char *name, const char *full, const char *stated, struct err *e) {
  enum status st;
  struct file_map m = { 0 };
  struct rtz_frame *frame = NULL;
  struct buf leaves = { 0 };
  struct err why = { STATUS_OK, "" };
  unsigned char leaf[32], root[32];
  char hex[65];
  uint64_t n = 0;
  if (!stated) return STATUS_OK; /* version 1 */
  TRY(file_map_open(full, &m, e));
  st = rtz_index(m.p, m.bytes, NULL, 1, &frame, &n, &why);
  if (st != STATUS_OK) {
    st = check_failed(k, st, &why, e);
    goto out;
  }
  for (uint64_t i = 0; i < n; i++) {
    TRY(merkle_leaf(m.p + frame[i].offset, frame[i].comp_bytes, leaf, e));
    TRY(buf_put(&leaves, leaf, 32, e));
  }
  merkle_root((unsigned char *)leaves.p, n, root);
  hash_hex(root, 32, hex);
  if (strcmp(hex, stated) != 0) st = check_find(k, STATUS_CHECKSUM, e, "'%s' does not match the manifest's Merkle root", name);
out:
  mem_free(frame);
  file_map_close(&m);
  buf_free(&leaves);
  return st;
}

static enum status check_files(struct checker *k, const struct shard_reader *r, const char *path, struct err *e) {
  enum status st;
  struct json *files = NULL;
  const char **names = NULL;
  size_t n = 0;
  struct err why = { STATUS_OK, "" };
  TRY(json_parse(shard_manifest_member(r, "files"), "files", &files, e));
  for (size_t i = 0; i < json_size(files); i++) {
    const char *name = json_cstr(json_get(json_at(files, i), "name"), "");
    unsigned char sha[32];
    char hex[65];
    char *full = path_join(k->a, path, name);
    if (!full) return err_nomem(e, 0);
    st = sha256_of_file(full, sha, &why);
    if (st != STATUS_OK) {
      TRY(check_failed(k, st, &why, e));
      continue;
    }
    hash_hex(sha, 32, hex);
    if (strcmp(hex, json_cstr(json_get(json_at(files, i), "sha256"), "")) != 0)
      TRY(check_find(k, STATUS_CHECKSUM, e, "'%s' does not match the manifest's SHA-256", name));
    else
      TRY(check_merkle(k, name, full, json_cstr(json_get(json_at(files, i), "merkle"), NULL), e));
  }
  TRY(folder_list(path, k->a, &names, &n, e));
  for (size_t i = 0; i < n; i++) {
    int listed = strcmp(names[i], "manifest.json") == 0;
    for (size_t f = 0; f < json_size(files); f++) listed = listed || strcmp(names[i], json_cstr(json_get(json_at(files, f), "name"), "")) == 0;
    if (!listed) TRY(check_find(k, STATUS_DATA, e, "'%s' is not in the manifest", names[i]));
  }
out:
  json_free(files);
  return st;
}

static enum status check_ledger(struct checker *k, const struct shard_reader *r, struct err *e) {
  enum status st = STATUS_OK;
  struct json *l = NULL;
  struct span raw = shard_manifest_member(r, "ledger"), key;
  static const char *const parts[] = { "dropped", "failed" };
  if (span_type(raw) != '{') return STATUS_OK; /* a folder made by another program need not have one */
  TRY(json_parse(raw, "ledger", &l, e));
  int64_t in = json_int(json_get(l, "in"), -1), sum = json_int(json_get(l, "kept"), 0);
  for (size_t p = 0; p < 2; p++) {
    void *it = NULL;
    const struct json *v;
    while (json_next(json_get(l, parts[p]), &it, &key, &v)) sum += json_int(v, 0);
  }
  if (in >= 0 && in != sum)
    TRY(check_find(k, STATUS_DATA, e, "ledger: %lld rows in, %lld kept, dropped or failed", (long long)in, (long long)sum));
out:
  json_free(l);
  return st;
}

/* ---- one sample ---- */
static int holds(const int32_t *id, int32_t n, int32_t token) {
  for (int32_t j = 0; j < n; j++)
    if (id[j] == token) return 1;
  return 0;
}

static int by_value(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static int32_t different_draws(const struct sample *s, int32_t target) {
  int32_t n = 0;
  while (n < s->n_draw && s->draw_count[(int64_t)target * s->n_draw + n] > 0) n++;
  return n;
}

/* Ids of target p: its top k, else its draws. Order and mass were looked at by the reader. */
static enum status check_ids(struct checker *k, int64_t i, int32_t p, const int32_t *id, int32_t n, int32_t *sorted, const char *what, struct err *e) {
  memcpy(sorted, id, (size_t)n * sizeof *sorted);
  qsort(sorted, (size_t)n, sizeof *sorted, by_value);
  for (int32_t j = 1; j < n; j++)
    if (sorted[j] == sorted[j - 1])
      return check_find(k, STATUS_DATA, e, "sample %lld, target %d: a token stands twice in the %s %d", (long long)i, p, what, n);
  return STATUS_OK;
}

static enum status check_targets(struct checker *k, struct tally *t, int64_t i, const struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  int32_t *sorted = arena_alloc(k->a, ((size_t)(s->k > s->n_draw ? s->k : s->n_draw) + 1) * sizeof *sorted);
  if (!sorted) return err_nomem(e, 0);
  for (int32_t p = 0; (s->k || s->n_draw) && p < s->n_target; p++) {
    const int32_t *id = s->k ? s->top_id + (int64_t)p * s->k : s->draw_id + (int64_t)p * s->n_draw;
    int32_t n = s->k ? s->k : different_draws(s, p), at = s->target_pos[p] + 1;
    TRY(check_ids(k, i, p, id, n, sorted, s->k ? "top" : "draws", e));
    if (s->k && s->n_draw) TRY(check_ids(k, i, p, s->draw_id + (int64_t)p * s->n_draw, different_draws(s, p), sorted, "draws", e));
    if (at - 1 >= 0 && at + 1 < s->n_tok) {
      for (int d = -1; d <= 1; d++) t->hit[d + 1] += holds(id, n, s->ids[at + d]);
      t->hit_n++;
    }
  }
out:
  return st;
}

/* Documents of a chat template: nothing that the user or the system said may be in the loss. */
static enum status check_turns(struct checker *k, const struct tally *t, int64_t i, const struct sample *s, int32_t d, struct err *e) {
  enum status st = STATUS_OK;
  static const char *const others[] = { "user", "system", "tool", "ipython", "developer" };
  struct buf role = { 0 };
  int prompt = 0; /* inside a turn that is not the assistant's */
  for (int32_t j = s->doc_start[d]; j < s->doc_start[d + 1]; j++) {
    if (s->ids[j] == t->turn_start) {
      int32_t from = j + 1, to = from;
      while (to < s->doc_start[d + 1] && to < from + 8 && s->ids[to] != t->turn_end_role &&
             !(t->turn_end_role < 0 && memchr(tokenizer_token_bytes(k->tokenizer, s->ids[to]).p, '\n', tokenizer_token_bytes(k->tokenizer, s->ids[to]).n)))
        to++;
      buf_clear(&role);
      TRY(tokenizer_decode(k->tokenizer, s->ids + from, (size_t)(to - from), 1, &role, e));
      prompt = 0;
      for (size_t n = 0; n < sizeof others / sizeof *others; n++) prompt |= role.p && strcmp(role.p, others[n]) == 0;
      if (s->mask[j]) {
        TRY(check_find(k, STATUS_DATA, e, "sample %lld, row '%s': token %d starts a turn and is in the loss", (long long)i, s->row_id[d], j));
        break;
      }
    } else if (prompt && s->mask[j]) {
      TRY(check_find(k, STATUS_DATA, e, "sample %lld, row '%s': token %d of the turn of '%s' is in the loss: the mask covers the prompt", (long long)i,
                     s->row_id[d], j, role.p ? role.p : ""));
      break;
    }
  }
out:
  buf_free(&role);
  return st;
}

static enum status retokenize(struct checker *k, struct tally *t, const struct sample *s, int32_t d, struct err *e) {
  enum status st;
  struct buf text = { 0 };
  struct tokens again;
  size_t n = (size_t)(s->doc_start[d + 1] - s->doc_start[d]), same = 0;
  TRY(tokenizer_decode(k->tokenizer, s->ids + s->doc_start[d], n, 0, &text, e));
  TRY(tokenizer_encode(k->tokenizer, (struct span){ text.p ? text.p : "", text.n }, 1, k->a, &again, e));
  while (same < n && same < again.n && again.id[same] == s->ids[s->doc_start[d] + (int32_t)same]) same++;
  t->redone++;
  t->differ += same + 4 < n; /* a document cut inside a word may end in other tokens */
out:
  buf_free(&text);
  return st;
}

static enum status check_sample(struct checker *k, struct tally *t, int64_t i, const struct sample *s, struct err *e) {
  enum status st;
  t->tokens += s->n_tok;
  t->targets += s->n_target;
  t->docs += s->n_doc;
  TRY(check_targets(k, t, i, s, e));
  for (int32_t d = 0; d < s->n_doc; d++) {
    if (s->mask[s->doc_start[d]])
      TRY(check_find(k, STATUS_DATA, e, "sample %lld, row '%s': the first token is in the loss, nothing predicts it", (long long)i, s->row_id[d]));
    if (s->weight && !(s->weight[d] >= 0 && isfinite(s->weight[d])))
      TRY(check_find(k, STATUS_DATA, e, "sample %lld, row '%s': weight %g", (long long)i, s->row_id[d], (double)s->weight[d]));
    if (k->tokenizer && t->turn_start >= 0) TRY(check_turns(k, t, i, s, d, e));
    if (k->tokenizer && t->redone < k->o->samples) TRY(retokenize(k, t, s, d, e));
  }
out:
  return st;
}

/* ---- the folder ---- */
static enum status check_tokenizer(struct checker *k, const struct shard_info *info, struct tally *t, struct err *e) {
  enum status st = STATUS_OK;
  unsigned char sha[32];
  char hex[65];
  t->turn_start = t->turn_end_role = -1;
  if (!k->tokenizer) return st;
  tokenizer_hash(k->tokenizer, sha);
  hash_hex(sha, 32, hex);
  if (strcmp(hex, info->tokenizer_hash) != 0)
    TRY(check_find(k, STATUS_DATA, e, "made with another tokenizer (%.16s..., '%s' is %.16s...)", info->tokenizer_hash, k->o->tokenizer, hex));
  if (tokenizer_vocab(k->tokenizer) > info->vocab)
    TRY(check_find(k, STATUS_DATA, e, "vocabulary of %d, '%s' has %d tokens", info->vocab, k->o->tokenizer, tokenizer_vocab(k->tokenizer)));
  if (info->template_name[0]) {
    t->turn_start = tokenizer_id(k->tokenizer, "<|im_start|>");
    if (t->turn_start < 0) {
      t->turn_start = tokenizer_id(k->tokenizer, "<|start_header_id|>");
      t->turn_end_role = tokenizer_id(k->tokenizer, "<|end_header_id|>");
    }
  }
out:
  return st;
}

static enum status conclude(struct checker *k, const struct shard_info *i, const struct tally *t, struct err *e) {
  enum status st = STATUS_OK;
  if (t->tokens != i->n_tokens || t->targets != i->n_targets || t->docs != i->n_docs)
    TRY(check_find(k, STATUS_DATA, e, "samples hold %lld tokens, %lld targets, %lld documents; the manifest says %lld, %lld, %lld", (long long)t->tokens,
                   (long long)t->targets, (long long)t->docs, (long long)i->n_tokens, (long long)i->n_targets, (long long)i->n_docs));
  if (t->hit_n >= SHIFT_MIN && (t->hit[1] < t->hit[0] || t->hit[1] < t->hit[2]))
    TRY(check_find(k, STATUS_DATA, e, "targets look shifted by one: the next token is among its ids at %lld of %lld positions, its neighbours at %lld and %lld",
                   (long long)t->hit[1], (long long)t->hit_n, (long long)t->hit[0], (long long)t->hit[2]));
  if (t->redone >= 4 && 2 * t->differ > t->redone)
    TRY(check_find(k, STATUS_DATA, e, "%lld of %lld documents decoded and tokenised again give other tokens: not made by this tokenizer",
                   (long long)t->differ, (long long)t->redone));
out:
  return st;
}

static enum status run(struct checker *k, const char *path, struct err *e) {
  enum status st = STATUS_OK;
  struct shard_reader *r = NULL;
  struct tally t = { 0 };
  struct err why = { STATUS_OK, "" };
  st = shard_open(path, &r, &why);
  if (st != STATUS_OK) return check_failed(k, st, &why, e);
  const struct shard_info *i = shard_info(r);
  TRY(check_files(k, r, path, e));
  TRY(check_ledger(k, r, e));
  TRY(check_tokenizer(k, i, &t, e));
  if ((i->top_k || i->hidden || i->draws) && (!i->teacher_identity[0] || !i->terms[0]))
    TRY(check_find(k, STATUS_DATA, e, "targets without the teacher's identity or terms in the manifest"));
  for (int64_t n = 0; n < i->n_samples; n++) {
    struct sample s;
    arena_reset(k->a);
    if (stop_requested()) {
      st = err_set(e, STATUS_STOPPED, "stopped at sample %lld", (long long)n);
      goto out;
    }
    st = shard_read(r, n, k->a, &s, &why);
    if (st != STATUS_OK) TRY(check_failed(k, st, &why, e));
    else TRY(check_sample(k, &t, n, &s, e));
  }
  if (k->here == 0) TRY(conclude(k, i, &t, e));
  TRY(check_fine(k, e, "shards: %lld samples, %lld tokens, %lld in the loss, targets top %d draws %d hidden %d", (long long)i->n_samples, (long long)i->n_tokens,
                 (long long)i->n_targets, i->top_k, i->draws, i->hidden));
out:
  shard_close(r);
  return st;
}

const struct check_kind check_kind_shards = { "shards", "shard folder", is, run };
