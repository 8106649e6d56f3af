/* Classes of code points, from tables of our own: token ids depend on them, so they must not follow the Unicode version
 * of whatever library is installed. Normal forms and case come from utf8proc (unicode_utf8proc.c). */
#ifndef GR_TEXT_UNICODE_H
#define GR_TEXT_UNICODE_H

#include "text/utf8.h"

enum {
    GR_CLASS_LETTER = 1,        /* \p{L} */
    GR_CLASS_NUMBER = 2,        /* \p{N} */
    GR_CLASS_SPACE = 4,         /* White_Space */
    GR_CLASS_WORD = 8,          /* \w of the regexes in tokenizer.json: L, M, N, Pc */
    GR_CLASS_DIGIT = 16,        /* \p{Nd} */
    GR_CLASS_RUST_WORD = 32,    /* \w of the Whitespace pre-tokenizer and of single_word */
    GR_CLASS_NUMERIC = 64,      /* what the Digits pre-tokenizer cuts at */
    GR_CLASS_PUNCTUATION = 128, /* what the Punctuation pre-tokenizer cuts at */
};

extern const int gr_class_blocks;        /* blocks of 128 code points that have an index; later ones have no class */
extern const uint8_t gr_class_flags[16]; /* code to classes */
extern const uint16_t gr_class_index[];  /* block to block of codes */
extern const uint64_t gr_class_codes[];  /* 4 bits a code point, 8 words a block */

/* The GR_CLASS_ bits of a code point; 0 for an invalid byte. */
static inline unsigned gr_class(uint32_t c)
{
    if (c >> 7 >= (uint32_t)gr_class_blocks)
        return 0;
    return gr_class_flags[gr_class_codes[gr_class_index[c >> 7] * 8 + (c >> 4 & 7)] >> (c & 15) * 4 & 15];
}

/* Code points that a regex library with an older Unicode does not know yet, and an older one of the same category and
 * UTF-8 length for each; sorted. */
typedef struct gr_recent_range {
    uint32_t first, last, substitute;
} gr_recent_range;
extern const gr_recent_range gr_recent[];
extern const int gr_recent_count;

typedef enum gr_form { GR_NFC, GR_NFD, GR_NFKC, GR_NFKD } gr_form;

/* False in a build without utf8proc: the three functions below are then not to be called. */
bool gr_unicode_has_forms(void);
/* Appends text in a normal form, in linear time; invalid bytes stand as they are. */
gr_status gr_unicode_normalize(gr_form form, const char *text, size_t size, gr_bytes *out);
uint32_t gr_unicode_lower(uint32_t c);
bool gr_unicode_is_mark(uint32_t c); /* \p{M} */

#endif
