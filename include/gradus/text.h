/* Text to tokens and back: tokenizers. Part of gradus.h. */
#ifndef GRADUS_TEXT_H
#define GRADUS_TEXT_H

#include "gradus/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Text to token ids and back, as a Hugging Face tokenizer.json says; ids equal those of the `tokenizers` package. Text
 * is UTF-8 with a length, NUL bytes are fine; an invalid byte is a character of its own. */
typedef struct gr_tokenizer gr_tokenizer;
/* A token's id; -1 where there is none. */
typedef int32_t gr_token;

/* From a tokenizer.json, a SentencePiece tokenizer.model, or a directory that has one of them or vocab.json and
 * merges.txt. Of a directory also the files beside them count (tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json, config.json's model_type), as for AutoTokenizer of transformers: docs/tokenizers.md. */
GR_API gr_tokenizer *gr_tokenizer_load(const char *path);
GR_API gr_tokenizer *gr_tokenizer_from_json(const char *json, size_t size);
/* The same with control tokens added behind its others: tokens, until NULL; those that it has stay as they are. */
GR_API gr_tokenizer *gr_tokenizer_extend(const gr_tokenizer *tokenizer, const char *const *tokens);
GR_API void gr_tokenizer_free(gr_tokenizer *tokenizer); /* NULL is fine */
/* What a tokenizer is; lives as long. NULL of NULL. */
typedef struct gr_tokenizer_info {
    size_t size;
    int64_t vocab_size; /* rows that a model's embedding needs: the largest id + 1 */
    gr_token bos, eos;  /* that begin and end a text; -1: there is none */
    const char *json;   /* its tokenizer.json, to save with a model: [json_size], NUL-terminated */
    size_t json_size;
} gr_tokenizer_info;
GR_API const gr_tokenizer_info *gr_tokenizer_describe(const gr_tokenizer *tokenizer);

/* Another handle on the same tokenizer, for another thread: what calls give out is its own. Freed before the first one. */
GR_API gr_tokenizer *gr_tokenizer_share(const gr_tokenizer *tokenizer);
/* The id of a token as it is spelled in the vocabulary ("<|endoftext|>", "\u0120the"); -1: there is none. */
GR_API gr_token gr_tokenizer_id(const gr_tokenizer *tokenizer, const char *token);
typedef enum gr_token_kind {
    GR_TOKEN_NONE,     /* no token has this id */
    GR_TOKEN_OF_MODEL, /* of the vocabulary that was learned */
    GR_TOKEN_ADDED,    /* added to it, and text like others */
    GR_TOKEN_CONTROL,  /* added, and left out by GR_SKIP_SPECIAL */
} gr_token_kind;
/* The spelling of an id, not NUL-terminated; NULL: there is none. size and kind may be NULL. */
GR_API const char *gr_tokenizer_token(const gr_tokenizer *tokenizer, gr_token id, size_t *size, gr_token_kind *kind);

enum {
    GR_ADD_SPECIAL = 1,   /* encode: put the tokens around the text that the post-processor says (BOS, EOS) */
    GR_PARSE_SPECIAL = 2, /* encode: "<|endoftext|>" in the text becomes the control token; else it stays text */
    GR_SKIP_SPECIAL = 4,  /* decode: leave control tokens out */
};
/* *ids, *n: the text's ids, valid until the next call with this tokenizer. */
GR_API gr_status gr_tokenizer_encode(gr_tokenizer *tokenizer, const char *text, size_t size, unsigned flags,
                                     const gr_token **ids, size_t *n);
/* Many texts on all cores. */
typedef struct gr_span {
    const char *text;
    size_t size;
} gr_span;
typedef struct gr_encoded {
    size_t size;
    const gr_token *ids; /* of all texts, one behind the other */
    const size_t *ends;  /* [n] where each text's ids end */
    size_t n;
} gr_encoded;
/* threads 0: one per core; any number gives the same. *out is freed by gr_free; NULL on failure. */
GR_API gr_status gr_tokenizer_encode_all(const gr_tokenizer *tokenizer, const gr_span *texts, size_t n, unsigned flags,
                                         int threads, const gr_encoded **out);
/* *text, *size: the text of the ids, NUL-terminated, valid until the next call with this tokenizer. Bytes that make no
 * character are U+FFFD; ids without a token are left out, negative ones an error. */
GR_API gr_status gr_tokenizer_decode(gr_tokenizer *tokenizer, const gr_token *ids, size_t n, unsigned flags,
                                     const char **text, size_t *size);

typedef struct gr_tokenizer_progress {
    int64_t bytes;  /* of text read */
    int64_t words;  /* distinct ones; 0: still reading */
    int64_t tokens; /* of the vocabulary so far; 0: still reading */
} gr_tokenizer_progress;
typedef enum gr_tokenizer_recipe {
    GR_TOKENIZER_BPE, /* a byte-level BPE with GPT-2's pattern: vocabulary and merges are those of Hugging Face's BpeTrainer on
                         the same texts. Memory grows with distinct words, not with text */
    GR_TOKENIZER_CHARACTERS, /* the distinct characters, sorted by code point; encoding any other one is an error that names
                                it */
    GR_TOKENIZER_BYTES,      /* 256 tokens, one a byte, id = byte, and <|endoftext|>, 256; needs no texts */
} gr_tokenizer_recipe;
typedef struct gr_corpus gr_corpus;
/* What a tokenizer is made of: all texts of all sources that are given, one at least. */
typedef struct gr_tokenizer_training {
    size_t size;
    gr_tokenizer_recipe recipe;
    const char *const *paths; /* [n_paths] as gr_corpus_load takes them; never more than a part of a file in memory */
    int n_paths;
    const gr_corpus *corpus;
    const gr_span *texts; /* [n_texts] */
    size_t n_texts;
    bool (*next)(void *user, gr_span *text); /* gives another text, which lives until the next call; false: no more */
    bool end_of_text;                        /* CHARACTERS: <|endoftext|> behind them; the others have it always */
    int64_t vocab_size;                      /* BPE: tokens at most; at least 256 bytes, <|endoftext|> and `special` */
    int64_t min_frequency;                   /* pairs rarer than this are not merged */
    bool whole_texts; /* words may span lines (train_from_iterator); else every line is a text (train on files) */
    const char *const *special; /* [n_special] control tokens behind <|endoftext|>, whose id is 0 */
    int n_special;
    int threads; /* that count words; 0: one per core. The result is the same for any number */
    bool (*progress)(void *user, const gr_tokenizer_progress *progress); /* of BPE; false: stop; may be NULL */
    void *user;
} gr_tokenizer_training;
/* GR_ERR_INTERRUPTED when progress said stop. */
GR_API gr_tokenizer *gr_tokenizer_train(const gr_tokenizer_training *training);

/* Text as it is generated: feed gives the characters that an id completes (often none), never half a character; id -1
 * gives the rest and starts over. The text is valid until the next call; the tokenizer must outlive the stream. */
typedef struct gr_text_stream gr_text_stream;
GR_API gr_text_stream *gr_text_stream_new(const gr_tokenizer *tokenizer, unsigned flags);
GR_API void gr_text_stream_free(gr_text_stream *stream); /* NULL is fine */
GR_API gr_status gr_text_stream_feed(gr_text_stream *stream, gr_token id, const char **text, size_t *size);

/* ---- chat templates ----------------------------------------------------------------------------------------- */

/* What makes a text of a conversation: the Jinja of a model's `chat_template`, byte for byte as transformers' sandboxed
 * environment renders it; what is not supported is an error with line and column, never another template
 * (docs/chat.md). One template may be used by several threads. */
typedef struct gr_template gr_template;
typedef struct gr_template_source {
    size_t size;
    const char *text; /* the template; else it is that of `path` */
    size_t text_size;
    const char *path; /* a model's directory: chat_template.jinja with additional_chat_templates/, else the
                         `chat_template` of tokenizer_config.json, a text or a list of {name, template}; a .gguf file; or the file of a
                         template */
    const char *name; /* of `text`, for messages; of `path`, which of several: NULL: "tool_use", where there is one, for
                         conversations with tools, else "default"; without either one of ours: "chatml", "llama3", "mistral",
                         "gemma" */
} gr_template_source;
/* NULL: gr_error(); GR_ERR_UNSUPPORTED when the directory has no template. */
GR_API gr_template *gr_template_open(const gr_template_source *source);
GR_API void gr_template_free(gr_template *chat); /* NULL is fine */
typedef struct gr_template_info {
    size_t size;
    const char *name; /* where it is from */
    const char *text; /* [text_size] of several that for conversations without tools; NULL: there is none */
    size_t text_size;
    uint64_t digest;          /* of the text, by which two can be told apart */
    const char *const *needs; /* of one of ours: the added tokens that it cannot do without, until NULL, as
                                 gr_tokenizer_extend takes them; else NULL */
} gr_template_info;
/* Lives as long as the template; NULL of NULL. */
GR_API const gr_template_info *gr_template_describe(const gr_template *chat);

typedef struct gr_conversation {
    size_t size;
    const char
        *json; /* [json_size] an object: "messages", "tools", "documents", "add_generation_prompt" (else true); each
                         other key is a variable of the template */
    size_t json_size;
    const char *name; /* what messages call it; NULL: "conversation" */
    const char
        *variables; /* [variables_size] an object of more variables ("enable_thinking"); the conversation's win */
    size_t variables_size;
    const gr_tokenizer *tokenizer; /* whose bos_token, eos_token and so on the template has; may be NULL: it has none */
    bool has_now;
    int64_t now; /* for strftime_now: local time, as seconds since 1970 began there; without has_now the machine's */
    /* Limits of one rendering; 0: the one in brackets. What goes past one is an error that names the line. */
    int64_t max_steps; /* nodes run, and parts of long texts and lists gone through [20 million] */
    int64_t max_depth; /* nodes in nodes that run, macros included [600] */
    size_t max_memory; /* bytes of all values made [256 MiB] */
    size_t max_text;   /* bytes of the text [64 MiB] */
} gr_conversation;
/* From `from` to before `to`, in bytes. */
typedef struct gr_text_range {
    size_t from, to;
} gr_text_range;
typedef struct gr_rendered {
    size_t size;
    const char *text; /* [text_size], NUL-terminated */
    size_t text_size;
    const gr_text_range *untrusted; /* [n_untrusted] what messages, tools and documents brought, in order. Not: roles
                                       that the template knows */
    size_t n_untrusted;
    const gr_text_range *generated; /* [n_generated] what generation blocks made: the assistant's part */
    size_t n_generated;
} gr_rendered;
/* *out is freed by gr_free; NULL on failure. */
GR_API gr_status gr_template_render(const gr_template *chat, const gr_conversation *conversation,
                                    const gr_rendered **out);
/* *ids, *n: its ids, valid until the next call with this tokenizer. Control tokens come from the template alone: where an
 * added token would touch an untrusted byte it is not found (blanks that are no control tokens are). Nothing is put around
 * the text: a template writes its own BOS. */
GR_API gr_status gr_template_encode(gr_tokenizer *tokenizer, const gr_rendered *rendered, const gr_token **ids,
                                    size_t *n);

#ifdef __cplusplus
}
#endif

#endif
