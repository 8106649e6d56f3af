/* The formats of 32 values with one scale, and in some an offset:
 *
 *     q4_0  d q            value = d (q - 8),   q of 4 bits
 *     q4_1  d m q          value = d q + m
 *     q5_0  d high q       value = d (q - 16),  q of 5 bits, the fifth of value i is bit i of `high`
 *     q5_1  d m high q     value = d q + m
 *     q8_0  d q            value = d q,         q an int8
 *
 * d and m are f16. Of 4 bits the low halves of 16 bytes are values 0 to 15, the high halves values 16 to 31. What is
 * written is to the bit what ggml's own tools write; tools/oracle/check_block_dtypes.py compares. With weights
 * scales are found by least squares, in the same blocks. */
#include "base/ggml/fit.h"

enum { VALUES = 32, HALF = VALUES / 2 };

/* Codes to 4 bits each. */
static void put_low(const uint8_t *codes, uint8_t *q)
{
    for (int i = 0; i < HALF; i++)
        q[i] = (uint8_t)((codes[i] & 15) | codes[i + HALF] << 4);
}

static void get_low(const uint8_t *q, uint8_t *codes)
{
    for (int i = 0; i < HALF; i++) {
        codes[i] = q[i] & 15;
        codes[i + HALF] = q[i] >> 4;
    }
}

static void put_fifth(const uint8_t *codes, uint8_t *high)
{
    memset(high, 0, VALUES / 8);
    for (int i = 0; i < VALUES; i++)
        high[i / 8] |= (uint8_t)(codes[i] >> 4 << i % 8);
}

static void add_fifth(const uint8_t *high, uint8_t *codes)
{
    for (int i = 0; i < VALUES; i++)
        codes[i] |= (uint8_t)((high[i / 8] >> i % 8 & 1) << 4);
}

/* values = d (codes - zero): the widest value becomes code 0 exactly. */
static float choose_signed(const float *x, int zero, uint8_t *codes)
{
    float d = gr_block_widest(x, VALUES) / (float)-zero, inverse = gr_block_inverse(d);
    for (int i = 0; i < VALUES; i++)
        codes[i] = (uint8_t)gr_block_clamp(x[i] * inverse + ((float)zero + 0.5f), 0, (float)(2 * zero - 1));
    return d;
}

/* values = d codes + m */
static float choose_between(const float *x, int most, uint8_t *codes, float *m)
{
    float low = x[0], high = x[0];
    for (int i = 1; i < VALUES; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    float d = (high - low) / (float)most, inverse = gr_block_inverse(d);
    for (int i = 0; i < VALUES; i++)
        codes[i] = (uint8_t)gr_block_clamp((x[i] - low) * inverse + 0.5f, 0, (float)most);
    *m = low;
    return d;
}

/* With weights: scales as f16, then the codes that are best for them. */
static void weigh_signed(const float *x, const float *w, int zero, uint8_t *codes, uint8_t *d_at)
{
    int8_t q[VALUES];
    float d = gr_block_put_half(d_at, gr_fit_signed(x, w, VALUES, zero));
    gr_codes_signed(x, w, VALUES, zero, d, q);
    for (int i = 0; i < VALUES; i++)
        codes[i] = (uint8_t)(q[i] + zero);
}

/* The lowest value is stored as it is, so that it can be above 0. */
static void weigh_between(const float *x, const float *w, int most, uint8_t *codes, uint8_t *d_at)
{
    float shifted[VALUES], low = x[0], offset;
    for (int i = 1; i < VALUES; i++)
        low = x[i] < low ? x[i] : low;
    for (int i = 0; i < VALUES; i++)
        shifted[i] = x[i] - low;
    float d = gr_block_put_half(d_at, gr_fit_affine(shifted, w, VALUES, most, &offset));
    float m = gr_block_put_half(d_at + 2, low - offset);
    gr_codes_affine(x, w, VALUES, most, d, -m, codes);
}

static void q4_0_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    *scales = gr_block_half(b);
    get_low(b + 2, codes);
}

static void q4_0_put(const uint8_t *codes, uint8_t *b)
{
    put_low(codes, b + 2);
}

static void q4_0_write(const float *x, uint8_t *b)
{
    uint8_t codes[VALUES];
    gr_block_put_half(b, choose_signed(x, 8, codes));
    q4_0_put(codes, b);
}

static void q4_0_choose(const float *x, const float *w, uint8_t *b)
{
    uint8_t codes[VALUES];
    weigh_signed(x, w, 8, codes, b);
    q4_0_put(codes, b);
}

static void q4_1_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    *scales = gr_block_half(b);
    *offsets = gr_block_half(b + 2);
    get_low(b + 4, codes);
}

static void q4_1_put(const uint8_t *codes, uint8_t *b)
{
    put_low(codes, b + 4);
}

static void q4_1_choose(const float *x, const float *w, uint8_t *b)
{
    uint8_t codes[VALUES];
    weigh_between(x, w, 15, codes, b);
    q4_1_put(codes, b);
}

static void q4_1_write(const float *x, uint8_t *b)
{
    uint8_t codes[VALUES];
    float m;
    gr_block_put_half(b, choose_between(x, 15, codes, &m));
    gr_block_put_half(b + 2, m);
    q4_1_put(codes, b);
}

static void q5_0_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    *scales = gr_block_half(b);
    get_low(b + 6, codes);
    add_fifth(b + 2, codes);
}

static void q5_0_put(const uint8_t *codes, uint8_t *b)
{
    put_fifth(codes, b + 2);
    put_low(codes, b + 6);
}

static void q5_0_write(const float *x, uint8_t *b)
{
    uint8_t codes[VALUES];
    gr_block_put_half(b, choose_signed(x, 16, codes));
    q5_0_put(codes, b);
}

static void q5_0_choose(const float *x, const float *w, uint8_t *b)
{
    uint8_t codes[VALUES];
    weigh_signed(x, w, 16, codes, b);
    q5_0_put(codes, b);
}

static void q5_1_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    *scales = gr_block_half(b);
    *offsets = gr_block_half(b + 2);
    get_low(b + 8, codes);
    add_fifth(b + 4, codes);
}

static void q5_1_put(const uint8_t *codes, uint8_t *b)
{
    put_fifth(codes, b + 4);
    put_low(codes, b + 8);
}

static void q5_1_choose(const float *x, const float *w, uint8_t *b)
{
    uint8_t codes[VALUES];
    weigh_between(x, w, 31, codes, b);
    q5_1_put(codes, b);
}

static void q5_1_write(const float *x, uint8_t *b)
{
    uint8_t codes[VALUES];
    float m;
    gr_block_put_half(b, choose_between(x, 31, codes, &m));
    gr_block_put_half(b + 2, m);
    q5_1_put(codes, b);
}

static void q8_0_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    *scales = gr_block_half(b);
    for (int i = 0; i < VALUES; i++)
        codes[i] = b[2 + i] ^ 128;
}

static void q8_0_put(const uint8_t *codes, uint8_t *b)
{
    for (int i = 0; i < VALUES; i++)
        b[2 + i] = codes[i] ^ 128;
}

static void q8_0_write(const float *x, uint8_t *b)
{
    float d = fabsf(gr_block_widest(x, VALUES)) / 127, inverse = gr_block_inverse(d);
    gr_block_put_half(b, d);
    for (int i = 0; i < VALUES; i++) {
        float q = x[i] * inverse, size = gr_block_clamp(fabsf(q) + 0.5f, 0, 127); /* halves away from 0 */
        b[2 + i] = (uint8_t)(q < 0 ? -(int)size : (int)size);
    }
}

GR_BLOCKS_WEIGHED(q4_0, "Q4_0", 2, 2, VALUES, 18, 2, .group = VALUES, .zero = 8, .most = 15)
GR_BLOCKS_WEIGHED(q4_1, "Q4_1", 3, 3, VALUES, 20, 2, .group = VALUES, .most = 15, .offsets = true)
GR_BLOCKS_WEIGHED(q5_0, "Q5_0", 6, 8, VALUES, 22, 2, .group = VALUES, .zero = 16, .most = 31)
GR_BLOCKS_WEIGHED(q5_1, "Q5_1", 7, 9, VALUES, 24, 2, .group = VALUES, .most = 31, .offsets = true)
GR_BLOCKS_BOTH(q8_0, "Q8_0", 8, 7, VALUES, 34, 2, .group = VALUES, .zero = 128, .most = 255)
