/* GPT-2's two files: vocab.json goes into the tokenizer.json as it is, merges.txt has "left right" on every line. */
#include "base/json.h"
#include "text/files/convert.h"
#include "text/files/json_text.h"

static gr_status add_merges(const char *p, const char *end, gr_bytes *json)
{
    gr_status s = GR_OK;
    const char *separator = "\n";
    while (p < end && s == GR_OK) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
        const char *last = stop > p && stop[-1] == '\r' ? stop - 1 : stop;
        bool is_version = last - p >= 8 && memcmp(p, "#version", 8) == 0;
        if (last > p && !is_version) {
            s = gr_bytes_add_string(json, separator);
            if (s == GR_OK)
                s = gr_json_add_text(json, p, (size_t)(last - p));
            separator = ",\n";
        }
        p = stop + 1;
    }
    return s;
}

static gr_status add_strings(gr_bytes *json, const char *const *strings, size_t n)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < n && s == GR_OK; i++)
        s = gr_bytes_add_string(json, strings[i]);
    return s;
}

gr_status gr_add_level_stages(const gr_tokenizer_class *c, const gr_beside *b, gr_bytes *json)
{
    const char *text[] = {
        "{\"normalizer\": ",
        c->normalizer ? c->normalizer : "null",
        ",\n\"pre_tokenizer\": ",
        c->split ? "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \""
                 : "",
        c->split ? c->split : "",
        c->split ? "\"}, \"behavior\": \"Isolated\", \"invert\": false}, " : "",
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": ",
        b->add_prefix_space == GR_TOLD_YES ? "true" : "false",
        ", \"trim_offsets\": true, \"use_regex\": ",
        c->split ? "false}]}" : "true}",
        ",\n\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
        "\"use_regex\": true}}",
    };
    return add_strings(json, text, sizeof text / sizeof *text);
}

gr_status gr_convert_merges(const gr_tokenizer_class *c, const gr_beside *b, gr_file_text vocab, gr_file_text merges,
                            gr_bytes *json)
{
    gr_json_doc *doc = gr_json_parse("vocab.json", vocab.data, vocab.size); /* so that errors name it */
    if (!doc)
        return gr_error_status();
    gr_json_as_object(gr_json_root(doc));
    gr_status s = gr_json_check(doc);
    gr_json_free(doc);
    if (s == GR_OK)
        s = gr_add_level_stages(c, b, json);
    if (s == GR_OK) { /* go on inside of the stages' object */
        json->size--;
        s = gr_bytes_add_string(json, ",\n\"version\": \"1.0\", \"added_tokens\": [], \"post_processor\": null,\n"
                                      "\"model\": {\"type\": \"BPE\", \"vocab\": ");
    }
    if (s == GR_OK)
        s = gr_bytes_add(json, vocab.data, vocab.size);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, ", \"merges\": [");
    if (s == GR_OK)
        s = add_merges(merges.data, merges.data + merges.size, json);
    return s == GR_OK ? gr_bytes_add_string(json, "]}}\n") : s;
}
