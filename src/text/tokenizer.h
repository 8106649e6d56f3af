/* The inside of a gr_tokenizer: added tokens are cut out of the text, what is left is normalized, cut into pieces and
 * encoded by the model; the post-processor puts tokens around it. One file a stage. */
#ifndef GR_TEXT_TOKENIZER_H
#define GR_TEXT_TOKENIZER_H

#include "text/files/classes.h"
#include "text/stages/decode.h"
#include "text/stages/normalize.h"
#include "text/stages/post_process.h"
#include "text/stages/pretokenize.h"
#include "text/stages/token_model.h"

/* What encoding and decoding write to; one per thread. Everything else of a tokenizer is only read. */
typedef struct gr_tokenizer_scratch {
    gr_token_scratch model;
    gr_pieces pieces, spare;
    gr_bytes normal, normal_spare;
    gr_ids ids;
    gr_strings tokens, tokens_spare;
    gr_bytes text;
} gr_tokenizer_scratch;

struct gr_tokenizer {
    char *json; /* as it was read: what is saved is what was loaded */
    size_t json_size;
    gr_token_model *model;
    gr_added added;
    gr_normalizer *normalizer;     /* NULL: none */
    gr_pretokenizer *pretokenizer; /* NULL: none */
    gr_post post, bare;            /* with special tokens and without */
    gr_decoder *decoder;
    bool byte_level; /* the model's pieces are raw bytes */
    gr_token bos, eos;
    char *named[GR_NAMED_COUNT];  /* what a directory's files call bos_token and so on; NULL: nothing */
    gr_tokenizer_info info;       /* what all of this comes to, for callers */
    bool is_share;                /* all but the scratch is another handle's */
    gr_tokenizer_scratch scratch; /* of the calls without a scratch of their own */
};

/* tokenizer_json.c: fills in everything from t->json. */
gr_status gr_tokenizer_read(gr_tokenizer *t);
/* After t->added has changed: makes the searches for them anew. */
gr_status gr_tokenizer_prepare_added(gr_tokenizer *t);
/* tokenizer_beside.c: adds what stands beside, to the JSON text as well. has_json: t is what a tokenizer.json says, whose
 * stages and what they put around a text stay; else they are the class's, and switches count. */
gr_status gr_tokenizer_add_beside(gr_tokenizer *t, const gr_tokenizer_class *c, const gr_beside *b, bool has_json);
/* tokenizer.c: frees everything but the JSON text; and a tokenizer of a text that becomes its own, NUL behind it. */
void gr_tokenizer_clear(gr_tokenizer *t);
gr_tokenizer *gr_tokenizer_of(char *json, size_t size);
/* Fills in the info of one that is complete, and gives it back; NULL of NULL. */
gr_tokenizer *gr_tokenizer_note(gr_tokenizer *t);
/* The parts of the info. */
int64_t gr_tokenizer_vocab_size(const gr_tokenizer *t);
gr_token gr_tokenizer_bos(const gr_tokenizer *t);
gr_token gr_tokenizer_eos(const gr_tokenizer *t);
const char *gr_tokenizer_json(const gr_tokenizer *t, size_t *size);
gr_token_kind gr_tokenizer_kind(const gr_tokenizer *t, gr_token id);
/* tokenizer_make.c: GR_TOKENIZER_BYTES; GR_TOKENIZER_CHARACTERS of one text, and of what `training` has. */
gr_tokenizer *gr_tokenizer_byte(void);
gr_tokenizer *gr_tokenizer_char(const char *text, size_t size, bool end_of_text);
gr_tokenizer *gr_tokenizer_characters(const gr_tokenizer_training *training);
/* Gives the texts that are in memory to take, one after the other. */
gr_status gr_training_texts(const gr_tokenizer_training *o,
                            gr_status (*take)(void *user, const char *text, size_t size), void *user);
/* The id of a token that may have NUL inside, or -1. */
int64_t gr_tokenizer_find(const gr_tokenizer *t, const char *token, size_t size);

/* tokenizer_load.c: is there a file in the directory that gr_tokenizer_load would take? */
gr_status gr_tokenizer_is_in(const char *dir, bool *there);
/* tokenizers_agree.c: GR_ERR_FILE when a token that the tokenizers of an adapter and of its model both have has another id in
 * each; that either has tokens of its own is fine. */
gr_status gr_tokenizers_agree(const char *adapter, const char *model);
/* bos and eos by well-known names. */
void gr_tokenizer_guess_ends(gr_tokenizer *t);

/* encode.c: appends to scratch->ids. */
gr_status gr_tokenizer_run(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                           unsigned flags);
/* The same of a text with a mask, [size]: no added token is found where a byte of it has 1 there, but for blanks that are no
 * control tokens. */
gr_status gr_tokenizer_run_masked(const gr_tokenizer *t, gr_tokenizer_scratch *s, const char *text, size_t size,
                                  const unsigned char *mask, unsigned flags);
/* encode_all.c: where the beginning of a text can be cut off and encoded alone, without flags: the ids of both parts are
 * those of the whole. The last such place, 0 where there is none. size > 0 */
size_t gr_tokenizer_cut(const gr_tokenizer *t, const char *text, size_t size);
/* tokenizer.c: decodes into out, which is emptied first. Ids without a token are left out: models have more rows than
 * tokens. */
gr_status gr_tokenizer_show(const gr_tokenizer *t, gr_tokenizer_scratch *s, const int32_t *ids, size_t n,
                            unsigned flags, gr_bytes *out);
void gr_tokenizer_scratch_free(gr_tokenizer_scratch *s);

#endif
