/* Codes, scales and zero points of any layout, as rows; and rows as blocks. */
#include "model/files/packed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/first_error.h"
#include "base/ggml/hub.h"
#include "base/mem.h"

enum { PANEL = 16 /* rows that are read together, for those of a column lie side by side */ };

/* ---- codes -------------------------------------------------------------------------------------------------- */

static uint32_t word_at(const gr_weight *t, int64_t i)
{
    uint32_t word;
    memcpy(&word, (const char *)t->data + i * (int64_t)sizeof word, sizeof word);
    return word;
}

/* Value i of those that lie in words one behind the other, the first in the lowest bits; words are `stride` apart. */
static uint8_t bits_at(const gr_weight *t, int64_t first, int64_t stride, int64_t i, int bits)
{
    int64_t at = i * bits, word = first + at / 32 * stride;
    int low = (int)(at % 32);
    uint32_t value = word_at(t, word) >> low;
    if (low + bits > 32)
        value |= word_at(t, word + stride) << (32 - low);
    return (uint8_t)(value & ((1u << bits) - 1));
}

/* AWQ has rows 0 to 7 of a word at these places. */
static int awq_shift(int64_t row)
{
    static const int place[] = {0, 4, 1, 5, 2, 6, 3, 7};
    return 4 * place[row % 8];
}

/* Of a word at a time, where it is whole codes. */
static void read_columns(const gr_packed *p, int64_t first, int64_t n, uint8_t *codes)
{
    const int bits = p->bits, each = 32 / bits, most = (1 << bits) - 1;
    for (int64_t k = 0; k < p->width; k += each)
        for (int64_t r = 0; r < n; r++) {
            uint32_t word = word_at(&p->codes, k / each * p->codes.shape[1] + first + r);
            for (int i = 0; i < each; i++, word >>= bits)
                codes[r * p->width + k + i] = (uint8_t)(word & (uint32_t)most);
        }
}

/* Codes [n, width] of rows from `first` on. */
static void read_panel(const gr_packed *p, int64_t first, int64_t n, uint8_t *codes)
{
    const gr_weight *t = &p->codes;
    int64_t width = p->width;
    if (p->layout == GR_LAYOUT_BYTES)
        for (int64_t i = 0; i < n * width; i++)
            codes[i] = (uint8_t)(((const uint8_t *)t->data)[first * width + i] + (1 << (p->bits - 1)));
    else if (p->layout == GR_LAYOUT_ROWS)
        for (int64_t r = 0; r < n; r++)
            for (int64_t k = 0; k < width; k++)
                codes[r * width + k] = bits_at(t, (first + r) * t->shape[1], 1, k, p->bits);
    else if (p->layout == GR_LAYOUT_COLUMNS && 32 % p->bits == 0)
        read_columns(p, first, n, codes);
    else if (p->layout == GR_LAYOUT_COLUMNS)
        for (int64_t k = 0; k < width; k++)
            for (int64_t r = 0; r < n; r++)
                codes[r * width + k] = bits_at(t, first + r, t->shape[1], k, p->bits);
    else
        for (int64_t k = 0; k < width; k++)
            for (int64_t r = first; r < first + n; r++)
                codes[(r - first) * width + k] = word_at(t, k * t->shape[1] + r / 8) >> awq_shift(r) & 15;
}

/* ---- scales and zero points --------------------------------------------------------------------------------- */

/* Places in the tensors of scales and of zero points that are no words. */
static int64_t place_of(const gr_packed *p, const gr_weight *t, int64_t row, int64_t group)
{
    if (gr_weight_values(t) == 1)
        return 0;
    bool over = p->layout == GR_LAYOUT_COLUMNS || p->layout == GR_LAYOUT_AWQ;
    return over ? group * p->rows + row : row * p->groups + group;
}

/* A zero point as a number; -1: it is none. */
static int zero_of(const gr_packed *p, int64_t row, int64_t group)
{
    const gr_weight *t = &p->zeros;
    int most = (1 << p->bits) - 1, middle = 1 << (p->bits - 1);
    if (!t->data)
        return middle;
    if (p->layout == GR_LAYOUT_COLUMNS) {
        int z = bits_at(t, group * t->shape[1], 1, row, p->bits) + p->stored_less;
        return z > most ? -1 : z;
    }
    if (p->layout == GR_LAYOUT_AWQ)
        return (int)(word_at(t, group * t->shape[1] + row / 8) >> awq_shift(row) & 15);
    if (p->layout == GR_LAYOUT_ROWS && !t->stored && t->dtype == GR_I32)
        return bits_at(t, group, t->shape[1], row, p->bits);
    gr_weight one = *t;
    float z;
    size_t each = t->bytes / gr_weight_values(t);
    one.data = (const char *)t->data + (size_t)place_of(p, t, row, group) * each;
    one.bytes = each;
    gr_weight_to_f32(&one, &z);
    return z >= (float)-middle && z < (float)middle && z == truncf(z) ? (int)z + middle : -1;
}

static gr_status fail_group(const gr_weight *t, int64_t row, int64_t group, const char *what)
{
    return gr_fail(GR_ERR_FILE, "tensor \"%s\": %s in group %lld of row %lld\nthe file is damaged: fetch it again",
                   t->name, what, (long long)group, (long long)row);
}

gr_status gr_packed_read_groups(const gr_packed *p, float *scales, uint8_t *zeros)
{
    const gr_weight *d = &p->scales;
    float *wide = gr_alloc(gr_weight_values(d) * sizeof *wide);
    gr_status s = wide ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK)
        gr_weight_to_f32(d, wide);
    for (int64_t i = 0; s == GR_OK && i < p->rows * p->groups; i++) {
        int64_t row = i / p->groups, group = i % p->groups;
        int zero = zero_of(p, row, group);
        scales[i] = wide[place_of(p, d, row, group)];
        zeros[i] = (uint8_t)zero;
        if (!isfinite(scales[i]))
            s = fail_group(d, row, group, "the scale is no number");
        else if (zero < 0 && p->layout == GR_LAYOUT_COLUMNS)
            s = fail_group(&p->zeros, row, group,
                           "the zero point is one more than the last code, which some programs read as 0,");
        else if (zero < 0)
            s = fail_group(&p->zeros, row, group, "the zero point is none of the codes");
    }
    gr_free(wide);
    return s;
}

/* ---- which dtype -------------------------------------------------------------------------------------------- */

/* A scale of at most 15 bits: its products with codes and zero points are exact, and their differences. */
static bool is_narrow(float scale)
{
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    return (bits & 0x1FF) == 0;
}

gr_dtype gr_packed_dtype(const gr_packed *p, const float *scales, bool symmetric, const char **why)
{
    const int bits = p->bits > 4 ? 8 : 4;
    int64_t rest = p->width % p->group; /* the last group may be smaller */
    gr_dtype d = gr_ints_find(bits, !symmetric, p->group);
    if (d != GR_DTYPE_NONE && rest % gr_dtype_get(d)->block)
        d = gr_ints_find(bits, !symmetric, rest);
    *why = "groups of columns that are no multiple of 32";
    if (d == GR_DTYPE_NONE)
        return GR_F32;
    *why = "zero points, and scales of more than 15 bits";
    for (int64_t i = 0; !symmetric && i < p->rows * p->groups; i++)
        if (!is_narrow(scales[i]))
            return GR_F32;
    return d;
}

/* ---- blocks ------------------------------------------------------------------------------------------------- */

typedef struct joining {
    const gr_packed *p;
    gr_dtype as;
    char *to;
    float *scales;  /* [rows, groups] */
    uint8_t *zeros; /* the same */
    uint8_t *codes; /* [workers][PANEL + 1][width] */
    gr_first_error first;
} joining;

static int64_t group_at(const gr_packed *p, int64_t column)
{
    return p->group_of ? p->group_of[column] : column / p->group;
}

/* A scale of 0 says nothing about codes that are not 0; and bytes may be no codes. */
static gr_status check_codes(const joining *c, int64_t row, const uint8_t *codes)
{
    const gr_packed *p = c->p;
    bool lost = false;
    int64_t group = 0;
    for (int64_t k = 0; k < p->width; k++)
        if (codes[k] >> p->bits)
            return fail_group(&p->codes, row, group_at(p, k), "a code is none of so many bits");
    for (int64_t g = 0; g < p->groups; g++)
        lost |= c->scales[row * p->groups + g] == 0;
    if (!lost)
        return GR_OK;
    lost = false;
    for (int64_t k = 0; k < p->width && !lost; k++) {
        group = group_at(p, k);
        lost = c->scales[row * p->groups + group] == 0 && codes[k] != c->zeros[row * p->groups + group];
    }
    return lost ? fail_group(&p->scales, row, group, "the scale is 0, and codes are not,") : GR_OK;
}

static void join_f32(const joining *c, int64_t row, const uint8_t *codes)
{
    const gr_packed *p = c->p;
    float *to = (float *)(void *)c->to + row * p->width;
    for (int64_t k = 0; k < p->width; k++) {
        int64_t at = row * p->groups + group_at(p, k);
        to[k] = c->scales[at] * (float)(codes[k] - c->zeros[at]);
    }
}

/* sorted: room for the row. */
static void join_blocks(const joining *c, int64_t row, const uint8_t *codes, uint8_t *sorted)
{
    const gr_packed *p = c->p;
    const gr_dtype_info *d = gr_dtype_get(c->as);
    char *to = c->to + gr_dtype_size(c->as, row * p->width), *block = to;
    int shift = d->codes.offsets ? 0 : d->codes.zero - (1 << (p->bits - 1));
    for (int64_t i = 0; i < p->width; i += d->block, block += d->block_bytes) {
        int64_t at = row * p->groups + group_at(p, p->order ? p->order[i] : i);
        gr_ints_put(d, block, c->scales[at], c->zeros[at]);
    }
    for (int64_t i = 0; i < p->width; i++)
        sorted[i] = (uint8_t)(codes[p->order ? p->order[i] : i] + shift);
    d->codes.pack(sorted, to, p->width);
}

static void join_piece(void *ctx, int64_t piece, int worker)
{
    joining *c = ctx;
    const gr_packed *p = c->p;
    int64_t first = piece * PANEL, n = p->rows - first < PANEL ? p->rows - first : PANEL;
    uint8_t *codes = c->codes + (int64_t)worker * (PANEL + 1) * p->width, *sorted = codes + PANEL * p->width;
    if (gr_first_error_skips(&c->first, piece))
        return;
    read_panel(p, first, n, codes);
    for (int64_t r = 0; r < n; r++) {
        const uint8_t *row = codes + r * p->width;
        if (check_codes(c, first + r, row) != GR_OK) {
            gr_first_error_put(&c->first, piece);
            return;
        }
        if (c->as == GR_F32)
            join_f32(c, first + r, row);
        else
            join_blocks(c, first + r, row, sorted);
    }
}

gr_status gr_packed_join(const gr_packed *p, gr_device *device, gr_dtype as, void *to)
{
    size_t groups = (size_t)(p->rows * p->groups), panel = (size_t)((PANEL + 1) * p->width);
    joining c = {.p = p, .as = as, .to = to, .first = GR_FIRST_ERROR_NONE};
    c.scales = gr_alloc(groups * sizeof *c.scales);
    c.zeros = gr_alloc(groups);
    c.codes = gr_alloc((size_t)gr_pool_threads(device->pool) * panel);
    gr_status s = c.scales && c.zeros && c.codes ? gr_packed_read_groups(p, c.scales, c.zeros) : GR_ERR_MEMORY;
    if (s == GR_OK) {
        gr_device_parallel(device, (p->rows + PANEL - 1) / PANEL, join_piece, &c);
        s = gr_first_error_take(&c.first);
    }
    gr_free(c.codes);
    gr_free(c.zeros);
    gr_free(c.scales);
    return s;
}
