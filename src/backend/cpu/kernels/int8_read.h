/* Blocks of weights as their file has them, read for as many rows at once as a vector has lanes: of 4 places the codes of all
 * these rows side by side, for a panel (int8_pack.c) or to be multiplied at once (int8_one.c).
 *
 * What is turned round is bytes as they are stored, of 4 bits two codes each, so that it is half the work, and all
 * that follows is done for all rows. Of 16 bytes of a row, by four rows:
 *
 *     r0: a b c d      r1: a b c d      r2: a b c d      r3: a b c d         four bytes each
 *     ->   a: r0 r1 r2 r3     b: r0 r1 r2 r3     c: r0 r1 r2 r3     d: r0 r1 r2 r3
 *
 * A vector has four rows in each of its quarters (halves), 4 q to 4 q + 3 in the end, so that a lane is a row. Layouts are
 * drawn in base/ggml. Only for sources in kernels/ of levels with AVX2. */
#ifndef GR_BACKEND_CPU_KERNELS_INT8_READ_H
#define GR_BACKEND_CPU_KERNELS_INT8_READ_H

#include "backend/cpu/int8_kernels.h"
#include "backend/cpu/kernels/widen.h"

#include <string.h>

typedef gr_vec_word gr_words;

/* What becomes of a group: `steps` vectors of codes, its scales, and where the format has them its offsets. The source that
 * includes this says what a gr_int8_sink is. */
typedef struct gr_int8_sink gr_int8_sink;
static inline void gr_int8_take(gr_int8_sink *to, int64_t group, const gr_words *codes, const int steps, gr_vec scale,
                                const gr_vec *offset);

#if defined(__clang__)
#define GR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GR_UNROLL _Pragma("GCC unroll 16")
#endif

/* ---- rows become lanes -------------------------------------------------------------------------------------- */

/* 16 bytes of row 0 and of every fourth row after it. */
GR_INLINE gr_words gr_sixteen(const uint8_t *b, size_t row)
{
#define GR_AT(i) _mm_loadu_si128((const __m128i *)(const void *)(b + (i)*row))
#if defined(__AVX512F__)
    __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(GR_AT(0)), GR_AT(4), 1);
    __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(GR_AT(8)), GR_AT(12), 1);
    return (gr_words)_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
#else
    return (gr_words)_mm256_inserti128_si256(_mm256_castsi128_si256(GR_AT(0)), GR_AT(4), 1);
#endif
#undef GR_AT
}

#if defined(__AVX512F__)
#define GR_UNPACK(low_high, bits, x, y) ((gr_words)_mm512_unpack##low_high##_epi##bits((__m512i)(x), (__m512i)(y)))
#else
#define GR_UNPACK(low_high, bits, x, y) ((gr_words)_mm256_unpack##low_high##_epi##bits((__m256i)(x), (__m256i)(y)))
#endif

/* 16 bytes of each row: the drawing above. */
GR_INLINE void gr_turn(const uint8_t *b, size_t row, gr_words out[4])
{
    gr_words r0 = gr_sixteen(b, row), r1 = gr_sixteen(b + row, row), r2 = gr_sixteen(b + 2 * row, row),
             r3 = gr_sixteen(b + 3 * row, row);
    gr_words ab01 = GR_UNPACK(lo, 32, r0, r1), ab23 = GR_UNPACK(lo, 32, r2, r3);
    gr_words cd01 = GR_UNPACK(hi, 32, r0, r1), cd23 = GR_UNPACK(hi, 32, r2, r3);
    out[0] = GR_UNPACK(lo, 64, ab01, ab23);
    out[1] = GR_UNPACK(hi, 64, ab01, ab23);
    out[2] = GR_UNPACK(lo, 64, cd01, cd23);
    out[3] = GR_UNPACK(hi, 64, cd01, cd23);
}

/* Four bytes of each row. */
GR_INLINE gr_words gr_four(const uint8_t *b, size_t row)
{
#if defined(__AVX512F__)
    __m256i v[2];
    GR_UNROLL for (size_t h = 0; h < 2; h++)
    {
        v[h] = _mm256_setzero_si256();
        GR_UNROLL for (size_t r = 0; r < 8; r++)
        {
            int32_t four;
            memcpy(&four, b + (8 * h + r) * row, sizeof four);
            v[h] = _mm256_mask_set1_epi32(v[h], (__mmask8)(1 << r), four);
        }
    }
    return (gr_words)_mm512_inserti64x4(_mm512_castsi256_si512(v[0]), v[1], 1);
#else
    gr_words v;
    for (size_t r = 0; r < GR_LANES; r++)
        memcpy((char *)&v + 4 * r, b + r * row, 4);
    return v;
#endif
}

/* f16 in the lower and in the upper half of each lane. */
GR_INLINE gr_vec gr_low_half(gr_words v)
{
#if defined(__AVX512F__)
    return (gr_vec)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)v));
#else
    __m256i packed = _mm256_packus_epi32((__m256i)(v & 0xFFFF), (__m256i)(v & 0xFFFF));
    return (gr_vec)_mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#endif
}

GR_INLINE gr_vec gr_high_half(gr_words v)
{
    return gr_low_half(v >> 16);
}

GR_INLINE gr_vec gr_to_float(gr_words v)
{
    return __builtin_convertvector((gr_vec_int)v, gr_vec);
}

/* ---- the formats, `count` places from b on: 32 values a block ----------------------------------------------- */

enum { GR_EACH_4 = 0x0F0F0F0F, GR_EACH_2 = 0x03030303, GR_EACH_1 = 0x01010101 }; /* of each byte so many bits */

/* `flip` is what a byte is changed by: 0x80808080 makes bytes from 0 up int8, and the reverse. */
#define GR_READER(name)                                                                                                \
    GR_INLINE void gr_read_##name(gr_int8_sink *to, const uint8_t *b, size_t row, int64_t count, gr_words flip)

/* The low halves of 16 bytes are 16 codes, and the high ones the next. */
GR_INLINE void gr_nibbles(const uint8_t *b, size_t row, gr_words codes[8])
{
    gr_words v[4];
    gr_turn(b, row, v);
    GR_UNROLL for (int i = 0; i < 4; i++)
    {
        codes[i] = v[i] & GR_EACH_4;
        codes[i + 4] = v[i] >> 4 & GR_EACH_4;
    }
}

GR_READER(q4_0)
{
    (void)flip;
    for (int64_t g = 0; g < count / 32; g++, b += 18) {
        gr_words codes[8];
        gr_nibbles(b + 2, row, codes);
        gr_int8_take(to, g, codes, 8, gr_low_half(gr_four(b, row)), NULL);
    }
}

GR_READER(q4_1)
{
    (void)flip;
    for (int64_t g = 0; g < count / 32; g++, b += 20) {
        gr_words codes[8], head = gr_four(b, row);
        gr_vec offset = gr_high_half(head);
        gr_nibbles(b + 4, row, codes);
        gr_int8_take(to, g, codes, 8, gr_low_half(head), &offset);
    }
}

/* 32 codes of 8 bits, which become what `change` makes of each byte. */
GR_INLINE void gr_bytes_of(const uint8_t *b, size_t row, gr_words change, gr_words codes[8])
{
    gr_turn(b, row, codes);
    gr_turn(b + 16, row, codes + 4);
    GR_UNROLL for (int i = 0; i < 8; i++) codes[i] ^= change;
}

GR_READER(q8_0)
{
    for (int64_t g = 0; g < count / 32; g++, b += 34) {
        gr_words codes[8];
        gr_bytes_of(b + 2, row, flip ^ 0x80808080, codes); /* stored as int8 */
        gr_int8_take(to, g, codes, 8, gr_low_half(gr_four(b, row)), NULL);
    }
}

/* Bit i of four bytes of each row to place 4 of code i. */
GR_INLINE void gr_add_fifth(gr_words bits, gr_words codes[8])
{
    GR_UNROLL for (int i = 0; i < 8; i++) /* the product has bit j of four at 8 j, and no two bits at one place */
        codes[i] |= ((bits >> 4 * i & 15) * 0x00204081 & GR_EACH_1) << 4;
}

GR_READER(q5_0)
{
    (void)flip;
    for (int64_t g = 0; g < count / 32; g++, b += 22) {
        gr_words codes[8];
        gr_nibbles(b + 6, row, codes);
        gr_add_fifth(gr_four(b + 2, row), codes);
        gr_int8_take(to, g, codes, 8, gr_low_half(gr_four(b, row)), NULL);
    }
}

GR_READER(q5_1)
{
    (void)flip;
    for (int64_t g = 0; g < count / 32; g++, b += 24) {
        gr_words codes[8], head = gr_four(b, row);
        gr_vec offset = gr_high_half(head);
        gr_nibbles(b + 8, row, codes);
        gr_add_fifth(gr_four(b + 4, row), codes);
        gr_int8_take(to, g, codes, 8, gr_low_half(head), &offset);
    }
}

/* 4 bits that are places in a table of int8, to which 127 is added for bytes from 0 up. */
GR_INLINE void gr_look_up(gr_words flip, gr_words codes[8])
{
    static const int8_t table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    const __m128i numbers = _mm_loadu_si128((const __m128i *)(const void *)table);
    const __m128i used = _mm_add_epi8(numbers, _mm_set1_epi8(flip[0] ? 0 : 127));
    GR_UNROLL for (int i = 0; i < 8; i++)
#if defined(__AVX512F__)
        codes[i] = (gr_words)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(used), (__m512i)codes[i]);
#else
        codes[i] = (gr_words)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(used), (__m256i)codes[i]);
#endif
}

GR_READER(iq4_nl)
{
    for (int64_t g = 0; g < count / 32; g++, b += 18) {
        gr_words codes[8];
        gr_nibbles(b + 2, row, codes);
        gr_look_up(flip, codes);
        gr_int8_take(to, g, codes, 8, gr_low_half(gr_four(b, row)), NULL);
    }
}

/* ---- 256 values a block ------------------------------------------------------------------------------------- */

GR_READER(iq4_xs)
{
    for (int64_t g = 0; g < count / 32; g += 8, b += 136) {
        gr_words head = gr_four(b, row), low = gr_four(b + 4, row);
        gr_vec d = gr_low_half(head);
        GR_UNROLL for (int k = 0; k < 8; k++)
        {
            gr_words codes[8], s = (low >> 4 * k & 15) | (head >> (16 + 2 * k) & 3) << 4;
            gr_nibbles(b + 8 + 16 * k, row, codes);
            gr_look_up(flip, codes);
            gr_int8_take(to, g + k, codes, 8, d * gr_to_float(s - 32), NULL);
        }
    }
}

/* q4_k and q5_k: scales and offsets of eight groups, of 6 bits in 12 bytes behind two f16; of the last four of each the upper
 * two bits lie above those of the first four. */
GR_INLINE void gr_scales6(const gr_words head[4], int g, gr_vec *scale, gr_vec *offset)
{
    const int down = g % 4 * 8;
    gr_words s = head[1] >> down, m = head[2] >> down, low = head[3] >> down;
    s = g < 4 ? s & 63 : (low & 15) | (s >> 2 & 48);
    m = g < 4 ? m & 63 : (low >> 4 & 15) | (m >> 2 & 48);
    *scale = gr_low_half(head[0]) * gr_to_float(s);
    *offset = -gr_high_half(head[0]) * gr_to_float(m);
}

GR_READER(q4_k)
{
    (void)flip;
    for (int64_t g = 0; g < count / 32; g += 8, b += 144) {
        gr_words head[4];
        gr_turn(b, row, head);
        GR_UNROLL for (int k = 0; k < 4; k++) /* 32 bytes, whose low halves are a group and the high ones the next */
        {
            gr_words v[8], high[8];
            gr_vec scale, offset;
            gr_turn(b + 16 + 32 * k, row, v);
            gr_turn(b + 32 + 32 * k, row, v + 4);
            GR_UNROLL for (int i = 0; i < 8; i++)
            {
                high[i] = v[i] >> 4 & GR_EACH_4;
                v[i] &= GR_EACH_4;
            }
            gr_scales6(head, 2 * k, &scale, &offset);
            gr_int8_take(to, g + 2 * k, v, 8, scale, &offset);
            gr_scales6(head, 2 * k + 1, &scale, &offset);
            gr_int8_take(to, g + 2 * k + 1, high, 8, scale, &offset);
        }
    }
}

GR_READER(q5_k)
{
    (void)flip;
    for (int64_t g = 0; g < count / 32; g += 8, b += 176) {
        gr_words head[4], fifth[8];
        gr_turn(b, row, head);
        gr_turn(b + 16, row, fifth);
        gr_turn(b + 32, row, fifth + 4);
        GR_UNROLL for (int k = 0; k < 4; k++)
        {
            gr_words v[8], high[8];
            gr_vec scale, offset;
            gr_turn(b + 48 + 32 * k, row, v);
            gr_turn(b + 64 + 32 * k, row, v + 4);
            GR_UNROLL for (int i = 0; i < 8; i++)
            {
                high[i] = (v[i] >> 4 & GR_EACH_4) | (fifth[i] >> (2 * k + 1) & GR_EACH_1) << 4;
                v[i] = (v[i] & GR_EACH_4) | (fifth[i] >> 2 * k & GR_EACH_1) << 4;
            }
            gr_scales6(head, 2 * k, &scale, &offset);
            gr_int8_take(to, g + 2 * k, v, 8, scale, &offset);
            gr_scales6(head, 2 * k + 1, &scale, &offset);
            gr_int8_take(to, g + 2 * k + 1, high, 8, scale, &offset);
        }
    }
}

/* One of 16 scales of 8 bits. */
GR_INLINE gr_vec gr_scale8(gr_vec d, const gr_words scales[4], int g)
{
    return d * gr_to_float((gr_words)((gr_vec_int)(scales[g / 4] << (24 - g % 4 * 8)) >> 24));
}

GR_READER(q6_k)
{
    (void)flip;
    for (int64_t g = 0; g < count / 16; g += 16, b += 210) {
        gr_words scales[4];
        gr_vec d = gr_high_half(gr_four(b + 206, row));
        gr_turn(b + 192, row, scales);
        GR_UNROLL for (int half = 0; half < 2; half++) /* 128 places: 4 bits in 64 bytes, 2 in 32 */
        {
            gr_words low[16], high[8];
            GR_UNROLL for (int i = 0; i < 4; i++) gr_turn(b + 64 * half + 16 * i, row, low + 4 * i);
            gr_turn(b + 128 + 32 * half, row, high);
            gr_turn(b + 144 + 32 * half, row, high + 4);
            GR_UNROLL for (int q = 0; q < 8; q++)
            {
                gr_words codes[4];
                GR_UNROLL for (int i = 0; i < 4; i++) codes[i] =
                    (low[q % 4 * 4 + i] >> q / 4 * 4 & GR_EACH_4) | (high[q % 2 * 4 + i] >> q / 2 * 2 & GR_EACH_2) << 4;
                gr_int8_take(to, g + 8 * half + q, codes, 4, gr_scale8(d, scales, 8 * half + q), NULL);
            }
        }
    }
}

/* ---- those of the hub's files: a scale in f32, with zero points a byte behind it ---------------------------- */

/* Neighbours share a byte, the even one has its low half: of 16 bytes 32 codes. */
GR_INLINE void gr_neighbours(const uint8_t *b, size_t row, gr_words codes[8])
{
    const __m128i low = _mm_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13);
    const __m128i high = _mm_add_epi8(low, _mm_set1_epi8(2));
    gr_words v[4];
    gr_turn(b, row, v);
    GR_UNROLL for (int i = 0; i < 8; i++)
    {
#if defined(__AVX512F__)
        gr_words two = (gr_words)_mm512_shuffle_epi8((__m512i)v[i / 2], _mm512_broadcast_i32x4(i % 2 ? high : low));
#else
        gr_words two =
            (gr_words)_mm256_shuffle_epi8((__m256i)v[i / 2], _mm256_broadcastsi128_si256(i % 2 ? high : low));
#endif
        codes[i] = (two & 0x000F000F) | (two >> 4 & 0x0F000F00);
    }
}

GR_INLINE void gr_read_int4(gr_int8_sink *to, const uint8_t *b, size_t row, int64_t n, const int groups)
{
    for (int64_t g = 0; g < n / 32; g += groups, b += 4 + 16 * groups) {
        const gr_vec scale = (gr_vec)gr_four(b, row);
        GR_UNROLL for (int k = 0; k < groups; k++)
        {
            gr_words codes[8];
            gr_neighbours(b + 4 + 16 * k, row, codes);
            gr_int8_take(to, g + k, codes, 8, scale, NULL);
        }
    }
}

/* The byte behind the scale. */
GR_INLINE gr_vec gr_zero_point(const uint8_t *b, size_t row)
{
    return gr_to_float(gr_four(b + 1, row) >> 24);
}

GR_INLINE void gr_read_int4z(gr_int8_sink *to, const uint8_t *b, size_t row, int64_t n, const int groups)
{
    for (int64_t g = 0; g < n / 32; g += groups, b += 5 + 16 * groups) {
        const gr_vec scale = (gr_vec)gr_four(b, row), offset = -scale * gr_zero_point(b, row);
        GR_UNROLL for (int k = 0; k < groups; k++)
        {
            gr_words codes[8];
            gr_neighbours(b + 5 + 16 * k, row, codes);
            gr_int8_take(to, g + k, codes, 8, scale, &offset);
        }
    }
}

#define GR_READERS_OF_INT4(kind, n)                                                                                    \
    GR_READER(kind##_##n)                                                                                              \
    {                                                                                                                  \
        (void)flip;                                                                                                    \
        gr_read_##kind(to, b, row, count, n / 32);                                                                     \
    }
GR_READERS_OF_INT4(int4, 32)
GR_READERS_OF_INT4(int4, 64)
GR_READERS_OF_INT4(int4, 128)
GR_READERS_OF_INT4(int4z, 32)
GR_READERS_OF_INT4(int4z, 64)
GR_READERS_OF_INT4(int4z, 128)

GR_READER(int8)
{
    for (int64_t g = 0; g < count / 32; g++, b += 36) {
        gr_words codes[8];
        gr_bytes_of(b + 4, row, flip ^ 0x80808080, codes); /* stored as int8 */
        gr_int8_take(to, g, codes, 8, (gr_vec)gr_four(b, row), NULL);
    }
}

GR_READER(int8z)
{
    for (int64_t g = 0; g < count / 32; g++, b += 37) {
        gr_words codes[8];
        const gr_vec scale = (gr_vec)gr_four(b, row), offset = scale * (128 - gr_zero_point(b, row));
        gr_bytes_of(b + 5, row, flip, codes); /* stored from 0 up */
        gr_int8_take(to, g, codes, 8, scale, &offset);
    }
}

/* All of them. */
/* clang-format off */
#define GR_READERS(X) \
    X(q4_0) X(q4_1) X(q5_0) X(q5_1) X(q8_0) X(iq4_nl) X(iq4_xs) X(q4_k) X(q5_k) X(q6_k) \
    X(int4_32) X(int4_64) X(int4_128) X(int4z_32) X(int4z_64) X(int4z_128) X(int8) X(int8z)
/* clang-format on */

#endif
