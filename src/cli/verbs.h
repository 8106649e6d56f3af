/* The list of verbs. A verb is one file that defines `const gr_verb gr_verb_NAME`, and one line here; the order is the
 * order of `gradus --help`. */
#ifndef GR_CLI_VERBS_H
#define GR_CLI_VERBS_H

#include "cli/args.h"

/* clang-format off */
#define GR_VERBS(X) \
    X(train) \
    X(finetune) \
    X(pull) \
    X(generate) \
    X(chat) \
    X(quantize) \
    X(convert) \
    X(merge) \
    X(eval) \
    X(dump) \
    X(tokenize) \
    X(tokenizer_train) \
    X(data_show) \
    X(plan_train) \
    X(plan_finetune) \
    X(plan_generate) \
    X(plan_quantize) \
    X(info) \
    X(verify) \
    X(bench)
/* clang-format on */

#define GR_VERB_DECLARE(name) extern const gr_verb gr_verb_##name;
GR_VERBS(GR_VERB_DECLARE)

/* i = 0, 1, … until NULL. */
const gr_verb *gr_verb_at(int i);
/* The verb that the words begin with, and how many of them (1 or 2) are its name. NULL: none. */
const gr_verb *gr_verb_find(int count, char **words, int *used);
/* Is this word the first of verbs with two ("tokenizer")? */
bool gr_verb_is_family(const char *word);
/* The verb whose name is nearest to what was written; NULL: none is near. */
const gr_verb *gr_verb_nearest(int count, char **words);

#endif
