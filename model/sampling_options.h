/* SPDX-License-Identifier: Apache-2.0
 * Sampling options that mean the same wherever text is generated: put SAMPLING_OPTION_ROWS(STRUCT, FIELD, temperature, tokens)
 * into a table, where FIELD is the struct sampling_options inside STRUCT (or a bigger struct with fields of these names). */
#ifndef MODEL_SAMPLING_OPTIONS_H
#define MODEL_SAMPLING_OPTIONS_H
#include "decode.h"
#include "opt.h"
struct sampling_options {
  double temperature, top_p, min_p, repetition_penalty;
  int64_t top_k, max_tokens, seed;
  struct opt_list stop;
};
#define SAMPLING_OPTION_ROWS(stru, f, dflt_temperature, dflt_max_tokens) \
  OPT_ROW(stru, f.temperature, "temperature", 0, OPT_NUM, dflt_temperature, "0..5", "X", "sampling temperature; 0 takes the likeliest token"), \
  OPT_ROW(stru, f.top_p, "top-p", 0, OPT_NUM, "1", "0..1", "X", "sample from the likeliest tokens that make up this probability"), \
  OPT_ROW(stru, f.top_k, "top-k", 0, OPT_INT, "0", "0..1000000", "N", "sample from the N likeliest tokens; 0 is off"), \
  OPT_ROW(stru, f.min_p, "min-p", 0, OPT_NUM, "0", "0..1", "X", "leave out tokens less likely than this part of the likeliest"), \
  OPT_ROW(stru, f.repetition_penalty, "repetition-penalty", 0, OPT_NUM, "1", "0.1..10", "X", "divide the logits of tokens already there; 1 is off"), \
  OPT_ROW(stru, f.max_tokens, "max-tokens", 0, OPT_INT, dflt_max_tokens, "1..1000000", "N", "longest answer"), \
  OPT_ROW(stru, f.stop, "stop", 0, OPT_LIST, NULL, NULL, "TEXT", "end the answer before this text"), \
  OPT_ROW(stru, f.seed, "seed", 0, OPT_INT, "1", "0..", "N", "seed of the sampling; each row has its own stream")

static inline struct sampling sampling_of(const struct sampling_options *o, uint64_t row_seed) {
  return (struct sampling){.temperature = o->temperature, .top_k = o->top_k, .top_p = o->top_p, .min_p = o->min_p,
                           .repetition_penalty = o->repetition_penalty, .max_tokens = o->max_tokens, .seed = row_seed,
                           .stop = o->stop.item, .n_stop = o->stop.n};
}
#endif
