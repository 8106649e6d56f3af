/* Classes of code points, from tables of our own: token ids depend on them, so they must not follow the Unicode version
 * of whatever library is installed. Normal forms and case come from utf8proc (unicode_utf8proc.c). */
#ifndef GR_TEXT_UNICODE_H
#define GR_TEXT_UNICODE_H

#include "base/utf8.h"

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

/* Where token ids need another Unicode version than libraries have; each table is sorted. */
typedef struct gr_range {
    uint32_t first, last;
    int32_t value;
} gr_range;
extern const gr_range gr_recent[];  /* newer than Unicode 14: value is an older code point of its category and size */
extern const gr_range gr_marks[];   /* combining marks */
extern const gr_range gr_inert[];   /* what normal forms leave alone */
extern const gr_range gr_lower[];   /* newer than Unicode 14: value + code point is its lower case */
extern const gr_range gr_scripts[]; /* what the pre-tokenizer UnicodeScripts tells apart: value is a script's number */
extern const gr_range gr_bert_dropped[]; /* what BertNormalizer cleans away: an older Unicode's control characters */
extern const gr_range gr_bert_marks[];   /* and what it takes for accents */
extern const gr_range gr_bert_padded[];  /* Chinese characters: words of their own to it */
extern const int gr_recent_count, gr_marks_count, gr_inert_count, gr_lower_count, gr_scripts_count;
extern const int gr_bert_dropped_count, gr_bert_marks_count, gr_bert_padded_count;

/* The range that holds c, or NULL. */
static inline const gr_range *gr_range_find(const gr_range *table, int count, uint32_t c)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (table[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && table[low].first <= c ? &table[low] : NULL;
}

typedef enum gr_form { GR_NFC, GR_NFD, GR_NFKC, GR_NFKD } gr_form;

/* False in a build without utf8proc: the two functions below are then not to be called. */
bool gr_unicode_has_forms(void);
/* Appends text in a normal form, in linear time; invalid bytes stand as they are. */
gr_status gr_unicode_normalize(gr_form form, const char *text, size_t size, gr_bytes *out);
uint32_t gr_unicode_lower(uint32_t c);
/* As utf8proc has them: without it only ASCII has capitals and is printable. */
uint32_t gr_unicode_upper(uint32_t c);
/* Python's str.isprintable of one character. */
bool gr_unicode_printable(uint32_t c);

#endif
