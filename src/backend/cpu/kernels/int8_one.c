/* One row of activations times 16 rows of weights, as their file has them: what is read of a group (int8_read.h) is multiplied
 * in the registers where it is, and is never stored. A lane is a row of weights:
 *
 *     four places of the row of a, everywhere:    a[k..k+3] a[k..k+3] ..
 *     of all rows of weights:                     w0[k..k+3] w1[k..k+3] .. w15[k..k+3]
 *
 * It is to take what memory takes to bring the weights. Of 32 places of 4 bits turning round takes 20 operations of 512
 * bits, taking apart 12, multiplying and scaling 11, the scales a dozen: about 1.8 cycles a block of 18 bytes. */
#include "backend/cpu/kernels/isa_suffix.h"

#include "backend/cpu/int8_kernels.h"

#if defined(__AVX512VNNI__)
#include "backend/cpu/kernels/int8_read.h"

struct gr_int8_sink {
    gr_int8_rows a;
    const char *next; /* of the rows after these, what a group brings is asked for, so that memory is never idle */
    size_t part;      /* bytes */
    __m512 c;
};

static inline void gr_int8_take(gr_int8_sink *to, int64_t group, const gr_words *codes, const int steps, gr_vec scale,
                                const gr_vec *offset)
{
    const char *a = to->a.codes + group * steps * 4;
    for (size_t l = 0; l < to->part; l += 64)
        __builtin_prefetch(to->next + l, 0, 2);
    to->next += to->part;
    __m512i acc = _mm512_set1_epi32(to->a.starts[group]);
    GR_UNROLL for (int i = 0; i < steps; i++)
    {
        int32_t four;
        memcpy(&four, a + 4 * i, sizeof four);
        acc = _mm512_dpbusd_epi32(acc, (__m512i)codes[i], _mm512_set1_epi32(four));
    }
    const __m512 both = _mm512_mul_ps((__m512)scale, _mm512_set1_ps(to->a.scales[steps == 8 ? group : group / 2]));
    to->c = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc), both, to->c);
    if (offset)
        to->c = _mm512_fmadd_ps((__m512)*offset, _mm512_set1_ps(to->a.sums[group]), to->c);
}

typedef void reader(gr_int8_sink *to, const uint8_t *b, size_t row, int64_t k);
#define GR_FUNCTION(name)                                                                                              \
    static void read_##name(gr_int8_sink *out, const uint8_t *b, size_t row, int64_t k)                                \
    {                                                                                                                  \
        gr_int8_sink to = *out;                                                                                        \
        gr_read_##name(&to, b, row, k, (gr_words){0});                                                                 \
        out->c = to.c;                                                                                                 \
    }
GR_READERS(GR_FUNCTION)

static const struct {
    const gr_dtype_info *dtype;
    reader *read;
} readers[] = {
#define GR_ENTRY(name) {&gr_dtype_##name, read_##name},
    GR_READERS(GR_ENTRY)};

bool GR_ISA_FN(gr_int8_one)(const gr_int8_form *f, const gr_int8_rows *a, const void *src, size_t row_bytes, float *c)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (readers[i].dtype == f->dtype) {
            const size_t bytes = GR_INT8_COLS * row_bytes;
            gr_int8_sink to = {*a, (const char *)src + bytes, bytes / (size_t)(f->k / f->group), _mm512_setzero_ps()};
            readers[i].read(&to, src, row_bytes, f->k);
            _mm512_storeu_ps(c, to.c);
            return true;
        }
    return false;
}

#else

bool GR_ISA_FN(gr_int8_one)(const gr_int8_form *f, const gr_int8_rows *a, const void *src, size_t row_bytes, float *c)
{
    (void)f, (void)a, (void)src, (void)row_bytes, (void)c;
    return false;
}

#endif
