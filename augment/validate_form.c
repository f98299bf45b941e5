/* SPDX-License-Identifier: Apache-2.0
 * Validators of form: JSON, tool calls, code, steps, sums. */
#include <math.h>
#include "validate.h"
#include "opt.h"

/* The whole output matches the regular expression (model/form.h's subset). */
static int good_matches(const struct check *c)
{
  struct form f = { FORM_REGEX, json_str(c->arg) };
  struct err e;
  return form_check(&f, c->answer, &e) == STATUS_OK;
}

static int good_schema(const struct check *c)
{
  struct err e;
  return c->schema != NULL && schema_check_text(c->schema, c->answer, "answer", &e) == STATUS_OK;
}

static int good_one_of(const struct check *c)
{
  for (size_t i = 0; i < json_size(c->arg); i++) {
    if (span_same(answer_core(c->answer), json_str(json_at(c->arg, i)))) {
      return 1;
    }
  }
  return 0;
}

static int good_score(const struct check *c)
{
  double v;
  return answer_number(c->answer, json_num(json_at(c->arg, 0), 0), json_num(json_at(c->arg, 1), 0), &v);
}

/* {"name": N, "arguments": {...}}: N is a tool of the slot (a JSON array as chat templates take it) and the arguments fit its
 * parameters. */
static int good_call(const struct check *c)
{
  struct json *call = NULL, *tools = NULL;
  struct err e;
  int ok = 0;
  struct span list = c->slot(c->ctx, json_cstr(c->arg, "tools"));
  if (list.n == 0 || json_parse(c->answer, "call", &call, &e) != STATUS_OK || json_parse(list, "tools", &tools, &e) != STATUS_OK) {
    goto out;
  }
  const char *name = json_cstr(json_get(call, "name"), NULL);
  const struct json *arguments = json_get(call, "arguments");
  for (size_t i = 0; name != NULL && json_type(arguments) == JSON_OBJECT && json_size(call) == 2 && i < json_size(tools); i++) {
    const struct json *f = json_get(json_at(tools, i), "function");
    f = f ? f : json_at(tools, i);
    if (strcmp(json_cstr(json_get(f, "name"), ""), name) != 0) {
      continue;
    }
    struct schema *s = NULL;
    struct buf b = { 0 };
    if (json_get(f, "parameters") == NULL) {
      ok = json_size(arguments) == 0;
    } else if (json_put(&b, json_get(f, "parameters"), &e) == STATUS_OK && schema_open((struct span){ b.p, b.n }, name, &s, &e) == STATUS_OK) {
      ok = schema_check(s, arguments, &e) == STATUS_OK;
    }
    schema_close(s);
    buf_free(&b);
    break;
  }
out:
  json_free(call);
  json_free(tools);
  return ok;
}

/* A JSON array of tools: name, description, parameters that are a schema of an object. */
static int good_tools(const struct check *c)
{
  struct json *tools = NULL;
  struct err e;
  int ok = json_parse(c->answer, "tools", &tools, &e) == STATUS_OK && json_type(tools) == JSON_ARRAY && json_size(tools) > 0;
  for (size_t i = 0; ok && i < json_size(tools); i++) {
    const struct json *f = json_get(json_at(tools, i), "function");
    struct schema *s = NULL;
    struct buf b = { 0 };
    ok = json_cstr(json_get(f, "name"), NULL) != NULL && *json_cstr(json_get(f, "name"), "") && json_cstr(json_get(f, "description"), NULL) != NULL &&
         strcmp(json_cstr(json_path(f, "parameters.type"), ""), "object") == 0 && json_put(&b, json_get(f, "parameters"), &e) == STATUS_OK &&
         schema_open((struct span){ b.p, b.n }, "parameters", &s, &e) == STATUS_OK;
    schema_close(s);
    buf_free(&b);
  }
  json_free(tools);
  return ok;
}

/* Program text: brackets and strings close, and it is no prose (a line in three ends or begins as code does). */
static int good_code(const struct check *c)
{
  struct span rest = c->answer;
  size_t lines = 0, codes = 0;
  while (rest.n > 0) {
    struct span raw = span_line(&rest), l = span_trim(raw);
    if (l.n == 0) {
      continue;
    }
    lines++;
    static const char *const starts[] = { "def ", "return", "import ", "from ", "class ", "if ", "for ", "while ", "print", "#", "//", "int ", "void ", "const ", "let ", "var ", "function ", "public ",
                                          "struct ", "fn ", "SELECT ", "elif ", "else", "try", "@", "}", "assert", NULL };
    int code = strchr(";{}:),]", l.p[l.n - 1]) != NULL || (memchr(l.p, '=', l.n) != NULL && memchr(l.p, '.', l.n) != l.p + l.n - 1);
    for (const char *const *s = starts; *s != NULL && !code; s++) {
      code = l.n >= strlen(*s) && memcmp(l.p, *s, strlen(*s)) == 0 && (l.p[l.n - 1] != '.' || strchr("#/", l.p[0]) != NULL);
    }
    codes += (size_t)code;
  }
  return lines > 0 && answer_balanced(c->answer) && codes * 3 >= lines * 2;
}

/* Every ``` is closed and holds something. */
static int good_fences(const struct check *c)
{
  struct span rest = c->answer;
  int open = 0;
  size_t inside = 0;
  while (rest.n > 0) {
    struct span l = span_trim(span_line(&rest));
    if (l.n >= 3 && memcmp(l.p, "```", 3) == 0) {
      if (open && (inside == 0 || l.n > 3)) {
        return 0;
      }
      open = !open;
      inside = 0;
    } else {
      inside += l.n;
    }
  }
  return !open && c->answer.n > 0;
}

/* Numbered steps 1, 2, 3... on lines of their own, none empty. */
static int good_steps(const struct check *c)
{
  struct span rest = c->answer;
  int64_t n = 0;
  while (rest.n > 0) {
    struct span l = span_trim(span_line(&rest));
    size_t i = 0;
    int64_t v = 0;
    if (span_begins(l, "step ")) {
      l.p += 5;
      l.n -= 5;
    }
    while (i < l.n && l.p[i] >= '0' && l.p[i] <= '9' && v < 1000) {
      v = v * 10 + (l.p[i++] - '0');
    }
    if (i == 0 || i >= l.n || strchr(".):", l.p[i]) == NULL) {
      continue;
    }
    if (v != n + 1 || span_trim((struct span){ l.p + i + 1, l.n - i - 1 }).n == 0) {
      return 0;
    }
    n++;
  }
  return n >= json_int(json_at(c->arg, 0), 1) && n <= json_int(json_at(c->arg, 1), INT64_MAX);
}

static size_t space(struct span s, size_t i)
{
  while (i < s.n && (s.p[i] == ' ' || s.p[i] == '$')) {
    i++;
  }
  return i;
}

/* A number at i; its value and end. 0 when there is none. */
static int number(struct span s, size_t i, double *v, size_t *end)
{
  size_t start = i, from = i + (i < s.n && s.p[i] == '-');
  struct span rest = { s.p + from, s.n - from }, n;
  if (from >= s.n || s.p[from] < '0' || s.p[from] > '9' || !next_number(&rest, &n) || n.n > 40) {
    return 0;
  }
  char text[48];
  size_t k = 0;
  for (size_t j = 0; j < n.n; j++) {
    if (n.p[j] != ',') {
      text[k++] = n.p[j];
    }
  }
  text[k] = '\0';
  struct err e;
  *end = (size_t)(n.p - s.p) + n.n;
  if (opt_parse_num(text, v, &e) != STATUS_OK) {
    return 0;
  }
  *v = start != from ? -*v : *v;
  return 1;
}

static double apply(char op, double x, double y)
{
  return op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : y < 0 || y > 0 ? x / y : NAN;
}

/* Every equation "a + b = c" (chains of + - * x / on numbers, products first) is right to the decimals that c shows. */
static int good_arithmetic(const struct check *c)
{
  struct span s = c->answer;
  for (size_t i = 0; i < s.n; i++) {
    double sum = 0, term, v;
    size_t end;
    int ops = 0;
    char add = '+';
    if ((i > 0 && (strchr(".,-0123456789", s.p[i - 1]) != NULL || (s.p[i - 1] | 32) >= 'a')) || !number(s, i, &term, &end)) {
      continue;
    }
    size_t at = space(s, end);
    for (;;) {
      char op = at < s.n ? s.p[at] : '\0';
      size_t after = at + 1;
      if (op == 'x' || op == 'X') {
        op = '*';
      } else if (at + 1 < s.n && (unsigned char)s.p[at] == 0xc3 && ((unsigned char)s.p[at + 1] == 0x97 || (unsigned char)s.p[at + 1] == 0xb7)) {
        op = (unsigned char)s.p[at + 1] == 0x97 ? '*' : '/';
        after = at + 2;
      }
      if (op == '\0' || strchr("+-*/", op) == NULL || !number(s, space(s, after), &v, &end)) {
        break;
      }
      ops++;
      if (op == '*' || op == '/') {
        term = apply(op, term, v);
      } else {
        sum = apply(add, sum, term);
        add = op;
        term = v;
      }
      at = space(s, end);
    }
    sum = apply(add, sum, term);
    if (ops > 0 && at < s.n && s.p[at] == '=' && number(s, space(s, at + 1), &v, &end)) {
      double slack = 0.5;
      size_t k = end;
      while (k > at && s.p[k - 1] != '.' && s.p[k - 1] != '=' ) {
        k--;
      }
      for (size_t d = s.p[k - 1] == '.' ? end - k : 0; d > 0; d--) {
        slack /= 10;
      }
      slack = s.p[k - 1] == '.' ? slack * 1.0001 : 1e-9 * (fabs(sum) > 1 ? fabs(sum) : 1);
      if (!(fabs(sum - v) <= slack)) {
        return 0;
      }
      i = end - 1;
    } else {
      i = end > i ? end - 1 : i;
    }
  }
  return s.n > 0;
}

const struct validator validators_form[] = {
  { "matches", "another form than asked for", "string", good_matches },
  { "schema", "JSON that does not fit the schema", "schema", good_schema },
  { "one_of", "none of the choices", "list of strings", good_one_of },
  { "score", "no score in range", "[min, max]", good_score },
  { "call", "no call of a known tool with fitting arguments", "slot", good_call },
  { "tools", "no list of tools with schemas", "true", good_tools },
  { "code", "brackets or strings do not close, or no code", "true", good_code },
  { "fences", "a code fence is not closed", "true", good_fences },
  { "steps", "steps are not numbered 1, 2, 3", "[min, max]", good_steps },
  { "arithmetic", "a sum is wrong", "true", good_arithmetic },
  { NULL, NULL, NULL, NULL },
};
