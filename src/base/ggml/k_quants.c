/* The formats of 256 values in groups, whose scales are codes themselves:
 *
 *     q2_k  s q d dmin         16 groups of 16: d s q - dmin m,  q of 2 bits, s and m of 4
 *     q3_k  high q s d         16 groups of 16: d (s - 32) (q - 4),  q of 3 bits, s of 6
 *     q4_k  d dmin s q         8 groups of 32: d s q - dmin m,  q of 4 bits, s and m of 6
 *     q5_k  d dmin s high q    the same with q of 5 bits
 *     q6_k  q high s d         16 groups of 16: d s (q - 32),  q of 6 bits, s an int8
 *
 * d and dmin are f16. Codes and scales are chosen so that the squared error is small: fit.h. */
#include "base/ggml/fit.h"

enum {
    VALUES = 256,
    GROUPS = 16, /* at most */
    Q2_BYTES = 84,
    Q3_BYTES = 110,
    Q4_BYTES = 144,
    Q5_BYTES = 176,
    Q6_BYTES = 210,
};

/* ---- where the bits of 256 codes lie: a bit or more of each, the others are put elsewhere ------------------- */

/* One bit of each: bit k of byte i is value k * 32 + i. */
static void get_bits1(const uint8_t *b, int place, uint8_t *codes)
{
    for (int i = 0; i < VALUES; i++)
        codes[i] |= (uint8_t)((b[i % 32] >> i / 32 & 1) << place);
}

static void put_bits1(const uint8_t *codes, int place, uint8_t *b)
{
    memset(b, 0, VALUES / 8);
    for (int i = 0; i < VALUES; i++)
        b[i % 32] |= (uint8_t)((codes[i] >> place & 1) << i / 32);
}

/* Two bits: those at 2 k of byte i of a half of 32 bytes are value k * 32 + i of the half's 128. */
static void get_bits2(const uint8_t *b, int place, uint8_t *codes)
{
    for (int i = 0; i < VALUES; i++)
        codes[i] |= (uint8_t)((b[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3) << place);
}

static void put_bits2(const uint8_t *codes, int place, uint8_t *b)
{
    memset(b, 0, VALUES / 4);
    for (int i = 0; i < VALUES; i++)
        b[i / 128 * 32 + i % 32] |= (uint8_t)((codes[i] >> place & 3) << i / 32 % 4 * 2);
}

/* Four bits: of `run` bytes the low halves are as many values, and the high halves the next. */
static void get_bits4(const uint8_t *b, int run, uint8_t *codes)
{
    for (int i = 0; i < VALUES; i++)
        codes[i] = b[i / (2 * run) * run + i % run] >> (i / run % 2 * 4) & 15;
}

static void put_bits4(const uint8_t *codes, int run, uint8_t *b)
{
    memset(b, 0, VALUES / 2);
    for (int i = 0; i < VALUES; i++)
        b[i / (2 * run) * run + i % run] |= (uint8_t)((codes[i] & 15) << i / run % 2 * 4);
}

/* ---- groups with an offset: q2_k, q4_k, q5_k ---------------------------------------------------------------- */

typedef struct affine {
    int group;            /* values a group */
    int most, most_scale; /* the largest codes */
    uint8_t s[GROUPS], m[GROUPS], q[VALUES];
} affine;

static void affine_scales(const affine *a, float d, float dmin, float *scales, float *offsets)
{
    for (int g = 0; g < VALUES / a->group; g++) {
        scales[g] = d * (float)a->s[g];
        offsets[g] = -(dmin * (float)a->m[g]);
    }
}

/* Codes of a group: the nearest of its scale and offset, and then their neighbours are tried. */
static void affine_group(affine *a, int g, const float *x, const float *w, float d, float dmin, int s, int m)
{
    uint8_t tried[VALUES], *q = a->q + g * a->group;
    float least = gr_codes_affine(x, w, a->group, a->most, d * (float)s, dmin * (float)m, q);
    a->s[g] = (uint8_t)s;
    a->m[g] = (uint8_t)m;
    for (int sk = s > 0 ? s - 1 : 0; sk <= s + 1 && sk <= a->most_scale; sk++)
        for (int mk = m > 0 ? m - 1 : 0; mk <= m + 1 && mk <= a->most_scale; mk++) {
            float error = gr_codes_affine(x, w, a->group, a->most, d * (float)sk, dmin * (float)mk, tried);
            if (error < least) {
                least = error;
                a->s[g] = (uint8_t)sk;
                a->m[g] = (uint8_t)mk;
                memcpy(q, tried, (size_t)a->group);
            }
        }
}

/* d and dmin go to their places at once, since codes are chosen for what f16 makes of them. */
static void affine_choose(affine *a, const float *x, const float *w, uint8_t *d_at, uint8_t *dmin_at)
{
    float scales[GROUPS] = {0}, offsets[GROUPS] = {0};
    const int groups = VALUES / a->group;
    for (int g = 0; g < groups; g++)
        scales[g] = gr_fit_affine(x + g * a->group, w + g * a->group, a->group, a->most, &offsets[g]);
    float most = (float)a->most_scale;
    float d = gr_block_put_half(d_at, gr_block_widest(scales, groups) / most);
    float dmin = gr_block_put_half(dmin_at, gr_block_widest(offsets, groups) / most);
    for (int g = 0; g < groups; g++)
        affine_group(a, g, x + g * a->group, w + g * a->group, d, dmin,
                     (int)gr_block_nearest(scales[g] * gr_block_inverse(d), 0, most),
                     (int)gr_block_nearest(offsets[g] * gr_block_inverse(dmin), 0, most));
}

static void q2_k_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    affine a = {.group = 16};
    for (int g = 0; g < 16; g++) {
        a.s[g] = b[g] & 15;
        a.m[g] = b[g] >> 4;
    }
    affine_scales(&a, gr_block_half(b + 80), gr_block_half(b + 82), scales, offsets);
    memset(codes, 0, VALUES);
    get_bits2(b + 16, 0, codes);
}

static void q2_k_put(const uint8_t *codes, uint8_t *b)
{
    put_bits2(codes, 0, b + 16);
}

static void q2_k_choose(const float *x, const float *w, uint8_t *b)
{
    affine a = {.group = 16, .most = 3, .most_scale = 15};
    affine_choose(&a, x, w, b + 80, b + 82);
    for (int g = 0; g < 16; g++)
        b[g] = (uint8_t)(a.s[g] | a.m[g] << 4);
    q2_k_put(a.q, b);
}

/* 16 codes of 6 bits in 12 bytes: of s and m the first four are in bytes 0 to 3 and 4 to 7, whose upper two bits are
 * those of the others; the lower four of these share bytes 8 to 11. */
static void get_scales(const uint8_t *b, affine *a)
{
    for (int j = 0; j < 4; j++) {
        a->s[j] = b[j] & 63;
        a->m[j] = b[4 + j] & 63;
        a->s[4 + j] = (uint8_t)((b[8 + j] & 15) | b[j] >> 6 << 4);
        a->m[4 + j] = (uint8_t)(b[8 + j] >> 4 | b[4 + j] >> 6 << 4);
    }
}

static void put_scales(const affine *a, uint8_t *b)
{
    for (int j = 0; j < 4; j++) {
        b[j] = (uint8_t)(a->s[j] | a->s[4 + j] >> 4 << 6);
        b[4 + j] = (uint8_t)(a->m[j] | a->m[4 + j] >> 4 << 6);
        b[8 + j] = (uint8_t)((a->s[4 + j] & 15) | a->m[4 + j] << 4);
    }
}

static void q4_k_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    affine a = {.group = 32};
    get_scales(b + 4, &a);
    affine_scales(&a, gr_block_half(b), gr_block_half(b + 2), scales, offsets);
    get_bits4(b + 16, 32, codes);
}

static void q4_k_put(const uint8_t *codes, uint8_t *b)
{
    put_bits4(codes, 32, b + 16);
}

static void q4_k_choose(const float *x, const float *w, uint8_t *b)
{
    affine a = {.group = 32, .most = 15, .most_scale = 63};
    affine_choose(&a, x, w, b, b + 2);
    put_scales(&a, b + 4);
    q4_k_put(a.q, b);
}

static void q5_k_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    affine a = {.group = 32};
    get_scales(b + 4, &a);
    affine_scales(&a, gr_block_half(b), gr_block_half(b + 2), scales, offsets);
    get_bits4(b + 48, 32, codes);
    get_bits1(b + 16, 4, codes);
}

static void q5_k_put(const uint8_t *codes, uint8_t *b)
{
    put_bits1(codes, 4, b + 16);
    put_bits4(codes, 32, b + 48);
}

static void q5_k_choose(const float *x, const float *w, uint8_t *b)
{
    affine a = {.group = 32, .most = 31, .most_scale = 63};
    affine_choose(&a, x, w, b, b + 2);
    put_scales(&a, b + 4);
    q5_k_put(a.q, b);
}

/* ---- groups with a scale: q3_k, q6_k ------------------------------------------------------------------------ */

enum { SIGNED_GROUP = 16 };

/* Scales in [-half_scale, half_scale), codes in [0, 2 half) where half stands for 0. */
static void signed_choose(const float *x, const float *w, int half, int half_scale, int8_t *s, uint8_t *codes,
                          uint8_t *d_at)
{
    float scales[GROUPS];
    for (int g = 0; g < GROUPS; g++)
        scales[g] = gr_fit_signed(x + g * SIGNED_GROUP, w + g * SIGNED_GROUP, SIGNED_GROUP, half);
    float d = gr_block_put_half(d_at, gr_block_widest(scales, GROUPS) / (float)-half_scale);
    for (int g = 0; g < GROUPS; g++) {
        const float *row = x + g * SIGNED_GROUP, *weights = w + g * SIGNED_GROUP;
        int near = (int)gr_block_nearest(scales[g] * gr_block_inverse(d), (float)-half_scale, (float)(half_scale - 1));
        int8_t tried[SIGNED_GROUP], q[SIGNED_GROUP];
        float least = gr_codes_signed(row, weights, SIGNED_GROUP, half, d * (float)near, q);
        s[g] = (int8_t)near;
        for (int k = near - 1; k <= near + 1; k += 2) {
            if (k < -half_scale || k >= half_scale)
                continue;
            float error = gr_codes_signed(row, weights, SIGNED_GROUP, half, d * (float)k, tried);
            if (error < least) {
                least = error;
                s[g] = (int8_t)k;
                memcpy(q, tried, sizeof q);
            }
        }
        for (int i = 0; i < SIGNED_GROUP; i++)
            codes[g * SIGNED_GROUP + i] = (uint8_t)(q[i] + half);
    }
}

/* Of scale g the low four bits are in byte g % 8, the high two in byte 8 + g % 4. */
static void q3_k_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    const uint8_t *at = b + 96;
    float d = gr_block_half(b + 108);
    (void)offsets;
    for (int g = 0; g < GROUPS; g++)
        scales[g] = d * (float)(((at[g % 8] >> g / 8 * 4 & 15) | (at[8 + g % 4] >> g / 4 * 2 & 3) << 4) - 32);
    memset(codes, 0, VALUES);
    get_bits1(b, 2, codes);
    get_bits2(b + 32, 0, codes);
}

static void q3_k_put(const uint8_t *codes, uint8_t *b)
{
    put_bits1(codes, 2, b);
    put_bits2(codes, 0, b + 32);
}

static void q3_k_choose(const float *x, const float *w, uint8_t *b)
{
    uint8_t codes[VALUES], *at = b + 96;
    int8_t s[GROUPS];
    signed_choose(x, w, 4, 32, s, codes, b + 108);
    memset(at, 0, 12);
    for (int g = 0; g < GROUPS; g++) {
        at[g % 8] |= (uint8_t)((s[g] + 32) % 16 << g / 8 * 4);
        at[8 + g % 4] |= (uint8_t)((s[g] + 32) / 16 << g / 4 * 2);
    }
    q3_k_put(codes, b);
}

static void q6_k_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    float d = gr_block_half(b + 208);
    (void)offsets;
    for (int g = 0; g < GROUPS; g++)
        scales[g] = d * (float)(int8_t)b[192 + g];
    get_bits4(b, 64, codes);
    get_bits2(b + 128, 4, codes);
}

static void q6_k_put(const uint8_t *codes, uint8_t *b)
{
    put_bits4(codes, 64, b);
    put_bits2(codes, 4, b + 128);
}

static void q6_k_choose(const float *x, const float *w, uint8_t *b)
{
    uint8_t codes[VALUES];
    signed_choose(x, w, 32, 128, (int8_t *)b + 192, codes, b + 208);
    q6_k_put(codes, b);
}

GR_BLOCKS_FITTED(q2_k, "Q2_K", 10, 10, VALUES, Q2_BYTES, 2, .group = 16, .most = 3, .offsets = true)
GR_BLOCKS_FITTED(q3_k, "Q3_K", 11, 12, VALUES, Q3_BYTES, 2, .group = SIGNED_GROUP, .zero = 4, .most = 7)
GR_BLOCKS_FITTED(q4_k, "Q4_K", 12, 15, VALUES, Q4_BYTES, 2, .group = 32, .most = 15, .offsets = true)
GR_BLOCKS_FITTED(q5_k, "Q5_K", 13, 17, VALUES, Q5_BYTES, 2, .group = 32, .most = 31, .offsets = true)
GR_BLOCKS_FITTED(q6_k, "Q6_K", 14, 18, VALUES, Q6_BYTES, 2, .group = SIGNED_GROUP, .zero = 32, .most = 63)
