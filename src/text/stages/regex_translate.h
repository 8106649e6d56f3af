/* Oniguruma's syntax to PCRE2's. */
#ifndef GR_TEXT_REGEX_TRANSLATE_H
#define GR_TEXT_REGEX_TRANSLATE_H

#include "base/buffer.h"

/* What to do about a pattern that is refused. */
#define GR_REGEX_HINT "correct the pattern, or write it another way; as it is the tokenizer cannot be used here"

/* Appends the PCRE2 pattern (with PCRE2_UTF and PCRE2_MULTILINE) that means what `pattern` means to Oniguruma with its own
 * syntax. What has no equal there is refused by name and place. *stand_ins: characters of gr_recent are to be shown to it
 * as the older ones that stand for them. */
gr_status gr_regex_translate(const char *pattern, size_t size, gr_bytes *out, bool *stand_ins);

#endif
