/* Addresses of http and https: where a redirect leads, and whether that is the same place. */
#include "hub/hub.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct place {
    bool https;
    const char *host; /* with what stands before @ left out */
    size_t host_size;
    int port;
    size_t size; /* of "scheme://authority" */
} place;

static bool read_place(const char *url, size_t size, place *p)
{
    static const char plain[] = "http://", secure[] = "https://";
    *p = (place){0};
    size_t at = sizeof secure - 1;
    p->https = size > at && strncasecmp(url, secure, at) == 0;
    if (!p->https && !(at = sizeof plain - 1, size > at && strncasecmp(url, plain, at) == 0))
        return false;
    size_t end = at;
    while (end < size && url[end] != '/' && url[end] != '?' && url[end] != '#')
        end++;
    p->size = end;
    for (size_t i = at; i < end; i++)
        if (url[i] == '@') /* a password in an address is somebody's trick */
            return false;
    p->host = url + at;
    size_t n = end - at, colon = n;
    for (size_t i = n; i > 0 && colon == n && p->host[i - 1] != ']'; i--)
        if (p->host[i - 1] == ':')
            colon = i - 1;
    p->host_size = colon;
    p->port = p->https ? 443 : 80;
    if (colon < n) {
        p->port = 0;
        for (size_t i = colon + 1; i < n; i++) {
            if (!isdigit((unsigned char)p->host[i]) || p->port > 65535)
                return false;
            p->port = 10 * p->port + (p->host[i] - '0');
        }
    }
    return p->host_size > 0 && p->port > 0 && p->port < 65536;
}

bool gr_url_is_https(const char *url)
{
    place p;
    return read_place(url, strlen(url), &p) && p.https;
}

bool gr_url_same_place(const char *a, const char *b)
{
    place p, q;
    return read_place(a, strlen(a), &p) && read_place(b, strlen(b), &q) && p.https == q.https && p.port == q.port &&
           p.host_size == q.host_size && strncasecmp(p.host, q.host, p.host_size) == 0;
}

const char *gr_url_host(const char *url, char *out, size_t cap)
{
    place p;
    if (!read_place(url, strlen(url), &p))
        return gr_printable(url, strlen(url), out, cap);
    return gr_printable(p.host, p.size - (size_t)(p.host - url), out, cap);
}

static char *fail_address(const char *location, size_t size)
{
    char shown[200];
    gr_fail(GR_ERR_NETWORK,
            "%s: an answer leads there, and it is no address of http or https\nCheck HF_ENDPOINT, or try again later.",
            gr_printable(location, size, shown, sizeof shown));
    return NULL;
}

char *gr_url_resolve(const char *base, const char *location, size_t size)
{
    place p, to;
    char *url = NULL;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)location[i] <= 0x20 || location[i] == 0x7F)
            return fail_address(location, size);
    if (size == 0 || size > 16384 || !read_place(base, strlen(base), &p))
        return fail_address(location, size);
    int n = (int)size;
    size_t scheme = strspn(location, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    if (scheme < size && location[scheme] == ':')
        url = gr_strfmt("%.*s", n, location);
    else if (size >= 2 && location[0] == '/' && location[1] == '/')
        url = gr_strfmt("%s:%.*s", p.https ? "https" : "http", n, location);
    else if (location[0] == '/')
        url = gr_strfmt("%.*s%.*s", (int)p.size, base, n, location);
    else if (location[0] == '?' || location[0] == '#') {
        url = gr_strfmt("%.*s%.*s", (int)strcspn(base, "?#"), base, n, location);
    } else {
        size_t end = strcspn(base, "?#");
        while (end > p.size && base[end - 1] != '/')
            end--;
        url = gr_strfmt("%.*s%s%.*s", (int)end, base, end == p.size ? "/" : "", n, location);
    }
    if (url && !read_place(url, strlen(url), &to)) {
        gr_free(url);
        return fail_address(location, size);
    }
    return url;
}

gr_status gr_url_escape(gr_bytes *out, const char *text, bool keep_slash)
{
    gr_status s = GR_OK;
    for (const char *p = text; s == GR_OK && *p; p++) {
        char code[4] = {*p};
        size_t n = 1;
        if (!isalnum((unsigned char)*p) && !strchr("-._~", *p) && !(keep_slash && *p == '/'))
            n = (size_t)snprintf(code, sizeof code, "%%%02X", (unsigned char)*p);
        s = gr_bytes_add(out, code, n);
    }
    return s;
}
