/* The head of an answer in hostile bytes: numbers that make sense or are left out, and addresses that are of http or refused. */
#include <string.h>

#include "hub/hub.h"

static void follow(const char *location)
{
    static const char *const bases[] = {"https://hub/org/name?x", "http://127.0.0.1:8080"};
    for (int i = 0; i < 2; i++) {
        char host[100], *to = gr_url_resolve(bases[i], location, strlen(location));
        if (!to && !gr_error()[0])
            __builtin_trap();
        if (to && (!gr_url_same_place(to, to) || strlen(gr_url_host(to, host, sizeof host)) >= sizeof host))
            __builtin_trap();
        if (to && gr_url_same_place(to, bases[0]) && !gr_url_is_https(to))
            __builtin_trap();
        gr_free(to);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gr_http_head h;
    gr_http_head_begin(&h);
    for (size_t at = 0; at < size;) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        size_t n = newline ? (size_t)(newline - data) - at + 1 : size - at;
        gr_http_head_line(&h, (const char *)data + at, n);
        at += n;
    }
    if (h.status < 0 || h.status > 999 || h.length < -1 || h.linked_size < -1 || (h.wait < 0 && h.wait != -1))
        __builtin_trap();
    if (h.from != -1 && (h.from < 0 || h.to < h.from || h.total <= h.to))
        __builtin_trap();
    if (*h.etag && !gr_hub_is_hex(h.etag, strlen(h.etag), 40) && !gr_hub_is_hex(h.etag, strlen(h.etag), 64))
        __builtin_trap();
    for (const char *p = h.message; *p; p++)
        if ((unsigned char)*p < 0x20)
            __builtin_trap();
    if (h.location)
        follow(h.location);
    if (h.next)
        follow(h.next);
    gr_http_head_free(&h);
    return 0;
}
