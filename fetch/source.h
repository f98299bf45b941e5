/* SPDX-License-Identifier: Apache-2.0
 * Where documents come from: files, folders (recursive, sorted bytewise, links to folders not followed), globs, http(s) URLs,
 * stdin. What was named on the command line is checked before anything is read. */
#ifndef FETCH_SOURCE_H
#define FETCH_SOURCE_H
#include "document.h"
#include "err.h"
#include "mem.h"
#include "opt.h"

struct source_options {
  const char *from_file; /* list of names, a line each; "-" = stdin */
  const char *root;      /* names of the list are relative to it */
  const char *ca_file;
  struct opt_list include, exclude; /* fnmatch patterns on file names (with a '/' in it: on the path) */
  int hidden;                       /* also names that begin with a dot, in folders */
  double timeout_s;
};

/* Visits every input in order: arguments as given (a glob's matches sorted), then the list. Missing arguments and globs without
 * a match are STATUS_USAGE before the first one is read. A listed or found file that cannot be read goes to sink->refused. */
MUST_USE enum status source_walk(const struct source_options *so, const struct opt_list *args, const struct doc_options *o,
                                 const struct doc_sink *sink, struct err *e);
#endif
