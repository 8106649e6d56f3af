/* SentencePiece's normalization table (precompiled_charsmap): a double-array trie of strings to replace, and what replaces
 * them. It is run as the `tokenizers` package runs it, which looks up whole grapheme clusters if they are short. */
#ifndef GR_TEXT_CHARSMAP_H
#define GR_TEXT_CHARSMAP_H

#include "base/buffer.h"

typedef struct gr_charsmap {
    uint32_t *unit; /* the trie; whole blocks of 256, so that no label leads out of it */
    size_t units;
    char *with; /* replacements, one behind the other, each up to a NUL */
    size_t with_size;
    int32_t ascii[128]; /* where in `with` what replaces the character stands; -1: nothing does */
} gr_charsmap;

/* Reads the table as it stands in files; bad ones are an error. The caller frees *m in any case. */
gr_status gr_charsmap_read(const void *data, size_t size, gr_charsmap *m);
void gr_charsmap_free(gr_charsmap *m);
/* Appends what becomes of a text. */
gr_status gr_charsmap_run(const gr_charsmap *m, const char *text, size_t size, gr_bytes *out);

#endif
