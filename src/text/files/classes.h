/* The class of tokenizer that AutoTokenizer of transformers 5 takes for a directory, and what a class makes of files that
 * do not say it themselves: the pattern of vocab.json with merges.txt, the stages around a tokenizer.model, the names of
 * special tokens. */
#ifndef GR_TEXT_CLASSES_H
#define GR_TEXT_CLASSES_H

#include "text/files/beside.h"

typedef enum gr_reads {
    GR_READS_MERGES,        /* vocab.json with merges.txt */
    GR_READS_SENTENCEPIECE, /* tokenizer.model */
    GR_READS_WORD_PIECE,    /* vocab.txt */
} gr_reads;

typedef enum gr_post_kind {
    GR_POST_SWITCHES,        /* bos and eos as add_bos_token and add_eos_token say */
    GR_POST_ROBERTA,         /* cls and sep, always */
    GR_POST_BERT,            /* the same */
    GR_POST_SWITCHES_ALWAYS, /* also in place of what a tokenizer.json says */
} gr_post_kind;

/* What is put around a tokenizer.model. */
typedef enum gr_spm_way {
    GR_SPM_ITS_OWN, /* as the file's own settings say */
    GR_SPM_LLAMA,
    GR_SPM_GEMMA,
} gr_spm_way;

typedef struct gr_tokenizer_class {
    const char *name;
    const char *aliases; /* other names, with a space around each */
    gr_reads reads;
    gr_post_kind post;
    bool anew; /* a tokenizer.json gives it the model; added tokens are only those told beside it, where they are */
    const char *named[GR_NAMED_COUNT]; /* NULL: none */
    const char *normalizer, *split;    /* JSON of the normalizer, of a regex in place of GPT-2's pattern; NULL: none */
    bool names_again;                  /* named tokens lose other flags than `special` */
    gr_spm_way way;
} gr_tokenizer_class;

/* The class of a directory. has_json: a tokenizer.json is there, which runs as it is written for classes that are not
 * known here; else NULL: gr_error() names the class that is not supported, and what to do. */
const gr_tokenizer_class *gr_tokenizer_class_of(const gr_beside *b, bool has_json);
/* Whether a tekken.json is read as Mistral's own program reads it, which nothing beside it changes. */
bool gr_class_is_mistral(const gr_beside *b);
/* BertTokenizer. */
const gr_tokenizer_class *gr_class_bert(void);

#endif
