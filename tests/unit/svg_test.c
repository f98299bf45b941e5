/* SPDX-License-Identifier: Apache-2.0
 * The report's pictures: everything drawn lies inside its frame, hostile numbers and texts included; escaping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include "rng.h"
#include "svg.h"

static struct err err;

/* Every value of the attribute lies in [lo, hi]; returns how many there were. */
static int all_within(const char *text, const char *attribute, double lo, double hi) {
  int n = 0;
  for (const char *p = text; (p = strstr(p, attribute)) != NULL; n++) {
    p += strlen(attribute);
    double v = strtod(p, NULL);
    if (!(v >= lo && v <= hi)) fail_msg("%s%g is outside %g..%g", attribute, v, lo, hi);
  }
  return n;
}

static void check_picture(const struct buf *b) {
  assert_null(strstr(b->p, "nan"));
  assert_null(strstr(b->p, "inf"));
  all_within(b->p, " cx=\"", 0, 640);
  all_within(b->p, " cy=\"", 0, 300);
  all_within(b->p, " x1=\"", 0, 640);
  all_within(b->p, " y1=\"", 0, 300);
  for (const char *p = b->p; (p = strstr(p, "class=\"line\" stroke=\"var(--c0)\" d=\"M")) != NULL;) {
    p += strlen("class=\"line\" stroke=\"var(--c0)\" d=\"");
    while (*p == 'M' || *p == 'L') { /* path points */
      char *end;
      double x = strtod(p + 1, &end), y = strtod(end, &end);
      assert_true(x >= 0 && x <= 640 && y >= 0 && y <= 300);
      p = end;
    }
  }
  size_t open = 0, close = 0;
  for (const char *p = b->p; (p = strstr(p, "<svg")) != NULL; p++) open++;
  for (const char *p = b->p; (p = strstr(p, "</svg>")) != NULL; p++) close++;
  assert_int_equal(open, close);
}

static int plot(const double *x, const double *y, size_t n, struct buf *b) {
  int drawn;
  struct svg_series s[2] = { { "a<b", 0, SVG_LINE, x, y, n }, { "held-out", 7, SVG_DOTS, x, y, n } };
  assert_int_equal(svg_plot(b, &(struct svg_plot){ "t&t", "tokens", "nat", s, 2 }, &drawn, &err), STATUS_OK);
  return drawn;
}

static void plots_of_hostile_numbers(void **state) {
  (void)state;
  const double one[] = { 5 }, same[] = { 2, 2, 2 }, steps[] = { 1, 2, 3 }, gaps[] = { 1, NAN, 3 }, none[] = { NAN, INFINITY, -INFINITY }, wide[] = { 1e-9, 1, 1e12 },
               negative[] = { -5, 0, 5 }, tiny[] = { 1, 1 + 1e-15, 1 };
  const struct { const double *x, *y; size_t n; int drawn; } cases[] = { { one, one, 1, 1 }, { steps, same, 3, 1 }, { same, steps, 3, 1 }, { steps, gaps, 3, 1 },
    { steps, none, 3, 0 }, { steps, wide, 3, 1 }, { steps, negative, 3, 1 }, { steps, tiny, 3, 1 }, { one, one, 0, 0 } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct buf b = { 0 };
    assert_int_equal(plot(cases[i].x, cases[i].y, cases[i].n, &b), cases[i].drawn);
    if (cases[i].drawn) check_picture(&b);
    else assert_int_equal(b.n, 0);
    if (cases[i].y == wide) assert_non_null(strstr(b.p, "log scale"));
    if (cases[i].y == negative) assert_null(strstr(b.p, "log scale"));
    if (cases[i].drawn) assert_non_null(strstr(b.p, "a&lt;b"));
    buf_free(&b);
  }
}

static void plots_of_random_numbers(void **state) {
  (void)state;
  struct rng g = { 11, 2, 0 };
  for (int round = 0; round < 300; round++) {
    double x[20], y[20];
    size_t n = 1 + (size_t)rng_below(&g, 20);
    double scale = pow(10, (double)rng_below(&g, 30) - 15), shift = (double)rng_below(&g, 3) * scale;
    for (size_t i = 0; i < n; i++) x[i] = (double)i * scale, y[i] = rng_normal(&g) * scale + shift;
    struct buf b = { 0 };
    assert_int_equal(plot(x, y, n, &b), 1);
    check_picture(&b);
    buf_free(&b);
    struct svg_point p[20];
    int drawn;
    for (size_t i = 0; i < n; i++) p[i] = (struct svg_point){ "m\"", x[i] + scale, fabs(y[i]), (int)i };
    assert_int_equal(svg_scatter(&b, "s", "MB", "KL", p, n, &drawn, &err), STATUS_OK);
    assert_int_equal(drawn, 1);
    check_picture(&b);
    assert_int_equal(all_within(b.p, " cx=\"", 62, 640 - 18), n); /* points inside the axes */
    buf_free(&b);
  }
}

static void text_is_escaped(void **state) {
  (void)state;
  struct buf b = { 0 };
  assert_int_equal(html_put(&b, (struct span){ "<a href=\"x\">'&\xff\x01\n\xC3\xA9", 19 }, &err), STATUS_OK);
  assert_string_equal(b.p, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\xEF\xBF\xBD\xEF\xBF\xBD\n\xC3\xA9");
  buf_free(&b);
  static const struct { double v; const char *text; } si[] = { { 0, "0" }, { 999, "999" }, { 1000, "1k" }, { 82000000, "82M" }, { 1.5e9, "1.5G" }, { 0.12345, "0.1235" }, { -2000, "-2k" } };
  for (size_t i = 0; i < sizeof si / sizeof *si; i++) {
    char t[32];
    svg_si(t, si[i].v);
    assert_string_equal(t, si[i].text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(plots_of_hostile_numbers), cmocka_unit_test(plots_of_random_numbers), cmocka_unit_test(text_is_escaped) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
