/* What turns a piece of text into ids: BPE, Unigram, WordLevel. One record each, made from tokenizer.json's "model". */
#ifndef GR_TEXT_TOKEN_MODEL_H
#define GR_TEXT_TOKEN_MODEL_H

#include "text/vocab/vocab.h"
#include "text/vocab/word_cache.h"

/* Memory that encoding needs, kept between calls: one per thread. The model itself is never written to. */
typedef struct gr_token_scratch {
    gr_word_cache *cache; /* words seen before; NULL: none */
    void *links, *queues; /* bpe_merge.c, unigram.c */
    uint32_t *heap;
    size_t links_cap, heap_cap;
} gr_token_scratch;

void gr_token_scratch_free(gr_token_scratch *s);

typedef struct gr_token_model gr_token_model;
struct gr_token_model {
    gr_status (*encode)(const gr_token_model *self, gr_token_scratch *s, const char *piece, size_t size, gr_ids *out);
    void (*free)(gr_token_model *self);
    gr_vocab vocab;
};

#endif
