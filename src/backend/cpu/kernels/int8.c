/* Products of integers: rows of int8 activations times weights in blocks, whose codes lie 4 places of 16 rows side by side:
 *
 *     one step of a panel, 64 bytes:   w0[k..k+3] w1[k..k+3] .. w7[k..k+3] | w8[k..k+3] .. w15[k..k+3]
 *     four places of one of four rows of a, everywhere:   a[k..k+3] a[k..k+3] ..
 *
 * Bytes are multiplied and neighbours added (vpmaddubsw: u8 times s8 to 16 bits), then pairs of those (vpmaddwd): a lane of
 * 32 bits is one column. 16 bits are enough for `period` steps, which the largest code tells, so nothing saturates. Codes
 * above 127 take 16 bits, 2 places a step, and vpmaddwd alone. */
#include "backend/cpu/kernels/isa_suffix.h"

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/int8_kernels.h"

#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define GR_INLINE static inline __attribute__((always_inline))

/* ---- operands ----------------------------------------------------------------------------------------------- */

/* The sums of 32 codes, by group. */
GR_INLINE void sum_codes(const gr_int8_form *f, const int8_t *codes, float scale, int64_t b, int r,
                         const gr_int8_rows *out)
{
    const int zero = f->period ? f->dtype->codes.zero : 0, groups = 32 / f->group;
    for (int g = 0; g < groups; g++) {
        int32_t sum = 0;
        for (int i = 0; i < 16; i++)
            sum += codes[16 * g + i];
        for (int i = 16; i < f->group; i++)
            sum += codes[i];
        out->starts[(b * groups + g) * GR_INT8_ROWS + r] = -zero * sum;
        out->sums[(b * groups + g) * GR_INT8_ROWS + r] = scale * (float)sum;
    }
}

void GR_ISA_FN(gr_int8_row_read)(const gr_int8_form *f, const void *a8, int r, const gr_int8_rows *out)
{
    const unsigned char *block = a8;
    char *to = out->codes + 4 * r;
    for (int64_t b = 0; b < f->k / 32; b++, block += gr_dtype_a8.block_bytes) {
        const int8_t *codes = (const int8_t *)block + 4;
        float scale;
        memcpy(&scale, block, sizeof scale);
        out->scales[b * GR_INT8_ROWS + r] = scale;
        sum_codes(f, codes, scale, b, r, out);
        for (int i = 0; f->period && i < 8; i++, to += 16)
            memcpy(to, codes + 4 * i, 4);
        for (int i = 0; !f->period && i < 16; i++, to += 16)
            memcpy(to, (const int16_t[]){codes[2 * i], codes[2 * i + 1]}, 4);
    }
}

GR_INLINE void widen_codes(const uint8_t *restrict codes, int zero, int16_t *restrict wide, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        wide[i] = (int16_t)(codes[i] - zero);
}

/* Rows ahead that are asked for: of each only a part is read at a time, which the hardware does not guess. */
enum { ROWS_AHEAD = 3 };

GR_INLINE void ask(const char *from, size_t ahead, size_t bytes)
{
    for (size_t l = 0; l < bytes; l += 64)
        __builtin_prefetch((const void *)((uintptr_t)from + ahead + l));
}

/* Codes, and behind them scales and offsets, of `rows` rows of n places from `src` on: what pack moves into the panel. */
void GR_ISA_FN(gr_int8_pack)(const gr_int8_form *f, const void *src, size_t row_bytes, int64_t rows,
                             const gr_int8_panel *out, void *room)
{
    enum { COLS = GR_INT8_COLS, PART = GR_INT8_PART, GROUPS = PART / 16 };
    const gr_codes *c = &f->dtype->codes;
    float scales[COLS * GROUPS], offsets[COLS * GROUPS];
    uint8_t *codes = room;
    int16_t *wide = (int16_t *)(void *)(codes + COLS * PART);
    const int64_t places = f->period ? 4 : 2;
    for (int64_t at = 0; at < f->k; at += PART) {
        const int64_t n = f->k - at < PART ? f->k - at : PART, groups = n / f->group;
        const char *from = (const char *)src + (size_t)(at / f->dtype->block) * (size_t)f->dtype->block_bytes;
        for (int64_t r = 0; r < rows; r++, from += row_bytes) {
            ask(from, ROWS_AHEAD * row_bytes, (size_t)(n / f->dtype->block) * (size_t)f->dtype->block_bytes);
            GR_ISA_FN(gr_blocks_codes)(f->dtype, from, codes + r * n, scales + r * groups, offsets + r * groups, n);
            if (!f->period)
                widen_codes(codes + r * n, c->zero, wide + r * n, n);
        }
        /* Codes are moved four bytes at a time, as floats are. */
        const float *moved = f->period ? (const float *)(const void *)codes : (const float *)(const void *)wide;
        const int64_t first = at / f->group * COLS;
        GR_ISA_FN(gr_gemm_pack_transpose)
        (out->codes + at / places * COLS, 0, COLS, moved, n / places, n / places, rows);
        GR_ISA_FN(gr_gemm_pack_transpose)(out->scales + first, 0, COLS, scales, groups, groups, rows);
        if (c->offsets)
            GR_ISA_FN(gr_gemm_pack_transpose)(out->offsets + first, 0, COLS, offsets, groups, groups, rows);
    }
}

/* ---- the tile ----------------------------------------------------------------------------------------------- */

#if defined(__AVX2__)

/* Row after row as written: moved together, products of all rows would need more registers than there are. */
#define KEEP(v) __asm__ volatile("" : "+x"(v))

/* The 64 bytes of a step. */
typedef struct step {
    __m256i w[2];
} step;

GR_INLINE step step_at(const char *b)
{
    return (step){{_mm256_loadu_si256((const __m256i *)(const void *)b),
                   _mm256_loadu_si256((const __m256i *)(const void *)(b + 32))}};
}

GR_INLINE __m256i everywhere(const char *four)
{
    int32_t a;
    memcpy(&a, four, sizeof a);
    return _mm256_set1_epi32(a);
}

/* Sums of one group, added to acc: acc[r][h] are columns 8 h to 8 h + 7 of row r. Loops over steps stay loops: unrolled, they
 * would hold more than there are registers. */
GR_INLINE void add_narrow(const char *a, const char *b, int steps, int period, const int rows, __m256i acc[][2])
{
    for (int at = 0; at < steps; at += period) {
        __m256i part[GR_INT8_ROWS][2] = {{{0}}};
        for (int u = 0; u < period; u++, a += 16, b += 64) {
            step s = step_at(b);
            for (int r = 0; r < rows; r++) {
                __m256i four = everywhere(a + 4 * r);
                part[r][0] = _mm256_add_epi16(part[r][0], _mm256_maddubs_epi16(s.w[0], four));
                part[r][1] = _mm256_add_epi16(part[r][1], _mm256_maddubs_epi16(s.w[1], four));
                KEEP(part[r][0]);
                KEEP(part[r][1]);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int h = 0; h < 2; h++)
                acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(part[r][h], _mm256_set1_epi16(1)));
    }
}

GR_INLINE void add_wide(const char *a, const char *b, int steps, const int rows, __m256i acc[][2])
{
    for (int u = 0; u < steps; u++, a += 16, b += 64) {
        step s = step_at(b);
        for (int r = 0; r < rows; r++) {
            __m256i two = everywhere(a + 4 * r);
            acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(s.w[0], two));
            acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(s.w[1], two));
            KEEP(acc[r][0]);
            KEEP(acc[r][1]);
        }
    }
}

/* c += acc times both scales, plus offsets times sums. */
GR_INLINE void add_scaled(const gr_int8_tile *t, int64_t g, const int rows, __m256i acc[][2], __m256 c[][2])
{
    const float *scale = t->a.scales + g * t->form->group / 32 * GR_INT8_ROWS, *sum = t->a.sums + g * GR_INT8_ROWS;
    const float *of_b = t->b.scales + g * GR_INT8_COLS, *offset = t->b.offsets + g * GR_INT8_COLS;
    const bool offsets = t->form->dtype->codes.offsets;
    for (int h = 0; h < 2; h++) {
        __m256 w = _mm256_loadu_ps(of_b + 8 * h);
        for (int r = 0; r < rows; r++)
            c[r][h] =
                _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[r][h]), _mm256_mul_ps(w, _mm256_set1_ps(scale[r])), c[r][h]);
        if (!offsets)
            continue;
        w = _mm256_loadu_ps(offset + 8 * h);
        for (int r = 0; r < rows; r++)
            c[r][h] = _mm256_fmadd_ps(w, _mm256_set1_ps(sum[r]), c[r][h]);
    }
}

GR_INLINE void multiply(const gr_int8_tile *t, float *out, const int rows, const bool wide)
{
    const int group = t->form->group, steps = wide ? group / 2 : group / 4;
    const char *b = (const char *)t->b.codes, *a = t->a.codes;
    __m256 c[GR_INT8_ROWS][2];
    for (int r = 0; r < rows; r++)
        c[r][0] = c[r][1] = _mm256_setzero_ps();
    for (int64_t g = 0; g < t->form->k / group; g++, a += 16 * steps, b += 64 * steps) {
        __m256i acc[GR_INT8_ROWS][2];
        for (int r = 0; r < rows; r++)
            acc[r][0] = acc[r][1] = _mm256_set1_epi32(t->a.starts[g * GR_INT8_ROWS + r]);
        if (wide)
            add_wide(a, b, steps, rows, acc);
        else
            add_narrow(a, b, steps, t->form->period, rows, acc);
        add_scaled(t, g, rows, acc, c);
    }
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < 2; h++)
            _mm256_storeu_ps(out + r * GR_INT8_COLS + 8 * h, c[r][h]);
}

#else

GR_INLINE void multiply(const gr_int8_tile *t, float *out, const int rows, const bool wide)
{
    enum { ROWS = GR_INT8_ROWS, COLS = GR_INT8_COLS };
    const int group = t->form->group, places = wide ? 2 : 4;
    memset(out, 0, (size_t)(rows * COLS) * sizeof *out);
    for (int64_t g = 0; g < t->form->k / group; g++)
        for (int r = 0; r < rows; r++) {
            int32_t acc[COLS];
            for (int j = 0; j < COLS; j++)
                acc[j] = t->a.starts[g * ROWS + r];
            for (int64_t k = g * group; k < (g + 1) * group; k++) {
                const int64_t of_a = k / places * ROWS * places + r * places + k % places;
                const int64_t of_b = k / places * COLS * places + k % places;
                const int16_t *words = (const int16_t *)(const void *)t->b.codes + of_b;
                const uint8_t *bytes = (const uint8_t *)t->b.codes + of_b;
                int32_t a =
                    wide ? ((const int16_t *)(const void *)t->a.codes)[of_a] : ((const int8_t *)t->a.codes)[of_a];
                for (int j = 0; j < COLS; j++)
                    acc[j] += a * (wide ? words[j * places] : bytes[j * places]);
            }
            float scale = t->a.scales[g * group / 32 * ROWS + r], sum = t->a.sums[g * ROWS + r];
            for (int j = 0; j < COLS; j++) {
                out[r * COLS + j] += (float)acc[j] * (t->b.scales[g * COLS + j] * scale);
                if (t->form->dtype->codes.offsets)
                    out[r * COLS + j] += t->b.offsets[g * COLS + j] * sum;
            }
        }
}

#endif

/* The number of rows is constant in the loops above. */
GR_INLINE void multiply_rows(const gr_int8_tile *t, float *out, int64_t rows, const bool wide)
{
    if (rows == 1)
        multiply(t, out, 1, wide);
    else if (rows == 2)
        multiply(t, out, 2, wide);
    else if (rows == 3)
        multiply(t, out, 3, wide);
    else
        multiply(t, out, GR_INT8_ROWS, wide);
}

void GR_ISA_FN(gr_int8_multiply)(const gr_int8_tile *t, int64_t rows, int64_t cols)
{
    float out[GR_INT8_ROWS * GR_INT8_COLS];
    if (t->form->period)
        multiply_rows(t, out, rows, false);
    else
        multiply_rows(t, out, rows, true);
    for (int64_t r = 0; r < rows; r++)
        memcpy(t->c + r * t->ldc, out + r * GR_INT8_COLS, (size_t)cols * sizeof(float));
}
