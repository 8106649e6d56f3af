/* What \p{...} of the regexes in tokenizer.json knows, from tables of our own: code points of every name, and letters in
 * other cases. unicode_properties.c is made by tools/oracle/make_unicode_properties.py. */
#ifndef GR_TEXT_PROPERTIES_H
#define GR_TEXT_PROPERTIES_H

#include "text/unicode/points.h"

/* A property of PCRE2 that is no larger than a set. `sure` is what it has of the set in every version that is read, for
 * characters older than gr_recent; exact: it has no newer ones that are not in the set. */
typedef struct gr_property_block {
    const char *text;
    int set, sure;
    bool exact;
} gr_property_block;

extern const char gr_property_names[]; /* in order, without spaces and so on, in lower case; each ends with a zero */
extern const uint16_t gr_property_numbers[];
extern const int gr_property_count;
extern const gr_property_block gr_property_blocks[];
extern const int gr_property_block_count;
extern const int gr_set_word;    /* \w outside of brackets */
extern const int gr_set_several; /* characters that are several in another case */
extern const uint32_t gr_set_at[];
extern const uint64_t gr_set_data[]; /* bytes, eight a word; numbers of seven bits a byte */
extern const uint32_t gr_folds_at, gr_several_at;
extern const int gr_fold_count, gr_several_count;

/* The set of a name as it is written in a pattern, -1: there is none. */
int gr_property_find(const char *name, size_t size);
/* Adds a set's code points. */
gr_status gr_property_add(int set, gr_points *out);

/* The first code point of a set that has any. */
uint32_t gr_property_first(int set);

/* Adds what each character of a set is in another case. Characters that are several are left out. */
gr_status gr_points_fold(gr_points *p);
/* One of the characters that c is when case is ignored, always the same one. */
uint32_t gr_fold(uint32_t c);
/* Whether a character is these two or three (third: 0) in another case; all are from gr_fold. */
bool gr_fold_joins(uint32_t first, uint32_t second, uint32_t third);

#endif
