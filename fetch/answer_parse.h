/* SPDX-License-Identifier: Apache-2.0
 * What small and large models really write, taken apart: the pieces that augment's parsers and label's kinds share. Every call
 * gives {NULL,0} (or 0) when the thing is not there or not clear: a doubtful reading is no reading, the caller asks again. Results
 * point into the text. Byte-wise; letters are compared without regard to (ASCII) case. */
#ifndef FETCH_ANSWER_PARSE_H
#define FETCH_ANSWER_PARSE_H
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

struct span span_trim(struct span s);
/* Cuts the next line off *rest (without its newline). */
struct span span_line(struct span *rest);
/* 1 when s begins with word, without regard to case. */
int span_begins(struct span s, const char *word);
int span_same(struct span a, struct span b); /* without regard to case */
/* Without what models put in front of a line: "1. ", "- ", "**", "Q3:", quotes, "Question:", "Answer:". */
struct span answer_bare(struct span line);
/* Without surrounding quotes, emphasis and a final full stop: "**B.**" is B. */
struct span answer_core(struct span s);

/* A number within [lo, hi]: "Score: 7", "7/10", "[[7]]", "Rating: **8** out of 10", or the only number of the text. Two different
 * candidates, or one outside the range: 0. */
int answer_number(struct span s, double lo, double hi, double *score);
/* 'A', 'B' or 'T' (tie); 0 when unclear. "[[B]]", "Verdict: A", "Answer B is better", "Tie". */
int answer_verdict(struct span s);
/* The choice that was named: the first line as a whole (bare), else the only choice that occurs in the text as whole words, a longer
 * choice hiding the shorter ones inside it. -1 when none or several. */
int answer_choice(struct span s, const struct span *choice, size_t n);
/* A whole permutation of 1..n ("[2] > [1] > [3]", "2, 1, 3", one a line): order[] gets indices from 0. 0 when it is none. */
int answer_ranking(struct span s, size_t n, size_t *order);
/* Reasoning and final answer, cut at the last "Answer:", "Final answer:", "The answer is", "####" or \boxed{}: the answer is the rest of that
 * line (of the next one when that is empty). 0 when there is none. */
int answer_final(struct span s, struct span *reasoning, struct span *answer);
/* The first fenced block (its language, if any) whose fence is closed. */
struct span answer_code(struct span s, struct span *language);
/* The first whole JSON object or array, inside a fence or anywhere. */
struct span answer_json(struct span s);
/* What stands between <tag> and </tag>. */
struct span answer_tag(struct span s, const char *tag);
/* What stands behind a heading line "NAME:" (or "**NAME**", "## NAME") up to the next line that looks like one of the n names. */
struct span answer_section(struct span s, const char *name, const char *const *names, size_t n);
/* Two final answers that say the same: equal numbers (thousands commas, currency and per cent signs, trailing zeros aside), else
 * equal words in order, articles left out. */
int answer_equal(struct span a, struct span b);
/* Brackets and quotes of program text close in order, comments and strings left out. */
int answer_balanced(struct span code);

/* ---- asking ---- */
/* Appends {"role":ROLE,"content":CONTENT}, with a comma in front unless the array was just opened. */
MUST_USE enum status message_put(struct buf *b, const char *role, struct span content, struct err *e);
/* messages + the answer that was refused + why: the question that asks again. */
MUST_USE enum status message_again(struct span messages, struct span answer, const char *why, struct buf *out, struct err *e);

/* ---- judging (answer_judge.c) ---- one wording and one reading, for the kinds of label that judge and for --mix cascade:judge. */
extern const char judge_system[]; /* the system message */
/* Appends the user's turn: question, answer, rubric (n = 0: none), and the wish for a line "Score: N" from 1 to scale. */
MUST_USE enum status judge_put(struct span question, struct span answer, struct span rubric, const char *aspect, int64_t scale, struct buf *b, struct err *e);
/* The score of the judge's text: that of its last line "Score: N", else the only number; 0 when there is no clear one. */
int judge_read(struct span text, double scale, double *score);
#endif
