/* Chat templates that we have written, for models that come without one. */
#ifndef GR_TEXT_KNOWN_H
#define GR_TEXT_KNOWN_H

#include "base/error.h"

typedef struct gr_known_template {
    const char *name, *text;
    const char *needs[5]; /* added tokens without which its marks would be letters, until NULL */
} gr_known_template;

/* NULL: gr_error() lists the names there are. */
const gr_known_template *gr_known_template_find(const char *name);

#endif
