/* SPDX-License-Identifier: Apache-2.0
 * Words for validators: runs of letters and digits in lower case (ASCII folding; other scripts count byte for byte), so that
 * punctuation and case never decide. Each table of validators is one file validate_*.c. */
#ifndef AUGMENT_VALIDATE_H
#define AUGMENT_VALIDATE_H
#include "recipe.h"
struct word_list {
  struct span *w;
  size_t n;
};
/* n = 0 when memory runs out: then every check fails closed. */
struct word_list words_of(struct span s, struct arena *a);
int word_same(struct span a, struct span b);
int words_hold(const struct word_list *w, struct span x);
int words_hold_run(const struct word_list *hay, const struct word_list *needle);
/* Words that any question or answer has. */
int word_is_common(struct span w);
/* How many different content words of w (four letters or more, not common) the text has too; a plural or other ending is forgiven. *of: how many there are. */
size_t words_shared(const struct word_list *w, const struct word_list *text, size_t *of);
/* Numbers ("1,250.5") as they stand, one after the other; 0 after the last. */
int next_number(struct span *rest, struct span *number);
extern const struct validator validators_words[], validators_text[], validators_form[];
#endif
