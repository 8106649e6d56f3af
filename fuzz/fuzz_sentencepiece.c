/* A SentencePiece model of hostile bytes: refused, or converted to a tokenizer.json that loads and encodes. */
#include "gradus.h"
#include "text/files/convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gr_bytes json = {0};
    const int32_t *ids;
    size_t n;
    if (gr_convert_sentencepiece("tokenizer.model", data, size, &json) == GR_OK) {
        gr_tokenizer *t = gr_tokenizer_from_json(json.data, json.size);
        if (t)
            gr_tokenizer_encode(t, "ab a\xFF\xE2\x96\x81", 8, GR_ADD_SPECIAL, &ids, &n);
        gr_tokenizer_free(t);
    }
    gr_bytes_free(&json);
    return 0;
}
