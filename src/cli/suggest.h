/* "Did you mean": the word somebody probably wanted to write. */
#ifndef GR_CLI_SUGGEST_H
#define GR_CLI_SUGGEST_H

#include <stddef.h>

/* The best candidate so far. Start with {.written = text}; best stays NULL when nothing is near. */
typedef struct gr_suggestion {
    const char *written;
    const char *best;
    size_t best_length;
    int distance;
} gr_suggestion;

void gr_suggest(gr_suggestion *s, const char *candidate, size_t length);

#endif
