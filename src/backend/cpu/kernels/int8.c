/* Products of integers: rows of int8 activations times weights in blocks, whose codes lie 4 places of 16 rows side by side:
 *
 *     one step of a panel, 64 bytes:   w0[k..k+3] w1[k..k+3] .. w7[k..k+3] | w8[k..k+3] .. w15[k..k+3]
 *     four places of one row of a, everywhere:   a[k..k+3] a[k..k+3] ..
 *
 * A lane of 32 bits is one column. With VNNI bytes are multiplied and four neighbours added to the lane at once (vpdpbusd);
 * the limit is two such vectors of 256 bits a cycle, of which scaling a group's sums takes a fifth. Without it bytes are
 * multiplied and neighbours added to 16 bits (vpmaddubsw: u8 times s8), which is enough for `period` steps, and then pairs of
 * those (vpmaddwd). Codes of 8 bits would overflow: they are int8, whose sizes are multiplied by a with their signs, and
 * each step is made 32 bits, at half the speed; or where a has -128, each second byte in 16 bits (vpmaddwd). */
#include "backend/cpu/kernels/isa_suffix.h"

#include "backend/cpu/int8_kernels.h"
#include "backend/cpu/kernels/vec.h"
#include "base/a8.h"

#include <string.h>

/* ---- rows of activations ------------------------------------------------------------------------------------ */

void GR_ISA_FN(gr_int8_round)(const float *x, void *a8, int64_t n)
{
    gr_a8_round(x, a8, n);
}

void GR_ISA_FN(gr_int8_round_row)(const float *x, void *a8, int64_t n)
{
    gr_a8_round_row(x, a8, n);
}

/* The sums of 32 codes, by group. */
GR_INLINE void sum_codes(const gr_int8_form *f, const int8_t *codes, float scale, int64_t b, int r,
                         const gr_int8_rows *out)
{
    const int groups = 32 / f->group;
    for (int g = 0; g < groups; g++) {
        int32_t sum = 0;
        for (int i = 0; i < 16; i++)
            sum += codes[16 * g + i];
        for (int i = 16; i < f->group; i++)
            sum += codes[i];
        out->starts[(b * groups + g) * f->together + r] = -f->zero * sum;
        out->sums[(b * groups + g) * f->together + r] = scale * (float)sum;
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
        out->scales[b * f->together + r] = scale;
        sum_codes(f, codes, scale, b, r, out);
        for (int i = 0; i < 8; i++, to += 4 * f->together)
            memcpy(to, codes + 4 * i, 4);
    }
}

#if defined(__AVX2__)

/* Eight rows of 32 codes, which lie `row` bytes apart, become steps of four bytes of each row. */
GR_INLINE void turn_rows(const uint8_t *codes, size_t row, __m256i steps[8])
{
    __m256i r[8], t[8];
    for (size_t i = 0; i < 8; i++)
        r[i] = _mm256_loadu_si256((const __m256i *)(const void *)(codes + i * row));
    for (int i = 0; i < 8; i += 4) { /* within halves: rows i to i + 3 of four places in a half */
        __m256i a = _mm256_unpacklo_epi32(r[i], r[i + 1]), b = _mm256_unpackhi_epi32(r[i], r[i + 1]);
        __m256i c = _mm256_unpacklo_epi32(r[i + 2], r[i + 3]), d = _mm256_unpackhi_epi32(r[i + 2], r[i + 3]);
        t[i] = _mm256_unpacklo_epi64(a, c);
        t[i + 1] = _mm256_unpackhi_epi64(a, c);
        t[i + 2] = _mm256_unpacklo_epi64(b, d);
        t[i + 3] = _mm256_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++) {
        steps[i] = _mm256_permute2x128_si256(t[i], t[i + 4], 0x20);
        steps[i + 4] = _mm256_permute2x128_si256(t[i], t[i + 4], 0x31);
    }
}

/* The sum of each row's codes in four steps. */
GR_INLINE __m256i sum_steps(const __m256i *steps)
{
    const __m256i one = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
    __m256i pairs = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++)
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(one, steps[i]));
    return _mm256_madd_epi16(pairs, ones);
}

GR_INLINE void put_sums(const gr_int8_form *f, __m256i sum, __m256 scale, int64_t group, const gr_int8_rows *out)
{
    __m256i start = _mm256_mullo_epi32(sum, _mm256_set1_epi32(-f->zero));
    _mm256_storeu_si256((__m256i *)(void *)(out->starts + group * GR_INT8_ROWS), start);
    _mm256_storeu_ps(out->sums + group * GR_INT8_ROWS, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(sum)));
}

void GR_ISA_FN(gr_int8_rows_read)(const gr_int8_form *f, const void *a8, size_t row, const gr_int8_rows *out)
{
    const uint8_t *block = a8;
    for (int64_t b = 0; b < f->k / 32; b++, block += gr_dtype_a8.block_bytes) {
        __m256i steps[8];
        float *scales = out->scales + b * GR_INT8_ROWS;
        for (size_t r = 0; r < GR_INT8_ROWS; r++)
            memcpy(scales + r, block + r * row, sizeof *scales);
        turn_rows(block + 4, row, steps);
        for (int i = 0; i < 8; i++)
            _mm256_storeu_si256((__m256i *)(void *)(out->codes + (8 * b + i) * 4 * GR_INT8_ROWS), steps[i]);
        const __m256 scale = _mm256_loadu_ps(scales);
        const __m256i first = sum_steps(steps), second = sum_steps(steps + 4);
        if (f->group == 32) {
            put_sums(f, _mm256_add_epi32(first, second), scale, b, out);
            continue;
        }
        put_sums(f, first, scale, 2 * b, out);
        put_sums(f, second, scale, 2 * b + 1, out);
    }
}

#else

void GR_ISA_FN(gr_int8_rows_read)(const gr_int8_form *f, const void *a8, size_t row, const gr_int8_rows *out)
{
    for (int r = 0; r < GR_INT8_ROWS; r++)
        GR_ISA_FN(gr_int8_row_read)(f, (const char *)a8 + (size_t)r * row, r, out);
}

#endif

/* ---- the tile ----------------------------------------------------------------------------------------------- */

/* Where a group's operands are. */
typedef struct place {
    const char *a, *b;
    const float *scale, *sum, *of_b, *offset; /* offset: NULL where there are none */
    const int32_t *start;
} place;

GR_INLINE place place_of(const gr_int8_tile *t, int64_t g)
{
    const int64_t at = g * t->form->group, together = t->form->together;
    return (place){t->a.codes + at * together,       t->b.codes + at * GR_INT8_COLS,
                   t->a.scales + at / 32 * together, t->a.sums + g * together,
                   t->b.scales + g * GR_INT8_COLS,   t->b.offsets ? t->b.offsets + g * GR_INT8_COLS : NULL,
                   t->a.starts + g * together};
}

#if defined(__AVX2__)
GR_INLINE int32_t four_at(const char *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return four;
}
#endif

#if defined(__AVX512VNNI__)

/* c += acc times both scales, plus offsets times sums. */
GR_INLINE void add_scaled(const place *p, const int rows, const __m512i *acc, __m512 *c)
{
    __m512 w = _mm512_loadu_ps(p->of_b);
    for (int r = 0; r < rows; r++)
        c[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r]), _mm512_mul_ps(w, _mm512_set1_ps(p->scale[r])), c[r]);
    if (!p->offset)
        return;
    w = _mm512_loadu_ps(p->offset);
    for (int r = 0; r < rows; r++)
        c[r] = _mm512_fmadd_ps(w, _mm512_set1_ps(p->sum[r]), c[r]);
}

/* Rows and steps of a group are constant at the calls. */
GR_INLINE void multiply(const gr_int8_tile *t, const int rows, const int steps, int64_t cols)
{
    const __mmask16 there = (__mmask16)((1u << cols) - 1);
    const int64_t a_step = 4 * t->form->together;
    __m512 c[GR_INT8_ROWS];
    for (int r = 0; r < rows; r++)
        c[r] = t->add ? _mm512_maskz_loadu_ps(there, t->c + r * t->ldc) : _mm512_setzero_ps();
    for (int64_t g = 0; g < t->n / (4 * steps); g++) {
        const place p = place_of(t, g);
        __m512i acc[GR_INT8_ROWS];
        for (int r = 0; r < rows; r++)
            acc[r] = _mm512_set1_epi32(p.start[r]);
        for (int u = 0; u < steps; u++) {
            const __m512i w = _mm512_loadu_si512(p.b + 64 * u);
            for (int r = 0; r < rows; r++)
                acc[r] = _mm512_dpbusd_epi32(acc[r], w, _mm512_set1_epi32(four_at(p.a + u * a_step + 4 * r)));
        }
        add_scaled(&p, rows, acc, c);
    }
    for (int r = 0; r < rows; r++)
        _mm512_mask_storeu_ps(t->c + r * t->ldc, there, c[r]);
}

#define GR_CASE(rows)                                                                                                  \
    case rows:                                                                                                         \
        if (t->form->group == 32)                                                                                      \
            multiply(t, rows, 8, cols);                                                                                \
        else                                                                                                           \
            multiply(t, rows, 4, cols);                                                                                \
        break;

void GR_ISA_FN(gr_int8_multiply)(const gr_int8_tile *t, int64_t rows, int64_t cols)
{
    switch (rows) {
        GR_CASE(1)
        GR_CASE(2)
        GR_CASE(3)
        GR_CASE(4)
        GR_CASE(5)
        GR_CASE(6)
        GR_CASE(7)
        GR_CASE(8)
    default:
        break;
    }
}

#else

/* Rows at a time: of each two vectors of sums, in 16 and in 32 bits. */
enum { ROWS = 4, COLS = GR_INT8_COLS };

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

/* Sums of one group, added to acc: acc[r][h] are columns 8 h to 8 h + 7 of row r. Loops over steps stay loops: unrolled, they
 * would hold more than there are registers. */
#if defined(__AVXVNNI__)
GR_INLINE void add_bytes(const char *a, const char *b, const gr_int8_form *f, const int rows, __m256i acc[][2])
{
    for (int u = 0; u < f->group / 4; u++, a += 4 * f->together, b += 64) {
        const step s = step_at(b);
        for (int r = 0; r < rows; r++) {
            const __m256i four = _mm256_set1_epi32(four_at(a + 4 * r));
            for (int h = 0; h < 2; h++) {
                acc[r][h] = _mm256_dpbusd_avx_epi32(acc[r][h], s.w[h], four);
                KEEP(acc[r][h]);
            }
        }
    }
}
#else
GR_INLINE void add_bytes(const char *a, const char *b, const gr_int8_form *f, const int rows, __m256i acc[][2])
{
    for (int at = 0; at < f->group / 4; at += f->period) {
        __m256i part[ROWS][2] = {{{0}}};
        for (int u = 0; u < f->period; u++, a += 4 * f->together, b += 64) {
            step s = step_at(b);
            for (int r = 0; r < rows; r++) {
                __m256i four = _mm256_set1_epi32(four_at(a + 4 * r));
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
#endif

GR_INLINE void add_signed(const char *a, const char *b, const gr_int8_form *f, const int rows, __m256i acc[][2])
{
    const __m256i one = _mm256_set1_epi16(1);
    for (int u = 0; u < f->group / 4; u++, a += 4 * f->together, b += 64) {
        const step s = step_at(b), size = {{_mm256_abs_epi8(s.w[0]), _mm256_abs_epi8(s.w[1])}};
        for (int r = 0; r < rows; r++) {
            const __m256i four = _mm256_set1_epi32(four_at(a + 4 * r));
            for (int h = 0; h < 2; h++) {
                __m256i two = _mm256_maddubs_epi16(size.w[h], _mm256_sign_epi8(four, s.w[h]));
                acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(two, one));
                KEEP(acc[r][h]);
            }
        }
    }
}

/* Each second byte of a lane as 16 bits, the first of them or the next. */
GR_INLINE __m256i even_bytes(__m256i v)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
}

GR_INLINE __m256i odd_bytes(__m256i v)
{
    return _mm256_srai_epi16(v, 8);
}

/* Is -128 among n codes? A row has it where its largest is, if at all. */
GR_INLINE bool has_least(const char *a, int n)
{
    __m256i least = _mm256_setzero_si256();
    for (int i = 0; i + 32 <= n; i += 32)
        least = _mm256_min_epi8(least, _mm256_loadu_si256((const __m256i *)(const void *)(a + i)));
    return n % 32 || _mm256_movemask_epi8(_mm256_cmpeq_epi8(least, _mm256_set1_epi8(-128)));
}

/* Where rows have -128: in 16 bits, which hold all of them. */
GR_INLINE void add_full(const char *a, const char *b, const gr_int8_form *f, const int rows, __m256i acc[][2])
{
    for (int u = 0; u < f->group / 4; u++, a += 4 * f->together, b += 64) {
        const step s = step_at(b);
        const step even = {{even_bytes(s.w[0]), even_bytes(s.w[1])}}, odd = {{odd_bytes(s.w[0]), odd_bytes(s.w[1])}};
        for (int r = 0; r < rows; r++) {
            const __m256i four = _mm256_set1_epi32(four_at(a + 4 * r)), x = even_bytes(four), y = odd_bytes(four);
            for (int h = 0; h < 2; h++) {
                acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(even.w[h], x));
                acc[r][h] = _mm256_add_epi32(acc[r][h], _mm256_madd_epi16(odd.w[h], y));
                KEEP(acc[r][h]);
            }
        }
    }
}

/* c += acc times both scales, plus offsets times sums. */
GR_INLINE void add_scaled(const place *p, const int rows, __m256i acc[][2], __m256 c[][2])
{
    for (int h = 0; h < 2; h++) {
        __m256 w = _mm256_loadu_ps(p->of_b + 8 * h);
        for (int r = 0; r < rows; r++)
            c[r][h] =
                _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[r][h]), _mm256_mul_ps(w, _mm256_set1_ps(p->scale[r])), c[r][h]);
        if (!p->offset)
            continue;
        w = _mm256_loadu_ps(p->offset + 8 * h);
        for (int r = 0; r < rows; r++)
            c[r][h] = _mm256_fmadd_ps(w, _mm256_set1_ps(p->sum[r]), c[r][h]);
    }
}

/* To `out`, rows of 16; `first` is the tile's first row. */
GR_INLINE void multiply(const gr_int8_tile *t, float *out, const int rows, int first, const bool is_signed)
{
    __m256 c[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < 2; h++)
            c[r][h] = _mm256_loadu_ps(out + r * COLS + 8 * h);
    for (int64_t g = 0; g < t->n / t->form->group; g++) {
        place p = place_of(t, g);
        __m256i acc[ROWS][2];
        p.scale += first;
        p.sum += first;
        for (int r = 0; r < rows; r++)
            acc[r][0] = acc[r][1] = _mm256_set1_epi32(p.start[first + r]);
        if (is_signed && t->form->is_full && has_least(p.a, t->form->group * t->form->together))
            add_full(p.a + 4 * first, p.b, t->form, rows, acc);
        else if (is_signed)
            add_signed(p.a + 4 * first, p.b, t->form, rows, acc);
        else
            add_bytes(p.a + 4 * first, p.b, t->form, rows, acc);
        add_scaled(&p, rows, acc, c);
    }
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < 2; h++)
            _mm256_storeu_ps(out + r * COLS + 8 * h, c[r][h]);
}

#else

GR_INLINE void multiply(const gr_int8_tile *t, float *out, const int rows, int first, const bool is_signed)
{
    for (int64_t g = 0; g < t->n / t->form->group; g++)
        for (int r = first; r < first + rows; r++) {
            const place p = place_of(t, g);
            float *c = out + (r - first) * COLS;
            int32_t acc[COLS];
            for (int j = 0; j < COLS; j++)
                acc[j] = p.start[r];
            for (int k = 0; k < t->form->group; k++) {
                const int8_t *b = (const int8_t *)p.b + k / 4 * 4 * COLS + k % 4;
                const int a = (int8_t)p.a[(k / 4 * t->form->together + r) * 4 + k % 4];
                for (int j = 0; j < COLS; j++)
                    acc[j] += a * (is_signed ? b[4 * j] : (uint8_t)b[4 * j]);
            }
            for (int j = 0; j < COLS; j++) {
                c[j] += (float)acc[j] * (p.of_b[j] * p.scale[r]);
                if (p.offset)
                    c[j] += p.offset[j] * p.sum[r];
            }
        }
}

#endif

/* The number of rows is constant in the loops above. */
GR_INLINE void multiply_rows(const gr_int8_tile *t, float *out, int64_t rows, int first, const bool is_signed)
{
    if (rows == 1)
        multiply(t, out, 1, first, is_signed);
    else if (rows == 2)
        multiply(t, out, 2, first, is_signed);
    else if (rows == 3)
        multiply(t, out, 3, first, is_signed);
    else
        multiply(t, out, ROWS, first, is_signed);
}

void GR_ISA_FN(gr_int8_multiply)(const gr_int8_tile *t, int64_t rows, int64_t cols)
{
    for (int first = 0; first < rows; first += ROWS) {
        float out[ROWS * COLS] = {0};
        const int64_t some = rows - first < ROWS ? rows - first : ROWS;
        for (int64_t r = 0; t->add && r < some; r++)
            memcpy(out + r * COLS, t->c + (first + r) * t->ldc, (size_t)cols * sizeof(float));
        if (t->form->is_signed)
            multiply_rows(t, out, some, first, true);
        else
            multiply_rows(t, out, some, first, false);
        for (int64_t r = 0; r < some; r++)
            memcpy(t->c + (first + r) * t->ldc, out + r * COLS, (size_t)cols * sizeof(float));
    }
}

#endif
