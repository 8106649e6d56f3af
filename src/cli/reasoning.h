/* Parting what a model thinks aloud from what it answers, while the text is still coming. */
#ifndef GR_CLI_REASONING_H
#define GR_CLI_REASONING_H

#include "base/buffer.h"

typedef struct gr_reasoning {
    const struct gr_reasoning_marks *marks; /* of this text; NULL: none so far */
    int state;
    gr_bytes text;   /* all of it */
    size_t at;       /* what is decided */
    size_t from, to; /* the reasoning, blanks at its ends left out; equal: none */
    size_t content;  /* where the answer begins */
    /* Told each part when it is certain what it is. */
    void (*part)(void *user, bool is_reasoning, const char *text, size_t size);
    void *user;
} gr_reasoning;

/* prompt: the text that the model goes on from, which may have opened the reasoning. */
void gr_reasoning_start(gr_reasoning *r, const char *prompt, size_t size);
gr_status gr_reasoning_feed(gr_reasoning *r, const char *text, size_t size);
/* No more is coming. */
void gr_reasoning_end(gr_reasoning *r);
void gr_reasoning_free(gr_reasoning *r);

#endif
