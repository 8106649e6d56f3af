/* The byte alphabet, there and back. */
#include "text/unicode/byte_level.h"

static bool is_printable(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

/* The bytes that are not printable, in order: 0..32, 127..160, 173. */
uint32_t gr_byte_to_char(unsigned char byte)
{
    if (is_printable(byte))
        return byte;
    if (byte <= 32)
        return 0x100u + byte;
    return byte == 173 ? 0x100 + 67 : 0x100u + 33 + (byte - 127u);
}

int gr_char_to_byte(uint32_t c)
{
    if (c < 0x100)
        return is_printable(c) ? (int)c : -1;
    uint32_t i = c - 0x100;
    if (i <= 32)
        return (int)i;
    if (i < 67)
        return (int)(127 + i - 33);
    return i == 67 ? 173 : -1;
}

gr_status gr_byte_level_encode(const char *text, size_t size, gr_bytes *out)
{
    gr_status s = gr_bytes_reserve(out, size);
    for (size_t i = 0; s == GR_OK && i < size; i++) {
        s = gr_bytes_reserve(out, 4);
        if (s == GR_OK)
            out->size += (size_t)gr_utf8_write(gr_byte_to_char((unsigned char)text[i]), out->data + out->size);
    }
    return s;
}

bool gr_byte_level_decode(const char *token, size_t size, gr_bytes *out)
{
    const char *end = token + size;
    size_t before = out->size;
    while (token < end) {
        int n, byte = gr_char_to_byte(gr_utf8_read(token, end, &n));
        if (byte < 0) {
            out->size = before;
            return false;
        }
        out->data[out->size++] = (char)byte;
        token += n;
    }
    return true;
}
