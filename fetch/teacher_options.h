/* SPDX-License-Identifier: Apache-2.0
 * The option rows of every stage that asks a teacher: put TEACHER_OPTION_ROWS(STRUCT, FIELD) into the stage's table, where FIELD is
 * the struct teacher_options inside STRUCT. Defaults of temperature and length differ between stages. */
#ifndef FETCH_TEACHER_OPTIONS_H
#define FETCH_TEACHER_OPTIONS_H
#include "form_options.h"
#include "device.h"
#include "opt.h"
#define TEACHER_OPTION_ROWS(stru, f, dflt_temperature, range_temperature, dflt_max_tokens, range_max_tokens) \
  OPT_ROW(stru, f.teachers, "teacher", 't', OPT_LIST, NULL, NULL, "T", "GGUF file, Hugging Face folder, run folder, replay:BOOK or http(s)://host/v1#model (chat; other dialects: anthropic:http..., completions:http..., vllm:http..., embeddings:http...; batch:http... submits a batch); several, as LABEL=T, with --mix"), \
  OPT_ROW(stru, f.mix, "mix", 0, OPT_STR, NULL, NULL, "HOW", "several teachers, asked at the same time: all, vote, route:FIELD, cascade:SCORE:MIN (valid, judge, logprob, answered) or weights:A,B"), \
  OPT_ROW(stru, f.stated_terms, "teacher-terms", 0, OPT_LIST, NULL, NULL, "ID", "licence or terms of the teacher, such as apache-2.0; LABEL=ID for one of several"), \
  OPT_ROW(stru, f.temperature, "temperature", 0, OPT_NUM, dflt_temperature, range_temperature, "X", "sampling temperature; 0 takes the likeliest token, -1 is as the recipe says"), \
  OPT_ROW(stru, f.top_p, "top-p", 0, OPT_NUM, "1", "0..1", "X", "sample from the likeliest tokens that make up this probability"), \
  OPT_ROW(stru, f.top_k, "top-k", 0, OPT_INT, "0", "0..1000000", "N", "sample from the N likeliest tokens; 0 is off"), \
  OPT_ROW(stru, f.min_p, "min-p", 0, OPT_NUM, "0", "0..1", "X", "leave out tokens less likely than this part of the likeliest"), \
  OPT_ROW(stru, f.repetition_penalty, "repetition-penalty", 0, OPT_NUM, "1", "0.1..10", "X", "divide the logits of tokens already there; 1 is off"), \
  OPT_ROW(stru, f.max_tokens, "max-tokens", 0, OPT_INT, dflt_max_tokens, range_max_tokens, "N", "longest answer in tokens"), \
  OPT_ROW(stru, f.stop, "stop", 0, OPT_LIST, NULL, NULL, "TEXT", "end the answer before this text"), \
  FORM_OPTION_ROWS(stru, f.form), \
  OPT_ROW(stru, f.seed, "seed", 0, OPT_INT, "1", "0..", "N", "seed of the sampling; each row has its own stream"), \
  OPT_ROW(stru, f.logprobs, "logprobs", 0, OPT_INT, "0", "0..1000", "K", "ask for log-probabilities with K alternatives a token; they stay in the book"), \
  OPT_ROW(stru, f.choices, "choices", 0, OPT_INT, "1", "1..128", "N", "answers asked for in one request to a server, where several of a row are wanted"), \
  OPT_ROW(stru, f.request, "request", 0, OPT_STR, NULL, NULL, "JSON", "further members of every request to a server, such as {\"reasoning_effort\":\"low\"}"), \
  OPT_ROW(stru, f.chat_template, "chat-template", 0, OPT_STR, NULL, NULL, "NAME", "chat template of a local teacher when it is not recognised, and of completions teachers"), \
  OPT_ROW(stru, f.batch, "batch", 0, OPT_INT, "16", "1..64", "N", "questions a local teacher works on at once (never changes an answer)"), \
  OPT_ROW(stru, f.batch_size, "batch-size", 0, OPT_INT, "50000", "1..50000", "N", "most requests in one batch of a batch: teacher"), \
  OPT_ROW(stru, f.concurrency, "concurrency", 0, OPT_INT, "16", "1..4096", "N", "most requests in flight to a server; fewer while it is overloaded"), \
  OPT_ROW(stru, f.rpm, "rpm", 0, OPT_NUM, "0", "0..1000000000", "N", "most requests a minute (the server's own x-ratelimit headers count in any case)"), \
  OPT_ROW(stru, f.tpm_in, "tpm-in", 0, OPT_NUM, "0", "0..1000000000000", "N", "most tokens a minute sent"), \
  OPT_ROW(stru, f.tpm_out, "tpm-out", 0, OPT_NUM, "0", "0..1000000000000", "N", "most tokens a minute asked for"), \
  OPT_ROW(stru, f.max_usd, "max-usd", 0, OPT_NUM, "-1", "-1..1000000000", "USD", "stop before the book's spending passes this, whoever spends; -1 is no limit"), \
  OPT_ROW(stru, f.prices, "prices", 0, OPT_STR, NULL, NULL, "FILE", "YAML table of prices that counts before the shipped one (form: docs/formats.md)"), \
  OPT_ROW(stru, f.dry_run, "dry-run", 0, OPT_FLAG, NULL, NULL, NULL, "ask nothing; say on stderr what is not in the book yet and what it would cost"), \
  OPT_ROW(stru, f.retries, "retries", 0, OPT_INT, "8", "0..1000", "N", "further attempts for a question after a transient failure"), \
  OPT_ROW(stru, f.timeout_s, "timeout", 0, OPT_NUM, "600", "0.1..86400", "SECONDS", "time limit of one request"), \
  OPT_ROW(stru, f.connect_timeout_s, "connect-timeout", 0, OPT_NUM, "10", "0.1..86400", "SECONDS", "time limit for a connection, TLS included"), \
  OPT_ROW(stru, f.silence_timeout_s, "silence-timeout", 0, OPT_NUM, "600", "1..86400", "SECONDS", "give a request up when nothing arrives for so long"), \
  OPT_ROW(stru, f.outage_s, "outage", 0, OPT_NUM, "600", "0..86400", "SECONDS", "how long to wait for a server that went away (5 s when it never answered)"), \
  OPT_ROW(stru, f.key_envs, "key-env", 0, OPT_LIST, NULL, NULL, "VAR", "environment variable that holds the API key [OPENAI_API_KEY, of anthropic: ANTHROPIC_API_KEY]; LABEL=VAR for one of several teachers"), \
  OPT_ROW(stru, f.key_fd, "key-fd", 0, OPT_INT, "-1", "-1..1023", "N", "read the API key from this file descriptor instead; -1 is off"), \
  OPT_ROW(stru, f.pii, "pii", 0, OPT_ENUM, "allow", "refuse|mask|allow", "HOW", "personal data in what is sent to a server: fail the row, send placeholders, or send it"), \
  OPT_ROW(stru, f.control_tokens, "control-tokens", 0, OPT_ENUM, "allow", "allow|break|refuse", "HOW", "text such as <|im_end|> in what is sent to a server, which it may read as a control token: send it (and say so once), put a blank into it, or fail the row; local teachers always take it as text"), \
  OPT_ROW(stru, f.ca_file, "ca-file", 0, OPT_STR, NULL, NULL, "FILE", "certificate authorities for https"), \
  DEVICE_OPTION_ROWS(stru, f.dev)
#endif
