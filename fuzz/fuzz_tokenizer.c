/* A tokenizer.json of hostile bytes. The input is the JSON, a zero byte, and a text; what loads must encode and decode
 * the text, and load again from what it saves. */
#include <string.h>

#include "base/mem.h"
#include "gradus.h"

/* Encoding works or says why not; decoding what came out always works. */
static void use(gr_tokenizer *t, const char *text, size_t size)
{
    const int32_t *ids;
    const char *back;
    size_t n, back_size;
    if (gr_tokenizer_encode(t, text, size, GR_ADD_SPECIAL | GR_PARSE_SPECIAL, &ids, &n) != GR_OK)
        return;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0)
            __builtin_trap();
    if (gr_tokenizer_decode(t, ids, n, GR_SKIP_SPECIAL, &back, &back_size) != GR_OK &&
        gr_error_status() != GR_ERR_UNSUPPORTED)
        __builtin_trap();
    gr_text_stream *s = gr_text_stream_new(t, 0);
    for (size_t i = 0; s && i < 20; i++)
        gr_text_stream_feed(s, (int64_t)(i * i), &back, &back_size);
    if (s)
        gr_text_stream_feed(s, -1, &back, &back_size);
    gr_text_stream_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t json_size = zero ? (size_t)(zero - data) : size;
    gr_tokenizer *t = gr_tokenizer_from_json((const char *)data, json_size);
    if (!t)
        return 0;
    if (zero)
        use(t, (const char *)zero + 1, size - json_size - 1);
    use(t, "a b\xFF\xE2\x96\x81 <s>1's\n", 16);
    gr_tokenizer_free(t);
    return 0;
}
