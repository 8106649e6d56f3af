/* Regular expressions as tokenizer.json writes them (Oniguruma's syntax, Unicode). Runs on PCRE2 (regex_pcre2.c); a
 * build without it knows no regexes (regex_absent.c), only the patterns of scan.c. */
#ifndef GR_TEXT_REGEX_H
#define GR_TEXT_REGEX_H

#include "base/buffer.h"

typedef struct gr_regex gr_regex;

/* NULL: gr_error() names what the pattern has that cannot be run. */
gr_regex *gr_regex_new(const char *pattern, size_t size);
void gr_regex_free(gr_regex *r);

/* One text being searched. Invalid bytes match what U+001A matches. */
typedef struct gr_regex_search gr_regex_search;
gr_regex_search *gr_regex_search_new(const gr_regex *r, const char *text, size_t size);
/* The next match that starts at `from` or later: *found, and where. An error when the pattern takes too long. */
gr_status gr_regex_next(gr_regex_search *s, size_t from, bool *found, size_t *start, size_t *stop);
void gr_regex_search_free(gr_regex_search *s);

#endif
