/* Base64, both ways. */
#include "base/base64.h"

/* The six bits of a character, or 64. */
static uint32_t bits_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool gr_base64_decode(const char *text, size_t size, unsigned char *out, size_t *out_size)
{
    uint32_t word = 0;
    size_t n = 0;
    for (int pad = 0; size && size % 4 == (pad ? 3 : 0) && pad < 2 && text[size - 1] == '='; pad++)
        size--;
    for (size_t i = 0; i < size; i++) {
        uint32_t bits = bits_of(text[i]);
        if (bits > 63)
            return false;
        word = word << 6 | bits;
        if (i % 4)
            out[n++] = (unsigned char)(word >> (6 - 2 * (i % 4)));
    }
    *out_size = n;
    uint32_t rest = size % 4 == 2 ? word & 15 : size % 4 == 3 ? word & 3 : 0; /* bits that belong to no byte */
    return size % 4 != 1 && !rest;
}

size_t gr_base64_encode(const void *data, size_t size, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;
    size_t n = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t more = size - i < 3 ? size - i : 3;
        uint32_t word = 0;
        for (size_t k = 0; k < 3; k++)
            word = word << 8 | (k < more ? p[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            out[n++] = k <= more ? digits[word >> (18 - 6 * k) & 63] : '=';
    }
    return n;
}
