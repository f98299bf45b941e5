/* SPDX-License-Identifier: Apache-2.0
 * The options of `curate`, and what they ask of the walk over duplicates. */
#include <string.h>
#include "curate.h"

#define ROW(field, name, type, dflt, range, arg, help) OPT_ROW(curate_options, field, name, 0, type, dflt, range, arg, help)
const struct opt_row curate_rows[] = {
  ROW(min_chars, "min-chars", OPT_INT, "1", "0..", "N", "drop texts with fewer characters, 0 = no bound"),
  ROW(max_chars, "max-chars", OPT_INT, "0", "0..", "N", "drop texts with more characters, 0 = no bound"),
  ROW(min_words, "min-words", OPT_INT, "0", "0..", "N", "drop texts with fewer words"),
  ROW(max_words, "max-words", OPT_INT, "0", "0..", "N", "drop texts with more words, 0 = no bound"),
  ROW(refusals, "refusals", OPT_FLAG, "1", NULL, NULL, "drop answers that decline or say \"as an AI\" (on; --no-refusals)"),
  ROW(repetition, "repetition", OPT_FLAG, "1", NULL, NULL, "drop texts that repeat n-grams, lines or paragraphs, by Gopher's shares (on; --no-repetition)"),
  ROW(repetition_min_words, "repetition-min-words", OPT_INT, "50", "0..", "N", "texts below are left alone by --repetition"),
  ROW(dup_para, "dup-para-frac", OPT_NUM, "0.3", "0..1", "P", "share of paragraphs that stood there before, 0 = off"),
  ROW(dup_para_chars, "dup-para-char-frac", OPT_NUM, "0.2", "0..1", "P", "share of characters in such paragraphs"),
  ROW(dup_line, "dup-line-frac", OPT_NUM, "0.3", "0..1", "P", "share of lines that stood there before"),
  ROW(dup_line_chars, "dup-line-char-frac", OPT_NUM, "0.2", "0..1", "P", "share of characters in such lines"),
  ROW(top_2, "top-2-gram", OPT_NUM, "0.2", "0..1", "P", "share of characters in the most frequent pair of words"),
  ROW(top_3, "top-3-gram", OPT_NUM, "0.18", "0..1", "P", "the same for three words"),
  ROW(top_4, "top-4-gram", OPT_NUM, "0.16", "0..1", "P", "the same for four"),
  ROW(dup_5, "dup-5-gram", OPT_NUM, "0.15", "0..1", "P", "share of characters in runs of five words that stood there before"),
  ROW(dup_6, "dup-6-gram", OPT_NUM, "0.14", "0..1", "P", "the same for six words"),
  ROW(dup_7, "dup-7-gram", OPT_NUM, "0.13", "0..1", "P", "seven"),
  ROW(dup_8, "dup-8-gram", OPT_NUM, "0.12", "0..1", "P", "eight"),
  ROW(dup_9, "dup-9-gram", OPT_NUM, "0.11", "0..1", "P", "nine"),
  ROW(dup_10, "dup-10-gram", OPT_NUM, "0.1", "0..1", "P", "ten"),
  ROW(quality, "gopher-quality", OPT_FLAG, NULL, NULL, NULL, "Gopher's quality rules over words between blanks; the next ten set them, 0 = off"),
  ROW(min_doc_words, "min-doc-words", OPT_INT, "50", "0..", "N", "fewest words, punctuation alone not counted"),
  ROW(max_doc_words, "max-doc-words", OPT_INT, "100000", "0..", "N", "most words"),
  ROW(min_avg_word_length, "min-avg-word-length", OPT_INT, "3", "0..", "N", "smallest mean word length in characters"),
  ROW(max_avg_word_length, "max-avg-word-length", OPT_INT, "10", "0..", "N", "largest mean word length"),
  ROW(max_symbol_word_ratio, "max-symbol-word-ratio", OPT_NUM, "0.1", "0..1", "P", "most hash signs, and most ellipses, a word"),
  ROW(max_bullet_lines_ratio, "max-bullet-lines-ratio", OPT_NUM, "0.9", "0..1", "P", "largest share of lines that begin with a bullet"),
  ROW(max_ellipsis_lines_ratio, "max-ellipsis-lines-ratio", OPT_NUM, "0.3", "0..1", "P", "largest share of lines that end in an ellipsis"),
  ROW(min_alpha_words_ratio, "min-alpha-words-ratio", OPT_NUM, "0.8", "0..1", "P", "smallest share of words with a letter (datatrove: max_non_alpha_words_ratio)"),
  ROW(min_stop_words, "min-stop-words", OPT_INT, "2", "0..", "N", "fewest different words of --stop-words"),
  ROW(stop_words, "stop-words", OPT_STR, "the,be,to,of,and,that,have,with", NULL, "LIST", "words that a text of this language has, by comma"),
  ROW(c4, "c4", OPT_FLAG, NULL, NULL, NULL, "C4's rules for rows with a field text: lines that are no sentences go out of it; the next nine set them"),
  ROW(remove_citations, "remove-citations", OPT_FLAG, "1", NULL, NULL, "C4: take [1], [edit] and [citation needed] out of lines (on)"),
  ROW(terminal_punct, "filter-no-terminal-punct", OPT_FLAG, "1", NULL, NULL, "C4: lines end with . ? ! or a quote (on)"),
  ROW(min_num_sentences, "min-num-sentences", OPT_INT, "5", "0..", "N", "C4: fewest sentences in the lines that are left"),
  ROW(min_words_per_line, "min-words-per-line", OPT_INT, "3", "0..", "N", "C4: fewest words of a line"),
  ROW(max_word_length, "max-word-length", OPT_INT, "1000", "0..", "N", "C4: longest word of a line, 0 = no bound"),
  ROW(lorem_ipsum, "filter-lorem-ipsum", OPT_FLAG, "1", NULL, NULL, "C4: drop rows with \"lorem ipsum\" (on)"),
  ROW(javascript, "filter-javascript", OPT_FLAG, "1", NULL, NULL, "C4: lines do not mention javascript (on)"),
  ROW(curly_bracket, "filter-curly-bracket", OPT_FLAG, "1", NULL, NULL, "C4: drop rows with a curly bracket (on)"),
  ROW(policy, "filter-policy", OPT_FLAG, "1", NULL, NULL, "C4: lines do not speak of cookies, terms of use, privacy policy (on)"),
  ROW(fineweb, "fineweb", OPT_FLAG, NULL, NULL, NULL, "FineWeb's quality rules; the next six set them"),
  ROW(line_punct_thr, "line-punct-thr", OPT_NUM, "0.12", "0..1", "P", "smallest share of lines that end a sentence"),
  ROW(line_punct_exclude_zero, "line-punct-exclude-zero", OPT_FLAG, NULL, NULL, NULL, "texts without any such line pass"),
  ROW(short_line_thr, "short-line-thr", OPT_NUM, "0.67", "0..1", "P", "largest share of short lines"),
  ROW(short_line_length, "short-line-length", OPT_INT, "30", "0..", "N", "characters up to which a line is short"),
  ROW(char_duplicates_ratio, "char-duplicates-ratio", OPT_NUM, "0.01", "0..1", "P", "largest share of characters in lines that stood there before"),
  ROW(new_line_ratio, "new-line-ratio", OPT_NUM, "0.3", "0..", "P", "most newlines a word"),
  ROW(rules, "rules", OPT_STR, NULL, NULL, "FILE", "YAML file of PCRE2 rules: drop, keep, tag, rewrite"),
  ROW(pii, "pii", OPT_ENUM, NULL, "drop|mask|placeholder", "HOW", "personal data: drop the row, write [EMAIL], or [EMAIL_1] with a number a value"),
  ROW(pii_kinds, "pii-kinds", OPT_STR, "all", NULL, "LIST", "kinds of personal data, by comma; all,-name leaves one out"),
  ROW(pii_min_score, "pii-min-score", OPT_NUM, "0.5", "0..1", "P", "how sure the scanner has to be"),
  ROW(lang, "lang", OPT_STR, NULL, NULL, "LIST", "drop texts in other languages than these, such as en,de; by --lang-model, else by script"),
  ROW(lang_model, "lang-model", OPT_STR, NULL, NULL, "FILE", "fastText model for languages (lid.176.ftz, lid.176.bin)"),
  ROW(lang_min, "lang-min", OPT_NUM, "0.65", "0..1", "P", "smallest probability of the language, or share of letters in its script"),
  ROW(fences, "fences", OPT_FLAG, NULL, NULL, NULL, "drop answers with a code fence that is not closed"),
  ROW(copied, "copied-prompt", OPT_NUM, "0", "0..1", "P", "drop answers with this share of word 5-grams from the prompt, 0 = off"),
  ROW(support, "min-support", OPT_NUM, "0", "0..1", "P", "drop answers with a smaller share of words from their passages, 0 = off"),
  ROW(gibberish, "gibberish", OPT_NUM, "0", "0..1", "P", "drop texts with a larger share of words that cannot be spoken, 0 = off (0.4 is usual)"),
  ROW(mojibake, "mojibake", OPT_NUM, "0", "0..1", "P", "drop texts with a larger share of wrongly decoded characters, 0 = off (0.1 is usual)"),
  ROW(exact, "exact", OPT_FLAG, "1", NULL, NULL, "drop rows with the same normalised text as a kept row (on; --no-exact)"),
  ROW(near, "near", OPT_NUM, "0", "0..1", "T", "drop rows with Jaccard at least T to a kept row over word 5-grams, 0 = off"),
  ROW(priority, "priority", OPT_STR, NULL, NULL, "FIELD", "number field; of duplicates the highest stays, then the smallest id"),
  ROW(arrival, "arrival", OPT_FLAG, NULL, NULL, NULL, "of duplicates the first in the input stays, instead of the highest by priority and id"),
  ROW(memory, "memory", OPT_BYTES, "160M", "8M..", "BYTES", "rows and signatures held in memory; beyond it they go to sorted runs in TMPDIR"),
  ROW(signatures_out, "signatures-out", OPT_STR, NULL, NULL, "FILE", "write what later runs and other machines need to know of these rows"),
  ROW(against_signatures, "against-signatures", OPT_LIST, NULL, NULL, "FILE", "rows of this signature file came before; verdicts in it stand (repeatable)"),
  ROW(merge, "merge", OPT_FLAG, NULL, NULL, NULL, "decide over the signature files named as arguments, write --signatures-out; no rows are read"),
  ROW(against, "against", OPT_LIST, NULL, NULL, "FILE", "drop rows that share a run of words with an item of this evaluation file (repeatable)"),
  ROW(against_n, "against-words", OPT_INT, "13", "2..63", "N", "length of that run"),
  ROW(against_chars, "against-chars", OPT_INT, "0", "0..100000", "N", "also drop rows that share N letters and digits in a row, all else left out, 0 = off (50 is usual)"),
  ROW(split, "split", OPT_STR, NULL, NULL, "HOW", "write the field split by group: FIELD (such as meta.family), id, near, or FIELD,near"),
  ROW(split_fraction, "split-fraction", OPT_NUM, "0.1", "0..1", "P", "share of groups in test"),
  ROW(valid_fraction, "valid-fraction", OPT_NUM, "0", "0..1", "P", "share of groups in valid"),
  ROW(split_near, "split-near", OPT_NUM, "0", "0..1", "T", "Jaccard that joins groups and makes a leak, 0 = that of --near, else 0.8"),
  ROW(leak, "split-leak", OPT_FLAG, "1", NULL, NULL, "drop new rows with a near duplicate on the other side (on with --split; --no-split-leak)"),
  ROW(split_seed, "split-seed", OPT_INT, "0", NULL, "N", "another seed gives another split"),
  ROW(only_split, "only-split", OPT_STR, NULL, NULL, "NAME", "drop the rows of other splits"),
  ROW(rejects, "rejects", OPT_STR, NULL, NULL, "FILE", "write dropped rows here with the field curate: reason, score, evidence, witness"),
  OPT_END
};

static unsigned char side_of(void *ctx, struct span key) { return curate_side_of(ctx, key); }

void curate_dedup_settings(const struct curate_options *o, const struct split_spec *split, struct dedup_settings *s) {
  double t = o->split_near > 0 ? o->split_near : o->near > 0 ? o->near : 0.8;
  union { const struct curate_options *in; void *out; } ctx = { o };
  *s = (struct dedup_settings){ .exact = o->exact, .arrival = o->arrival, .near = o->near, .memory_bytes = o->memory / 10 * 6, .side_of = side_of, .ctx = ctx.out };
  if (o->split && split->near) s->join = t;
  if (o->split && o->leak) s->leak = t;
}

int curate_holds(const struct curate_options *o) {
  return o->exact || o->near > 0 || o->signatures_out || o->against_signatures.n || (o->split && (o->leak || strstr(o->split, "near") != NULL));
}
