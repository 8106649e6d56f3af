/* The pre-tokenizer patterns that most models share, written by hand. Each is proven equal to its regex by the tests. */
#ifndef GR_TEXT_SCAN_H
#define GR_TEXT_SCAN_H

#include "text/unicode/unicode.h"

/* The end of the piece that starts at p (p < end). */
typedef const char *(*gr_scan_fn)(const char *p, const char *end);

/* The scanner of a pattern as it stands in tokenizer.json, or NULL when there is none. */
gr_scan_fn gr_scan_for(const char *pattern, size_t size);
/* The pattern of the ByteLevel pre-tokenizer (GPT-2). */
const char *gr_scan_gpt2(const char *p, const char *end);

#endif
