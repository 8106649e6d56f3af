#include <stdio.h>
#include "text/files/json_text.h"

gr_status gr_json_add_text(gr_bytes *out, const char *text, size_t size)
{
    gr_status status = gr_bytes_add(out, "\"", 1);
    for (size_t i = 0; i < size && !status; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[8];
        if (c == '"' || c == '\\') {
            status = gr_bytes_add(out, (char[]){'\\', (char)c}, 2);
        } else if (c < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04X", c);
            status = gr_bytes_add_string(out, escape);
        } else {
            status = gr_bytes_add(out, text + i, 1);
        }
    }
    return status ? status : gr_bytes_add(out, "\"", 1);
}

gr_status gr_json_add_added_token(gr_bytes *out, int64_t id, const char *content, size_t size, bool special)
{
    char number[64];
    snprintf(number, sizeof number, "{\"id\": %lld, \"content\": ", (long long)id);
    gr_status status = gr_bytes_add_string(out, number);
    if (!status)
        status = gr_json_add_text(out, content, size);
    if (!status)
        status = gr_bytes_add_string(out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                                          "\"normalized\": false, \"special\": ");
    return status ? status : gr_bytes_add_string(out, special ? "true}" : "false}");
}
