/* A tekken.json, tiktoken's lines or a vocab.txt of hostile bytes: refused, or converted to a tokenizer.json that loads and
 * encodes. The first byte says which. */
#include "gradus.h"
#include "text/files/convert.h"

static void use(const gr_bytes *json)
{
    const int32_t *ids;
    size_t n;
    gr_tokenizer *t = gr_tokenizer_from_json(json->data, json->size);
    if (t && gr_tokenizer_encode(t, "ab a\xFF 12\n<s>[UNK]", 17, GR_ADD_SPECIAL | GR_PARSE_SPECIAL, &ids, &n) == GR_OK)
        for (size_t i = 0; i < n; i++)
            if (ids[i] < 0)
                __builtin_trap();
    gr_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gr_bytes json = {0};
    gr_beside beside = {.any = true};
    const char *text = (const char *)data + 1;
    gr_status status;
    if (!size)
        return 0;
    if (*data == 't')
        status = gr_convert_tekken(text, size - 1, true, &json);
    else if (*data == 'v')
        status = gr_convert_vocab_txt(gr_class_bert(), &beside, (gr_file_text){text, size - 1}, &json);
    else
        status = gr_convert_tiktoken(&beside, "tokenizer.model", text, size - 1, &json);
    if (gr_is_tiktoken(text, size - 1) && size == 1)
        __builtin_trap();
    if (status == GR_OK)
        use(&json);
    gr_bytes_free(&json);
    return 0;
}
