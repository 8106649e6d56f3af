/* Extended grapheme clusters (Unicode standard annex 29), as the `unicode-segmentation` crate cuts them. */
#ifndef GR_TEXT_GRAPHEMES_H
#define GR_TEXT_GRAPHEMES_H

#include "text/unicode/unicode.h"

extern const gr_range gr_graphemes[]; /* value: a class of graphemes.c */
extern const int gr_graphemes_count;

/* Where the cluster at p (p < end) stops. Pairs of regional indicators are cut apart: no one who asks needs them. */
const char *gr_grapheme_stop(const char *p, const char *end);

#endif
