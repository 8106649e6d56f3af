/* The public trainer: texts in, a tokenizer.json out. */
#include <stdio.h>
#include "text/byte_level.h"
#include "text/json_text.h"
#include "text/scan.h"
#include "text/tokenizer.h"
#include "text/train_bpe.h"
#include "base/error.h"

struct gr_tokenizer_trainer {
    gr_tokenizer_training options;
    gr_word_counts counts;
};

gr_tokenizer_trainer *gr_tokenizer_trainer_new(const gr_tokenizer_training *options)
{
    if (options->vocab_size < 257 || options->vocab_size > INT32_MAX) {
        gr_fail(GR_ERR_ARGUMENT,
                "tokenizer training: a vocabulary of %lld tokens: 256 bytes and <|endoftext|> are 257 already",
                (long long)options->vocab_size);
        return NULL;
    }
    gr_tokenizer_trainer *t = gr_alloc_zero(1, sizeof *t);
    if (t)
        t->options = *options;
    return t;
}

void gr_tokenizer_trainer_free(gr_tokenizer_trainer *t)
{
    if (t)
        gr_word_counts_free(&t->counts);
    gr_free(t);
}

static gr_status count_words(gr_tokenizer_trainer *t, const char *p, const char *end)
{
    gr_status status = GR_OK;
    while (p < end && !status) {
        const char *stop = gr_scan_gpt2(p, end);
        status = gr_word_counts_add(&t->counts, p, (size_t)(stop - p));
        p = stop;
    }
    return status;
}

gr_status gr_tokenizer_trainer_feed(gr_tokenizer_trainer *t, const char *text, size_t size)
{
    const char *end = text + size;
    gr_status status = GR_OK;
    if (!t->options.whole_texts)
        while (text < end && !status) {
            const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline + 1 : end;
            status = count_words(t, text, stop);
            text = stop;
        }
    return status ? status : count_words(t, text, end);
}

/* ---- the result ---- */

/* <|endoftext|>, then the byte alphabet in order of its code points: the order in which Hugging Face numbers them. */
static gr_status first_tokens(gr_vocab *vocab, int32_t byte_id[256])
{
    gr_status status = gr_vocab_add(vocab, "<|endoftext|>", 13, 0);
    for (uint32_t c = 0; c < 0x200 && !status; c++) {
        int byte = gr_char_to_byte(c);
        if (byte < 0)
            continue;
        byte_id[byte] = (int32_t)vocab->rows;
        status = gr_vocab_add(vocab, &(char){(char)byte}, 1, (uint32_t)vocab->rows);
    }
    return status;
}

/* A token in the byte alphabet, in quotes. */
static gr_status add_token(gr_bytes *out, const gr_vocab *vocab, int32_t id, gr_bytes *scratch)
{
    size_t size;
    const char *text = gr_vocab_text(vocab, id, &size);
    scratch->size = 0;
    gr_status status = gr_byte_level_encode(text, size, scratch);
    return status ? status : gr_json_add_text(out, scratch->data, scratch->size);
}

static gr_status add_vocab(gr_bytes *out, const gr_vocab *vocab, gr_bytes *scratch)
{
    gr_status status = GR_OK;
    for (size_t id = 0; id < vocab->rows && !status; id++) {
        char number[32];
        snprintf(number, sizeof number, ": %zu", id);
        status = gr_bytes_add_string(out, id ? ",\n      " : "\n      ");
        if (!status)
            status = add_token(out, vocab, (int32_t)id, scratch);
        if (!status)
            status = gr_bytes_add_string(out, number);
    }
    return status;
}

static gr_status add_merges(gr_bytes *out, const gr_vocab *vocab, const gr_learned *merges, size_t n, gr_bytes *scratch)
{
    gr_status status = GR_OK;
    for (size_t i = 0; i < n && !status; i++) {
        status = gr_bytes_add_string(out, i ? ",\n      [" : "\n      [");
        if (!status)
            status = add_token(out, vocab, merges[i].left, scratch);
        if (!status)
            status = gr_bytes_add_string(out, ", ");
        if (!status)
            status = add_token(out, vocab, merges[i].right, scratch);
        if (!status)
            status = gr_bytes_add_string(out, "]");
    }
    return status;
}

static gr_status write_json(gr_bytes *out, const gr_vocab *vocab, const gr_learned *merges, size_t n)
{
    static const char head[] =
        "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [\n"
        "    {\"id\": 0, \"content\": \"<|endoftext|>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
        "\"normalized\": false, \"special\": true}\n  ],\n  \"normalizer\": null,\n"
        "  \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
        "\"use_regex\": true},\n  \"post_processor\": null,\n"
        "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": "
        "true},\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
        "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
        "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {";
    gr_bytes scratch = {0};
    gr_status status = gr_bytes_add_string(out, head);
    if (!status)
        status = add_vocab(out, vocab, &scratch);
    if (!status)
        status = gr_bytes_add_string(out, "\n    },\n    \"merges\": [");
    if (!status)
        status = add_merges(out, vocab, merges, n, &scratch);
    if (!status)
        status = gr_bytes_add_string(out, "\n    ]\n  }\n}\n");
    gr_bytes_free(&scratch);
    return status;
}

gr_tokenizer *gr_tokenizer_trainer_finish(gr_tokenizer_trainer *t)
{
    gr_vocab vocab = {0};
    gr_bytes json = {0};
    gr_learned *merges = NULL;
    size_t n = 0;
    int32_t byte_id[256];
    gr_status status = first_tokens(&vocab, byte_id);
    if (!status)
        status =
            gr_bpe_learn(&t->counts, &vocab, byte_id, t->options.vocab_size, t->options.min_frequency, &merges, &n);
    if (!status)
        status = write_json(&json, &vocab, merges, n);
    gr_tokenizer *made = status ? NULL : gr_tokenizer_from_json(json.data, json.size);
    gr_bytes_free(&json);
    gr_vocab_free(&vocab);
    gr_free(merges);
    return made;
}
