/* Numbers in text with a decimal point, whatever the locale of the program is: what strtod reads and printf writes
 * follows LC_NUMERIC, which belongs to the host program. */
#ifndef GR_BASE_NUMBER_H
#define GR_BASE_NUMBER_H

#include <stdint.h>

/* strtod and strtof, but the decimal point is always '.'. *end (unless NULL) is behind what was read. */
double gr_read_f64(const char *text, char **end);
float gr_read_f32(const char *text, char **end);

/* Puts '.' in place of the locale's decimal point, which may be several bytes, in a number that printf wrote. For text
 * that holds nothing else which could be taken for one. */
void gr_point(char *number);

/* What a noun ends with behind a count: "%lld token%s". */
static inline const char *gr_plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

#endif
