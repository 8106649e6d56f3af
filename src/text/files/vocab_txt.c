/* BERT's vocab.txt: a token a line, its number the id. */
#include <stdio.h>
#include "text/files/convert.h"
#include "text/files/json_text.h"
#include "text/unicode/unicode.h"
#include "base/error.h"

/* Without white space at its end, as tokenizers reads it. */
static const char *trim(const char *p, const char *stop)
{
    const char *end = p;
    for (int n; p < stop;) {
        bool space = gr_class(gr_utf8_read(p, stop, &n)) & GR_CLASS_SPACE;
        p += n;
        if (!space)
            end = p;
    }
    return end;
}

/* Of equal tokens the last has the id, and there are as many as differ. */
static gr_status read_tokens(const char *p, const char *end, gr_vocab *v)
{
    gr_status s = GR_OK;
    for (uint32_t id = 0; p < end && s == GR_OK; id++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
        const char *last = trim(p, stop);
        if (!gr_utf8_valid(p, (size_t)(stop - p)))
            return gr_fail(GR_ERR_FILE, "vocab.txt:%u: not UTF-8", id + 1);
        s = gr_vocab_add_again(v, p, (size_t)(last - p), id);
        p = stop + 1;
    }
    if (s == GR_OK && !v->count)
        s = gr_fail(GR_ERR_FILE, "vocab.txt: there are no tokens in it");
    return s;
}

static gr_status add_vocab(const gr_vocab *v, gr_bytes *json)
{
    const char *separator = "\n";
    gr_status s = GR_OK;
    for (size_t id = 0; id < v->rows && s == GR_OK; id++) {
        size_t size;
        const char *text = gr_vocab_text(v, (int64_t)id, &size);
        char number[32];
        if (gr_vocab_find(v, text, size) != (int32_t)id)
            continue;
        snprintf(number, sizeof number, ": %zu", id);
        s = gr_bytes_add_string(json, separator);
        if (s == GR_OK)
            s = gr_json_add_text(json, text, size);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, number);
        separator = ",\n";
    }
    return s;
}

static const char *truth(bool x)
{
    return x ? "true" : "false";
}

gr_status gr_convert_vocab_txt(const gr_tokenizer_class *c, const gr_beside *b, gr_file_text file, gr_bytes *json)
{
    const gr_told_token *told = &b->named[GR_NAMED_UNK];
    bool named = b->named_told[GR_NAMED_UNK] && told->content;
    const char *accents = b->strip_accents == GR_TOLD_YES ? "true" : b->strip_accents == GR_TOLD_NO ? "false" : "null";
    char stages[400];
    gr_vocab v = {0};
    snprintf(stages, sizeof stages,
             "{\"version\": \"1.0\", \"added_tokens\": [],\n\"normalizer\": {\"type\": \"BertNormalizer\", "
             "\"clean_text\": true, \"handle_chinese_chars\": %s, \"strip_accents\": %s, \"lowercase\": %s},\n",
             truth(b->chinese != GR_TOLD_NO), accents, truth(b->lower_case != GR_TOLD_NO));
    gr_status s = read_tokens(file.data, file.data + file.size, &v);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, stages);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},\n\"post_processor\": "
                                      "null,\n\"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", "
                                      "\"cleanup\": true},\n\"model\": {\"type\": \"WordPiece\", \"unk_token\": ");
    if (s == GR_OK)
        s = named ? gr_json_add_text(json, told->content, told->size)
                  : gr_json_add_text(json, c->named[GR_NAMED_UNK], strlen(c->named[GR_NAMED_UNK]));
    if (s == GR_OK)
        s = gr_bytes_add_string(json, ", \"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": "
                                      "100,\n\"vocab\": {");
    if (s == GR_OK)
        s = add_vocab(&v, json);
    gr_vocab_free(&v);
    return s == GR_OK ? gr_bytes_add_string(json, "}}}\n") : s;
}
