/* {"String": "…"} or {"Regex": "…"}: what Split and Replace look for. */
#ifndef GR_TEXT_PATTERN_H
#define GR_TEXT_PATTERN_H

#include "base/json.h"
#include "text/stages/regex.h"

typedef struct gr_pattern {
    char *text; /* the string or the regex as written */
    size_t size;
    gr_regex *regex; /* NULL: a plain string */
} gr_pattern;

gr_status gr_pattern_read(gr_json value, gr_pattern *out);
/* A plain string. */
gr_status gr_pattern_set(gr_pattern *out, const char *text, size_t size);
void gr_pattern_free(gr_pattern *p);

/* Calls each(ctx, start, stop, is_match) for all parts of a text in order: matches, and what lies between them. Empty
 * parts between matches are left out, empty matches are not; an empty text has none. An empty pattern matches between
 * all characters. */
typedef gr_status (*gr_part_fn)(void *ctx, const char *text, size_t start, size_t stop, bool is_match);
gr_status gr_pattern_walk(const gr_pattern *p, const char *text, size_t size, gr_part_fn each, void *ctx);

#endif
