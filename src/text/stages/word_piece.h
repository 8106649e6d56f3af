/* WordPiece: a piece becomes the longest token that it begins with, and what is left the longest one with a prefix ("##")
 * of its own, and so on; or all of it is unknown. */
#ifndef GR_TEXT_WORD_PIECE_H
#define GR_TEXT_WORD_PIECE_H

#include "text/stages/token_model.h"

/* Takes over the vocabulary, also on failure. unk: id, or -1: unknown pieces are an error, and so are those of more than
 * `longest` characters. */
gr_token_model *gr_word_piece_new(gr_vocab *vocab, int32_t unk, const char *prefix, size_t longest);

#endif
