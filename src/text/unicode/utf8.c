#include "text/unicode/utf8.h"

static bool is_tail(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* Bytes a lead byte announces (0: not a lead byte) and the range its second byte must be in, which is what rules out
 * overlong forms, surrogates and values above U+10FFFF. */
static int lead(unsigned char c, unsigned char *low, unsigned char *high)
{
    *low = 0x80, *high = 0xBF;
    if (c >= 0xC2 && c <= 0xDF)
        return 2;
    if (c >= 0xE0 && c <= 0xEF) {
        if (c == 0xE0)
            *low = 0xA0;
        if (c == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        if (c == 0xF0)
            *low = 0x90;
        if (c == 0xF4)
            *high = 0x8F;
        return 4;
    }
    return 0;
}

/* How many bytes from p are a character or the beginning of one; *whole: all announced bytes are there. */
static int prefix(const char *p, const char *end, bool *whole)
{
    unsigned char low, high;
    int need = lead((unsigned char)*p, &low, &high), have = 1;
    *whole = false;
    if (!need)
        return 1;
    while (have < need && p + have < end) {
        unsigned char c = (unsigned char)p[have];
        if (have == 1 ? c < low || c > high : !is_tail(c))
            return have;
        have++;
    }
    *whole = have == need;
    return have;
}

uint32_t gr_utf8_read_long(const char *p, const char *end, int *size)
{
    const unsigned char *u = (const unsigned char *)p;
    bool whole;
    int n = prefix(p, end, &whole);
    *size = 1;
    if (u[0] < 0x80)
        return u[0];
    if (!whole)
        return GR_INVALID_BYTE + u[0];
    *size = n;
    if (n == 2)
        return (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
    if (n == 3)
        return (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
    return (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
}

int gr_utf8_write(uint32_t c, char *out)
{
    if (c >= GR_INVALID_BYTE || c < 0x80) {
        out[0] = (char)(c & 0xFF);
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

size_t gr_utf8_prefix(const char *p, size_t size)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    size_t at = 0;
    while (at < size) { /* p may be NULL */
        uint64_t eight;
        int n;
        if (size - at >= sizeof eight) {
            memcpy(&eight, p + at, sizeof eight);
            if ((eight & high) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        if (gr_utf8_read(p + at, p + size, &n) >= GR_INVALID_BYTE)
            break;
        at += (size_t)n;
    }
    return at;
}

bool gr_utf8_valid(const char *p, size_t size)
{
    return gr_utf8_prefix(p, size) == size;
}

gr_status gr_utf8_repair(const char *p, size_t size, bool more, gr_bytes *out, size_t *used)
{
    if (!size)
        p = "";
    const char *end = p + size, *at = p, *copied = p;
    gr_status status = GR_OK;
    while (at < end && !status) {
        bool whole = true;
        int n = (unsigned char)*at < 0x80 ? 1 : prefix(at, end, &whole);
        if (whole) {
            at += n;
            continue;
        }
        unsigned char low, high;
        if (more && at + n == end && lead((unsigned char)*at, &low, &high))
            break; /* may still become a character */
        status = gr_bytes_add(out, copied, (size_t)(at - copied));
        if (!status)
            status = gr_bytes_add(out, "\xEF\xBF\xBD", 3);
        at += n;
        copied = at;
    }
    if (!status)
        status = gr_bytes_add(out, copied, (size_t)(at - copied));
    if (used)
        *used = (size_t)(at - p);
    return status;
}
