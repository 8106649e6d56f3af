/* UTF-8. An invalid byte is a character of its own, so no input is lost and no position moves: it reads as a code point
 * from GR_INVALID_BYTE on, which is no letter, number or space and stands in no vocabulary. */
#ifndef GR_BASE_UTF8_H
#define GR_BASE_UTF8_H

#include "base/buffer.h"

enum { GR_INVALID_BYTE = 0x110000 }; /* + the byte's value */

/* The character at p (p < end); *size is the bytes it takes. Overlong forms, surrogates and values above U+10FFFF are
 * invalid bytes. */
uint32_t gr_utf8_read_long(const char *p, const char *end, int *size);

static inline uint32_t gr_utf8_read(const char *p, const char *end, int *size)
{
    if ((unsigned char)*p < 0x80) {
        *size = 1;
        return (unsigned char)*p;
    }
    return gr_utf8_read_long(p, end, size);
}

/* Writes 1 to 4 bytes for a code point, or the byte of an invalid one; returns how many. */
int gr_utf8_write(uint32_t c, char *out);

bool gr_utf8_valid(const char *p, size_t size);
/* Bytes before the first that is no part of a character; size when all are. */
size_t gr_utf8_prefix(const char *p, size_t size);

/* Appends text with every maximal invalid part replaced by U+FFFD, as the Unicode standard recommends (3.9, table 3-8).
 * `more`: the text goes on; then an unfinished character at the end is left out and *used tells where it starts. */
gr_status gr_utf8_repair(const char *p, size_t size, bool more, gr_bytes *out, size_t *used);

#endif
