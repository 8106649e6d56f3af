/* GPT-2's two files: vocab.json goes into the tokenizer.json as it is, merges.txt has "left right" on every line. */
#include "format/json.h"
#include "text/files/convert.h"
#include "text/files/json_text.h"

static gr_status add_merges(const char *p, const char *end, gr_bytes *json)
{
    gr_status status = GR_OK;
    const char *separator = "\n";
    if (end - p > 8 && memcmp(p, "#version", 8) == 0)
        p = memchr(p, '\n', (size_t)(end - p));
    while (p && p < end && !status) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
        const char *last = stop > p && stop[-1] == '\r' ? stop - 1 : stop;
        if (last > p) {
            status = gr_bytes_add_string(json, separator);
            if (!status)
                status = gr_json_add_text(json, p, (size_t)(last - p));
            separator = ",\n";
        }
        p = stop + 1;
    }
    return status;
}

/* The one special token of GPT-2, where the vocabulary has it. */
static gr_status add_end_of_text(const char *vocab, size_t size, gr_bytes *json)
{
    static const char name[] = "<|endoftext|>";
    gr_json_doc *doc = gr_json_parse("vocab.json", vocab, size);
    if (!doc)
        return gr_error_status();
    int64_t id = gr_json_int(gr_json_as_object(gr_json_root(doc)), name, -1, 0, INT32_MAX - 1);
    gr_status status = gr_json_check(doc);
    gr_json_free(doc);
    return status || id < 0 ? status : gr_json_add_added_token(json, id, name, strlen(name), true);
}

gr_status gr_convert_merges(const char *vocab, size_t vocab_size, const char *merges, size_t merges_size,
                            gr_bytes *json)
{
    gr_status status = gr_bytes_add_string(json, "{\"version\": \"1.0\", \"added_tokens\": [");
    if (!status)
        status = add_end_of_text(vocab, vocab_size, json);
    if (!status)
        status = gr_bytes_add_string(
            json,
            "],\n\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
            "\"use_regex\": true},\n\"post_processor\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
            "\"trim_offsets\": false, \"use_regex\": true},\n\"decoder\": {\"type\": \"ByteLevel\", "
            "\"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true},\n"
            "\"model\": {\"type\": \"BPE\", \"vocab\": ");
    if (!status)
        status = gr_bytes_add(json, vocab, vocab_size);
    if (!status)
        status = gr_bytes_add_string(json, ", \"merges\": [");
    if (!status)
        status = add_merges(merges, merges + merges_size, json);
    return status ? status : gr_bytes_add_string(json, "]}}\n");
}
