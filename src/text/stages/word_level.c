/* WordLevel: a piece is a token. */
#include "text/stages/unigram.h"
#include "base/error.h"

typedef struct word_level {
    gr_token_model base;
    int32_t unk;
} word_level;

static gr_status encode(const gr_token_model *self, gr_token_scratch *s, const char *piece, size_t size, gr_ids *out)
{
    const word_level *w = (const word_level *)self;
    int32_t id = gr_vocab_find(&w->base.vocab, piece, size);
    (void)s;
    if (id < 0 && w->unk < 0)
        return gr_fail(GR_ERR_ARGUMENT,
                       "encode: '%.*s' is not in the vocabulary, and there is no unknown token\nleave it out of the "
                       "text, or use a tokenizer that knows it (byte knows everything)",
                       size > 80 ? 80 : (int)size, piece);
    return gr_ids_add(out, id >= 0 ? id : w->unk);
}

static void word_level_free(gr_token_model *self)
{
    gr_vocab_free(&self->vocab);
    gr_free(self);
}

gr_token_model *gr_word_level_new(gr_vocab *vocab, int32_t unk)
{
    word_level *w = gr_alloc_zero(1, sizeof *w);
    if (!w) {
        gr_vocab_free(vocab);
        return NULL;
    }
    w->base = (gr_token_model){.encode = encode, .free = word_level_free, .vocab = *vocab};
    *vocab = (gr_vocab){0};
    w->unk = unk;
    return &w->base;
}
