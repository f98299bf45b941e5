/* SPDX-License-Identifier: Apache-2.0
 * Writes tokenizer.json and tokenizer_config.json that Hugging Face's tokenizers and transformers load to the same ids,
 * from whatever the tokenizer was read from. The class is PreTrainedTokenizerFast: named after a model's own class,
 * transformers would build another pre-tokeniser than the file says (for SmolLM2 one without Digits). */
#include "file.h"
#include "tokenizer.h"
#include "tokenizer_impl.h"

/* The JSON string of a token's text. */
static enum status put_token(const struct tokenizer *t, int32_t id, struct buf *tmp, struct buf *out, struct err *e) {
  buf_clear(tmp);
  enum status st = tokenizer_token_text(t, id, tmp, e);
  return st == STATUS_OK ? json_put_string(out, (struct span){ tmp->p, tmp->n }, e) : st;
}

static const char *yes(unsigned flag) { return flag ? "true" : "false"; }

static enum status put_added(const struct tokenizer *t, struct buf *tmp, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  int n = 0;
  TRY(buf_puts(out, "\"added_tokens\":[", e));
  for (int32_t i = 0; i < t->n; i++) {
    unsigned f = t->flag[i];
    if (!(f & ADDED) || t->type[i] == TOKEN_UNUSED) continue;
    TRY(buf_printf(out, e, "%s{\"id\":%d,\"content\":", n++ ? "," : "", i));
    TRY(put_token(t, i, tmp, out, e));
    TRY(buf_printf(out, e, ",\"single_word\":%s,\"lstrip\":%s,\"rstrip\":%s,\"normalized\":%s,\"special\":%s}", yes(f & ADDED_SINGLE_WORD),
                   yes(f & ADDED_LSTRIP), yes(f & ADDED_RSTRIP), yes(f & ADDED_NORMALIZED), yes(t->type[i] == TOKEN_CONTROL)));
  }
  TRY(buf_puts(out, "],", e));
out:
  return st;
}

/* HF gives an added token that is not in "vocab" the next free id. So they may stay out (as in the Llama-3 files, where
 * ignore_merges would otherwise find them) only when they stand behind the whole vocabulary without a gap. */
static int added_stand_behind(const struct tokenizer *t) {
  int32_t i = 0;
  while (i < t->n && t->type[i] != TOKEN_UNUSED && t->flag[i] & IN_VOCAB) i++;
  while (i < t->n && t->type[i] != TOKEN_UNUSED && t->flag[i] & ADDED && !(t->flag[i] & IN_VOCAB)) i++;
  for (; i < t->n; i++)
    if (t->type[i] != TOKEN_UNUSED) return 0;
  return 1;
}

static enum status put_model(const struct tokenizer *t, struct buf *tmp, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  int n = 0, behind = added_stand_behind(t);
  TRY(buf_puts(out, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":", e));
  TRY(t->bpe_unk >= 0 ? put_token(t, t->bpe_unk, tmp, out, e) : buf_puts(out, "null", e));
  TRY(buf_printf(out, e, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":%s,\"vocab\":{",
                 yes((unsigned)t->ignore_merges)));
  for (int32_t i = 0; i < t->n; i++) {
    if (t->type[i] == TOKEN_UNUSED || (behind && !(t->flag[i] & IN_VOCAB))) continue;
    if (n++) TRY(buf_putc(out, ',', e));
    TRY(put_token(t, i, tmp, out, e));
    TRY(buf_printf(out, e, ":%d", i));
  }
  TRY(buf_puts(out, "},\"merges\":[", e));
  for (size_t i = 0; i < t->bpe.n_merge; i++) {
    buf_clear(tmp);
    TRY(tokenizer_token_text(t, t->bpe.merge[i].a, tmp, e));
    TRY(buf_putc(tmp, ' ', e));
    TRY(tokenizer_token_text(t, t->bpe.merge[i].b, tmp, e));
    if (i) TRY(buf_putc(out, ',', e));
    TRY(json_put_string(out, (struct span){ tmp->p, tmp->n }, e));
  }
  TRY(buf_puts(out, "]}", e));
out:
  return st;
}

#define BYTE_LEVEL(trim) "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":" trim ",\"use_regex\":true}"

static enum status put_post(const struct tokenizer *t, struct buf *tmp, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  struct buf bos = { 0 };
  if (!tokenizer_add_bos(t)) return buf_puts(out, "\"post_processor\":" BYTE_LEVEL("false") ",", e);
  TRY(put_token(t, t->bos, tmp, &bos, e));
  TRY(buf_printf(out, e, "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[" BYTE_LEVEL("false") ",{\"type\":\"TemplateProcessing\",\"single\":["
                 "{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},"
                 "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":%s,\"type_id\":1}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
                 "\"special_tokens\":{%s:{\"id\":%s,\"ids\":[%d],\"tokens\":[%s]}}}]},", bos.p, bos.p, bos.p, bos.p, bos.p, t->bos, bos.p));
out:
  buf_free(&bos);
  return st;
}

static enum status put_tokenizer(const struct tokenizer *t, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  struct buf tmp = { 0 };
  TRY(buf_puts(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,", e));
  TRY(put_added(t, &tmp, out, e));
  TRY(buf_printf(out, e, "\"normalizer\":%s,\"pre_tokenizer\":", t->nfc ? "{\"type\":\"NFC\"}" : "null"));
  TRY(pretok_put_json(t->pre, t->prefix_space, out, e));
  TRY(buf_putc(out, ',', e));
  TRY(put_post(t, &tmp, out, e));
  TRY(buf_puts(out, "\"decoder\":" BYTE_LEVEL("true") ",", e));
  TRY(put_model(t, &tmp, out, e));
  TRY(buf_puts(out, "}\n", e));
out:
  buf_free(&tmp);
  return st;
}

static enum status put_config(const struct tokenizer *t, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  struct buf tmp = { 0 };
  const struct { const char *key; int32_t id; } special[] = {
    { "bos_token", t->bos }, { "eos_token", t->eos }, { "pad_token", t->pad }, { "unk_token", t->unk } };
  TRY(buf_printf(out, e, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"add_bos_token\": %s,\n  \"add_prefix_space\": %s,\n"
                 "  \"clean_up_tokenization_spaces\": false", yes((unsigned)tokenizer_add_bos(t)), yes((unsigned)t->prefix_space)));
  for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
    if (special[i].id < 0) continue;
    TRY(buf_printf(out, e, ",\n  \"%s\": ", special[i].key));
    TRY(put_token(t, special[i].id, &tmp, out, e));
  }
  if (t->chat_template) {
    TRY(buf_puts(out, ",\n  \"chat_template\": ", e));
    TRY(json_put_cstr(out, t->chat_template, e));
  }
  TRY(buf_puts(out, "\n}\n", e));
out:
  buf_free(&tmp);
  return st;
}

static enum status write_file(const char *folder, const char *name, const struct buf *b, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct file_atomic f = { 0 };
  const char *path = path_join(a, folder, name);
  if (!path) return err_nomem(e, strlen(folder));
  TRY(file_atomic_open(&f, path, e));
  if (fwrite(b->p, 1, b->n, f.fp) != b->n) {
    st = err_sys(e, STATUS_IO, "'%s'", path);
    goto out;
  }
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  return st;
}

enum status tokenizer_write_hf(const struct tokenizer *t, const char *folder, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct arena *a = arena_new(0);
  if (!a) return err_nomem(e, 64);
  TRY(folder_make(folder, e));
  TRY(put_tokenizer(t, &b, e));
  TRY(write_file(folder, "tokenizer.json", &b, a, e));
  buf_clear(&b);
  TRY(put_config(t, &b, e));
  TRY(write_file(folder, "tokenizer_config.json", &b, a, e));
out:
  buf_free(&b);
  arena_free(a);
  return st;
}
