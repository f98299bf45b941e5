/* SPDX-License-Identifier: Apache-2.0
 * Archives and compressed files through libarchive: members are streamed to document_read, never written to disk. Bounded: the
 * bytes unpacked from one archive, the depth of archives in archives, member names that climb out are refused. A zip with
 * word/document.xml inside is a DOCX and gives one document. */
#include "document.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

#define ARCHIVE_MAX_DEPTH 4

int doc_sniff_archive(const struct doc_stream *s)
{
  return doc_starts(s, 0, "PK\3\4", 4) || doc_starts(s, 0, "PK\5\6", 4) || doc_starts(s, 0, "\x1f\x8b", 2) ||
         doc_starts(s, 0, "\x28\xb5\x2f\xfd", 4) || doc_starts(s, 0, "\xfd" "7zXZ", 5) || doc_starts(s, 0, "BZh", 3) ||
         doc_starts(s, 257, "ustar", 5);
}

struct pack {
  struct doc_job *j;
  struct archive *a;
  unsigned char in[1 << 16];
  uint64_t unpacked;
  const char *too_large; /* set when a bound was hit, to be told at the archive */
};

static la_ssize_t pack_in(struct archive *a, void *ctx, const void **p)
{
  struct pack *k = ctx;
  struct err own;
  size_t got = 0;
  if (doc_pull(k->j->s, k->in, sizeof k->in, &got, &own) != STATUS_OK) {
    archive_set_error(a, EIO, "%s", own.msg);
    return -1;
  }
  *p = k->in;
  return (la_ssize_t)got;
}

static enum status pack_open(struct pack *k, struct err *e)
{
  k->a = archive_read_new();
  if (k->a == NULL) {
    return err_nomem(e, sizeof *k);
  }
  archive_read_support_filter_gzip(k->a);
  archive_read_support_filter_zstd(k->a);
  archive_read_support_filter_xz(k->a);
  archive_read_support_filter_bzip2(k->a);
  archive_read_support_format_tar(k->a);
  archive_read_support_format_zip_streamable(k->a);
  /* "raw" takes anything, so it is offered only for compressed single files; a tar inside bids higher. */
  if (!doc_starts(k->j->s, 0, "PK", 2) && !doc_starts(k->j->s, 257, "ustar", 5)) {
    archive_read_support_format_raw(k->a);
  }
  if (archive_read_open(k->a, k, NULL, pack_in, NULL) != ARCHIVE_OK) {
    const char *why = archive_error_string(k->a);
    return doc_refuse(k->j, DOC_FAILED, "archive", e, "%s", why ? why : "not an archive");
  }
  return STATUS_OK;
}

/* doc_stream of one member */
static enum status member_read(void *ctx, void *p, size_t n, size_t *got, struct err *e)
{
  struct pack *k = ctx;
  la_ssize_t r = archive_read_data(k->a, p, n);
  if (r < 0) {
    const char *why = archive_error_string(k->a);
    return err_set(e, STATUS_DATA, "%s", why ? why : "cannot unpack");
  }
  k->unpacked += (uint64_t)r;
  if (k->unpacked > k->j->o->max_unpacked_bytes) {
    k->too_large = "too large";
    return err_set(e, STATUS_LIMIT, "unpacks to more than %llu bytes (--max-unpacked)",
                   (unsigned long long)k->j->o->max_unpacked_bytes);
  }
  *got = (size_t)r;
  return STATUS_OK;
}

static int climbs(const char *name)
{
  if (name[0] == '/') {
    return 1;
  }
  for (const char *c = name; *c != '\0';) {
    size_t n = strcspn(c, "/\\");
    if (n == 2 && c[0] == '.' && c[1] == '.') {
      return 1;
    }
    c += n + (c[n] != '\0');
  }
  return 0;
}

/* Name of the compressed single file: the archive's without its last suffix. */
static char *raw_name(struct arena *a, const char *name)
{
  const char *slash = strrchr(name, '/'), *dot;
  name = slash ? slash + 1 : name;
  dot = strrchr(name, '.');
  return arena_strndup(a, name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static enum status member(struct pack *k, struct archive_entry *entry, struct arena *a, struct err *e)
{
  struct doc_job *j = k->j;
  int raw = archive_format(k->a) == ARCHIVE_FORMAT_RAW;
  const char *name = archive_entry_pathname_utf8(entry);
  name = name ? name : archive_entry_pathname(entry);
  name = raw ? raw_name(a, j->s->name) : arena_strndup(a, name ? name : "unnamed", strlen(name ? name : "unnamed"));
  char *uri = name == NULL ? NULL : raw ? arena_strndup(a, j->s->uri, strlen(j->s->uri)) : arena_printf(a, "%s!/%s", j->s->uri, name);
  if (uri == NULL) {
    return err_nomem(e, 256);
  }
  j->told = 1;
  if (climbs(name)) {
    return j->sink_status = j->sink->refused(j->sink->ctx, uri, DOC_FAILED, "unsafe name", "the member's name climbs out of the archive", e);
  }
  if (!raw && archive_entry_filetype(entry) != AE_IFREG) {
    return archive_entry_filetype(entry) == AE_IFDIR
               ? STATUS_OK
               : (j->sink_status = j->sink->refused(j->sink->ctx, uri, DOC_DROPPED, "link or special file", "not a plain file", e));
  }
  if (archive_entry_hardlink(entry) != NULL) {
    return j->sink_status = j->sink->refused(j->sink->ctx, uri, DOC_DROPPED, "link or special file", "a hard link to another member", e);
  }
  struct doc_stream *s = arena_calloc(a, 1, sizeof *s);
  if (s == NULL) {
    return err_nomem(e, sizeof *s);
  }
  *s = (struct doc_stream){ .read = member_read, .ctx = k, .uri = uri, .name = name };
  return j->sink_status = document_read(s, j->o, j->sink, j->depth + 1, e);
}

/* One part of a DOCX, whole. */
static enum status docx_part(struct pack *k, struct buf *part, struct err *e)
{
  enum status st = STATUS_OK;
  size_t got = 1;
  buf_clear(part);
  part->max_bytes = (size_t)k->j->o->max_document_bytes + ((size_t)1 << 17);
  while (got > 0) {
    TRY(buf_reserve(part, (size_t)1 << 16, e));
    TRY(member_read(k, part->p + part->n, (size_t)1 << 16, &got, e));
    part->n += got;
    if (part->n > k->j->o->max_document_bytes) {
      return doc_refuse(k->j, DOC_FAILED, "too large", e, "more than %llu bytes (--max-document)",
                        (unsigned long long)k->j->o->max_document_bytes);
    }
  }
out:
  return st;
}

/* First member of an Office file by the rules of its packaging. */
static int looks_like_docx(const struct doc_job *j)
{
  return doc_starts(j->s, 0, "PK\3\4", 4) &&
         (doc_starts(j->s, 30, "[Content_Types].xml", 19) || doc_name_ends(j->s->name, ".docx"));
}

static enum status read_docx(struct pack *k, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf body = { 0 }, core = { 0 }, text = { 0 }, title = { 0 };
  struct archive_entry *entry;
  int rc;
  k->j->kind = "docx";
  while ((rc = archive_read_next_header(k->a, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
    const char *name = archive_entry_pathname(entry);
    if (name != NULL && strcmp(name, "word/document.xml") == 0) {
      TRY(docx_part(k, &body, e));
    } else if (name != NULL && strcmp(name, "docProps/core.xml") == 0) {
      TRY(docx_part(k, &core, e));
    }
  }
  if (rc != ARCHIVE_EOF || body.n == 0) {
    const char *why = rc != ARCHIVE_EOF ? archive_error_string(k->a) : NULL;
    st = doc_refuse(k->j, DOC_FAILED, "docx", e, "%s", why ? why : "an Office file without word/document.xml (only DOCX is read)");
    goto out;
  }
  TRY(docx_text((struct span){ body.p, body.n }, &text, e));
  TRY(docx_title((struct span){ core.p, core.n }, &title, e));
  /* The hash is of the part that was read: zipped again, the same text keeps it. */
  TRY(doc_emit(k->j, (struct span){ body.p, body.n }, (struct span){ text.p, text.n }, (struct span){ title.p, title.n }, e));
out:
  buf_free(&body);
  buf_free(&core);
  buf_free(&text);
  buf_free(&title);
  return st;
}

static enum status read_members(struct pack *k, struct err *e)
{
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  struct archive_entry *entry;
  int rc;
  if (a == NULL) {
    return err_nomem(e, 64);
  }
  while ((rc = archive_read_next_header(k->a, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
    arena_reset(a);
    TRY(member(k, entry, a, e));
    if (k->too_large != NULL) {
      st = doc_refuse(k->j, DOC_FAILED, k->too_large, e, "unpacks to more than %llu bytes (--max-unpacked); the rest was not read",
                      (unsigned long long)k->j->o->max_unpacked_bytes);
      goto out;
    }
  }
  if (rc != ARCHIVE_EOF) {
    const char *why = archive_error_string(k->a);
    st = doc_refuse(k->j, DOC_FAILED, "archive", e, "%s", why ? why : "broken archive");
  } else if (!k->j->told) {
    st = doc_refuse(k->j, DOC_DROPPED, "empty", e, "an archive without members");
  }
out:
  arena_free(a);
  return st;
}

enum status doc_archive(struct doc_job *j, struct err *e)
{
  enum status st = STATUS_OK;
  if (j->depth >= ARCHIVE_MAX_DEPTH) {
    return doc_refuse(j, DOC_FAILED, "archive", e, "archives nest deeper than %d", ARCHIVE_MAX_DEPTH);
  }
  struct pack *k = mem_calloc(1, sizeof *k);
  if (k == NULL) {
    return err_nomem(e, sizeof *k);
  }
  k->j = j;
  TRY(pack_open(k, e));
  TRY(looks_like_docx(j) ? read_docx(k, e) : read_members(k, e));
out:
  if (k->a != NULL) {
    archive_read_free(k->a);
  }
  mem_free(k);
  return st;
}
