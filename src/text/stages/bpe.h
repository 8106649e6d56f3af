/* Byte-pair encoding (Sennrich et al. 2016) as tokenizer.json's "BPE" means it: a word starts as its characters (or, in
 * byte-level vocabularies, its bytes), and of all neighbours the pair of the lowest rank, leftmost first, is merged until
 * no pair is in the list. */
#ifndef GR_TEXT_BPE_H
#define GR_TEXT_BPE_H

#include "text/stages/token_model.h"

typedef struct gr_bpe_options {
    const char *unk;    /* token of characters that are not in the vocabulary; NULL: they are left out */
    const char *prefix; /* continuing_subword_prefix: before every symbol but a word's first */
    const char *suffix; /* end_of_word_suffix: behind a word's last symbol */
    bool fuse_unk, byte_fallback, ignore_merges;
    bool byte_level; /* pieces are raw bytes, the vocabulary is in GPT-2's byte alphabet */
} gr_bpe_options;

enum {
    GR_UNK_NONE = -1,    /* unknown characters are left out */
    GR_UNK_MISSING = -2, /* unknown characters are errors: the token named is not in the vocabulary */
    GR_BPE_AFFIX = 64,   /* longest prefix and suffix */
};

typedef struct gr_merge { /* one slot of the merge table */
    uint32_t left, right; /* left UINT32_MAX: empty */
    uint32_t rank, id;    /* order in the list; the token made */
} gr_merge;

typedef struct gr_bpe {
    gr_token_model base;
    gr_bpe_options options; /* strings are copies */
    gr_vocab raw;           /* byte_level: the vocabulary as bytes */
    int32_t unk;            /* id, or one of the two below */
    int32_t symbol[256];    /* byte_level: a byte's token; else an ASCII character's; -1: none */
    int32_t fallback[256];  /* byte_fallback: token "<0xNN>"; -1: none */
    gr_merge *merge;        /* open addressing */
    size_t merges, slots, added;
    int32_t made;       /* the token that the merge added last makes */
    size_t affix_room;  /* byte_fallback tokens a byte of a word may become */
    bool can_cut;       /* see bpe_cut.c */
    uint64_t *together; /* bit of a pair: it stands inside some token */
} gr_bpe;

/* Takes over the vocabulary, also on failure. Then all merges in order of rank, then finish. */
gr_token_model *gr_bpe_new(gr_vocab *vocab, const gr_bpe_options *options);
gr_status gr_bpe_reserve(gr_token_model *model, size_t merges); /* room for so many */
gr_status gr_bpe_add_merge(gr_token_model *model, const char *left, size_t left_size, const char *right,
                           size_t right_size);
gr_status gr_bpe_finish(gr_token_model *model);

/* The merge of two neighbours, or NULL. */
static inline const gr_merge *gr_bpe_find_merge(const gr_bpe *b, uint32_t left, uint32_t right)
{
    if (!b->slots)
        return NULL;
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    for (size_t i = h >> 32 & (b->slots - 1);; i = (i + 1) & (b->slots - 1)) {
        const gr_merge *m = &b->merge[i];
        if (m->left == left && m->right == right)
            return m;
        if (m->left == UINT32_MAX)
            return NULL;
    }
}

/* bpe_merge.c: merges symbols in place; returns how many are left. For words of any length: gr_bpe_merge_long. */
size_t gr_bpe_merge_short(const gr_bpe *b, int32_t *symbol, size_t n);
gr_status gr_bpe_merge_long(const gr_bpe *b, gr_token_scratch *s, int32_t *symbol, size_t *n);
enum { GR_BPE_SHORT = 64 }; /* symbols that merge_short takes at most */

/* bpe_cut.c */
gr_status gr_bpe_prepare_cuts(gr_bpe *b);
/* Bytes of the first part of a piece that can be encoded alone: no merge reaches across its end. */
size_t gr_bpe_cut(const gr_bpe *b, const char *piece, size_t size);

#endif
