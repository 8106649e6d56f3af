/* The parts of a tokenizer.json that are large, "vocab" and "merges" of its model, read straight from the text. Where
 * that does not go, the caller reads everything by gr_json_parse. */
#ifndef GR_TEXT_LARGE_PARTS_H
#define GR_TEXT_LARGE_PARTS_H

#include "text/stages/bpe.h"

typedef struct gr_part_of_text {
    const char *start, *stop; /* NULL: not there */
    size_t strings;           /* in it */
} gr_part_of_text;

typedef struct gr_large_parts {
    gr_part_of_text vocab, merges;
} gr_large_parts;

/* Finds them; false: there is nothing to gain. */
bool gr_large_parts_find(const char *json, size_t size, gr_large_parts *out);
/* The text with {} and [] in their places; NULL: no memory. */
char *gr_large_parts_cut(const char *json, size_t size, const gr_large_parts *parts, size_t *cut_size);
/* Whether two such vocabularies have the same tokens with the same ids or scores, in the same order. */
bool gr_large_same_vocab(gr_part_of_text a, gr_part_of_text b);

/* {"token": id, …}; [["token", score], …], *score freed by the caller in any case; ["a b", …] or [["a", "b"], …].
 * Failures say nothing of the file but are GR_ERR_MEMORY where memory was the reason. */
gr_status gr_large_vocab(gr_part_of_text part, gr_vocab *vocab);
gr_status gr_large_scores(gr_part_of_text part, gr_vocab *vocab, double **score);
gr_status gr_large_merges(gr_part_of_text part, gr_token_model *model);

#endif
