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

enum { VALUES = 256, GROUP = 32, GROUPS = VALUES / GROUP };

/* ---- points ------------------------------------------------------------------------------------------------- */

static const uint8_t sizes2[4] = {8, 25, 43, 0};
static const uint8_t sizes3_xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62}, sizes3_s[8] = {1, 3, 5, 7, 9, 11, 13, 15};

/* Eight values: d times the point's sizes; bit i of `signs`: value i is below 0. */
static void put_point8(unsigned point, float d, unsigned signs, float *y)
{
    for (int i = 0; i < 8; i++)
        y[i] = d * (float)sizes2[point >> 2 * i & 3] * (signs >> i & 1 ? -1.0f : 1.0f);
}

static void put_point4(unsigned point, const uint8_t *sizes, float d, unsigned signs, float *y)
{
    for (int i = 0; i < 4; i++)
        y[i] = d * (float)sizes[point >> 3 * i & 7] * (signs >> i & 1 ? -1.0f : 1.0f);
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
static void iq2_xxs_read(const uint8_t *b, float *y)
{
    float d = gr_block_half(b);
    for (int g = 0; g < GROUPS; g++) {
        const uint8_t *codes = b + 2 + 8 * g;
        uint32_t rest = gr_block_u32(codes + 4);
        float scale = d * (0.5f + (float)(rest >> 28)) * 0.25f;
        for (int k = 0; k < 4; k++, y += 8)
            put_point8(gr_grid_iq2_xxs[codes[k]], scale, even_signs(rest >> 7 * k & 127), y);
    }
}

/* A code is 9 bits of point below 7 of signs. */
static void iq2_xs_read(const uint8_t *b, float *y)
{
    float d = gr_block_half(b);
    for (int k = 0; k < VALUES / 8; k++, y += 8) {
        unsigned code = gr_block_u16(b + 2 + 2 * k), s = b[66 + k / 4] >> k / 2 % 2 * 4 & 15;
        put_point8(gr_grid_iq2_xs[code & 511], d * (0.5f + (float)s) * 0.25f, even_signs(code >> 9), y);
    }
}

static void iq2_s_read(const uint8_t *b, float *y)
{
    float d = gr_block_half(b);
    for (int k = 0; k < VALUES / 8; k++, y += 8) {
        unsigned code = b[2 + k] | (b[66 + k / 4] >> k % 4 * 2 & 3) << 8, s = b[74 + k / 4] >> k / 2 % 2 * 4 & 15;
        put_point8(gr_grid_iq2_s[code], d * (0.5f + (float)s) * 0.25f, b[34 + k], y);
    }
}

/* ---- 3 bits ------------------------------------------------------------------------------------------------- */

static void iq3_xxs_read(const uint8_t *b, float *y)
{
    float d = gr_block_half(b);
    for (int k = 0; k < VALUES / 4; k++, y += 4) {
        uint32_t rest = gr_block_u32(b + 66 + k / 8 * 4);
        float scale = d * (0.5f + (float)(rest >> 28)) * 0.5f;
        unsigned signs = even_signs(rest >> k % 8 / 2 * 7 & 127);
        put_point4(gr_grid_iq3_xxs[b[2 + k]], sizes3_xxs, scale, signs >> k % 2 * 4, y);
    }
}

static void iq3_s_read(const uint8_t *b, float *y)
{
    float d = gr_block_half(b);
    for (int k = 0; k < VALUES / 4; k++, y += 4) {
        unsigned code = b[2 + k] | (b[66 + k / 8] >> k % 8 & 1) << 8, s = b[106 + k / 16] >> k / 8 % 2 * 4 & 15;
        put_point4(gr_grid_iq3_s[code], sizes3_s, d * (float)(1 + 2 * s), b[74 + k / 2] >> k % 2 * 4, y);
    }
}

/* ---- less than 2 -------------------------------------------------------------------------------------------- */

static void put_point1(unsigned point, float d, bool below, float *y)
{
    float delta = below ? -0.125f : 0.125f;
    for (int i = 0; i < 8; i++)
        y[i] = d * ((float)(int)(point >> 2 * i & 3) - 1 + delta);
}

/* A group's 16 bits: three more of each of its four codes, three of scale, and the offset's sign. */
static void iq1_s_read(const uint8_t *b, float *y)
{
    float d = gr_block_half(b);
    for (int k = 0; k < VALUES / 8; k++, y += 8) {
        unsigned high = gr_block_u16(b + 34 + k / 4 * 2), code = b[2 + k] | (high >> k % 4 * 3 & 7) << 8;
        put_point1(gr_grid_iq1[code], d * (float)(2 * (high >> 12 & 7) + 1), high >> 15, y);
    }
}

/* Four words of four scales of 3 bits; their upper four bits are d. */
static void iq1_m_read(const uint8_t *b, float *y)
{
    unsigned bits = 0;
    for (int w = 0; w < 4; w++)
        bits |= (unsigned)gr_block_u16(b + 48 + 2 * w) >> 12 << 4 * w;
    float d = gr_half_to_float((uint16_t)bits);
    for (int k = 0; k < VALUES / 8; k++, y += 8) {
        unsigned high = b[32 + k / 2] >> k % 2 * 4 & 15, code = b[k] | (high & 7) << 8;
        unsigned s = gr_block_u16(b + 48 + k / 8 * 2) >> k / 2 % 4 * 3 & 7;
        put_point1(gr_grid_iq1[code], d * (float)(2 * s + 1), high >> 3, y);
    }
}

GR_BLOCKS_ONLY_READ(iq1_s, "IQ1_S", 19, VALUES, 50, 2)
GR_BLOCKS_ONLY_READ(iq1_m, "IQ1_M", 29, VALUES, 56, 2)
GR_BLOCKS_ONLY_READ(iq2_xxs, "IQ2_XXS", 16, VALUES, 66, 2)
GR_BLOCKS_ONLY_READ(iq2_xs, "IQ2_XS", 17, VALUES, 74, 2)
GR_BLOCKS_ONLY_READ(iq2_s, "IQ2_S", 22, VALUES, 82, 2)
GR_BLOCKS_ONLY_READ(iq3_xxs, "IQ3_XXS", 18, VALUES, 98, 2)
GR_BLOCKS_ONLY_READ(iq3_s, "IQ3_S", 21, VALUES, 110, 2)
