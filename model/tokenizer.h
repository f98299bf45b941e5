/* SPDX-License-Identifier: Apache-2.0
 * Byte-level BPE tokenizer from GGUF metadata or tokenizer.json: GPT-2, Llama-3, Qwen2, SmolLM pre-tokenisers (a table row
 * each), NFC where asked for, added tokens, exact round trip of any bytes. Thread safe after loading (encode uses the
 * caller's arena). */
#ifndef MODEL_TOKENIZER_H
#define MODEL_TOKENIZER_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"
struct weights;
struct tokenizer;
/* path: GGUF, tokenizer.json, HF folder or run folder. */
MUST_USE enum status tokenizer_open(const char *path, struct tokenizer **t, struct err *e);
MUST_USE enum status tokenizer_from_weights(const struct weights *w, struct tokenizer **t, struct err *e);
void tokenizer_close(struct tokenizer *t);
struct tokens { int32_t *id; size_t n; };
/* special = 1: added tokens in the text are parsed; 0: control tokens are plain text (added tokens that are not special are
 * parsed all the same, as in HF and llama.cpp). Invalid UTF-8 is read as its lossy form (U+FFFD). A byte that the vocabulary
 * lacks gives the model's unk token where tokenizer.json names one and nothing otherwise, as in HF (SmolLM2 lacks 0x04, 0x06,
 * 0x13, 0x14, 0x16, 0x1d, 0xf1 and 0xf2). */
MUST_USE enum status tokenizer_encode(const struct tokenizer *t, struct span text, int special, struct arena *a, struct tokens *out, struct err *e);
/* The same, and *end[i] = offset in text behind token i (arena memory, n of them): which bytes a token stands for. Text must be
 * well-formed UTF-8. Exact except inside a stretch that NFC changed (there: the end of the stretch). */
MUST_USE enum status tokenizer_encode_ends(const struct tokenizer *t, struct span text, int special, struct arena *a, struct tokens *out,
                                           size_t **end, struct err *e);
/* The same with special = 1, but no control token is read out of bytes of the n guarded ranges (ascending): what others wrote
 * between the words of a chat template cannot end a turn. */
struct text_range { size_t from, to; };
MUST_USE enum status tokenizer_encode_guarded(const struct tokenizer *t, struct span text, const struct text_range *guard, size_t n_guard,
                                              struct arena *a, struct tokens *out, size_t **end, struct err *e);
/* Concatenated token bytes (may be cut inside a UTF-8 character). skip_special leaves out control tokens. */
MUST_USE enum status tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n, int skip_special, struct buf *out, struct err *e);
struct span tokenizer_token_bytes(const struct tokenizer *t, int32_t id); /* {NULL,0} out of range */
int tokenizer_is_special(const struct tokenizer *t, int32_t id);
int32_t tokenizer_id(const struct tokenizer *t, const char *token); /* -1 when absent */
int32_t tokenizer_vocab(const struct tokenizer *t);
int32_t tokenizer_bos(const struct tokenizer *t); /* bos, eos, pad, unk: -1 = none */
int32_t tokenizer_eos(const struct tokenizer *t);
int tokenizer_add_bos(const struct tokenizer *t); /* does plain text get a bos in front (scoring, generate --raw) */
const char *tokenizer_template(const struct tokenizer *t); /* the model's own chat template text or NULL */
/* For writers of GGUF: vocabulary text (byte alphabet; added tokens as they are), type by GGUF's numbers, merges as id pairs in
 * rank order, tokenizer.ggml.pre value. */
enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5, TOKEN_BYTE = 6 };
enum token_type tokenizer_token_type(const struct tokenizer *t, int32_t id);
MUST_USE enum status tokenizer_token_text(const struct tokenizer *t, int32_t id, struct buf *out, struct err *e); /* appends */
size_t tokenizer_merge_count(const struct tokenizer *t);
void tokenizer_merge_at(const struct tokenizer *t, size_t i, int32_t *left, int32_t *right);
const char *tokenizer_pre_name(const struct tokenizer *t);
/* What GGUF has no key for and llama.cpp does not do; kept in our own keys (docs/formats.md), so that a GGUF written here is
 * read back as the same tokenizer. */
struct token_quirks { int nfc, prefix_space, ignore_merges; int32_t bpe_unk; /* -1 = none */ };
struct token_quirks tokenizer_quirks(const struct tokenizer *t);
int tokenizer_added_flags(const struct tokenizer *t, int32_t id); /* lstrip 2, rstrip 4, single_word 8, normalized 16; 0 = none */
int32_t tokenizer_pad(const struct tokenizer *t);
int32_t tokenizer_unk(const struct tokenizer *t);
/* SHA-256 over vocabulary, merges, pre-tokeniser and added tokens: what shards and manifests compare. */
void tokenizer_hash(const struct tokenizer *t, unsigned char out[32]);
/* Writes tokenizer.json + tokenizer_config.json (with the chat template) that Hugging Face's tokenizers loads to the same ids. */
MUST_USE enum status tokenizer_write_hf(const struct tokenizer *t, const char *folder, struct err *e);

/* Streaming decoding: emits only whole UTF-8, holds back an incomplete tail; flush turns it into U+FFFD. */
struct utf8_stream { unsigned char tail[4]; int n; };
MUST_USE enum status utf8_stream_put(struct utf8_stream *s, struct span bytes, struct buf *out, struct err *e);
MUST_USE enum status utf8_stream_flush(struct utf8_stream *s, struct buf *out, struct err *e);
#endif
