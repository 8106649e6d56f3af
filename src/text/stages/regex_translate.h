/* Oniguruma's syntax to PCRE2's. */
#ifndef GR_TEXT_REGEX_TRANSLATE_H
#define GR_TEXT_REGEX_TRANSLATE_H

#include "text/unicode/buffer.h"

/* Appends the PCRE2 pattern (with PCRE2_UTF and PCRE2_MULTILINE) that means what `pattern` means to Oniguruma with Ruby's
 * syntax. What has no equal there is refused by name. */
gr_status gr_regex_translate(const char *pattern, size_t size, gr_bytes *out);

#endif
