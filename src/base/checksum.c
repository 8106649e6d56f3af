/* XXH64 and CRC-32. XXH64 is written from its specification: four lanes over 32-byte stripes, then the rest, then a final mix. */
#include "base/checksum.h"

#include <string.h>

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

enum { STRIPE = 32 };

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* Little-endian by definition; memcpy, as data may stand anywhere. */
static uint64_t load64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static uint64_t load32(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
}

static uint64_t mix_lane(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * P2, 31) * P1;
}

static uint64_t fold_lane(uint64_t hash, uint64_t lane)
{
    return (hash ^ mix_lane(0, lane)) * P1 + P4;
}

/* All whole stripes of [p, end); returns what is behind them. */
static const uint8_t *hash_stripes(uint64_t lane[4], const uint8_t *p, const uint8_t *end)
{
    uint64_t a = lane[0], b = lane[1], c = lane[2], d = lane[3];
    for (; end - p >= STRIPE; p += STRIPE) {
        a = mix_lane(a, load64(p));
        b = mix_lane(b, load64(p + 8));
        c = mix_lane(c, load64(p + 16));
        d = mix_lane(d, load64(p + 24));
    }
    lane[0] = a, lane[1] = b, lane[2] = c, lane[3] = d;
    return p;
}

void gr_checksum_add(gr_checksum_parts *c, const void *data, size_t size)
{
    const uint8_t *p = data, *end = p + size;
    size_t have = c->size % STRIPE;
    if (size == 0)
        return;
    if (c->size == 0)
        c->lane[0] = P1 + P2, c->lane[1] = P2, c->lane[2] = 0, c->lane[3] = 0 - P1;
    c->size += size;
    if (have > 0) { /* fill the stripe that has begun */
        size_t n = size < STRIPE - have ? size : STRIPE - have;
        memcpy(c->rest + have, p, n);
        p += n;
        if (have + n < STRIPE)
            return;
        hash_stripes(c->lane, c->rest, c->rest + STRIPE);
    }
    p = hash_stripes(c->lane, p, end);
    memcpy(c->rest, p, (size_t)(end - p));
}

uint64_t gr_checksum_end(const gr_checksum_parts *c)
{
    const uint8_t *p = c->rest, *end = p + c->size % STRIPE;
    uint64_t hash = P5;
    if (c->size >= STRIPE) {
        hash = rotate(c->lane[0], 1) + rotate(c->lane[1], 7) + rotate(c->lane[2], 12) + rotate(c->lane[3], 18);
        for (int i = 0; i < 4; i++)
            hash = fold_lane(hash, c->lane[i]);
    }
    hash += c->size;
    for (; end - p >= 8; p += 8)
        hash = rotate(hash ^ mix_lane(0, load64(p)), 27) * P1 + P4;
    if (end - p >= 4) {
        hash = rotate(hash ^ load32(p) * P1, 23) * P2 + P3;
        p += 4;
    }
    for (; p < end; p++)
        hash = rotate(hash ^ *p * P5, 11) * P1;
    hash = (hash ^ hash >> 33) * P2;
    hash = (hash ^ hash >> 29) * P3;
    return hash ^ hash >> 32;
}

uint64_t gr_checksum(const void *data, size_t size)
{
    gr_checksum_parts c = {0};
    gr_checksum_add(&c, data, size);
    return gr_checksum_end(&c);
}

/* ---- CRC-32 ------------------------------------------------------------------------------------------------- */

/* Eight bytes a turn: table[k] is what a byte does to the CRC k bytes later. */
uint32_t gr_crc32(const void *data, size_t size)
{
    uint32_t table[8][256], crc = UINT32_MAX;
    const uint8_t *p = data;
    for (uint32_t i = 0; i < 256; i++) {
        table[0][i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[0][i] = table[0][i] >> 1 ^ (table[0][i] & 1 ? 0xEDB88320u : 0);
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t i = 0; i < 256; i++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xFF];
    for (; size >= 8; size -= 8, p += 8) {
        uint32_t a = crc ^ (uint32_t)load32(p), b = (uint32_t)load32(p + 4);
        crc = table[7][a & 0xFF] ^ table[6][a >> 8 & 0xFF] ^ table[5][a >> 16 & 0xFF] ^ table[4][a >> 24] ^
              table[3][b & 0xFF] ^ table[2][b >> 8 & 0xFF] ^ table[1][b >> 16 & 0xFF] ^ table[0][b >> 24];
    }
    for (; size; size--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xFF];
    return ~crc;
}

uint64_t gr_checksum_words(const uint64_t *words, size_t n)
{
    uint64_t sum = n;
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[16];
        for (int k = 0; k < 8; k++) {
            bytes[k] = (uint8_t)(sum >> 8 * k);
            bytes[8 + k] = (uint8_t)(words[i] >> 8 * k);
        }
        sum = gr_checksum(bytes, sizeof bytes);
    }
    return sum;
}
