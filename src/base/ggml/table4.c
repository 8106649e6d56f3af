/* Formats whose 4 bits are places in a table of 16 numbers, closer around 0 than at the ends:
 *
 *     iq4_nl  d q                   32 values: d table[q]
 *     iq4_xs  d high low q          eight groups of 32: d (s - 32) table[q], s of 6 bits: two of `high`, four of `low`
 */
#include "base/ggml/fit.h"

enum { GROUP = 32, GROUPS = 8, XS_BYTES = 136 };

static const int8_t table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void read_group(const uint8_t *q, float d, float *y)
{
    for (int i = 0; i < GROUP / 2; i++) {
        y[i] = d * (float)table[q[i] & 15];
        y[i + GROUP / 2] = d * (float)table[q[i] >> 4];
    }
}

static void put_group(const uint8_t *codes, uint8_t *q)
{
    for (int i = 0; i < GROUP / 2; i++)
        q[i] = (uint8_t)(codes[i] | codes[i + GROUP / 2] << 4);
}

static void iq4_nl_read(const uint8_t *b, float *y)
{
    read_group(b + 2, gr_block_half(b), y);
}

static void iq4_nl_write(const float *x, uint8_t *b)
{
    uint8_t codes[GROUP];
    float d = gr_block_put_half(b, gr_fit_table(x, GROUP, table));
    gr_codes_table(x, GROUP, table, d, codes);
    put_group(codes, b + 2);
}

static void iq4_xs_read(const uint8_t *b, float *y)
{
    float d = gr_block_half(b);
    for (int g = 0; g < GROUPS; g++) {
        int low = b[4 + g / 2] >> g % 2 * 4 & 15, high = gr_block_u16(b + 2) >> 2 * g & 3;
        read_group(b + 8 + g * (GROUP / 2), d * (float)((low | high << 4) - 32), y + g * GROUP);
    }
}

/* The scale's code near `wanted` that has the least error, and its values' codes. */
static int best_scale(const float *x, float d, float wanted, uint8_t *codes)
{
    int near = (int)gr_block_nearest(wanted, -32, 31), first = near > -32 ? near - 1 : near, best = first;
    float least = INFINITY;
    uint8_t tried[GROUP];
    for (int s = first; s <= near + 1 && s < 32; s++) {
        float error = gr_codes_table(x, GROUP, table, d * (float)s, tried);
        if (s == first || error < least) {
            best = s;
            least = error;
            memcpy(codes, tried, sizeof tried);
        }
    }
    return best;
}

static void iq4_xs_write(const float *x, uint8_t *b)
{
    float scales[GROUPS];
    for (int g = 0; g < GROUPS; g++)
        scales[g] = gr_fit_table(x + g * GROUP, GROUP, table);
    float d = gr_block_put_half(b, gr_block_widest(scales, GROUPS) / -32), inverse = gr_block_inverse(d);
    memset(b + 2, 0, 6);
    for (int g = 0; g < GROUPS; g++) {
        uint8_t codes[GROUP];
        int s = best_scale(x + g * GROUP, d, scales[g] * inverse, codes) + 32;
        b[4 + g / 2] |= (uint8_t)((s & 15) << g % 2 * 4);
        b[2 + g / 4] |= (uint8_t)(s >> 4 << g % 4 * 2);
        put_group(codes, b + 8 + g * (GROUP / 2));
    }
}

GR_BLOCKS_BOTH(iq4_nl, "IQ4_NL", 20, GROUP, 18, 2)
GR_BLOCKS_BOTH(iq4_xs, "IQ4_XS", 23, GROUPS *GROUP, XS_BYTES, 2)
