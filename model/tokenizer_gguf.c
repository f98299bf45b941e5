/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer from a model's weights: GGUF metadata (tokenizer.ggml.*), or the tokenizer.json beside safetensors. */
#include "tokenizer.h"
#include "tokenizer_impl.h"
#include "weights.h"

#define KEY(name) "tokenizer.ggml." name
#define OWN(name) "tokenizer.retort." name

static enum status read_kind(const struct weights *w, struct tok_source *s, struct err *e) {
  struct span model = { NULL, 0 }, pre = { NULL, 0 };
  if (!gguf_str(w, KEY("model"), &model)) return err_set(e, STATUS_DATA, "'%s': no %s; the file holds no tokenizer", s->what, KEY("model"));
  if (!span_is(model, "gpt2"))
    return err_set(e, STATUS_DATA, "'%s': %s is \"%.*s\"; expected \"gpt2\" (byte-level BPE)", s->what, KEY("model"), (int)(model.n < 80 ? model.n : 80), model.p);
  char name[64] = "";
  if (gguf_str(w, KEY("pre"), &pre) && pre.n < sizeof name) memcpy(name, pre.p, pre.n);
  s->pre = pretok_by_gguf(name);
  if (!s->pre)
    return err_set(e, STATUS_DATA, "'%s': %s is \"%.*s\"; known: gpt-2, smollm, qwen2, llama-bpe", s->what, KEY("pre"), (int)(pre.n < 80 ? pre.n : 80), pre.p ? pre.p : "");
  return STATUS_OK;
}

static enum status read_tokens(const struct weights *w, struct arena *a, struct tok_source *s, struct err *e) {
  struct span *text = NULL;
  int64_t *type = NULL;
  uint64_t n = 0, n_type = 0;
  if (!gguf_array_strings(w, KEY("tokens"), a, &text, &n) || n == 0 || n > TOKEN_ID_LIMIT)
    return err_set(e, STATUS_DATA, "'%s': %s: expected 1 to %d strings", s->what, KEY("tokens"), TOKEN_ID_LIMIT);
  if (gguf_array_ints(w, KEY("token_type"), a, &type, &n_type) && n_type != n)
    return err_set(e, STATUS_DATA, "'%s': %llu tokens but %llu token types", s->what, (unsigned long long)n, (unsigned long long)n_type);
  s->n = (int32_t)n;
  s->token = arena_calloc(a, n, sizeof *s->token);
  if (!s->token) return err_nomem(e, n * sizeof *s->token);
  for (uint64_t i = 0; i < n; i++) {
    int64_t k = type ? type[i] : TOKEN_NORMAL;
    unsigned char flag = k == TOKEN_CONTROL || k == TOKEN_USER || k == TOKEN_UNKNOWN ? ADDED : IN_VOCAB;
    if (k < TOKEN_NORMAL || k > TOKEN_BYTE) return err_set(e, STATUS_DATA, "'%s': token %llu has type %lld; expected 1 to 6", s->what, (unsigned long long)i, (long long)k);
    if (k == TOKEN_UNKNOWN) k = TOKEN_CONTROL;
    if (!text[i].n) k = TOKEN_UNUSED; /* nothing can stand for it */
    s->token[i] = (struct tok_entry){ text[i], (unsigned char)k, flag };
  }
  return STATUS_OK;
}

static enum status read_merges(const struct weights *w, struct arena *a, struct tok_source *s, struct err *e) {
  struct span *text = NULL;
  uint64_t n = 0;
  if (!gguf_array_strings(w, KEY("merges"), a, &text, &n)) return err_set(e, STATUS_DATA, "'%s': no %s", s->what, KEY("merges"));
  s->n_merge = n;
  s->merge = arena_alloc(a, (n + 1) * sizeof *s->merge);
  if (!s->merge) return err_nomem(e, n * sizeof *s->merge);
  for (uint64_t i = 0; i < n; i++) {
    const char *blank = text[i].n ? memchr(text[i].p, ' ', text[i].n) : NULL;
    if (!blank) return err_set(e, STATUS_DATA, "'%s': %s[%llu]: expected two tokens with a blank between", s->what, KEY("merges"), (unsigned long long)i);
    size_t left = (size_t)(blank - text[i].p);
    s->merge[i] = (struct tok_pair){ { text[i].p, left }, { blank + 1, text[i].n - left - 1 } };
  }
  return STATUS_OK;
}

static int32_t read_id(const struct weights *w, const char *key) {
  int64_t v = -1;
  return gguf_int(w, key, &v) && v >= 0 && v < TOKEN_ID_LIMIT ? (int32_t)v : -1;
}

/* Keys that only retort writes, over what the pre-tokeniser's name says. */
static enum status read_quirks(const struct weights *w, struct arena *a, struct tok_source *s, struct err *e) {
  int64_t v, *flag = NULL;
  uint64_t n = 0;
  s->nfc = gguf_int(w, OWN("nfc"), &v) ? v != 0 : s->pre->gguf_nfc;
  s->ignore_merges = gguf_int(w, OWN("ignore_merges"), &v) ? v != 0 : s->pre->gguf_ignore_merges;
  s->bpe_unk = read_id(w, OWN("bpe_unk")); /* HF's models name none and drop the byte, as llama.cpp does */
  if (!s->pre->hf_pattern && !s->pre->hf_digits && gguf_int(w, KEY("add_space_prefix"), &v)) s->prefix_space = v != 0;
  if (!gguf_array_ints(w, OWN("added_flags"), a, &flag, &n)) return STATUS_OK;
  for (uint64_t i = 0; i + 1 < n; i += 2) {
    if (flag[i] < 0 || flag[i] >= s->n || !(s->token[flag[i]].flag & ADDED))
      return err_set(e, STATUS_DATA, "'%s': %s[%llu]: %lld is no added token", s->what, OWN("added_flags"), (unsigned long long)i, (long long)flag[i]);
    s->token[flag[i]].flag |= (unsigned char)(flag[i + 1] & ADDED_QUIRKS);
  }
  return STATUS_OK;
}

static enum status from_gguf(const struct weights *w, struct tokenizer **t, struct err *e) {
  enum status st = STATUS_OK;
  struct tok_source s = { .what = weights_path(w) };
  struct arena *a = arena_new(0);
  if (!a) return err_nomem(e, 64);
  TRY(read_kind(w, &s, e));
  TRY(read_tokens(w, a, &s, e));
  TRY(read_merges(w, a, &s, e));
  TRY(read_quirks(w, a, &s, e));
  int64_t flag = 0;
  s.add_bos = gguf_int(w, KEY("add_bos_token"), &flag) ? flag != 0 : s.pre->gguf_bos;
  s.bos = read_id(w, KEY("bos_token_id"));
  s.eos = read_id(w, KEY("eos_token_id"));
  s.pad = read_id(w, KEY("padding_token_id"));
  s.unk = read_id(w, KEY("unknown_token_id"));
  if (!gguf_str(w, "tokenizer.chat_template", &s.chat_template)) s.chat_template = (struct span){ NULL, 0 };
  TRY(tokenizer_build(&s, t, e));
out:
  arena_free(a);
  return st;
}

enum status tokenizer_from_weights(const struct weights *w, struct tokenizer **t, struct err *e) {
  enum status st = STATUS_OK;
  const char *path = NULL;
  int found = 0;
  *t = NULL;
  if (weights_is_gguf(w)) return from_gguf(w, t, e);
  struct arena *a = arena_new(0);
  if (!a) return err_nomem(e, 64);
  TRY(weights_file(w, "tokenizer.json", a, &path, &found, e));
  if (!found) {
    st = err_set(e, STATUS_DATA, "'%s': no tokenizer.json beside the weights", weights_path(w));
    goto out;
  }
  st = tokenizer_read_json(path, t, e);
out:
  arena_free(a);
  return st;
}
