/* The head of an answer: the few headers that matter, read as what a stranger wrote. */
#include "hub/hub.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void gr_http_head_begin(gr_http_head *h)
{
    *h = (gr_http_head){.length = -1, .from = -1, .to = -1, .total = -1, .wait = -1, .linked_size = -1};
}

void gr_http_head_free(gr_http_head *h)
{
    gr_free(h->location);
    gr_free(h->next);
    h->location = h->next = NULL;
}

/* Digits at p that do not reach `end`; -1: there are none, or too many. */
static int64_t read_number(const char **p, const char *end)
{
    int64_t n = 0;
    const char *from = *p;
    for (; *p < end && isdigit((unsigned char)**p); ++*p) {
        if (n > (INT64_MAX - 9) / 10)
            return -1;
        n = 10 * n + (**p - '0');
    }
    return *p == from ? -1 : n;
}

static int64_t whole_number(const char *p, const char *end)
{
    int64_t n = read_number(&p, end);
    return p == end ? n : -1;
}

/* "bytes 5-9/10", both ends inclusive; "*" for a length is a refusal to say. */
static void read_range(gr_http_head *h, const char *p, const char *end)
{
    static const char unit[] = "bytes ";
    h->has_range = true;
    h->from = h->to = h->total = -1;
    if (end - p < (ptrdiff_t)sizeof unit - 1 || strncasecmp(p, unit, sizeof unit - 1) != 0)
        return;
    p += sizeof unit - 1;
    int64_t from = read_number(&p, end);
    if (from < 0 || p == end || *p++ != '-')
        return;
    int64_t to = read_number(&p, end);
    if (to < from || p == end || *p++ != '/')
        return;
    int64_t total = whole_number(p, end);
    if (total <= to)
        return;
    h->from = from, h->to = to, h->total = total;
}

/* Seconds, or a date as RFC 9110 writes it now: "Sun, 06 Nov 1994 08:49:37 GMT". */
static double read_wait(const char *p, const char *end)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t seconds = whole_number(p, end);
    if (seconds >= 0)
        return (double)seconds;
    char text[40], month[4] = "";
    struct tm at = {0};
    if (end - p >= (ptrdiff_t)sizeof text)
        return -1;
    snprintf(text, sizeof text, "%.*s", (int)(end - p), p);
    if (sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &at.tm_mday, month, &at.tm_year, &at.tm_hour, &at.tm_min,
               &at.tm_sec) != 6 ||
        strlen(month) != 3)
        return -1;
    const char *found = strstr(months, month);
    /* Days since 1970 from a date in UTC; timegm is not everywhere. */
    int64_t m = found ? (found - months) / 3 + 1 : 0, y = at.tm_year - (m <= 2), era = y / 400, of_era = y % 400;
    if (m == 0 || at.tm_year < 1970)
        return -1;
    int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + at.tm_mday - 1;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day - 719468;
    double left = (double)(days * 86400 + at.tm_hour * 3600 + at.tm_min * 60 + at.tm_sec) - (double)time(NULL);
    return left > 0 ? left : 0;
}

/* RateLimit: "api";r=0;t=55 says that nothing remains for 55 seconds. */
static double read_rate(const char *p, const char *end)
{
    int64_t remains = -1, reset = -1;
    while (p < end) {
        while (p < end && (*p == ';' || *p == ' ' || *p == ','))
            p++;
        bool is_r = end - p > 2 && p[0] == 'r' && p[1] == '=', is_t = end - p > 2 && p[0] == 't' && p[1] == '=';
        const char *number = p + 2;
        if (is_r)
            remains = read_number(&number, end);
        if (is_t)
            reset = read_number(&number, end);
        while (p < end && *p != ';' && *p != ',')
            p++;
    }
    return remains == 0 && reset >= 0 ? (double)reset : -1;
}

/* Without W/ and quotes, if it is a hash. */
static void read_etag(gr_http_head *h, const char *p, const char *end)
{
    if (end - p > 2 && p[0] == 'W' && p[1] == '/')
        p += 2;
    if (end - p >= 2 && p[0] == '"' && end[-1] == '"')
        p++, end--;
    size_t n = (size_t)(end - p);
    h->etag[0] = '\0';
    if (gr_hub_is_hex(p, n, GR_SHA1_HEX) || gr_hub_is_hex(p, n, GR_SHA256_HEX))
        snprintf(h->etag, sizeof h->etag, "%.*s", (int)n, p);
}

/* <https://...>; rel="next", among others. */
static void read_link(gr_http_head *h, const char *p, const char *end)
{
    static const char rel[] = "rel=\"next\"";
    while (p < end) {
        const char *open = memchr(p, '<', (size_t)(end - p)),
                   *close = open ? memchr(open, '>', (size_t)(end - open)) : NULL;
        if (!close)
            return;
        const char *stop = close;
        while (stop < end && *stop != ',')
            stop++;
        for (const char *q = close; stop - q >= (ptrdiff_t)sizeof rel - 1; q++)
            if (strncasecmp(q, rel, sizeof rel - 1) == 0) {
                gr_free(h->next);
                h->next = gr_strfmt("%.*s", (int)(close - open - 1), open + 1);
                h->no_memory |= !h->next;
                return;
            }
        p = stop + (stop < end);
    }
}

static void read_value(gr_http_head *h, const char *name, size_t n, const char *p, const char *end)
{
#define IS(text) (n == sizeof(text) - 1 && strncasecmp(name, text, n) == 0)
    int size = (int)(end - p);
    if (IS("Content-Length"))
        h->length = whole_number(p, end);
    else if (IS("Content-Range"))
        read_range(h, p, end);
    else if (IS("Content-Encoding"))
        h->is_encoded = !(size == 8 && strncasecmp(p, "identity", 8) == 0);
    else if (IS("Retry-After"))
        h->wait = read_wait(p, end);
    else if (IS("RateLimit") && h->wait < 0)
        h->wait = read_rate(p, end);
    else if (IS("X-Linked-Size"))
        h->linked_size = whole_number(p, end);
    else if (IS("X-Linked-Etag"))
        h->has_linked_etag = true, read_etag(h, p, end);
    else if (IS("ETag") && !h->has_linked_etag)
        read_etag(h, p, end);
    else if (IS("X-Repo-Commit") && gr_hub_is_hex(p, (size_t)size, GR_COMMIT))
        snprintf(h->commit, sizeof h->commit, "%.*s", size, p);
    else if (IS("X-Error-Code"))
        gr_printable(p, (size_t)size, h->error, sizeof h->error);
    else if (IS("X-Error-Message"))
        gr_printable(p, (size_t)size, h->message, sizeof h->message);
    else if (IS("Location") && size <= 16384) {
        gr_free(h->location);
        h->location = gr_strfmt("%.*s", size, p);
        h->no_memory |= !h->location;
    } else if (IS("Link") && size <= 16384)
        read_link(h, p, end);
#undef IS
}

void gr_http_head_line(gr_http_head *h, const char *line, size_t size)
{
    const char *end = line + size;
    while (end > line && isspace((unsigned char)end[-1]))
        end--;
    if (end - line >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        const char *p = memchr(line, ' ', (size_t)(end - line));
        gr_http_head_free(h);
        gr_http_head_begin(h);
        int64_t status = p ? (++p, read_number(&p, end)) : -1;
        h->status = status >= 100 && status <= 999 ? (int)status : 0;
        return;
    }
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon || memchr(line, '\0', (size_t)(end - line)))
        return;
    const char *p = colon + 1;
    while (p < end && isspace((unsigned char)*p))
        p++;
    read_value(h, line, (size_t)(colon - line), p, end);
}
