/* SPDX-License-Identifier: Apache-2.0
 * See http_verdict.h. Transient statuses are curl's list (http_transient) and those of gateways. */
#include "http_verdict.h"
#include <stdio.h>
#include <string.h>
#include "json.h"

/* What APIs write into error.code or error.type, whatever the status. First match counts. */
static const struct { const char *code; enum verdict v; const char *reason; } codes[] = {
  { "insufficient_quota", VERDICT_QUOTA, "quota" },
  { "billing_hard_limit_reached", VERDICT_QUOTA, "quota" },
  { "billing_not_active", VERDICT_QUOTA, "quota" },
  { "billing_error", VERDICT_QUOTA, "quota" },
  { "access_terminated", VERDICT_KEY, "key" },
  { "invalid_api_key", VERDICT_KEY, "key" },
  { "authentication_error", VERDICT_KEY, "key" },
  { "content_filter", VERDICT_ANSWER, "" },
  { "content_policy_violation", VERDICT_ANSWER, "" },
  { "model_not_found", VERDICT_ADDRESS, "model" },
  { "overloaded_error", VERDICT_OVERLOAD, "overloaded" },
  { "rate_limit_exceeded", VERDICT_OVERLOAD, "http 429" },
};

static enum verdict by_status(const struct http_call *c, const char **reason)
{
  *reason = c->status == 408 ? "http 408" : c->status == 429 ? "http 429" : c->status >= 500 ? "http 5xx" : "http 4xx";
  switch (c->status) {
    case 200: return VERDICT_ANSWER;
    case 401: case 403: return VERDICT_KEY;
    case 402: return VERDICT_QUOTA;
    case 404: case 405: return VERDICT_ADDRESS;
    case 429: case 503: case 529: return VERDICT_OVERLOAD;
    case 502: case 504: case 522: case 524: return VERDICT_GATEWAY;
    default: break;
  }
  if (c->status >= 300 && c->status < 400) {
    return VERDICT_ADDRESS;
  }
  return http_transient(c->status) || (c->status > 200 && c->status < 300) ? VERDICT_AGAIN : VERDICT_REFUSED;
}

enum verdict http_verdict(const struct http_call *c, const char **reason)
{
  struct json *root = NULL;
  *reason = "connection";
  if (c->unreachable) {
    return VERDICT_AWAY;
  }
  if (c->too_long) {
    *reason = "answer too long";
    return VERDICT_AGAIN;
  }
  if (c->error[0] != '\0') {
    return VERDICT_GATEWAY;
  }
  enum verdict v = by_status(c, reason);
  int has_error = c->status != 200 || (c->reply.n > 0 && c->reply.n < 4096 && strstr(c->reply.p, "\"error\"") != NULL);
  if (has_error && c->reply.n > 0 && json_parse((struct span){ c->reply.p, c->reply.n }, "answer", &root, NULL) == STATUS_OK) {
    const struct json *e = json_get(root, "error");
    const char *given[] = { json_cstr(json_get(e, "code"), ""), json_cstr(json_get(e, "type"), "") };
    for (size_t k = 0; k < sizeof given / sizeof *given; k++) {
      for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(given[k], codes[i].code) == 0 && (c->status != 200 || codes[i].v != VERDICT_ANSWER)) {
          v = codes[i].v;
          *reason = codes[i].reason;
          k = sizeof given / sizeof *given - 1;
          break;
        }
      }
    }
  }
  json_free(root);
  return v;
}

const char *http_says(const struct http_call *c, const char *secret, char *out, size_t size)
{
  struct json *root = NULL;
  out[0] = '\0';
  if (c->reply.n > 0 && json_parse((struct span){ c->reply.p, c->reply.n }, "answer", &root, NULL) == STATUS_OK) {
    snprintf(out, size, "%s", json_cstr(json_path(root, "error.message"), json_cstr(json_get(root, "error"), "")));
  }
  json_free(root);
  if (secret != NULL && *secret != '\0' && strstr(out, secret) != NULL) {
    out[0] = '\0';
  }
  for (char *p = out; *p; p++) {
    *p = (unsigned char)*p < ' ' ? ' ' : *p;
  }
  return out[0] ? out : "no reason given";
}
