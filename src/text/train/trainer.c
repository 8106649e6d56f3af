/* The public trainer: texts in, a tokenizer.json out. */
#include <stdio.h>
#include "text/unicode/byte_level.h"
#include "text/files/json_text.h"
#include "text/train/trainer.h"
#include "base/error.h"
#include "base/json.h"

#define END_OF_TEXT "<|endoftext|>"

static gr_status check_options(const gr_tokenizer_training *o)
{
    int64_t least = 257 + o->n_special;
    if (o->vocab_size < least || o->vocab_size > INT32_MAX)
        return gr_fail(GR_ERR_ARGUMENT,
                       "tokenizer training: a vocabulary of %lld tokens: 256 bytes and the special tokens are %lld "
                       "already\nask for more",
                       (long long)o->vocab_size, (long long)least);
    for (int i = 0; i < o->n_special; i++) {
        bool again = strcmp(o->special[i], END_OF_TEXT) == 0;
        for (int k = 0; k < i; k++)
            again |= strcmp(o->special[i], o->special[k]) == 0;
        if (again || strlen(o->special[i]) < 2 || !gr_utf8_valid(o->special[i], strlen(o->special[i])))
            return gr_fail(GR_ERR_ARGUMENT, "tokenizer training: special token '%s' %s", o->special[i],
                           again ? "is there twice\nleave one out" : "is not a text of at least two characters");
    }
    return GR_OK;
}

static gr_status set_up(gr_tokenizer_trainer *t, const gr_tokenizer_training *options)
{
    t->options = *options;
    t->pool = gr_pool_new(options->threads);
    t->special = gr_alloc_zero((size_t)options->n_special + 1, sizeof *t->special);
    if (!t->pool || !t->special)
        return GR_ERR_MEMORY;
    for (int i = 0; i < options->n_special; i++)
        if (!(t->special[i] = gr_strdup(options->special[i])))
            return GR_ERR_MEMORY;
    t->counts = gr_alloc_zero((size_t)gr_pool_threads(t->pool), sizeof *t->counts);
    return t->counts ? GR_OK : GR_ERR_MEMORY;
}

gr_tokenizer_trainer *gr_tokenizer_trainer_new(const gr_tokenizer_training *options)
{
    if (check_options(options) != GR_OK)
        return NULL;
    gr_tokenizer_trainer *t = gr_alloc_zero(1, sizeof *t);
    if (t && set_up(t, options) != GR_OK) {
        gr_tokenizer_trainer_free(t);
        return NULL;
    }
    return t;
}

void gr_tokenizer_trainer_free(gr_tokenizer_trainer *t)
{
    if (!t)
        return;
    for (int i = 0; t->counts && i < gr_pool_threads(t->pool); i++)
        gr_word_counts_free(&t->counts[i]);
    for (int i = 0; t->special && i < t->options.n_special; i++)
        gr_free(t->special[i]);
    gr_pool_free(t->pool);
    gr_free(t->counts);
    gr_free(t->special);
    gr_free(t);
}

gr_status gr_tokenizer_trainer_feed(gr_tokenizer_trainer *t, const char *text, size_t size)
{
    size_t used;
    return size ? gr_trainer_count_text(t, text, size, true, &used) : GR_OK;
}

/* All threads' counts become the first one's. */
static gr_status join_counts(gr_tokenizer_trainer *t)
{
    gr_status s = GR_OK;
    for (int i = 1; i < gr_pool_threads(t->pool) && s == GR_OK; i++) {
        const gr_word_counts *from = &t->counts[i];
        for (size_t w = 0; w < from->words.rows && s == GR_OK; w++) {
            size_t size;
            const char *word = gr_vocab_text(&from->words, (int64_t)w, &size);
            s = gr_word_counts_add(&t->counts[0], word, size, from->count[w]);
        }
        gr_word_counts_free(&t->counts[i]);
    }
    return s;
}

/* ---- the result --------------------------------------------------------------------------------------------- */

/* A special token as bytes that the vocabulary of bytes can hold: what its characters are in the byte alphabet, as words
 * are spelled in it; else bytes that no text has. */
static gr_status special_bytes(const char *token, int place, gr_bytes *out)
{
    out->size = 0;
    gr_status s = gr_bytes_reserve(out, strlen(token) + 16);
    if (s != GR_OK || gr_byte_level_decode(token, strlen(token), out))
        return s;
    out->size = (size_t)snprintf(out->data, 16, "\xFF\xFE%d", place);
    return GR_OK;
}

/* Special tokens, then the byte alphabet in order of its code points: the order in which Hugging Face numbers them. */
static gr_status first_tokens(const gr_tokenizer_trainer *t, gr_vocab *vocab, int32_t byte_id[256])
{
    gr_bytes bytes = {0};
    gr_status s = GR_OK;
    for (int i = 0; i <= t->options.n_special && s == GR_OK; i++) {
        s = special_bytes(i ? t->special[i - 1] : END_OF_TEXT, i, &bytes);
        if (s == GR_OK)
            s = gr_vocab_add(vocab, bytes.data, bytes.size, (uint32_t)i);
    }
    gr_bytes_free(&bytes);
    for (uint32_t c = 0; c < 0x200 && s == GR_OK; c++) {
        int byte = gr_char_to_byte(c);
        if (byte < 0)
            continue;
        byte_id[byte] = (int32_t)vocab->rows;
        s = gr_vocab_add(vocab, &(char){(char)byte}, 1, (uint32_t)vocab->rows);
    }
    return s;
}

/* What the writing of the JSON needs. */
typedef struct writing {
    const gr_tokenizer_trainer *trainer;
    const gr_vocab *vocab;
    gr_bytes *out, scratch;
} writing;

/* A token in quotes: a special one as it is, others in the byte alphabet. */
static gr_status add_token(writing *w, int32_t id)
{
    size_t size;
    const char *text = gr_vocab_text(w->vocab, id, &size);
    if (id <= w->trainer->options.n_special) {
        text = id ? w->trainer->special[id - 1] : END_OF_TEXT;
        return gr_json_add_text(w->out, text, strlen(text));
    }
    w->scratch.size = 0;
    gr_status s = gr_byte_level_encode(text, size, &w->scratch);
    return s == GR_OK ? gr_json_add_text(w->out, w->scratch.data, w->scratch.size) : s;
}

static gr_status add_specials(writing *w)
{
    gr_status s = GR_OK;
    for (int i = 0; i <= w->trainer->options.n_special && s == GR_OK; i++) {
        const char *token = i ? w->trainer->special[i - 1] : END_OF_TEXT;
        s = gr_bytes_add_string(w->out, i ? ",\n    " : "\n    ");
        if (s == GR_OK)
            s = gr_json_add_added_token(w->out, i, token, strlen(token), true);
    }
    return s;
}

static gr_status add_vocab(writing *w)
{
    gr_status s = GR_OK;
    for (size_t id = 0; id < w->vocab->rows && s == GR_OK; id++) {
        char number[32];
        snprintf(number, sizeof number, ": %zu", id);
        s = gr_bytes_add_string(w->out, id ? ",\n      " : "\n      ");
        if (s == GR_OK)
            s = add_token(w, (int32_t)id);
        if (s == GR_OK)
            s = gr_bytes_add_string(w->out, number);
    }
    return s;
}

static gr_status add_merges(writing *w, const gr_learned *merges, size_t n)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < n && s == GR_OK; i++) {
        s = gr_bytes_add_string(w->out, i ? ",\n      [" : "\n      [");
        if (s == GR_OK)
            s = add_token(w, merges[i].left);
        if (s == GR_OK)
            s = gr_bytes_add_string(w->out, ", ");
        if (s == GR_OK)
            s = add_token(w, merges[i].right);
        if (s == GR_OK)
            s = gr_bytes_add_string(w->out, "]");
    }
    return s;
}

static gr_status write_json(writing *w, const gr_learned *merges, size_t n)
{
    static const char middle[] =
        "\n  ],\n  \"normalizer\": null,\n"
        "  \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
        "\"use_regex\": true},\n  \"post_processor\": null,\n"
        "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": "
        "true},\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
        "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
        "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {";
    gr_status s = gr_bytes_add_string(
        w->out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [");
    if (s == GR_OK)
        s = add_specials(w);
    if (s == GR_OK)
        s = gr_bytes_add_string(w->out, middle);
    if (s == GR_OK)
        s = add_vocab(w);
    if (s == GR_OK)
        s = gr_bytes_add_string(w->out, "\n    },\n    \"merges\": [");
    if (s == GR_OK)
        s = add_merges(w, merges, n);
    return s == GR_OK ? gr_bytes_add_string(w->out, "\n    ]\n  }\n}\n") : s;
}

static bool go_on(void *ctx, int64_t tokens)
{
    const gr_tokenizer_trainer *t = ctx;
    gr_tokenizer_progress now = {t->bytes, (int64_t)t->counts[0].words.count, tokens};
    return t->options.progress(t->options.user, &now);
}

/* Tokens double in length where a text has no places to cut it. */
static gr_status check_length(const gr_vocab *vocab, size_t json)
{
    size_t longest = 0;
    for (size_t i = 0; i < vocab->rows; i++) {
        size_t size;
        longest = gr_vocab_text(vocab, (int64_t)i, &size) && size > longest ? size : longest;
    }
    return json <= GR_JSON_LIMIT
               ? GR_OK
               : gr_fail(GR_ERR_FILE,
                         "learning a tokenizer: its tokens are too long to be written, the longest has %zu bytes\n"
                         "the text has long words that repeat themselves: cut them, or learn fewer tokens",
                         longest);
}

gr_tokenizer *gr_tokenizer_trainer_finish(gr_tokenizer_trainer *t)
{
    const gr_tokenizer_training *o = &t->options;
    gr_vocab vocab = {0};
    gr_bytes json = {0};
    gr_learned *merges = NULL;
    size_t n = 0;
    int32_t byte_id[256];
    gr_status s = first_tokens(t, &vocab, byte_id);
    if (s == GR_OK)
        s = join_counts(t);
    gr_learning how = {o->vocab_size, o->min_frequency, o->progress ? go_on : NULL, t};
    if (s == GR_OK)
        s = gr_bpe_learn(&t->counts[0], &vocab, byte_id, &how, &merges, &n);
    writing w = {.trainer = t, .vocab = &vocab, .out = &json};
    if (s == GR_OK)
        s = write_json(&w, merges, n);
    if (s == GR_OK)
        s = check_length(&vocab, json.size);
    gr_tokenizer *made = s != GR_OK ? NULL : gr_tokenizer_from_json(json.data, json.size);
    gr_bytes_free(&w.scratch);
    gr_bytes_free(&json);
    gr_vocab_free(&vocab);
    gr_free(merges);
    return made;
}
