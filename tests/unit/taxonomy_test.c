/* SPDX-License-Identifier: Apache-2.0
 * Every name in the taxonomy exists, every recipe and kind is named by some row, and every part of the survey is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "asset.h"
#include "label.h"
#include "loss.h"
#include "recipe.h"
#include "stage.h"
#include "taxonomy.h"

static int exists(const char *what, const char *name)
{
  struct err e;
  if (strcmp(what, "recipe") == 0) {
    struct recipe *r = NULL;
    enum status st = recipe_open(name, &r, &e);
    recipe_close(r);
    return st == STATUS_OK;
  }
  if (strcmp(what, "label") == 0) {
    const struct kind *const *k = kind_table;
    while (*k != NULL && strcmp((*k)->name, name) != 0) {
      k++;
    }
    return *k != NULL;
  }
  if (strcmp(what, "loss") == 0) {
    return loss_find(name) != NULL;
  }
  return strcmp(what, "stage") == 0 && stage_find(name) != NULL;
}

static void names_exist(void **state)
{
  (void)state;
  size_t rows = 0;
  for (const struct taxon *t = taxonomy_table; t->part != NULL; t++, rows++) {
    if (strncmp(t->serves, "out of scope (", 14) == 0 || strncmp(t->serves, "not yet (", 9) == 0) {
      continue;
    }
    char copy[400], *save = NULL;
    snprintf(copy, sizeof copy, "%s", t->serves);
    for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
      char *colon = strchr(w, ':');
      assert_non_null(colon);
      *colon = '\0';
      if (!exists(w, colon + 1)) {
        fail_msg("%s / %s: there is no %s '%s'", t->part, t->row, w, colon + 1);
      }
    }
  }
  /* sheets E2 (6), E3 (6), E4 (3 + 3 + 2 + 6 + 1), E5 (7): 34 rows */
  assert_int_equal(rows, 34);
}

static int named(const char *token)
{
  size_t n = strlen(token);
  for (const struct taxon *t = taxonomy_table; t->part != NULL; t++) {
    for (const char *at = strstr(t->serves, token); at != NULL; at = strstr(at + 1, token)) {
      if (at[n] == ' ' || at[n] == '\0') {
        return 1;
      }
    }
  }
  return 0;
}

static void all_are_named(void **state)
{
  (void)state;
  char token[200];
  for (const struct kind *const *k = kind_table; *k != NULL; k++) {
    snprintf(token, sizeof token, "label:%s", (*k)->name);
    assert_true(named(token));
  }
  for (const struct asset *s = asset_table; s->name != NULL; s++) {
    if (strncmp(s->name, "augment/recipes/", 16) == 0) {
      snprintf(token, sizeof token, "recipe:%.*s", (int)strcspn(s->name + 16, "."), s->name + 16);
      if (!named(token)) {
        fail_msg("no row names %s", token);
      }
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(names_exist), cmocka_unit_test(all_are_named) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
