/* SPDX-License-Identifier: Apache-2.0
 * Kind `classify`: one label of a closed set, the row's `choices` or --choices. An output that names none of them or several is
 * asked again with the list. */
#include "json.h"
#include "label.h"

struct choices {
  struct span *text;
  size_t n;
  struct span raw; /* JSON array */
};

static enum status read_choices(struct label *l, struct row *row, struct choices *c, struct err *e)
{
  enum status st = STATUS_OK;
  struct span raw = record_get(&row->r, "choices"), element;
  struct buf b = { 0 };
  size_t at = 0, n = l->o->choices.n;
  if (span_type(raw) == '[') {
    n = 0;
    while (record_next_element(raw, &at, &element)) {
      n++;
    }
  }
  c->text = arena_calloc(row->a, n + 1, sizeof *c->text);
  if (c->text == NULL) {
    return err_nomem(e, n * sizeof *c->text);
  }
  at = 0;
  TRY(buf_putc(&b, '[', e));
  for (size_t i = 0; i < n; i++) {
    if (span_type(raw) == '[') {
      (void)record_next_element(raw, &at, &element);
      if (span_type(element) != 's') {
        st = err_set(e, STATUS_DATA, "field 'choices' holds %s, expected strings", record_type_name(element));
        goto out;
      }
      TRY(span_string(element, row->a, &c->text[c->n++], e));
    } else {
      c->text[c->n++] = (struct span){ l->o->choices.item[i], strlen(l->o->choices.item[i]) };
    }
    TRY(buf_puts(&b, i ? "," : "", e));
    TRY(json_put_string(&b, c->text[i], e));
  }
  TRY(buf_putc(&b, ']', e));
  st = label_copy(row, (struct span){ b.p, b.n }, &c->raw, e);
out:
  buf_free(&b);
  return st;
}

static enum status put_list(const struct choices *c, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  for (size_t i = 0; i < c->n; i++) {
    TRY(buf_puts(b, i ? ", " : "", e));
    TRY(buf_put(b, c->text[i].p, c->text[i].n, e));
  }
out:
  return st;
}

static enum status classify_begin(struct label *l, struct row *row, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct choices *c = arena_calloc(row->a, 1, sizeof *c);
  if (c == NULL) {
    return err_nomem(e, sizeof *c);
  }
  label_of(row)->kind = c;
  TRY(read_choices(l, row, c, e));
  if (c->n < 2) {
    rows_drop(row, "no choices");
    goto out;
  }
  TRY(buf_puts(&b, "\n\nChoose exactly one of: ", e));
  TRY(put_list(c, &b, e));
  TRY(buf_puts(&b, ". Reply with it alone.", e));
  label_of(row)->form = (struct form){ FORM_CHOICES, c->raw };
  st = label_ask(l, row, 0, b.p, 0, e);
out:
  buf_free(&b);
  return st;
}

static struct span classify_said(const struct label *l, const struct row *row, const struct answer *a)
{
  const struct choices *c = label_of(row)->kind;
  int k = answer_choice(a->content, c->text, c->n);
  (void)l;
  return k < 0 ? (struct span){ NULL, 0 } : c->text[k];
}

static const char *classify_wrong(const struct label *l, const struct row *row, const struct answer *a)
{
  return classify_said(l, row, a).p == NULL ? "not exactly one of the choices" : NULL;
}

static enum status classify_take(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  const struct choices *c = label_of(row)->kind;
  const char *why;
  struct buf b = { 0 };
  if (!label_usable(l, row, a, &why)) {
    return label_refuse(row, a, why, e);
  }
  why = classify_wrong(l, row, a);
  if (why != NULL) {
    return label_again(l, row, tag, q, a, why, e);
  }
  struct span said = classify_said(l, row, a);
  TRY(json_put_string(&b, said, e));
  struct field_edit more[2] = { { "label", { b.p, b.n } }, { "choices", c->raw } };
  st = label_write_answer(l, row, said, a->reasoning, more, 2, NULL, 0, a, e);
out:
  buf_free(&b);
  return st;
}

const struct kind kind_classify = {
  .name = "classify",
  .summary = "one label of a closed set: the row's choices or --choices",
  .elicitation = "labeling",
  .input = INPUT_QUESTION,
  .writes = "label, choices, messages",
  .begin = classify_begin,
  .answer = classify_take,
  .wrong = classify_wrong,
  .said = classify_said,
};
