/* SPDX-License-Identifier: Apache-2.0
 * Targets out of the book (corpora/shard_recorded.h), against answers made by hand: "the other text" is the tokens `the`, ` other`,
 * ` text` of the golden tokenizer qwen2_small, and the server's tokens are whatever a case says. */
#include "check.h"
#include <math.h>
#include <string.h>
#include "scratch_file.h"
#include "book.h"
#include "hash.h"
#include "shard_recorded.h"
#include "template.h"

#define IDENTITY "http://host/v1#m"
#define REQUEST "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define ROW "{\"id\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"},{\"role\":\"assistant\",\"content\":\"%s\"}]," \
            "\"teacher\":{\"identity\":\"%s\",\"key\":\"%s\"}}"
#define TOKEN(text, lp, more) "{\"token\":\"" text "\",\"logprob\":" lp ",\"top_logprobs\":[{\"token\":\"" text "\",\"logprob\":" lp "}" more "]}"
#define ALSO(text, lp) ",{\"token\":\"" text "\",\"logprob\":" lp "}"
#define THREE TOKEN("the", "-0.5", ALSO("a", "-1.5") ALSO("zzqqzz", "-2")) "," TOKEN(" other", "-0.1", ) "," TOKEN(" text", "-0.2", ALSO("s", "-9999"))

enum { THE = 1782, OTHER = 1008, TEXT = 1467 };
static struct tokenizer *tok;
static const struct chat_template *chat;
static int books;

struct joined { struct document d; struct recorded *r; struct arena *a; };

static void join_end(struct joined *j) {
  recorded_close(j->r);
  arena_free(j->a);
}

/* One answer in a new book, one row that names it, k = 2. Returns the status of the join. */
static enum status join(struct joined *j, const char *tokens, const char *content, const char *finish, const char *question, const char *answer,
                        const char *identity, struct err *why) {
  struct book *b;
  unsigned char key[32];
  char path[300], replay[400], hex[65], text[8192], row[2048];
  const char note[] = "{\"dialect\":\"openai\",\"name\":\"m\",\"identity\":\"" IDENTITY "\",\"model\":\"m\",\"terms\":\"mit\"}";
  memset(j, 0, sizeof *j);
  snprintf(path, sizeof path, "%s", scratch_path("book"));
  snprintf(path + strlen(path), sizeof path - strlen(path), "%d", books++);
  OK(book_open(path, BOOK_CREATE, &b, e));
  OK(book_note(b, "teacher", (struct span){ note, strlen(note) }, e));
  book_key((struct span){ IDENTITY, strlen(IDENTITY) }, (struct span){ REQUEST, strlen(REQUEST) }, 0, key);
  int n = snprintf(text, sizeof text, "{\"choices\":[{\"index\":0,\"finish_reason\":\"%s\",\"message\":{\"content\":\"%s\"}%s%s%s}]}", finish, content,
                   tokens ? ",\"logprobs\":{\"content\":[" : "", tokens ? tokens : "", tokens ? "]}" : "");
  struct book_answer ans = { .body = { REQUEST, strlen(REQUEST) }, .answer = { text, (size_t)n }, .meta = { "{}", 2 } };
  OK(book_put(b, key, &ans, e));
  OK(book_close(b, e));
  hash_hex(key, 32, hex);
  n = snprintf(row, sizeof row, ROW, question, answer, identity, hex);
  j->a = j->d.a = arena_new(0);
  char *line = arena_strndup(j->a, row, (size_t)n);
  OK(record_split((struct span){ line, (size_t)n }, j->a, &j->d.rec, e));
  struct row_rules rules = { .tokenizer = tok, .chat = chat, .vocab = tokenizer_vocab(tok) };
  OK(document_from_row(&rules, &j->d, e));
  snprintf(replay, sizeof replay, "replay:%s", path);
  OK(recorded_open(replay, 2, tok, NULL, NULL, &j->r, e));
  return recorded_join(j->r, &j->d, why);
}

static size_t in_loss(const struct document *d) {
  size_t n = 0;
  for (size_t i = 0; i < d->n; i++) n += d->mask[i];
  return n;
}

static void joins_what_was_told(void **state) {
  struct joined j;
  (void)state;
  OK(join(&j, THREE, "the other text", "stop", "hi", "the other text", IDENTITY, e));
  const struct row_targets *t = &j.d.targets;
  assert_null(j.d.reason);
  assert_int_equal(in_loss(&j.d), 4); /* three and the end of the turn */
  assert_int_equal(t->n, 4);
  assert_int_equal(t->top_id[0], THE);
  assert_float_equal(t->top_logprob[0], -0.5, 1e-6);
  assert_int_equal(t->top_id[1], tokenizer_id(tok, "a"));
  assert_float_equal(t->top_logprob[1], -1.5, 1e-6);
  assert_float_equal(t->rest[0], log(1 - exp(-0.5) - exp(-1.5)), 1e-5); /* what no token of ours has is in the rest */
  assert_int_equal(t->top_id[2], OTHER);
  assert_float_equal(t->top_logprob[3], -100, 0); /* one alternative only: padded */
  assert_int_not_equal(t->top_id[3], OTHER);
  assert_float_equal(t->rest[1], log(1 - exp(-0.1)), 1e-5);
  assert_int_equal(t->top_id[4], TEXT);
  assert_float_equal(t->top_logprob[5], -100, 0); /* -9999 */
  assert_int_equal(t->top_id[6], tokenizer_id(tok, "<|im_end|>"));
  assert_float_equal(t->top_logprob[6], 0, 0);
  join_end(&j);
}

static void the_end_is_as_told(void **state) {
  struct joined j;
  (void)state;
  OK(join(&j, THREE "," TOKEN("<|im_end|>", "-0.7", ALSO("!", "-1")), "the other text", "stop", "hi", "the other text", IDENTITY, e));
  assert_int_equal(j.d.targets.n, 4);
  assert_float_equal(j.d.targets.top_logprob[6], -0.7, 1e-6);
  assert_int_equal(j.d.targets.top_id[7], tokenizer_id(tok, "!"));
  join_end(&j);
  OK(join(&j, THREE, "the other text", "length", "hi", "the other text", IDENTITY, e)); /* cut off: nobody said it ends here */
  assert_int_equal(j.d.targets.n, 3);
  assert_int_equal(in_loss(&j.d), 3);
  join_end(&j);
}

static void other_tokens_leave_the_loss(void **state) {
  struct joined j;
  uint64_t with, without;
  (void)state;
  OK(join(&j, TOKEN("the o", "-0.5", ) "," TOKEN("ther", "-0.5", ) "," TOKEN(" text", "-0.25", ), "the other text", "stop", "hi", "the other text", IDENTITY, e));
  assert_null(j.d.reason);
  assert_int_equal(j.d.targets.n, 2);
  assert_int_equal(j.d.targets.top_id[0], TEXT);
  assert_float_equal(j.d.targets.top_logprob[0], -0.25, 1e-6);
  recorded_counts(j.r, &with, &without);
  assert_int_equal(with, 2);
  assert_int_equal(without, 2);
  join_end(&j);
}

static void what_does_not_belong_is_dropped(void **state) {
  static const struct { const char *tokens, *content, *question, *answer, *identity, *reason; } rows[] = {
    { NULL, "the other text", "hi", "the other text", IDENTITY, "no_logprobs" },
    { THREE, "the other text", "ho", "the other text", IDENTITY, "other_context" },
    { THREE, "the other text", "hi", "the other", IDENTITY, "other_text" },
    { THREE, "the other text", "hi", "the other text", "http://elsewhere/v1#m", "other_teacher" },
    { TOKEN("so ", "-1", ) "," THREE, "the other text", "hi", "the other text", IDENTITY, "other_text" }, /* reasoning in front */
    { TOKEN("the", "-1", ), "the other text", "hi", "the other text", IDENTITY, "other_text" },
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct joined j;
    OK(join(&j, rows[i].tokens, rows[i].content, "stop", rows[i].question, rows[i].answer, rows[i].identity, e));
    if (!j.d.reason || strcmp(j.d.reason, rows[i].reason) != 0) fail_msg("case %zu: %s, expected %s", i, j.d.reason ? j.d.reason : "kept", rows[i].reason);
    join_end(&j);
  }
}

static void impossible_mass_is_an_error(void **state) {
  struct joined j;
  (void)state;
  FAILS(STATUS_DATA, "sum to 1.2", join(&j, TOKEN("the", "-0.5", ALSO("a", "-0.5")) "," TOKEN(" other", "-0.1", ) "," TOKEN(" text", "-0.2", ), "the other text", "stop", "hi",
                                        "the other text", IDENTITY, e));
  join_end(&j);
}

int main(void) {
  static const struct CMUnitTest tests[] = { cmocka_unit_test(joins_what_was_told), cmocka_unit_test(the_end_is_as_told),
                                             cmocka_unit_test(other_tokens_leave_the_loss), cmocka_unit_test(what_does_not_belong_is_dropped),
                                             cmocka_unit_test(impossible_mass_is_an_error) };
  struct err e;
  if (tokenizer_open(TEST_SOURCE "/tests/golden/data/tokenizer/qwen2_small.tokenizer.json", &tok, &e) != STATUS_OK ||
      template_find("chatml", tok, &chat, &e) != STATUS_OK) {
    fprintf(stderr, "%s\n", e.msg);
    return 1;
  }
  int bad = cmocka_run_group_tests(tests, scratch_begin, scratch_end);
  tokenizer_close(tok);
  return bad;
}
