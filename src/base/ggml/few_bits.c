/* Formats of one scale whose codes stand for few and fixed numbers:
 *
 *     mxfp4  e q        32 values of the numbers of e2m1, times 2^e (OCP Microscaling Formats 1.0)
 *     nvfp4  4 d, q     four groups of 16 such values, the scale of each an unsigned e4m3
 *     tq1_0  q d        256 values of -1, 0 and 1: five in a byte as digits to the base of 3
 *     tq2_0  q d        the same with 2 bits a value
 *     q1_0   d q        128 values of -d or d
 *
 * d is f16. What is written of mxfp4, tq1_0 and tq2_0 is to the bit what the gguf package writes. */
#include "base/ggml/block.h"

/* ---- 4 bits that are e2m1: twice the numbers ---------------------------------------------------------------- */

static const int8_t e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

enum { E2M1_ZERO = 12, MXFP4_VALUES = 32, MXFP4_BYTES = 17, NVFP4_GROUP = 16, NVFP4_GROUPS = 4 };

/* The codes that there are, rising; the last ones again, for 16 of them. */
static const uint8_t e2m1_levels[] = {0, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 24};

/* Half of 2^(e - 127), since the table has twice the numbers. */
static float half_power(uint8_t e)
{
    return gr_bits_float(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

static void mxfp4_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    *scales = half_power(b[0]);
    for (int i = 0; i < MXFP4_VALUES / 2; i++) {
        codes[i] = (uint8_t)(e2m1[b[1 + i] & 15] + E2M1_ZERO);
        codes[i + MXFP4_VALUES / 2] = (uint8_t)(e2m1[b[1 + i] >> 4] + E2M1_ZERO);
    }
}

/* The first of the nearest. */
static uint8_t nearest_e2m1(float x, float d)
{
    uint8_t best = 0;
    float least = fabsf(x);
    for (int i = 1; i < 16; i++) {
        float off = fabsf(d * (float)e2m1[i] - x);
        if (off < least) {
            least = off;
            best = (uint8_t)i;
        }
    }
    return best;
}

/* Codes as they are read are twice the numbers, from the least on. */
static uint8_t place_of(uint8_t code)
{
    uint8_t place = 0;
    while (e2m1[place] + E2M1_ZERO != code && place < 15)
        place++;
    return place;
}

static void mxfp4_put(const uint8_t *codes, uint8_t *b)
{
    for (int i = 0; i < MXFP4_VALUES / 2; i++)
        b[1 + i] = (uint8_t)(place_of(codes[i]) | place_of(codes[i + MXFP4_VALUES / 2]) << 4);
}

static void mxfp4_write(const float *x, uint8_t *b)
{
    float most = fabsf(gr_block_widest(x, MXFP4_VALUES));
    b[0] = (uint8_t)(most > 0 ? gr_block_clamp(floorf(log2f(most)) - 2 + 127, 0, 254) : 0);
    float d = half_power(b[0]);
    for (int i = 0; i < MXFP4_VALUES / 2; i++)
        b[1 + i] = (uint8_t)(nearest_e2m1(x[i], d) | nearest_e2m1(x[i + MXFP4_VALUES / 2], d) << 4);
}

/* Half of an unsigned e4m3 with a bias of 7; 0x7F, its NaN, is 0. */
static float half_e4m3(uint8_t x)
{
    int exponent = x >> 3 & 15, mantissa = x & 7;
    if (x == 0x7F)
        return 0;
    return 0.5f * (exponent ? ldexpf(1 + (float)mantissa / 8, exponent - 7) : (float)mantissa * 0x1p-9f);
}

static void nvfp4_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    const uint8_t *q = b + NVFP4_GROUPS;
    (void)offsets;
    for (int g = 0; g < NVFP4_GROUPS; g++, codes += NVFP4_GROUP) {
        scales[g] = half_e4m3(b[g]);
        for (int i = 0; i < NVFP4_GROUP / 2; i++, q++) {
            codes[i] = (uint8_t)(e2m1[*q & 15] + E2M1_ZERO);
            codes[i + NVFP4_GROUP / 2] = (uint8_t)(e2m1[*q >> 4] + E2M1_ZERO);
        }
    }
}

/* ---- -1, 0 and 1 -------------------------------------------------------------------------------------------- */

enum { T_VALUES = 256, T_GROUP = 32, TQ1_BYTES = 54, TQ2_BYTES = 66 };

/* 3 can be read, and is never written. */
static const uint8_t ternary[] = {0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};

/* Value i of a block is one of -1, 0, 1; d what they are multiplied by. */
static float choose_ternary(const float *x, uint8_t *codes)
{
    float d = fabsf(gr_block_widest(x, T_VALUES)), inverse = gr_block_inverse(d);
    for (int i = 0; i < T_VALUES; i++) {
        float q = x[i] * inverse;
        codes[i] = q >= 0.5f ? 2 : q <= -0.5f ? 0 : 1;
    }
    return d;
}

/* Runs of bytes of tq1_0: digit k of byte i of a run at `value` is value + k * bytes + i. */
static const struct run {
    int at, bytes, digits, value;
} runs[] = {{0, 32, 5, 0}, {32, 16, 5, 160}, {48, 4, 4, 240}};

/* Of 256 values with one scale. */
static void same_scale(float d, float *scales)
{
    for (int g = 0; g < T_VALUES / T_GROUP; g++)
        scales[g] = d;
}

static void tq1_0_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    static const uint8_t power[] = {1, 3, 9, 27, 81};
    (void)offsets;
    same_scale(gr_block_half(b + TQ1_BYTES - 2), scales);
    for (const struct run *r = runs; r < runs + 3; r++)
        for (int k = 0; k < r->digits; k++)
            for (int i = 0; i < r->bytes; i++) {
                uint8_t rest = (uint8_t)(b[r->at + i] * power[k]); /* a byte is a fraction of 256: its next digit */
                codes[r->value + k * r->bytes + i] = (uint8_t)(rest * 3 >> 8);
            }
}

static void tq1_0_put(const uint8_t *codes, uint8_t *b)
{
    for (const struct run *r = runs; r < runs + 3; r++)
        for (int i = 0; i < r->bytes; i++) {
            int number = 0;
            for (int k = 0; k < 5; k++)
                number = number * 3 + (k < r->digits ? codes[r->value + k * r->bytes + i] : 0);
            b[r->at + i] = (uint8_t)((number * 256 + 242) / 243); /* as a fraction, rounded up */
        }
}

static void tq1_0_write(const float *x, uint8_t *b)
{
    uint8_t codes[T_VALUES];
    gr_block_put_half(b + TQ1_BYTES - 2, choose_ternary(x, codes));
    tq1_0_put(codes, b);
}

/* Byte i of half h has values h * 128 + k * 32 + i, k the place of their 2 bits. */
static void tq2_0_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    same_scale(gr_block_half(b + TQ2_BYTES - 2), scales);
    for (int i = 0; i < T_VALUES; i++)
        codes[i] = b[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
}

static void tq2_0_put(const uint8_t *codes, uint8_t *b)
{
    memset(b, 0, TQ2_BYTES - 2);
    for (int i = 0; i < T_VALUES; i++)
        b[i / 128 * 32 + i % 32] |= (uint8_t)(codes[i] << i / 32 % 4 * 2);
}

static void tq2_0_write(const float *x, uint8_t *b)
{
    uint8_t codes[T_VALUES];
    gr_block_put_half(b + TQ2_BYTES - 2, choose_ternary(x, codes));
    tq2_0_put(codes, b);
}

/* ---- signs -------------------------------------------------------------------------------------------------- */

enum { Q1_VALUES = 128 };

static void q1_0_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    for (int g = 0; g < Q1_VALUES / T_GROUP; g++)
        scales[g] = gr_block_half(b);
    for (int i = 0; i < Q1_VALUES; i++)
        codes[i] = (uint8_t)((b[2 + i / 8] >> i % 8 & 1) * 2);
}

GR_BLOCKS_BOTH(mxfp4, "MXFP4", 39, 38, MXFP4_VALUES, MXFP4_BYTES, 1, .group = MXFP4_VALUES, .zero = E2M1_ZERO,
               .most = 24, .levels = e2m1_levels)
GR_BLOCKS_ONLY_READ(nvfp4, "NVFP4", 40, 39, NVFP4_GROUPS *NVFP4_GROUP, 36, 1, .group = NVFP4_GROUP, .zero = E2M1_ZERO,
                    .most = 24)
GR_BLOCKS_BOTH(tq1_0, "TQ1_0", 34, 36, T_VALUES, TQ1_BYTES, 2, .group = T_GROUP, .zero = 1, .most = 2)
GR_BLOCKS_BOTH(tq2_0, "TQ2_0", 35, 37, T_VALUES, TQ2_BYTES, 2, .group = T_GROUP, .zero = 1, .most = 3,
               .levels = ternary)
GR_BLOCKS_ONLY_READ(q1_0, "Q1_0", 41, 40, Q1_VALUES, 18, 2, .group = T_GROUP, .zero = 1, .most = 2)
