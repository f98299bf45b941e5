/* SPDX-License-Identifier: Apache-2.0
 * Filter "language": texts whose language is not in --lang. With --lang-model a fastText classifier says which it is (the best
 * label has to be listed and reach --lang-min, as in datatrove); without one the share of letters in the scripts of the listed
 * languages decides, which cannot tell languages of one script apart. */
#include "curate.h"
#include "filter_text.h"
#include "lid.h"
#include "log.h"

enum script { LATIN = 1, CYRILLIC = 2, GREEK = 4, ARABIC = 8, HEBREW = 16, DEVANAGARI = 32, BENGALI = 64, THAI = 128, HANGUL = 256, KANA = 512, HAN = 1024, ARMENIAN = 2048, GEORGIAN = 4096, TAMIL = 8192, TELUGU = 16384, ETHIOPIC = 32768, OTHER = 65536 };
static const struct range { int32_t from, to; unsigned script; } ranges[] = { /* rising; letters only are asked */
  { 0x0041, 0x02AF, LATIN }, { 0x0370, 0x03FF, GREEK }, { 0x0400, 0x052F, CYRILLIC }, { 0x0530, 0x058F, ARMENIAN }, { 0x0590, 0x05FF, HEBREW }, { 0x0600, 0x077F, ARABIC },
  { 0x0900, 0x097F, DEVANAGARI }, { 0x0980, 0x09FF, BENGALI }, { 0x0B80, 0x0BFF, TAMIL }, { 0x0C00, 0x0C7F, TELUGU }, { 0x0E00, 0x0E7F, THAI }, { 0x10A0, 0x10FF, GEORGIAN },
  { 0x1100, 0x11FF, HANGUL }, { 0x1200, 0x137F, ETHIOPIC }, { 0x1E00, 0x1EFF, LATIN }, { 0x1F00, 0x1FFF, GREEK }, { 0x3005, 0x3007, HAN }, { 0x3040, 0x30FF, KANA }, { 0x3400, 0x9FFF, HAN }, { 0xAC00, 0xD7A3, HANGUL },
  { 0xF900, 0xFAFF, HAN }, { 0xFB50, 0xFDFF, ARABIC }, { 0xFE70, 0xFEFF, ARABIC }, { 0xFF21, 0xFF5A, LATIN }, { 0xFF66, 0xFF9F, KANA }, { 0x20000, 0x3FFFF, HAN } };
static const struct { const char *codes; unsigned scripts; } languages[] = { /* any other code is written in Latin */
  { "ru,uk,be,bg,mk,sr,kk,ky,mn,tg,tt,ba,cv,os,ce", CYRILLIC }, { "el", GREEK }, { "ar,fa,ur,ps,sd,ug,ckb,arz,azb,pnb", ARABIC }, { "he,yi", HEBREW }, { "hi,mr,ne,sa,mai,bh,gom,new", DEVANAGARI },
  { "bn,as,bpy", BENGALI }, { "ta", TAMIL }, { "te", TELUGU }, { "th", THAI }, { "ko", HANGUL | HAN }, { "ja", KANA | HAN }, { "zh,yue,wuu", HAN }, { "hy", ARMENIAN }, { "ka,xmf", GEORGIAN }, { "am", ETHIOPIC } };

struct state {
  struct lid *lid;
  unsigned scripts;
};

/* Is the code one of a list by comma? */
static int in_list(const char *list, struct span code) {
  while (*list) {
    size_t n = strcspn(list, ",");
    if (n == code.n && memcmp(list, code.p, n) == 0) return 1;
    list += n + (list[n] == ',');
  }
  return 0;
}

static int enabled(const struct curate_options *o) { return o->lang != NULL; }

static void close_language(void *state) {
  struct state *s = state;
  if (!s) return;
  lid_close(s->lid);
  mem_free(s);
}

static enum status open_language(const struct curate_options *o, void **state, struct err *e) {
  struct state *s = *state = mem_calloc(1, sizeof *s);
  if (!s) return err_nomem(e, sizeof *s);
  for (const char *p = o->lang; *p;) {
    size_t n = strcspn(p, ","), k = 0;
    const char *letters = o->lang_model ? "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_" : "abcdefghijklmnopqrstuvwxyz-_"; /* labels of a model are its own: eng_Latn */
    if (n < 2 || n > 16 || strspn(p, letters) < n) return err_set(e, STATUS_USAGE, "'--lang %s': expected codes such as en,de,zh", o->lang);
    while (k < sizeof languages / sizeof *languages && !in_list(languages[k].codes, (struct span){ p, n })) k++;
    s->scripts |= k < sizeof languages / sizeof *languages ? languages[k].scripts : (unsigned)LATIN;
    p += n + (p[n] == ',');
  }
  if (s->scripts == 0) return err_set(e, STATUS_USAGE, "'--lang': expected codes such as en,de,zh");
  if (o->lang_model) return lid_open(o->lang_model, &s->lid, e);
  log_info("--lang without --lang-model looks at scripts only: languages of one script are not told apart");
  return STATUS_OK;
}

static unsigned script_of(int32_t c) {
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges && c >= ranges[i].from; i++)
    if (c <= ranges[i].to) return ranges[i].script;
  return OTHER;
}

static enum status by_script(const struct state *s, const struct curate_options *o, struct row *r, struct err *e) {
  size_t letters = 0, ours = 0, k, at = 0;
  for (size_t i = 0; i < r->text.n; i += k) {
    int32_t c = text_char(r->text.p + i, r->text.n - i, &k);
    if (!text_is_alpha(c)) continue;
    letters++;
    if (script_of(c) & s->scripts) ours++;
    else if (letters - ours == 1) at = i; /* the first letter of another script */
  }
  double share = letters ? (double)ours / (double)letters : 1;
  if (share >= o->lang_min) return STATUS_OK;
  size_t n = r->text.n - at;
  if (n > 60) for (n = 60; ((unsigned char)r->text.p[at + n] & 0xC0) == 0x80;) n--;
  return curate_drop(r, "other_script", share, (struct span){ r->text.p + at, n }, (struct span){ "", 0 }, e);
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  const struct state *s = state;
  struct span label;
  double p;
  if (!s->lid) return by_script(s, o, r, e);
  enum status st = lid_predict(s->lid, r->text, &label, &p, e);
  if (st != STATUS_OK || (in_list(o->lang, label) && p >= o->lang_min)) return st;
  return curate_drop(r, in_list(o->lang, label) ? "language_unsure" : "other_language", p, label, (struct span){ "", 0 }, e);
}

const struct filter filter_language = { "language", "texts in languages that --lang does not list", 0, enabled, open_language, scan, close_language };
