/* SPDX-License-Identifier: Apache-2.0
 * Log-probabilities as servers give them, in one form: of the tokens of an answer, or of a text that was asked about (echo). The
 * server's own form stays in the journal; dialects read it into this. Natural logarithms. Token texts are bytes, which may be a
 * part of a UTF-8 character. Used by teacher.h's answers (confidence, cascades, `retort ask`) and by who joins them to targets. */
#ifndef FETCH_TOKEN_LOGPROBS_H
#define FETCH_TOKEN_LOGPROBS_H
#include <stdint.h>
#include "err.h"
#include "json.h"
#include "mem.h"
#include "span.h"

struct token_alternative {
  struct span token;
  int64_t id;       /* in the server's vocabulary, -1 = not told */
  double logprob;
};
struct token_logprob {
  struct span token;
  int64_t id;
  double logprob;   /* NAN: not told, as for the first token of a text */
  struct token_alternative *top;
  size_t n_top;
};
struct token_logprobs {
  struct token_logprob *tok; /* NULL when none were given */
  size_t n;
};

/* Each reads one server form into arena memory. null or absent gives none; anything else that is not the form, a value that is no
 * number or above 0 (by more than 0.01: servers round) is STATUS_DATA. */
/* choices[].logprobs of chat completions: {"content":[{"token","bytes","logprob","top_logprobs":[...]}]} */
MUST_USE enum status token_logprobs_chat(const struct json *j, struct arena *a, struct token_logprobs *out, struct err *e);
/* choices[].logprobs of completions: {"tokens":[],"token_logprobs":[],"top_logprobs":[{}],"text_offset":[]}. text: NULL, or an echoed
 * prompt of in_tok tokens (0 = not told), behind which at most one token of answer may stand: it is left out, and the others must
 * be the text's (control tokens may be missing, characters may be in pieces). */
MUST_USE enum status token_logprobs_completions(const struct json *j, const struct span *text, size_t in_tok, struct arena *a,
                                                struct token_logprobs *out, struct err *e);
/* prompt_logprobs of vLLM: [null, {"ID":{"logprob","rank","decoded_token"}, ...}, ...]; the first of an entry is the text's token. */
MUST_USE enum status token_logprobs_vllm(const struct json *j, struct arena *a, struct token_logprobs *out, struct err *e);

/* Mean over the tokens that have one; NAN when none has. */
double token_logprobs_mean(const struct token_logprobs *l);
MUST_USE enum status token_logprobs_copy(const struct token_logprobs *from, struct arena *a, struct token_logprobs *to, struct err *e);
/* JSON array [{"token","id"?,"logprob"|null,"top":[{"token","id"?,"logprob"}]}]; bytes that are no UTF-8 become U+FFFD. */
MUST_USE enum status token_logprobs_put(const struct token_logprobs *l, struct buf *out, struct err *e);
#endif
