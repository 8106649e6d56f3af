/* SHA-1 and SHA-256, written from FIPS 180-4. SHA-256 runs at the speed of a disk where the processor has instructions for
 * it. */
#include "base/sha.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#endif

enum { BLOCK = 64 };

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t left(uint32_t x, int bits)
{
    return x << bits | x >> (32 - bits);
}

static uint32_t right(uint32_t x, int bits)
{
    return left(x, 32 - bits);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- SHA-1 -------------------------------------------------------------------------------------------------- */

static void sha1_block(uint32_t state[8], const uint8_t *p)
{
    static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        w[i] = load32(p + 4 * i);
    for (int i = 16; i < 80; i++)
        w[i] = left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        int part = i / 20;
        uint32_t f = part == 0 ? (b & c) | (~b & d) : part == 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        uint32_t next = left(a, 5) + f + e + constants[part] + w[i];
        e = d, d = c, c = left(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

static void sha1_blocks(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    for (; blocks > 0; blocks--, p += BLOCK)
        sha1_block(state, p);
}

/* ---- SHA-256 ------------------------------------------------------------------------------------------------ */

/* Eight rounds, in which the names of the state turn once; w: of these rounds. */
static void sha256_rounds(uint32_t s[8], const uint32_t w[8], const uint32_t k[8])
{
    uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
#define ROUND(a, b, c, d, e, f, g, h, i)                                                                               \
    h += (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + (g ^ (e & (f ^ g))) + k[i] + w[i];                              \
    d += h;                                                                                                            \
    h += (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) | (c & (a | b)));
    ROUND(a, b, c, d, e, f, g, h, 0)
    ROUND(h, a, b, c, d, e, f, g, 1)
    ROUND(g, h, a, b, c, d, e, f, 2)
    ROUND(f, g, h, a, b, c, d, e, 3)
    ROUND(e, f, g, h, a, b, c, d, 4)
    ROUND(d, e, f, g, h, a, b, c, 5)
    ROUND(c, d, e, f, g, h, a, b, 6)
    ROUND(b, c, d, e, f, g, h, a, 7)
#undef ROUND
    s[0] = a, s[1] = b, s[2] = c, s[3] = d, s[4] = e, s[5] = f, s[6] = g, s[7] = h;
}

static void sha256_block(uint32_t state[8], const uint8_t *p)
{
    uint32_t w[64], s[8];
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 16; i++)
        w[i] = load32(p + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + (right(x, 7) ^ right(x, 18) ^ x >> 3) + w[i - 7] + (right(y, 17) ^ right(y, 19) ^ y >> 10);
    }
    for (int i = 0; i < 64; i += 8)
        sha256_rounds(s, w + i, round_constants + i);
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static void sha256_plain(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    for (; blocks > 0; blocks--, p += BLOCK)
        sha256_block(state, p);
}

#if defined(__x86_64__)
/* The instructions hold the state as two vectors, ABEF and CDGH, and do two rounds each; four words of the schedule are
 * made at a time. */
__attribute__((target("sha,sse4.1"))) static void sha256_fast(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    const __m128i bytes = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0);
    for (; blocks > 0; blocks--, p += BLOCK) {
        __m128i abef_before = abef, cdgh_before = cdgh, w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), bytes);
#if defined(__clang__)
#pragma clang loop unroll(full)
#else
#pragma GCC unroll 16
#endif
        for (int i = 0; i < 16; i++) {
            __m128i k = _mm_add_epi32(w[i % 4], _mm_loadu_si128((const __m128i *)(round_constants + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0E));
            __m128i last = w[(i + 3) % 4];
            __m128i sum =
                _mm_add_epi32(_mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]), _mm_alignr_epi8(last, w[(i + 2) % 4], 4));
            w[i % 4] = _mm_sha256msg2_epu32(sum, last);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1B);
    high = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

static bool is_fast;

static void look(void)
{
    unsigned a, b, c, d;
    is_fast = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __get_cpuid(1, &a, &b, &c, &d) &&
              (c >> 19 & 1); /* SHA, and SSE4.1 */
}

static void sha256_blocks(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look);
    if (is_fast)
        sha256_fast(state, p, blocks);
    else
        sha256_plain(state, p, blocks);
}
#else
static void sha256_blocks(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    sha256_plain(state, p, blocks);
}
#endif

/* ---- both --------------------------------------------------------------------------------------------------- */

void gr_sha_begin(gr_sha *h, bool is_sha1)
{
    static const uint32_t sha1[8] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint32_t sha256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    *h = (gr_sha){.is_sha1 = is_sha1};
    memcpy(h->state, is_sha1 ? sha1 : sha256, sizeof h->state);
}

static void add_blocks(gr_sha *h, const uint8_t *p, size_t blocks)
{
    if (h->is_sha1)
        sha1_blocks(h->state, p, blocks);
    else
        sha256_blocks(h->state, p, blocks);
}

void gr_sha_add(gr_sha *h, const void *data, size_t size)
{
    const uint8_t *p = data;
    size_t have = h->size % BLOCK;
    if (size == 0)
        return;
    h->size += size;
    if (have > 0) { /* fill the block that has begun */
        size_t n = size < BLOCK - have ? size : BLOCK - have;
        memcpy(h->block + have, p, n);
        p += n;
        size -= n;
        if (have + n < BLOCK)
            return;
        add_blocks(h, h->block, 1);
    }
    add_blocks(h, p, size / BLOCK);
    memcpy(h->block, p + size / BLOCK * BLOCK, size % BLOCK);
}

void gr_sha_end(gr_sha *h, char hex[GR_SHA256_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t tail[2 * BLOCK] = {0x80};
    uint64_t bits = h->size * 8;
    size_t have = h->size % BLOCK, n = (have < 56 ? 56 : 56 + BLOCK) - have;
    for (int i = 0; i < 8; i++)
        tail[n + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    gr_sha_add(h, tail, n + 8);
    int words = h->is_sha1 ? 5 : 8;
    for (int i = 0; i < 8 * words; i++)
        hex[i] = digits[h->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[8 * words] = '\0';
}
