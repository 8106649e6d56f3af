/* What stands beside a tokenizer's own file: tokenizer_config.json, special_tokens_map.json, added_tokens.json, and of
 * config.json what kind of model it is. Which of them counts is as AutoTokenizer of transformers 5 has it: with an
 * added_tokens_decoder in tokenizer_config.json the two older files do not. */
#ifndef GR_TEXT_BESIDE_H
#define GR_TEXT_BESIDE_H

#include "base/json.h"
#include "text/stages/added.h"

typedef enum gr_told {
    GR_TOLD_NOT, /* the key is not there */
    GR_TOLD_NULL,
    GR_TOLD_NO,
    GR_TOLD_YES,
} gr_told;

/* The names of tokens that every class of tokenizer has, in the order in which missing ones are added. */
typedef enum gr_named {
    GR_NAMED_BOS,
    GR_NAMED_EOS,
    GR_NAMED_UNK,
    GR_NAMED_SEP,
    GR_NAMED_PAD,
    GR_NAMED_CLS,
    GR_NAMED_MASK,
    GR_NAMED_COUNT
} gr_named;

typedef struct gr_told_token {
    char *key;     /* the name it has ("image_token"); NULL in a list */
    char *content; /* NULL: told to be none */
    size_t size;
    int64_t id; /* of added_tokens_decoder: where it comes in the order; the tokenizer gives ids anew */
    size_t order;
    bool plain; /* a string without flags: special, and matched as it is */
    bool special, lstrip, rstrip, single_word;
    bool late;          /* an object in tokenizer_config.json: transformers reads it behind added_tokens.json */
    gr_told normalized; /* not told: unless special */
} gr_told_token;

typedef struct gr_told_list {
    gr_told_token *at;
    size_t n, cap;
    bool told; /* the key is there */
} gr_told_list;

typedef struct gr_beside {
    char *model_type, *model_class; /* config.json: "model_type", "tokenizer_class"; NULL: not told */
    char *tokenizer_class;          /* tokenizer_config.json */
    bool any;                       /* either of the two is there */
    gr_told_token named[GR_NAMED_COUNT];
    bool named_told[GR_NAMED_COUNT];
    gr_told_list own_first, own; /* names that only this model has; a name of both has the token of `own` */
    gr_told_list decoder;        /* added_tokens_decoder, or added_tokens.json; sorted by id */
    gr_told_list extra;          /* extra_special_tokens */
    gr_told_list additional;     /* additional_special_tokens, void where extra_special_tokens is told */
    gr_told add_bos, add_eos, add_prefix_space, legacy;
    gr_told lower_case, chinese, strip_accents; /* BERT's: do_lower_case, tokenize_chinese_chars, strip_accents */
    char *own_code;                             /* "auto_map": the program that makes the tokenizer; NULL: none */
} gr_beside;

/* Reads what the directory has of them. */
gr_status gr_beside_read(const char *dir, gr_beside *b);
void gr_beside_free(gr_beside *b);

/* Which of the names "bos_token" is, or -1. */
int gr_named_of(const char *key);
/* Appends a token; the strings are copied. key may be NULL. */
gr_status gr_told_add(gr_told_list *list, const char *key, const char *content, size_t size, gr_told_token flags);
void gr_told_free(gr_told_list *list);
/* Gives a name a token without flags. */
gr_status gr_told_name(gr_beside *b, gr_named which, const char *content, size_t size);
/* Whether a list that is sorted by id has one. */
bool gr_told_has_id(const gr_told_list *list, int64_t id);
/* The flags it has as an added token. */
gr_added_token gr_told_flags(const gr_told_token *t);
bool gr_told_same_text(const gr_told_token *t, const char *content, size_t size);
bool gr_told_same_flags(const gr_told_token *a, const gr_told_token *b);

#endif
