/* Reading JSON straight from its text, without a document: for lists of a hundred thousand entries, which a document
 * would make a million blocks of. It takes nothing that gr_json_parse refuses, but refuses some that it takes (numbers
 * in unusual form): then the caller reads the whole text by gr_json_parse, which takes it or says what
 * is wrong. */
#ifndef GR_BASE_JSON_PULL_H
#define GR_BASE_JSON_PULL_H

#include "gradus.h"

typedef struct gr_pull {
    const char *p, *end; /* what is not read yet; text[size] is 0 */
    char *buffer;        /* of strings with escapes; freed by gr_pull_free */
    size_t cap;
    size_t strings; /* that gr_pull_skip has passed */
    /* A string may have "\udc80" to "\udcff" alone, which stand for the bytes 0x80 to 0xff (PEP 383); the last one had. */
    bool allow_bytes, has_bytes;
    bool no_memory; /* why something failed */
} gr_pull;

void gr_pull_free(gr_pull *r);

/* All of these skip white space first, and return false when what follows is something else; then p is anywhere. */

/* The character c. */
bool gr_pull_char(gr_pull *r, char c);
/* Whether the character c follows; it stays. */
bool gr_pull_sees(gr_pull *r, char c);
/* A string; *text is valid until the next call, and not NUL-terminated. */
bool gr_pull_text(gr_pull *r, const char **text, size_t *size);
/* An integer from 0 to max, in digits. */
bool gr_pull_index(gr_pull *r, uint32_t max, uint32_t *x);
bool gr_pull_real(gr_pull *r, double *x);
/* Any value, which is not checked: *start and *stop are around it. */
bool gr_pull_skip(gr_pull *r, const char **start, const char **stop);

#endif
