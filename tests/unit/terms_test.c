/* SPDX-License-Identifier: Apache-2.0
 * The terms gate: what passes, what is refused, and what is written on rows. The facts are those of fetch/terms.yaml; the test fails
 * when an edit of the table opens the gate for one of the cases that must stay shut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "terms.h"

struct row {
  struct terms_subject s;
  const char *stated, *accept;
  enum status want;
  const char *text; /* terms on success, part of the message else */
};

static void decisions(void **state)
{
  (void)state;
  static const struct row rows[] = {
    { { .label = "t", .licence = "apache-2.0" }, NULL, NULL, STATUS_OK, "apache-2.0" },
    { { .label = "t", .licence = "Apache-2.0" }, NULL, NULL, STATUS_OK, "apache-2.0" },
    { { .label = "t", .file = "SmolLM2-135M-Instruct.Q4_1.gguf" }, NULL, NULL, STATUS_OK, "apache-2.0" },
    { { .label = "t", .licence = "gemma", .file = "x.gguf" }, NULL, NULL, STATUS_TERMS, "Model Derivative" },
    { { .label = "t", .file = "gemma-3-270m.gguf" }, NULL, NULL, STATUS_TERMS, "--accept-terms" },
    { { .label = "t", .file = "gemma-3-270m.gguf" }, NULL, "our lawyers agreed", STATUS_OK, "gemma; accepted: our lawyers agreed" },
    { { .label = "t", .file = "gemma-3-270m.gguf" }, NULL, "", STATUS_TERMS, "gemma" },
    { { .label = "t", .name = "some-model", .host = "127.0.0.1" }, NULL, NULL, STATUS_TERMS, "nothing is known" },
    { { .label = "t", .name = "some-model", .host = "127.0.0.1" }, "MIT", NULL, STATUS_OK, "mit" },
    { { .label = "t", .name = "some-model", .host = "127.0.0.1" }, "made-up-1.0", NULL, STATUS_TERMS, "not in the table" },
    { { .label = "t", .name = "some-model", .host = "127.0.0.1" }, NULL, "test", STATUS_OK, "unknown; accepted: test" },
    { { .label = "t", .name = "gpt-x", .host = "api.openai.com" }, NULL, NULL, STATUS_TERMS, "openai-api" },
    { { .label = "t", .name = "gemini-2.5-pro", .host = "generativelanguage.googleapis.com" }, NULL, NULL, STATUS_TERMS, "gemini-api" },
    { { .label = "t", .name = "grok-4", .host = "api.x.ai" }, NULL, NULL, STATUS_TERMS, "forbid" },
    { { .label = "t", .licence = "llama2" }, NULL, NULL, STATUS_TERMS, "forbid" },
    { { .label = "t", .licence = "llama3" }, NULL, NULL, STATUS_TERMS, "forbid" },
    { { .label = "t", .licence = "llama3.1" }, NULL, NULL, STATUS_TERMS, "begins with \"Llama\"" },
    { { .label = "t", .file = "Llama-3.2-1B-Instruct.Q4_K_M.gguf" }, NULL, NULL, STATUS_TERMS, "llama3.2" },
    { { .label = "t", .file = "Meta-Llama-3-8B-Instruct.gguf" }, NULL, NULL, STATUS_TERMS, "forbid" },
    { { .label = "t", .file = "Meta-Llama-3.1-8B-Instruct.gguf" }, NULL, NULL, STATUS_TERMS, "llama3.1" },
    { { .label = "t", .name = "Qwen/Qwen2.5-7B-Instruct", .host = "127.0.0.1" }, NULL, NULL, STATUS_OK, "apache-2.0" },
    { { .label = "t", .name = "Qwen/Qwen2.5-72B-Instruct", .host = "127.0.0.1" }, NULL, NULL, STATUS_TERMS, "Built with Qwen" },
    { { .label = "t", .name = "Qwen/Qwen2.5-3B-Instruct", .host = "127.0.0.1" }, NULL, NULL, STATUS_TERMS, "nothing is known" },
    { { .label = "t", .name = "deepseek-ai/DeepSeek-R1", .host = "127.0.0.1" }, NULL, NULL, STATUS_OK, "mit" },
    { { .label = "t", .file = "DeepSeek-R1-Distill-Llama-8B.gguf" }, NULL, NULL, STATUS_TERMS, "llama3.1" },
    { { .label = "t", .file = "gemma-4-e4b.gguf" }, NULL, NULL, STATUS_OK, "apache-2.0" },
    /* a provider's own terms come before the licence of what it serves */
    { { .label = "t", .name = "Qwen/Qwen2.5-7B-Instruct", .host = "api.together.xyz" }, NULL, NULL, STATUS_TERMS, "provider-unread" },
    { { .label = "t", .name = "mistral-7b-instruct", .host = "api.mistral.ai" }, NULL, NULL, STATUS_TERMS, "provider-unread" },
    /* weights that say otherwise win over a friendly file name */
    { { .label = "t", .licence = "other", .file = "smollm2.gguf" }, NULL, NULL, STATUS_TERMS, "other" },
  };
  struct arena *a = arena_new(0);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *terms = NULL, *notice = NULL;
    struct err e = { 0 };
    enum status st = terms_gate(&rows[i].s, rows[i].stated, rows[i].accept, a, &terms, &notice, &e);
    if (st != rows[i].want) {
      fail_msg("case %zu: status %d (%s), expected %d", i, st, e.msg, rows[i].want);
    }
    if (st == STATUS_OK) {
      assert_string_equal(terms, rows[i].text);
      assert_non_null(notice);
    } else if (strstr(e.msg, rows[i].text) == NULL) {
      fail_msg("case %zu: '%s' does not say '%s'", i, e.msg, rows[i].text);
    }
  }
  arena_free(a);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(decisions) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
