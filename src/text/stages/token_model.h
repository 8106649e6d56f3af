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
    bool
        each_alone; /* the characters of a piece (its bytes, where these are the vocabulary) know nothing of each other */
};

/* A piece by way of the words seen before; `cut` is what the model does with one that is new. The scratch has a cache. */
static inline gr_status gr_encode_seen(const gr_token_model *self, gr_token_scratch *s, const char *piece, size_t size,
                                       gr_ids *out,
                                       gr_status (*cut)(const gr_token_model *self, gr_token_scratch *s,
                                                        const char *piece, size_t size, gr_ids *out))
{
    if (size > GR_CACHE_WORD || !size)
        return cut(self, s, piece, size, out);
    gr_word_key key = gr_word_key_of(piece, size);
    const gr_cached_word *seen = gr_word_find(s->cache, key);
    gr_status status = gr_ids_reserve(out, GR_CACHE_IDS);
    if (status != GR_OK)
        return status;
    if (seen) {
        for (size_t i = 0; i < GR_CACHE_IDS && seen->id[i] >= 0; i++)
            out->data[out->size++] = seen->id[i];
        return GR_OK;
    }
    size_t first = out->size;
    status = cut(self, s, piece, size, out);
    if (status == GR_OK && out->size - first <= GR_CACHE_IDS)
        gr_word_put(s->cache, key, out->data + first, out->size - first);
    return status;
}

#endif
