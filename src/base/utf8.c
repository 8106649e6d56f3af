/* Reading, writing, checking and mending UTF-8. */
#include "base/utf8.h"

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

/* Character by character. */
static size_t short_prefix(const char *p, size_t size)
{
    size_t at = 0;
    while (at < size) {
        int n;
        if (gr_utf8_read(p + at, p + size, &n) >= GR_INVALID_BYTE)
            break;
        at += (size_t)n;
    }
    return at;
}

/* What may follow, as the place of its six bits in a row of the table below: each byte takes a state to the next by one
 * shift, whatever it is. */
enum {
    WRONG = 0,
    WHOLE = 6, /* and 6 more for each tail that is missing: */
    ONE = 12,
    TWO = 18,
    THREE = 24,
    NARROW = 30 /* behind the first of `narrow`, and so on */
};

/* Lead bytes whose second byte is in a range of its own. */
static const unsigned char narrow[] = {0xE0, 0xED, 0xF0, 0xF4};
enum { N_NARROW = sizeof narrow };

static uint64_t next_states(unsigned char c)
{
    unsigned char low, high;
    uint64_t row = 0, behind = c < 0x80 ? WHOLE : WRONG;
    int need = lead(c, &low, &high);
    if (need)
        behind = WHOLE + 6 * ((uint64_t)need - 1);
    if (is_tail(c))
        row = WHOLE << ONE | ONE << TWO | TWO << THREE;
    for (uint64_t i = 0; i < N_NARROW; i++) {
        int left = lead(narrow[i], &low, &high) - 2;
        if (c == narrow[i])
            behind = NARROW + 6 * i;
        if (c >= low && c <= high)
            row |= (uint64_t)(WHOLE + 6 * left) << (NARROW + 6 * i);
    }
    return row | behind << WHOLE;
}

/* Where a character begins, at `at` or a little before. */
static size_t begin_of_character(const char *p, size_t at)
{
    for (int i = 0; i < 3 && at > 0 && is_tail((unsigned char)p[at]); i++)
        at--;
    return at;
}

/* Is p[0, n) whole characters? Four parts side by side: a state waits for the one before. */
static bool is_whole(const uint64_t *rows, const char *p, size_t n)
{
    enum { PARTS = 4 };
    const char *at[PARTS], *end[PARTS];
    uint64_t state[PARTS], any = 0;
    size_t least = n;
    for (size_t i = 0; i < PARTS; i++) {
        at[i] = i ? end[i - 1] : p;
        end[i] = p + (i + 1 < PARTS ? begin_of_character(p, n / PARTS * (i + 1)) : n);
        least = (size_t)(end[i] - at[i]) < least ? (size_t)(end[i] - at[i]) : least;
        state[i] = WHOLE;
    }
    for (size_t k = 0; k < least; k++)
        for (int i = 0; i < PARTS; i++)
            state[i] = rows[(unsigned char)at[i][k]] >> (state[i] & 63);
    for (int i = 0; i < PARTS; i++) {
        for (const char *c = at[i] + least; c < end[i]; c++)
            state[i] = rows[(unsigned char)*c] >> (state[i] & 63);
        any |= (state[i] & 63) ^ WHOLE;
    }
    return any == 0;
}

static bool is_ascii(const char *p, size_t n)
{
    uint64_t word, any = 0;
    size_t at = 0;
    for (; at + sizeof word <= n; at += sizeof word) {
        memcpy(&word, p + at, sizeof word);
        any |= word;
    }
    for (; at < n; at++)
        any |= (unsigned char)p[at];
    return (any & UINT64_C(0x8080808080808080)) == 0;
}

size_t gr_utf8_prefix(const char *p, size_t size)
{
    enum { BLOCK = 16 << 10, LEAST = 4096 };
    uint64_t rows[256];
    size_t at = 0;
    for (int c = 0; c < 256 && size >= LEAST; c++)
        rows[c] = next_states((unsigned char)c);
    while (size - at >= LEAST) {
        size_t n = size - at > BLOCK ? begin_of_character(p + at, BLOCK) : size - at;
        if (!is_ascii(p + at, n) && !is_whole(rows, p + at, n))
            break; /* somewhere in here */
        at += n;
    }
    return size > at ? at + short_prefix(p + at, size - at) : at;
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
    while (at < end && status == GR_OK) {
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
        if (status == GR_OK)
            status = gr_bytes_add(out, "\xEF\xBF\xBD", 3);
        at += n;
        copied = at;
    }
    if (status == GR_OK)
        status = gr_bytes_add(out, copied, (size_t)(at - copied));
    if (used)
        *used = (size_t)(at - p);
    return status;
}
