/* GPT-2's byte alphabet: every byte has a printable character that stands for it in the vocabulary ("Ġ" for a space). */
#ifndef GR_TEXT_BYTE_LEVEL_H
#define GR_TEXT_BYTE_LEVEL_H

#include "base/utf8.h"

/* The code point that stands for a byte: itself where printable in Latin-1, else U+0100 and on in order of bytes. */
uint32_t gr_byte_to_char(unsigned char byte);
/* The byte a code point stands for, or -1. */
int gr_char_to_byte(uint32_t c);

/* Appends text with every byte replaced by its character. */
gr_status gr_byte_level_encode(const char *text, size_t size, gr_bytes *out);
/* Appends the bytes that a token stands for; false, and nothing appended, when it has a character that is no byte's.
 * out must have room for `size` more. */
bool gr_byte_level_decode(const char *token, size_t size, gr_bytes *out);

#endif
