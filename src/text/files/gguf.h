/* The tokenizer that a GGUF file has in its keys, as a tokenizer.json. */
#ifndef GR_TEXT_FILES_GGUF_H
#define GR_TEXT_FILES_GGUF_H

#include "base/buffer.h"
#include "format/gguf.h"

enum { GR_GGUF_PRE_STEPS = 6 };

/* What cuts texts, under some names. */
typedef struct gr_gguf_pre {
    const char *names;                    /* with spaces between them; the first is what to call it by */
    const char *steps[GR_GGUF_PRE_STEPS]; /* regexes; NULL behind the last */
    bool whole; /* a word that is a token is that, however merges would make it (ignore_merges) */
    bool bos;   /* what begins a text is put before it where the file does not say */
    bool plain; /* tokens are text in which U+2581 stands for spaces, and not GPT-2's letters for bytes */
} gr_gguf_pre;

/* i = 0, 1, … until NULL. */
const gr_gguf_pre *gr_gguf_pre_at(int i);
const gr_gguf_pre *gr_gguf_pre_find(const char *name, size_t size); /* NULL: there is none */

/* Does the file have one? */
bool gr_gguf_has_tokenizer(const gr_gguf *file);
/* Appends its tokenizer.json: the one of Hugging Face where it was carried along, else one that is made of tokens, scores,
 * merges and settings. What is missing or contradicts itself is an error that names the key. */
gr_status gr_convert_gguf(const gr_gguf *file, gr_bytes *json);
/* The id that a key has for it ("bos", "eos", "padding"); -1: none. */
gr_token gr_gguf_token(const gr_gguf *file, const char *which);

#endif
