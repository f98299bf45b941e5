/* SPDX-License-Identifier: Apache-2.0
 * Split of `curate`: rows of one group go to one side, by a stable hash of the group's key, so that no row moves when others
 * are added. Groups are rows with the same field, joined through near duplicates on request (dedup.h). */
#include "curate.h"
#include "hash.h"

enum status curate_split_parse(const struct curate_options *o, struct arena *a, struct split_spec *s, struct err *e) {
  *s = (struct split_spec){ NULL, 0 };
  for (const char *p = o->split; p;) {
    const char *comma = strchr(p, ',');
    size_t n = comma ? (size_t)(comma - p) : strlen(p);
    char *part = arena_strndup(a, p, n);
    if (!part) return err_nomem(e, n);
    if (strncmp(part, "group:", 6) == 0) part += 6;
    if (strcmp(part, "near") == 0) s->near = 1;
    else if (!*part || s->field) return err_set(e, STATUS_USAGE, "'--split %s': expected one field, near, or FIELD,near", o->split);
    else if (strcmp(part, "id") != 0) s->field = part;
    p = comma ? comma + 1 : NULL;
  }
  return STATUS_OK;
}

enum status curate_split_group(const struct split_spec *s, struct row *r, struct err *e) {
  enum status st;
  struct span v = { NULL, 0 };
  if (s->field) {
    TRY(record_path(&r->rec, s->field, r->a, &v, e));
    if (span_type(v) == 's') TRY(span_string(v, r->a, &v, e));
  }
  if (v.p == NULL) { /* by the document it came from: children are PARENT#n */
    const char *hash = r->id.n ? memchr(r->id.p, '#', r->id.n) : NULL;
    v = (struct span){ r->id.p, hash ? (size_t)(hash - r->id.p) : r->id.n };
  }
  r->group = v;
  return STATUS_OK;
out:
  return st;
}

static const char *const names[] = { "train", "test", "valid" };
const char *curate_side_name(unsigned char side) { return side < 3 ? names[side] : ""; }

unsigned char curate_side_of(const struct curate_options *o, struct span key) {
  uint64_t h = xxh3_seed(key.p, key.n, 0x53504C4954ull + (uint64_t)o->split_seed);
  double u = (double)(h >> 11) * 0x1p-53;
  if (u < o->split_fraction) return CURATE_TEST;
  return u < o->split_fraction + o->valid_fraction ? CURATE_VALID : CURATE_TRAIN;
}
