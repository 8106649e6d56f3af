/* Formats whose 4 bits are places in a table of 16 numbers, closer around 0 than at the ends:
 *
 *     iq4_nl  d q                   32 values: d table[q]
 *     iq4_xs  d high low q          eight groups of 32: d (s - 32) table[q], s of 6 bits: two of `high`, four of `low`
 */
#include "base/ggml/fit.h"

enum { GROUP = 32, GROUPS = 8, XS_BYTES = 136, ZERO = 127 };

static const int8_t table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* The codes that there are: the table, from its least on. */
static const uint8_t levels[] = {0, 23, 44, 62, 78, 92, 105, 117, 128, 140, 152, 165, 180, 196, 216, 240};

static void group_codes(const uint8_t *q, uint8_t *codes)
{
    for (int i = 0; i < GROUP / 2; i++) {
        codes[i] = (uint8_t)(table[q[i] & 15] + ZERO);
        codes[i + GROUP / 2] = (uint8_t)(table[q[i] >> 4] + ZERO);
    }
}

static void put_group(const uint8_t *codes, uint8_t *q)
{
    for (int i = 0; i < GROUP / 2; i++)
        q[i] = (uint8_t)(codes[i] | codes[i + GROUP / 2] << 4);
}

static void iq4_nl_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    (void)offsets;
    *scales = gr_block_half(b);
    group_codes(b + 2, codes);
}

/* Codes as they are read become places in the table. */
static void put_read(const uint8_t *codes, uint8_t *q)
{
    uint8_t places[GROUP];
    for (int i = 0; i < GROUP; i++) {
        places[i] = 0;
        while (table[places[i]] + ZERO < codes[i])
            places[i]++;
    }
    put_group(places, q);
}

static void iq4_nl_put(const uint8_t *codes, uint8_t *b)
{
    put_read(codes, b + 2);
}

static void iq4_nl_choose(const float *x, const float *w, uint8_t *b)
{
    uint8_t codes[GROUP];
    float d = gr_block_put_half(b, gr_fit_table(x, w, GROUP, table));
    gr_codes_table(x, w, GROUP, table, d, codes);
    put_group(codes, b + 2);
}

static void iq4_xs_codes(const uint8_t *b, uint8_t *codes, float *scales, float *offsets)
{
    float d = gr_block_half(b);
    (void)offsets;
    for (int g = 0; g < GROUPS; g++) {
        int low = b[4 + g / 2] >> g % 2 * 4 & 15, high = gr_block_u16(b + 2) >> 2 * g & 3;
        scales[g] = d * (float)((low | high << 4) - 32);
        group_codes(b + 8 + g * (GROUP / 2), codes + g * GROUP);
    }
}

/* The scale's code near `wanted` that has the least error, and its values' codes. */
static int best_scale(const float *x, const float *w, float d, float wanted, uint8_t *codes)
{
    int near = (int)gr_block_nearest(wanted, -32, 31), first = near > -32 ? near - 1 : near, best = first;
    float least = INFINITY;
    uint8_t tried[GROUP];
    for (int s = first; s <= near + 1 && s < 32; s++) {
        float error = gr_codes_table(x, w, GROUP, table, d * (float)s, tried);
        if (s == first || error < least) {
            best = s;
            least = error;
            memcpy(codes, tried, sizeof tried);
        }
    }
    return best;
}

static void iq4_xs_put(const uint8_t *codes, uint8_t *b)
{
    for (int g = 0; g < GROUPS; g++)
        put_read(codes + g * GROUP, b + 8 + g * (GROUP / 2));
}

static void iq4_xs_choose(const float *x, const float *w, uint8_t *b)
{
    float scales[GROUPS];
    for (int g = 0; g < GROUPS; g++)
        scales[g] = gr_fit_table(x + g * GROUP, w + g * GROUP, GROUP, table);
    float d = gr_block_put_half(b, gr_block_widest(scales, GROUPS) / -32), inverse = gr_block_inverse(d);
    memset(b + 2, 0, 6);
    for (int g = 0; g < GROUPS; g++) {
        uint8_t codes[GROUP];
        int s = best_scale(x + g * GROUP, w + g * GROUP, d, scales[g] * inverse, codes) + 32;
        b[4 + g / 2] |= (uint8_t)((s & 15) << g % 2 * 4);
        b[2 + g / 4] |= (uint8_t)(s >> 4 << g % 4 * 2);
        put_group(codes, b + 8 + g * (GROUP / 2));
    }
}

GR_BLOCKS_FITTED(iq4_nl, "IQ4_NL", 20, 25, GROUP, 18, 2, .group = GROUP, .zero = ZERO, .most = 240, .levels = levels)
GR_BLOCKS_FITTED(iq4_xs, "IQ4_XS", 23, 30, GROUPS *GROUP, XS_BYTES, 2, .group = GROUP, .zero = ZERO, .most = 240,
                 .levels = levels)
