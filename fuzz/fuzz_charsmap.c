/* A normalization table of hostile bytes: refused, or it runs over a text without leaving its trie. The input is the length
 * of the table in two bytes, the table, and a text. */
#include "gradus.h"
#include "text/vocab/charsmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gr_charsmap map = {0};
    gr_bytes out = {0};
    if (size < 2)
        return 0;
    size_t table = (size_t)data[0] | (size_t)data[1] << 8;
    if (table > size - 2)
        table = size - 2;
    const char *text = (const char *)data + 2 + table;
    if (gr_charsmap_read(data + 2, table, &map) == GR_OK) {
        gr_charsmap_run(&map, text, size - 2 - table, &out);
        gr_charsmap_run(&map, "a\xCC\x81 \r\n\xC2\xA9\xE2\x80\x8D\xFF", 12, &out);
    }
    gr_charsmap_free(&map);
    gr_bytes_free(&out);
    return 0;
}
