/* Unigram (Kudo 2018): of all ways to cut a piece into tokens the one with the largest sum of scores. And WordLevel: a
 * piece is a token. */
#ifndef GR_TEXT_UNIGRAM_H
#define GR_TEXT_UNIGRAM_H

#include "text/stages/token_model.h"

/* Takes over the vocabulary and, with it, the scores (by id, as many as it has rows), also on failure. unk: id, or -1:
 * unknown characters are an error. */
gr_token_model *gr_unigram_new(gr_vocab *vocab, double *score, int32_t unk, bool byte_fallback);

/* Takes over the vocabulary, also on failure. unk: id, or -1: unknown pieces are an error. */
gr_token_model *gr_word_level_new(gr_vocab *vocab, int32_t unk);

#endif
