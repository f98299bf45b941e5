/* SPDX-License-Identifier: Apache-2.0
 * tokenizer.json from hostile bytes: reading it must give a tokenizer or an error, and a tokenizer must encode any text to
 * ids inside its vocabulary that decode again. The bytes also go through the lossy reader, the streaming decoder (one byte
 * at a time must give the same text), NFC and the chat template recogniser. */
#include "template_impl.h"
#include "tokenizer.h"
#include "tokenizer_impl.h"
#include "tokenizer_utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s\n", what);
  abort();
}

static void encode_some(const struct tokenizer *t, struct span text, struct arena *a) {
  struct tokens k;
  struct buf b = { 0 };
  size_t *end = NULL;
  for (int special = 0; special < 2; special++) {
    check(tokenizer_encode(t, text, special, a, &k, NULL) == STATUS_OK, "encode failed");
    for (size_t i = 0; i < k.n; i++) check(k.id[i] >= 0 && k.id[i] < tokenizer_vocab(t), "id outside the vocabulary");
    check(tokenizer_decode(t, k.id, k.n, special, &b, NULL) == STATUS_OK, "decode failed");
    if (utf8_valid_prefix(text) != text.n) continue;
    check(tokenizer_encode_ends(t, text, special, a, &k, &end, NULL) == STATUS_OK, "encode_ends failed");
    for (size_t i = 0; i < k.n; i++) check(end[i] <= text.n && (!i || end[i - 1] <= end[i]), "ends are not in order");
  }
  buf_free(&b);
}

static void fuzz_text(struct span s, struct arena *a) {
  struct buf lossy = { 0 }, stream = { 0 }, canon = { 0 };
  struct utf8_stream u = { { 0 }, 0 };
  struct span nfc, twice;
  struct nfc_map map;
  check(utf8_lossy(s, &lossy, NULL) == STATUS_OK, "lossy failed");
  for (size_t i = 0; i < s.n; i++) check(utf8_stream_put(&u, (struct span){ s.p + i, 1 }, &stream, NULL) == STATUS_OK, "stream failed");
  check(utf8_stream_flush(&u, &stream, NULL) == STATUS_OK, "flush failed");
  check(lossy.n == stream.n && (!lossy.n || !memcmp(lossy.p, stream.p, lossy.n)), "streaming differs from the lossy text");
  struct span text = { lossy.p, lossy.n };
  check(utf8_valid_prefix(text) == text.n, "lossy text is not UTF-8");
  check(utf8_nfc(text, a, &nfc, &map, NULL) == STATUS_OK, "NFC failed");
  check(utf8_nfc(nfc, a, &twice, NULL, NULL) == STATUS_OK, "NFC of NFC failed");
  check(twice.n == nfc.n && (!nfc.n || !memcmp(twice.p, nfc.p, nfc.n)), "NFC is not stable");
  for (size_t i = 1; i < map.n; i++) check(map.stop[i].to >= map.stop[i - 1].to && map.stop[i].from >= map.stop[i - 1].from, "NFC map is not sorted");
  check(template_canonical(s, &canon, NULL) == STATUS_OK, "template_canonical failed");
  buf_free(&lossy);
  buf_free(&stream);
  buf_free(&canon);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char text[] = "Hello  1 the world's\t<|im_start|> user\n\n e\xcc\x81\xed\x95\x9c<mask> 12345 \xff\xe3\x81 end  ";
  struct tokenizer *t = NULL;
  struct err e = { 0 };
  struct arena *a = arena_new(0);
  struct span s = { (const char *)data, size };
  enum status st = tokenizer_parse_json(s, "fuzz", NULL, (struct span){ NULL, 0 }, &t, &e);
  check((st == STATUS_OK) == (t != NULL), "status and tokenizer disagree");
  check(st == STATUS_OK || e.msg[0], "an error without a message");
  if (t) {
    unsigned char h[32];
    struct buf b = { 0 };
    encode_some(t, (struct span){ text, sizeof text - 1 }, a);
    encode_some(t, s, a);
    tokenizer_hash(t, h);
    for (int32_t i = -1; i <= tokenizer_vocab(t); i += 1 + tokenizer_vocab(t) / 50) check(tokenizer_token_text(t, i, &b, NULL) == STATUS_OK, "token_text failed");
    buf_free(&b);
  }
  fuzz_text(s, a);
  tokenizer_close(t);
  arena_free(a);
  return 0;
}
