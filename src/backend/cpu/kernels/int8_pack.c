/* Rows of weights as their file has them become a panel: of 4 places the codes of 16 rows side by side. The formats that most
 * files have are read for many rows at once (int8_read.h). Others, and panels with rows missing, are read row by row into
 * codes that are then moved. */
#include "backend/cpu/kernels/isa_suffix.h"

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/int8_kernels.h"

enum { COLS = GR_INT8_COLS };

#if defined(__AVX2__)
#include "backend/cpu/kernels/int8_read.h"

struct gr_int8_sink {
    gr_int8_panel panel; /* these rows' columns of it */
    /* The rows after these are asked for, evenly between the groups, so that memory is never idle. */
    const char *next;
    size_t row, bytes; /* from one to the next, and of each */
    int64_t groups, asked;
};

static inline void gr_int8_take(gr_int8_sink *to, int64_t group, const gr_words *codes, const int steps, gr_vec scale,
                                const gr_vec *offset)
{
    typedef uint32_t words_mem __attribute__((vector_size(GR_LANES * 4), aligned(4), may_alias));
    char *at = to->panel.codes + group * steps * 4 * COLS;
    for (to->asked += GR_LANES; to->asked >= to->groups; to->asked -= to->groups, to->next += to->row)
        for (size_t l = 0; l < to->bytes; l += 64)
            __builtin_prefetch(to->next + l, 0, 2);
    GR_UNROLL for (int i = 0; i < steps; i++) * (words_mem *)(void *)(at + i * 4 * COLS) = codes[i];
    gr_vec_store(to->panel.scales + group * COLS, scale);
    if (offset)
        gr_vec_store(to->panel.offsets + group * COLS, *offset);
}

typedef void reader(gr_int8_sink *to, const uint8_t *b, size_t row, int64_t n, gr_words flip);
#define GR_FUNCTION(name)                                                                                              \
    static void read_##name(gr_int8_sink *of, const uint8_t *b, size_t row, int64_t n, gr_words flip)                  \
    {                                                                                                                  \
        gr_int8_sink to = *of; /* whose parts can be in registers */                                                   \
        gr_read_##name(&to, b, row, n, flip);                                                                          \
    }
GR_READERS(GR_FUNCTION)

static const struct {
    const gr_dtype_info *dtype;
    reader *read;
} readers[] = {
#define GR_ENTRY(name) {&gr_dtype_##name, read_##name},
    GR_READERS(GR_ENTRY)};

static bool pack_fast(const gr_int8_form *f, const uint8_t *src, size_t row, int64_t n, const gr_int8_panel *out)
{
    size_t i = 0;
    while (i < sizeof readers / sizeof *readers && readers[i].dtype != f->dtype)
        i++;
    if (i == sizeof readers / sizeof *readers)
        return false;
    const size_t bytes = (size_t)(n / f->dtype->block) * (size_t)f->dtype->block_bytes;
    for (int r = 0; r < COLS; r += GR_LANES) {
        gr_int8_sink to = {
            .panel = {out->codes + 4 * r, out->scales + r, out->offsets ? out->offsets + r : NULL},
            .next = (const char *)src + (size_t)(r + COLS) * row,
            .row = row,
            .bytes = bytes,
            .groups = n / f->group,
        };
        readers[i].read(&to, src + (size_t)r * row, row, n, (gr_words){0} + (f->is_signed ? 0x80808080 : 0));
    }
    return true;
}

#else

static bool pack_fast(const gr_int8_form *f, const uint8_t *src, size_t row, int64_t n, const gr_int8_panel *out)
{
    (void)f, (void)src, (void)row, (void)n, (void)out;
    return false;
}

#endif

/* ---- any ---------------------------------------------------------------------------------------------------- */

/* A part of k: codes, and behind them scales and offsets, row by row, which are then moved into the panel. */
static void pack_part(const gr_int8_form *f, const char *src, size_t row_bytes, int64_t rows, int64_t n,
                      const gr_int8_panel *out, uint8_t *codes)
{
    enum { GROUPS = GR_INT8_PART / 16 };
    float scales[COLS * GROUPS], offsets[COLS * GROUPS];
    const gr_codes *c = &f->dtype->codes;
    const int64_t groups = n / f->group;
    for (int64_t r = 0; r < rows; r++) {
        uint8_t *of_row = codes + r * n;
        GR_ISA_FN(gr_blocks_codes)
        (f->dtype, src + (size_t)r * row_bytes, of_row, scales + r * groups, offsets + r * groups, n);
        for (int64_t i = 0; f->is_signed && i < n; i++)
            of_row[i] = (uint8_t)(of_row[i] - c->zero);
    }
    /* Codes are moved four bytes at a time, as floats are. */
    GR_ISA_FN(gr_gemm_pack_transpose)
    ((float *)(void *)out->codes, 0, COLS, (const float *)(const void *)codes, n / 4, n / 4, rows);
    GR_ISA_FN(gr_gemm_pack_transpose)(out->scales, 0, COLS, scales, groups, groups, rows);
    if (out->offsets)
        GR_ISA_FN(gr_gemm_pack_transpose)(out->offsets, 0, COLS, offsets, groups, groups, rows);
}

void GR_ISA_FN(gr_int8_pack)(const gr_int8_form *f, const void *src, size_t row_bytes, int64_t rows, int64_t n,
                             const gr_int8_panel *out, void *room)
{
    if (rows == COLS && pack_fast(f, src, row_bytes, n, out))
        return;
    for (int64_t at = 0; at < n; at += GR_INT8_PART) {
        const int64_t m = n - at < GR_INT8_PART ? n - at : GR_INT8_PART, first = at / f->group * COLS;
        gr_int8_panel to = {out->codes + at * COLS, out->scales + first, out->offsets ? out->offsets + first : NULL};
        const size_t skip = (size_t)(at / f->dtype->block) * (size_t)f->dtype->block_bytes;
        pack_part(f, (const char *)src + skip, row_bytes, rows, m, &to, room);
    }
}
