/* Values of flags: text to field and back. */
#ifndef GR_CLI_VALUE_H
#define GR_CLI_VALUE_H

#include "cli/args.h"

/* Parses text into the flag's field. On failure gr_error() says what was expected, without naming the flag. */
gr_status gr_value_parse(const gr_flag *flag, const char *text, void *field);
/* The reverse; caller frees. "" for a value that is not there. */
char *gr_value_format(const gr_flag *flag, const void *field);
/* Frees what parsing took. */
void gr_value_free(const gr_flag *flag, void *field);

/* The i-th word of "a|b|c" and its length; NULL past the last. */
const char *gr_word(const char *words, int i, size_t *length);

#endif
