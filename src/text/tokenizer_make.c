/* The tokenizers of training from nothing, as ordinary tokenizer.json texts: one byte or one character a token. */
#include <stdio.h>
#include "text/files/json_text.h"
#include "text/unicode/byte_level.h"
#include "text/tokenizer.h"
#include "base/error.h"
#include "base/utf8.h"
#include "data/corpus.h"

static const char *const head = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";

static gr_status add_end_of_text(gr_bytes *out, size_t id, bool wanted)
{
    static const char name[] = "<|endoftext|>";
    gr_status s = gr_bytes_add_string(out, "  \"added_tokens\": [");
    if (s == GR_OK && wanted)
        s = gr_json_add_added_token(out, (int64_t)id, name, strlen(name), true);
    return s == GR_OK ? gr_bytes_add_string(out, "],\n  \"normalizer\": null,\n") : s;
}

/* ---- "character": id, … ------------------------------------------------------------------------------------- */

static gr_status add_character(gr_bytes *out, uint32_t c, size_t id)
{
    char text[4], number[32];
    gr_status s = gr_bytes_add_string(out, id ? ",\n      " : "\n      ");
    if (s == GR_OK)
        s = gr_json_add_text(out, text, (size_t)gr_utf8_write(c, text));
    snprintf(number, sizeof number, ": %zu", id);
    return s == GR_OK ? gr_bytes_add_string(out, number) : s;
}

/* A BPE model without merges. */
static gr_status add_model(gr_bytes *out, const uint32_t *c, size_t n, const char *unk)
{
    gr_status s =
        gr_bytes_add_string(out, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": ");
    if (s == GR_OK)
        s = gr_bytes_add_string(out, unk);
    if (s == GR_OK)
        s = gr_bytes_add_string(out, ",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": "
                                     "null,\n    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n"
                                     "    \"ignore_merges\": false,\n    \"vocab\": {");
    for (size_t i = 0; i < n && s == GR_OK; i++)
        s = add_character(out, c[i], i);
    return s == GR_OK ? gr_bytes_add_string(out, "\n    },\n    \"merges\": []\n  }\n}\n") : s;
}

static gr_tokenizer *from_text(gr_bytes *json, gr_status s)
{
    gr_tokenizer *t = s != GR_OK ? NULL : gr_tokenizer_from_json(json->data, json->size);
    gr_bytes_free(json);
    return t;
}

gr_tokenizer *gr_tokenizer_byte(void)
{
    static const char middle[] =
        "  \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
        "\"use_regex\": false},\n  \"post_processor\": null,\n"
        "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
        "\"use_regex\": false},\n";
    uint32_t alphabet[256];
    gr_bytes json = {0};
    for (int i = 0; i < 256; i++)
        alphabet[i] = gr_byte_to_char((unsigned char)i);
    gr_status s = gr_bytes_add_string(&json, head);
    if (s == GR_OK)
        s = add_end_of_text(&json, 256, true);
    if (s == GR_OK)
        s = gr_bytes_add_string(&json, middle);
    if (s == GR_OK)
        s = add_model(&json, alphabet, 256, "null");
    return from_text(&json, s);
}

/* The distinct characters of texts: one bit a code point. */
typedef struct characters {
    uint64_t *seen;
    int64_t before; /* bytes of the texts so far */
} characters;

enum { CODE_POINTS = 0x110000 };

static gr_status see(characters *all, const char *text, size_t size)
{
    for (const char *p = text, *end = text + size; p < end;) {
        int bytes;
        uint32_t c = gr_utf8_read(p, end, &bytes);
        if (c >= GR_INVALID_BYTE)
            return gr_fail(GR_ERR_ARGUMENT,
                           "char tokenizer: the text is not UTF-8 (byte 0x%02X at offset %lld)\nuse the byte tokenizer",
                           (unsigned)(c - GR_INVALID_BYTE), (long long)(all->before + (p - text)));
        all->seen[c / 64] |= (uint64_t)1 << c % 64;
        p += bytes;
    }
    all->before += (int64_t)size;
    return GR_OK;
}

/* In order. */
static gr_status list_seen(const characters *all, uint32_t **found, size_t *n)
{
    size_t cap = 0;
    for (uint32_t c = 0; c < CODE_POINTS; c++)
        if (all->seen[c / 64] >> c % 64 & 1) {
            if (gr_grow(found, &cap, *n + 1, sizeof **found) != GR_OK)
                return GR_ERR_MEMORY;
            (*found)[(*n)++] = c;
        }
    return *n ? GR_OK : gr_fail(GR_ERR_ARGUMENT, "char tokenizer: the text is empty");
}

/* The unknown token is named but not in the vocabulary: by that, Hugging Face's code too refuses characters that the
 * vocabulary does not have, instead of dropping them. */
static gr_tokenizer *of_characters(const characters *all, bool end_of_text)
{
    gr_bytes json = {0};
    uint32_t *c = NULL;
    size_t n = 0;
    gr_status s = list_seen(all, &c, &n);
    if (s == GR_OK)
        s = gr_bytes_add_string(&json, head);
    if (s == GR_OK)
        s = add_end_of_text(&json, n, end_of_text);
    if (s == GR_OK)
        s = gr_bytes_add_string(&json, "  \"pre_tokenizer\": null,\n  \"post_processor\": null,\n"
                                       "  \"decoder\": {\"type\": \"Fuse\"},\n");
    if (s == GR_OK)
        s = add_model(&json, c, n, "\"<unk>\"");
    gr_free(c);
    return from_text(&json, s);
}

static gr_status take_document(void *user, gr_document_text *d)
{
    d->used = d->size;
    return see(user, d->text, d->size);
}

static gr_status take_text(void *user, const char *text, size_t size)
{
    return see(user, text, size);
}

gr_status gr_training_texts(const gr_tokenizer_training *o,
                            gr_status (*take)(void *user, const char *text, size_t size), void *user)
{
    gr_span text = {0};
    gr_status s = GR_OK;
    if (o->n_texts && gr_lacks(o->texts, "gr_tokenizer_train: texts"))
        return GR_ERR_ARGUMENT;
    for (size_t i = 0; s == GR_OK && i < o->n_texts + 1;) {
        bool more = i < o->n_texts || (o->next && o->next(o->user, &text));
        if (!more)
            break;
        if (i < o->n_texts)
            text = o->texts[i++];
        if (text.size && gr_lacks(text.text, "gr_tokenizer_train: a text"))
            return GR_ERR_ARGUMENT;
        s = text.size ? take(user, text.text, text.size) : GR_OK;
    }
    return s;
}

/* Of the files that paths and corpus name. */
static gr_status see_files(characters *all, const gr_tokenizer_training *o)
{
    gr_reader r = {.take = take_document, .user = all, .learns_tokenizer = true}, again = r;
    gr_status s = o->n_paths ? gr_read_documents(&r, o->paths, o->n_paths) : GR_OK;
    if (s == GR_OK && o->corpus)
        s = gr_corpus_read(o->corpus, &again);
    gr_files_free(r.files, r.n_files);
    gr_files_free(again.files, again.n_files);
    gr_inputs_free(&r.inputs);
    gr_inputs_free(&again.inputs);
    return s;
}

gr_tokenizer *gr_tokenizer_characters(const gr_tokenizer_training *o)
{
    characters all = {.seen = gr_alloc_zero(CODE_POINTS / 64, sizeof *all.seen)};
    gr_status s = all.seen ? see_files(&all, o) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_training_texts(o, take_text, &all);
    gr_tokenizer *t = s == GR_OK ? of_characters(&all, o->end_of_text) : NULL;
    gr_free(all.seen);
    return t;
}

gr_tokenizer *gr_tokenizer_char(const char *text, size_t size, bool end_of_text)
{
    const gr_span span = {text, size};
    const gr_tokenizer_training o = {.size = sizeof o, .texts = &span, .n_texts = 1, .end_of_text = end_of_text};
    return gr_tokenizer_characters(&o);
}
