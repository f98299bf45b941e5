/* SPDX-License-Identifier: Apache-2.0
 * The table of pre-tokenisers and their PCRE2 engine. See pretok.h.
 * Traps: PCRE2's \s under UCP takes U+180E, which Unicode's White_Space (Oniguruma, Rust) has not since 6.3; so \s is
 * written out. Digits(individual) in front of ByteLevel makes the end of a digit-free run an end of text for ByteLevel's
 * `\s+(?!\S)`: "a  1" gives "a", two blanks, "1". In one pattern: \s+ not followed by something that is neither space nor N. */
#include "pretok.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "pretok_split.h"

#define WS "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define SP "[" WS "]"
#define CONTRACTION "'s|'t|'re|'ve|'m|'ll|'d"

const struct pretok_row pretok_table[] = {
  { .name = "gpt2",
    .gguf = { "gpt-2", "gpt2", "phi-2", NULL },
    .pattern = CONTRACTION "| ?\\p{L}+| ?\\p{N}+| ?[^" WS "\\p{L}\\p{N}]+|" SP "+(?![^" WS "])|" SP "+",
    .split = split_gpt2 },
  { .name = "smollm",
    .gguf = { "smollm", NULL },
    .pattern = CONTRACTION "| ?\\p{L}+|\\p{N}| ?[^" WS "\\p{L}\\p{N}]+|" SP "+(?![^" WS "\\p{N}])|" SP "+",
    .hf_digits = 1,
    .split = split_smollm },
  { .name = "qwen2",
    .gguf = { "qwen2", NULL },
    .pattern = "(?i:" CONTRACTION ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n]*|" SP "*[\\r\\n]+|" SP
               "+(?![^" WS "])|" SP "+",
    .hf_pattern = "(?i:" CONTRACTION ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    .gguf_nfc = 1,
    .split = split_qwen2 },
  { .name = "llama3",
    .gguf = { "llama-bpe", "llama3", "llama-v3", "falcon3", NULL },
    .pattern = "(?i:" CONTRACTION ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n]*|" SP "*[\\r\\n]+|" SP
               "+(?![^" WS "])|" SP "+",
    .hf_pattern = "(?i:" CONTRACTION ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    .gguf_ignore_merges = 1,
    .gguf_bos = 1,
    .split = split_llama3 },
  { .name = NULL },
};

const struct pretok_row *pretok_by_gguf(const char *pre) {
  for (const struct pretok_row *r = pretok_table; r->name; r++)
    for (int i = 0; r->gguf[i]; i++)
      if (strcmp(r->gguf[i], pre) == 0) return r;
  return NULL;
}

/* ------------------------------------------------------------------------------------------------------ tokenizer.json */

/* What a "pre_tokenizer" is made of, in the order found. */
struct found {
  int digits;              /* Digits(individual) */
  const char *regex;       /* Split by a regex */
  int byte_level, own_regex, prefix_space;
};

static enum status unknown(const struct json *pre, const char *why, struct err *e) {
  struct buf b = { .max_bytes = 4096 };
  enum status st = json_put(&b, pre, NULL);
  st = err_set(e, STATUS_DATA, "\"pre_tokenizer\": %s; found %.700s; known are the forms of GPT-2, SmolLM, Qwen2 and Llama-3 (see pretok.c)", why,
               st == STATUS_OK ? b.p : "a long value");
  buf_free(&b);
  return st;
}

static const char *found_add(struct found *f, const struct json *p) {
  const char *type = json_cstr(json_get(p, "type"), "");
  if (f->byte_level) return "something stands after ByteLevel";
  if (strcmp(type, "Digits") == 0) {
    if (!json_bool(json_get(p, "individual_digits"), 0) || f->regex) return "Digits must be individual and stand first";
    f->digits = 1;
  } else if (strcmp(type, "Split") == 0) {
    const char *behavior = json_cstr(json_get(p, "behavior"), "");
    f->regex = f->regex ? NULL : json_cstr(json_path(p, "pattern.Regex"), NULL);
    if (!f->regex) return "one Split by a Regex is understood";
    int invert = json_bool(json_get(p, "invert"), 0);
    if (strcmp(behavior, "Isolated") != 0 && !(strcmp(behavior, "Removed") == 0 && invert)) return "Split must be Isolated";
  } else if (strcmp(type, "ByteLevel") == 0) {
    f->byte_level = 1;
    f->own_regex = json_bool(json_get(p, "use_regex"), 1);
    f->prefix_space = json_bool(json_get(p, "add_prefix_space"), 1);
  } else {
    return "unknown type";
  }
  return NULL;
}

enum status pretok_by_json(const struct json *pre, const struct pretok_row **row, int *prefix_space, struct err *e) {
  struct found f = { 0 };
  const char *why = NULL;
  if (strcmp(json_cstr(json_get(pre, "type"), ""), "Sequence") == 0) {
    const struct json *list = json_get(pre, "pretokenizers");
    for (size_t i = 0; i < json_size(list) && !why; i++) why = found_add(&f, json_at(list, i));
  } else {
    why = found_add(&f, pre);
  }
  if (!why && !f.byte_level) why = "no ByteLevel: not a byte-level BPE";
  /* Both a Split and ByteLevel's own regex would cut twice; no known model does. */
  if (!why && f.regex && f.own_regex) why = "a Split and ByteLevel's use_regex together";
  if (!why && !f.regex && !f.own_regex) why = "ByteLevel without a regex";
  if (!why && f.prefix_space && (f.digits || f.regex)) why = "add_prefix_space after a Split or Digits";
  if (why) return unknown(pre, why, e);
  for (const struct pretok_row *r = pretok_table; r->name; r++) {
    int same = f.regex ? r->hf_pattern && strcmp(r->hf_pattern, f.regex) == 0 : !r->hf_pattern;
    if (same && r->hf_digits == f.digits) {
      *row = r, *prefix_space = f.prefix_space;
      return STATUS_OK;
    }
  }
  return unknown(pre, "unknown pattern", e);
}

enum status pretok_put_json(const struct pretok_row *row, int prefix_space, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  int sequence = row->hf_digits || row->hf_pattern;
  if (sequence) TRY(buf_puts(out, "{\"type\":\"Sequence\",\"pretokenizers\":[", e));
  if (row->hf_digits) TRY(buf_puts(out, "{\"type\":\"Digits\",\"individual_digits\":true},", e));
  if (row->hf_pattern) {
    TRY(buf_puts(out, "{\"type\":\"Split\",\"pattern\":{\"Regex\":", e));
    TRY(json_put_cstr(out, row->hf_pattern, e));
    TRY(buf_puts(out, "},\"behavior\":\"Isolated\",\"invert\":false},", e));
  }
  TRY(buf_printf(out, e, "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"trim_offsets\":%s,\"use_regex\":%s}", prefix_space ? "true" : "false",
                 row->hf_pattern ? "false" : "true", row->hf_pattern ? "false" : "true"));
  if (sequence) TRY(buf_puts(out, "]}", e));
out:
  return st;
}

/* -------------------------------------------------------------------------------------------------------------- engine */

struct pretok {
  const struct pretok_row *row;
  pcre2_general_context *memory;
  pcre2_code *code;
  pcre2_match_context *limits;
  int jit;
};

static void *pcre_alloc(PCRE2_SIZE n, void *x) {
  (void)x;
  return mem_alloc(n);
}
static void pcre_free(void *p, void *x) {
  (void)x;
  mem_free(p);
}

enum status pretok_new(const struct pretok_row *row, struct pretok **out, struct err *e) {
  struct pretok *p = mem_calloc(1, sizeof *p);
  if (!p) return err_nomem(e, sizeof *p);
  p->row = row;
  *out = p;
  if (row->split) return STATUS_OK; /* the pattern is what the tests hold the splitter against */
  *out = NULL;
  p->memory = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
  pcre2_compile_context *cc = p->memory ? pcre2_compile_context_create(p->memory) : NULL;
  p->limits = p->memory ? pcre2_match_context_create(p->memory) : NULL;
  int code = 0;
  size_t at = 0;
  if (cc && p->limits) p->code = pcre2_compile((PCRE2_SPTR)row->pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, cc);
  if (cc) pcre2_compile_context_free(cc);
  if (!p->code) {
    pretok_free(p);
    if (!code || code == PCRE2_ERROR_HEAP_FAILED) return err_nomem(e, 1024);
    return err_set(e, STATUS_DATA, "pre-tokeniser '%s': pattern error %d at %zu", row->name, code, at);
  }
  /* Without JIT (a machine that forbids executable pages) the interpreter gives the same pieces, slower. The limits count
   * backtracking steps; one piece may be as long as the text, so they must not cut it. */
  p->jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
  pcre2_set_match_limit(p->limits, UINT32_MAX);
  pcre2_set_depth_limit(p->limits, UINT32_MAX);
  *out = p;
  return STATUS_OK;
}

void pretok_free(struct pretok *p) {
  if (!p) return;
  if (p->code) pcre2_code_free(p->code);
  if (p->limits) pcre2_match_context_free(p->limits);
  if (p->memory) pcre2_general_context_free(p->memory);
  mem_free(p);
}

enum status pretok_begin(const struct pretok *p, struct pretok_pass *pass, struct err *e) {
  *pass = (struct pretok_pass){ .pretok = p };
  if (!p->row->split && !(pass->match = pcre2_match_data_create(1, p->memory))) return err_nomem(e, 256);
  return STATUS_OK;
}

void pretok_text(struct pretok_pass *pass, struct span text) { pass->text = text, pass->at = 0, pass->pending = 0; }

/* The pattern's next piece. */
static enum status match_next(struct pretok_pass *pass, size_t *piece_end, struct err *e) {
  const struct pretok *k = pass->pretok;
  size_t start = pass->at;
  PCRE2_SPTR text = (PCRE2_SPTR)pass->text.p;
  *piece_end = pass->pending;
  pass->pending = 0;
  if (*piece_end) return STATUS_OK;
  int rc = k->jit ? pcre2_jit_match(k->code, text, pass->text.n, start, 0, pass->match, k->limits) : PCRE2_ERROR_JIT_STACKLIMIT;
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = pcre2_match(k->code, text, pass->text.n, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, pass->match, k->limits);
  if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) return err_set(e, STATUS_DATA, "pre-tokeniser '%s': PCRE2 error %d at byte %zu", k->row->name, rc, start);
  const size_t *ov = pcre2_get_ovector_pointer(pass->match);
  if (rc < 0 || ov[1] <= start) *piece_end = pass->text.n;
  else if (ov[0] > start) *piece_end = ov[0], pass->pending = ov[1]; /* text between two matches is a piece of its own */
  else *piece_end = ov[1];
  return STATUS_OK;
}

enum status pretok_next(struct pretok_pass *pass, size_t *end, size_t cap, size_t *got, struct err *e) {
  enum status st = STATUS_OK;
  *got = 0;
  if (pass->pretok->row->split) {
    *got = pass->pretok->row->split(pass->text.p, pass->text.n, pass->at, end, cap);
    if (*got) pass->at = end[*got - 1];
    return STATUS_OK;
  }
  while (*got < cap && pass->at < pass->text.n) {
    TRY(match_next(pass, &end[*got], e));
    pass->at = end[(*got)++];
  }
out:
  return st;
}

void pretok_end(struct pretok_pass *pass) {
  if (pass->match) pcre2_match_data_free(pass->match);
  pass->match = NULL;
}
