/* SPDX-License-Identifier: Apache-2.0
 * Rows of the personal-data scanner on published example numbers, masks, placeholders, options, and time on hostile text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "pii.h"

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) fail_msg("%s: %s", status_name(st), e->msg);
}
static struct pii *new_set(const char *kinds) {
  struct pii *p;
  struct err e = { 0 };
  ok(pii_new(kinds, PII_SCORE_DEFAULT, &p, &e), &e);
  return p;
}

static const struct example { const char *text, *value, *what; } examples[] = {
  { "SSN 078-05-1120", "078-05-1120", "us_ssn" }, /* the one from the wallets, 1938 */
  { "social security no. 219 09 9999", "219 09 9999", "us_ssn" },
  { "NHS number: 943 476 5919", "943 476 5919", "uk_nhs" }, /* NHS data dictionary */
  { "NI number AB 12 34 56 C", "AB 12 34 56 C", "uk_nino" },
  { "Steuer-ID 86 095 742 719", "86 095 742 719", "de_steuer_id" }, /* example of the Federal Central Tax Office */
  { "NIR 2 55 08 14 168 025 38", "2 55 08 14 168 025 38", "fr_nir" }, /* INSEE's example */
  { "DNI 12345678Z", "12345678Z", "es_dni" },
  { "NIE X-1234567-L", "X-1234567-L", "es_nie" },
  { "CF RSSMRA85T10A562S", "RSSMRA85T10A562S", "it_codice_fiscale" }, /* Mario Rossi */
  { "BSN 111222333", "111222333", "nl_bsn" }, /* test range */
  { "CPF 529.982.247-25", "529.982.247-25", "br_cpf" },
  { "SIN 046 454 286", "", "" }, /* starts with 0: never issued; passes Luhn */
  { "SIN 130 692 544", "130 692 544", "ca_sin" },
  { "TFN 123 456 782", "123 456 782", "au_tfn" }, /* ATO's example */
  { "Aadhaar 2341 2341 2346", "2341 2341 2346", "in_aadhaar" },
  { "11010519491231002X", "11010519491231002X", "cn_resident_id" }, /* GB 11643's example */
  { "rrn 900101-1234567", "900101-1234567", "kr_rrn" },
  { "PESEL 44051401359", "44051401359", "pl_pesel" },
  { "personnummer 811218-9876", "811218-9876", "se_personnummer" },
  { "AHV 756.9217.0769.85", "756.9217.0769.85", "ch_ahv" }, /* the offices' example */
  { "S1234567D", "S1234567D", "sg_nric" },
  { "rrn 85.07.30-033.28", "85.07.30-033.28", "be_national" },
  { "card 3782 822463 10005", "3782 822463 10005", "card" }, { "card 6011111111111117", "6011111111111117", "card" }, { "card 30569309025904", "30569309025904", "card" },
  { "card 4111 1111 1111 1112", "", "" }, { "order 4111111111111111", "", "" },
  { "IBAN NL91 ABNA 0417 1643 00", "NL91 ABNA 0417 1643 00", "iban" }, { "IBAN NL91 ABNA 0417 1643 01", "", "" }, { "NO93 8601 1117 947", "NO93 8601 1117 947", "iban" },
  { "MT84MALT011000012345MTLCAST001S", "MT84MALT011000012345MTLCAST001S", "iban" },
  { "Tel.: 030 / 901820", "", "" }, { "Tel.: 030/901820", "030/901820", "announced" }, { "+44 (0)20 7946 0958", "+44 (0)20 7946 0958", "international" },
  { "(212) 555-0100", "(212) 555-0100", "north_america" }, { "(see 212-555-0100)", "212-555-0100", "north_america" }, { "0120-123-456", "0120-123-456", "japan" },
  { "10.0.0.1", "10.0.0.1", "ipv4" }, { "version 10.20.30.40", "", "" }, { "1.2.3.4", "", "" }, { "300.1.1.10", "", "" }, { "fe80::1ff:fe23:4567:890a", "fe80::1ff:fe23:4567:890a", "ipv6" },
  { "std::vector<int>", "", "" }, { "a::b", "", "" }, { "12:30:45", "", "" }, { "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "ipv6" }, { "aa:bb:cc:dd:ee:ff", "", "" },
  { "a@b.co", "a@b.co", "email" }, { "<first.last+tag@sub.example.org>.", "first.last+tag@sub.example.org", "email" }, { "user@localhost", "", "" }, { "@foo.com", "", "" }, { "git@1.2", "", "" },
  { "redis://:hunter22@cache:6379/0", "redis://:hunter22@cache:6379/0", "userinfo" }, { "https://example.com/a:b@c", "", "" }, { "https://x.io/?a=1&token=abcdef123456 z", "https://x.io/?a=1&token=abcdef123456", "query" },
  { "password: hunter2hunter2", "hunter2hunter2", "secret" }, { "password: see below", "", "" }, { "password = os.environ['PASSWORD1']", "", "" }, { "the token is required", "", "" },
  { "Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef", "bearer" }, { "xoxb-123456789012-abcdefGHIJKL", "xoxb-123456789012-abcdefGHIJKL", "slack" },
  { "sk-learn-contrib-packages-are-nice", "", "" }, { "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "", "" },
};

static void rows_find_examples(void **state) {
  (void)state;
  struct pii *p = new_set("all");
  struct arena *a = arena_new(0);
  struct err e = { 0 };
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    const struct example *x = &examples[i];
    struct pii_hit *h;
    size_t n;
    ok(pii_scan(p, (struct span){ x->text, strlen(x->text) }, a, &h, &n, &e), &e);
    if (n != (x->value[0] != 0)) fail_msg("'%s': %zu hits%s%.*s", x->text, n, n ? ", first " : "", n ? (int)h[0].bytes : 0, n ? x->text + h[0].offset : "");
    if (n && (strlen(x->value) != h[0].bytes || memcmp(x->text + h[0].offset, x->value, h[0].bytes) != 0 || strcmp(h[0].what, x->what) != 0))
      fail_msg("'%s': %s '%.*s', expected %s '%s'", x->text, h[0].what, (int)h[0].bytes, x->text + h[0].offset, x->what, x->value);
  }
  pii_free(p);
  arena_free(a);
}

static void pem_keys(void **state) {
  (void)state;
  struct pii *p = new_set("api_key");
  struct arena *a = arena_new(0);
  struct err e = { 0 };
  struct pii_hit *h;
  size_t n;
  static const char text[] = "x\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nAAB=\n-----END RSA PRIVATE KEY-----\ny";
  ok(pii_scan(p, (struct span){ text, sizeof text - 1 }, a, &h, &n, &e), &e);
  assert_int_equal(n, 1);
  assert_int_equal(h[0].offset, 2);
  assert_int_equal(h[0].bytes, sizeof text - 1 - 4);
  pii_free(p);
  arena_free(a);
}

static void masks_and_placeholders(void **state) {
  (void)state;
  struct pii *p = new_set("all");
  struct arena *a = arena_new(0);
  struct err e = { 0 };
  struct pii_hit *h;
  size_t n;
  struct buf b = { 0 };
  static const char text[] = "Mr. Smith (a@b.co) met Mrs. Jones and MR. SMITH; A@B.CO, c@d.co.";
  struct span s = { text, sizeof text - 1 };
  ok(pii_scan(p, s, a, &h, &n, &e), &e);
  ok(pii_mask(s, h, n, &b, &e), &e);
  assert_string_equal(b.p, "Mr. [PERSON] ([EMAIL]) met Mrs. [PERSON] and MR. [PERSON]; [EMAIL], [EMAIL].");
  struct pii_map *m = pii_map_new();
  buf_clear(&b);
  ok(pii_replace(s, h, n, m, &b, &e), &e);
  assert_string_equal(b.p, "Mr. [PERSON_1] ([EMAIL_1]) met Mrs. [PERSON_2] and MR. [PERSON_1]; [EMAIL_1], [EMAIL_2].");
  for (unsigned i = 0; i < 1000; i++) { /* the table grows and keeps its numbers */
    char v[20];
    unsigned k;
    snprintf(v, sizeof v, "value%u", i);
    ok(pii_map_number(m, PII_mrn, (struct span){ v, strlen(v) }, &k, &e), &e);
    assert_int_equal(k, i + 1);
  }
  unsigned k;
  ok(pii_map_number(m, PII_mrn, (struct span){ "VALUE-7", 7 }, &k, &e), &e);
  assert_int_equal(k, 8);
  pii_map_free(m);
  buf_free(&b);
  pii_free(p);
  arena_free(a);
}

static void unknown_kinds(void **state) {
  (void)state;
  struct err e = { 0 };
  struct pii *p;
  assert_int_equal(pii_new("email,fone", 0.5, &p, &e), STATUS_USAGE);
  assert_non_null(strstr(e.msg, "'fone'"));
  assert_non_null(strstr(e.msg, "url_credentials"));
  assert_int_equal(pii_new("", 0.5, &p, &e), STATUS_USAGE);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Each pattern repeated to 256 KB and to 1 MB: the time may not grow faster than the bytes (with room for a busy machine). */
static void hostile_text_is_linear(void **state) {
  (void)state;
  static const char *const patterns[] = { "@", "a@", "a.b@c.", "a@b.", "1", "1 ", "1-", "1.", "(1", "+1", "::", "1:", "a:", "://", "http://a?", "born ", "born on ", "DOB:", "mrn ", "Mr. ", "A ",
    "A.", "Mr. A, ", "Patient A A ", "Name: A", "password: ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "sk-", "AKIAA", "\xE6\xA7\x98", "\xE5\xB1\xB1", "\xE7\x94\x9F\xE3\x81\xBE\xE3\x82\x8C",
    "1980\xE5\xB9\xB4", "Dear ", "Regards,\n", "GB33", "4111 ", "eyJ", "http://a:b@c", "van ", "O'", "\xC3", "\xC3\x89", "1(1)", "medical ", "a_" };
  struct pii *p = new_set("all");
  struct err e = { 0 };
  for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
    double t[2];
    for (int big = 0; big < 2; big++) {
      size_t size = (size_t)(big ? 1024 : 256) << 10, unit = strlen(patterns[k]);
      char *text = mem_alloc(size);
      for (size_t i = 0; i < size; i++) text[i] = patterns[k][i % unit];
      struct arena *a = arena_new(0);
      struct pii_hit *h;
      size_t n;
      double start = seconds();
      ok(pii_scan(p, (struct span){ text, size }, a, &h, &n, &e), &e);
      t[big] = seconds() - start;
      arena_free(a);
      mem_free(text);
    }
    if (t[1] > 1.5 && t[1] > 10 * t[0]) fail_msg("'%s': %.3f s for 256 KB, %.3f s for 1 MB", patterns[k], t[0], t[1]);
    if (t[1] > 0.2) print_message("'%s': %.3f s a MB\n", patterns[k], t[1]);
  }
  pii_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(rows_find_examples), cmocka_unit_test(pem_keys), cmocka_unit_test(masks_and_placeholders), cmocka_unit_test(unknown_kinds),
                                      cmocka_unit_test(hostile_text_is_linear) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
