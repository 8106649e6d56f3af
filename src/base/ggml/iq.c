/* The formats of 256 values whose codes name points of a grid, eight or four values each, and in most the signs of these:
 *
 *     iq1_s    d code high     32 points of -1, 0, 1; a group of 32 values shares a scale and whether 1/8 is added or taken
 *     iq1_m    code high s     the same, a scale for 16 values, the offset for 8; d in the scales' upper bits
 *     iq2_xxs  d code          32 points of 8, 25, 43; 7 bits say eight signs, an even number of which are set
 *     iq2_xs   d code s        the same of a larger grid, a scale for 16 values
 *     iq2_s    d code sign high s
 *     iq3_xxs  d code sign     64 points of four sizes; signs as iq2_xxs
 *     iq3_s    d code high sign s
 *
 * d is f16. They are only read. */
#include "base/ggml/block.h"
#include "base/ggml/grids.h"

enum {
    VALUES = 256,
    GROUP = 32,
    GROUPS = VALUES / GROUP,
    HALF = 16, /* values a scale, of some */
    ZERO1 = 9, /* the largest sizes */
    ZERO2 = 43,
    ZERO3_XXS = 62,
    ZERO3_S = 15,
};

/* ---- points ------------------------------------------------------------------------------------------------- */

static const uint8_t sizes2[4] = {8, 25, 43, 0};
static const uint8_t sizes3_xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62}, sizes3_s[8] = {1, 3, 5, 7, 9, 11, 13, 15};

/* Eight codes; bit i of `signs`: value i is below 0. */
static void put_point8(unsigned point, unsigned signs, uint8_t *codes)
{
    for (int i = 0; i < 8; i++) {
        int size = sizes2[point >> 2 * i & 3];
        codes[i] = (uint8_t)(signs >> i & 1 ? ZERO2 - size : ZERO2 + size);
    }
}

static void put_point4(unsigned point, const uint8_t *sizes, unsigned signs, int zero, uint8_t *codes)
{
    for (int i = 0; i < 4; i++) {
        int size = sizes[point >> 3 * i & 7];
        codes[i] = (uint8_t)(signs >> i & 1 ? zero - size : zero + size);
    }
}

/* Seven signs; the eighth makes the number of those that are set even. */
static unsigned even_signs(unsigned seven)
{
    unsigned parity = seven ^ seven >> 4;
    parity ^= parity >> 2;
    return seven | ((parity ^ parity >> 1) & 1) << 7;
}

/* ---- 2 bits a value ----------------------------------------------------------------------------------------- */

/* A group is two words: four codes, and four times 7 bits of signs below 4 bits of scale. */
static void iq2_xxs_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    float d = gr_block_half(b);
    (void)offsets;
    for (int g = 0; g < GROUPS; g++) {
        const uint8_t *code = b + 2 + 8 * g;
        uint32_t rest = gr_block_u32(code + 4);
        scales[g] = d * (0.5f + (float)(rest >> 28)) * 0.25f;
        for (int k = 0; k < 4; k++, codes += 8)
            put_point8(gr_grid_iq2_xxs[code[k]], even_signs(rest >> 7 * k & 127), codes);
    }
}

/* Two scales a byte. */
static void half_scales(const uint8_t *b, float d, float *scales)
{
    for (int g = 0; g < VALUES / HALF; g++)
        scales[g] = d * (0.5f + (float)(b[g / 2] >> g % 2 * 4 & 15)) * 0.25f;
}

/* A code is 9 bits of point below 7 of signs. */
static void iq2_xs_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    half_scales(b + 66, gr_block_half(b), scales);
    for (int k = 0; k < VALUES / 8; k++, codes += 8) {
        unsigned code = gr_block_u16(b + 2 + 2 * k);
        put_point8(gr_grid_iq2_xs[code & 511], even_signs(code >> 9), codes);
    }
}

static void iq2_s_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    half_scales(b + 74, gr_block_half(b), scales);
    for (int k = 0; k < VALUES / 8; k++, codes += 8)
        put_point8(gr_grid_iq2_s[b[2 + k] | (b[66 + k / 4] >> k % 4 * 2 & 3) << 8], b[34 + k], codes);
}

/* ---- 3 bits ------------------------------------------------------------------------------------------------- */

static void iq3_xxs_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    float d = gr_block_half(b);
    (void)offsets;
    for (int k = 0; k < VALUES / 4; k++, codes += 4) {
        uint32_t rest = gr_block_u32(b + 66 + k / 8 * 4);
        unsigned signs = even_signs(rest >> k % 8 / 2 * 7 & 127);
        scales[k / 8] = d * (0.5f + (float)(rest >> 28)) * 0.5f;
        put_point4(gr_grid_iq3_xxs[b[2 + k]], sizes3_xxs, signs >> k % 2 * 4, ZERO3_XXS, codes);
    }
}

static void iq3_s_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    float d = gr_block_half(b);
    (void)offsets;
    for (int k = 0; k < VALUES / 4; k++, codes += 4) {
        unsigned code = b[2 + k] | (b[66 + k / 8] >> k % 8 & 1) << 8, s = b[106 + k / 16] >> k / 8 % 2 * 4 & 15;
        scales[k / 8] = d * (float)(1 + 2 * s);
        put_point4(gr_grid_iq3_s[code], sizes3_s, b[74 + k / 2] >> k % 2 * 4, ZERO3_S, codes);
    }
}

/* ---- less than 2 -------------------------------------------------------------------------------------------- */

/* Eight codes, in eighths. */
static void put_point1(unsigned point, bool below, uint8_t *codes)
{
    for (int i = 0; i < 8; i++)
        codes[i] = (uint8_t)(8 * (point >> 2 * i & 3) + (below ? 0 : 2));
}

/* A group's 16 bits: three more of each of its four codes, three of scale, and the offset's sign. */
static void iq1_s_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    float d = gr_block_half(b) / 8;
    (void)offsets;
    for (int k = 0; k < VALUES / 8; k++, codes += 8) {
        unsigned high = gr_block_u16(b + 34 + k / 4 * 2);
        scales[k / 4] = d * (float)(2 * (high >> 12 & 7) + 1);
        put_point1(gr_grid_iq1[b[2 + k] | (high >> k % 4 * 3 & 7) << 8], high >> 15, codes);
    }
}

/* Four words of four scales of 3 bits; their upper four bits are d. */
static void iq1_m_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    unsigned bits = 0;
    (void)offsets;
    for (int w = 0; w < 4; w++)
        bits |= (unsigned)gr_block_u16(b + 48 + 2 * w) >> 12 << 4 * w;
    float d = gr_half_to_float((uint16_t)bits) / 8;
    for (int k = 0; k < VALUES / 8; k++, codes += 8) {
        unsigned high = b[32 + k / 2] >> k % 2 * 4 & 15;
        scales[k / 2] = d * (float)(2 * (gr_block_u16(b + 48 + k / 8 * 2) >> k / 2 % 4 * 3 & 7) + 1);
        put_point1(gr_grid_iq1[b[k] | (high & 7) << 8], high >> 3, codes);
    }
}

GR_BLOCKS_ONLY_READ(iq1_s, "IQ1_S", 19, 24, VALUES, 50, 2, .group = GROUP, .zero = ZERO1, .most = 18)
GR_BLOCKS_ONLY_READ(iq1_m, "IQ1_M", 29, 31, VALUES, 56, 2, .group = HALF, .zero = ZERO1, .most = 18)
GR_BLOCKS_ONLY_READ(iq2_xxs, "IQ2_XXS", 16, 19, VALUES, 66, 2, .group = GROUP, .zero = ZERO2, .most = 86)
GR_BLOCKS_ONLY_READ(iq2_xs, "IQ2_XS", 17, 20, VALUES, 74, 2, .group = HALF, .zero = ZERO2, .most = 86)
GR_BLOCKS_ONLY_READ(iq2_s, "IQ2_S", 22, 28, VALUES, 82, 2, .group = HALF, .zero = ZERO2, .most = 86)
GR_BLOCKS_ONLY_READ(iq3_xxs, "IQ3_XXS", 18, 23, VALUES, 98, 2, .group = GROUP, .zero = ZERO3_XXS, .most = 124)
GR_BLOCKS_ONLY_READ(iq3_s, "IQ3_S", 21, 26, VALUES, 110, 2, .group = GROUP, .zero = ZERO3_S, .most = 30)
