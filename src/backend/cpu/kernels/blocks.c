/* Blocks of quantized weights become codes and scales. The formats that most files have are read here by loops that
 * vectorize, all others by their own reader (base/ggml, where the layouts are drawn). */
#include "backend/cpu/kernels/isa_suffix.h"

#include "backend/cpu/block_kernels.h"
#include "backend/cpu/kernels/vec.h"
#include "base/half.h"

#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#define GR_READER(name)                                                                                                \
    static void read_##name(const uint8_t *restrict b, uint8_t *restrict codes, float *restrict scales,                \
                            float *restrict offsets, int64_t count)

static inline float half_at(const uint8_t *p)
{
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
#if defined(__F16C__)
    return _cvtsh_ss(bits);
#else
    return gr_half_to_float(bits);
#endif
}

/* ---- 32 values a block -------------------------------------------------------------------------------------- */

/* Compilers do not find vectors in loops as short as these. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint8_t bytes32 __attribute__((vector_size(32)));

#define LOAD(type, from) (*(const type##_mem *)(const void *)(from))
#define STORE(type, to, v) (*(type##_mem *)(void *)(to) = (v))
typedef bytes16 bytes16_mem __attribute__((aligned(1), may_alias));
typedef bytes32 bytes32_mem __attribute__((aligned(1), may_alias));

/* The low halves of 16 or 32 bytes, and then the high ones. */
static inline void read_halves16(const uint8_t *q, uint8_t *codes)
{
    bytes16 v = LOAD(bytes16, q);
    STORE(bytes16, codes, v & 15);
    STORE(bytes16, codes + 16, v >> 4);
}

static inline void read_halves32(const uint8_t *q, uint8_t *codes)
{
    bytes32 v = LOAD(bytes32, q);
    STORE(bytes32, codes, v & 15);
    STORE(bytes32, codes + 32, v >> 4);
}

/* Bit i of four bytes to place 4 of code i. */
static inline void add_fifth(const uint8_t *high, uint8_t *codes)
{
#if defined(__AVX2__)
    int32_t bits;
    memcpy(&bits, high, sizeof bits);
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i v = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
    v = _mm256_and_si256(_mm256_cmpeq_epi8(v, bit), _mm256_set1_epi8(16));
    STORE(bytes32, codes, LOAD(bytes32, codes) | (bytes32)v);
#else
    for (int i = 0; i < 32; i++)
        codes[i] |= (uint8_t)((high[i / 8] >> i % 8 & 1) << 4);
#endif
}

GR_READER(q4_0)
{
    (void)offsets;
    for (; count > 0; count -= 32, b += 18, codes += 32) {
        *scales++ = half_at(b);
        read_halves16(b + 2, codes);
    }
}

GR_READER(q4_1)
{
    for (; count > 0; count -= 32, b += 20, codes += 32) {
        *scales++ = half_at(b);
        *offsets++ = half_at(b + 2);
        read_halves16(b + 4, codes);
    }
}

GR_READER(q5_0)
{
    (void)offsets;
    for (; count > 0; count -= 32, b += 22, codes += 32) {
        *scales++ = half_at(b);
        read_halves16(b + 6, codes);
        add_fifth(b + 2, codes);
    }
}

GR_READER(q5_1)
{
    for (; count > 0; count -= 32, b += 24, codes += 32) {
        *scales++ = half_at(b);
        *offsets++ = half_at(b + 2);
        read_halves16(b + 8, codes);
        add_fifth(b + 4, codes);
    }
}

GR_READER(q8_0)
{
    (void)offsets;
    for (; count > 0; count -= 32, b += 34, codes += 32) {
        *scales++ = half_at(b);
        STORE(bytes32, codes, LOAD(bytes32, b + 2) ^ 128);
    }
}

/* ---- 256 values a block ------------------------------------------------------------------------------------- */

/* Eight scales and eight offsets of 6 bits in 12 bytes. */
static inline void read_scales(const uint8_t *b, const uint8_t *s, float *restrict scales, float *restrict offsets)
{
    float d = half_at(b), dmin = -half_at(b + 2);
    for (int j = 0; j < 4; j++) {
        scales[j] = d * (float)(s[j] & 63);
        offsets[j] = dmin * (float)(s[4 + j] & 63);
        scales[4 + j] = d * (float)((s[8 + j] & 15) | s[j] >> 6 << 4);
        offsets[4 + j] = dmin * (float)(s[8 + j] >> 4 | s[4 + j] >> 6 << 4);
    }
}

GR_READER(q4_k)
{
    for (; count > 0; count -= 256, b += 144, codes += 256, scales += 8, offsets += 8) {
        read_scales(b, b + 4, scales, offsets);
        for (int k = 0; k < 4; k++)
            read_halves32(b + 16 + 32 * k, codes + 64 * k);
    }
}

GR_READER(q5_k)
{
    for (; count > 0; count -= 256, b += 176, codes += 256, scales += 8, offsets += 8) {
        const bytes32 high = LOAD(bytes32, b + 16);
        read_scales(b, b + 4, scales, offsets);
        for (int k = 0; k < 4; k++) {
            const bytes32 low = LOAD(bytes32, b + 48 + 32 * k);
            STORE(bytes32, codes + 64 * k, (low & 15) | (high >> 2 * k & 1) << 4);
            STORE(bytes32, codes + 64 * k + 32, low >> 4 | (high >> (2 * k + 1) & 1) << 4);
        }
    }
}

GR_READER(q6_k)
{
    (void)offsets;
    for (; count > 0; count -= 256, b += 210, codes += 256, scales += 16) {
        float d = half_at(b + 208);
        for (int g = 0; g < 16; g++)
            scales[g] = d * (float)(int8_t)b[192 + g];
        for (int h = 0; h < 2; h++) {
            const bytes32 low = LOAD(bytes32, b + 64 * h), next = LOAD(bytes32, b + 64 * h + 32);
            const bytes32 high = LOAD(bytes32, b + 128 + 32 * h);
            uint8_t *c = codes + 128 * h;
            STORE(bytes32, c, (low & 15) | (high & 3) << 4);
            STORE(bytes32, c + 32, (next & 15) | (high >> 2 & 3) << 4);
            STORE(bytes32, c + 64, low >> 4 | (high >> 4 & 3) << 4);
            STORE(bytes32, c + 96, next >> 4 | (high >> 6) << 4);
        }
    }
}

/* ---- those of the hub's files (base/ggml/hub.c) ------------------------------------------------------------- */

typedef uint16_t pairs16 __attribute__((vector_size(32)));
typedef pairs16 pairs16_mem __attribute__((aligned(1), may_alias));

/* Of a byte the low half and then the high one. */
static inline void read_neighbours(const uint8_t *q, uint8_t *codes)
{
    pairs16 v = __builtin_convertvector(LOAD(bytes16, q), pairs16);
    STORE(pairs16, codes, (v | v << 4) & 0x0F0F);
}

static inline float scale_at(const uint8_t *b)
{
    float d;
    memcpy(&d, b, sizeof d);
    return d;
}

/* Blocks of so many groups of 32 values; `head` bytes lie before the codes. */
static inline void read_int4(const uint8_t *restrict b, uint8_t *restrict codes, float *restrict scales,
                             float *restrict offsets, int64_t n, const int groups, const int head)
{
    for (; n > 0; n -= 32 * groups, b += head + 16 * groups) {
        const float d = scale_at(b);
        for (int g = 0; g < groups; g++, codes += 32) {
            *scales++ = d;
            if (head > 4)
                *offsets++ = -d * (float)b[4];
            read_neighbours(b + head + 16 * g, codes);
        }
    }
}

#define GR_INT4(n)                                                                                                     \
    GR_READER(int4_##n)                                                                                                \
    {                                                                                                                  \
        read_int4(b, codes, scales, offsets, count, n / 32, 4);                                                        \
    }                                                                                                                  \
    GR_READER(int4z_##n)                                                                                               \
    {                                                                                                                  \
        read_int4(b, codes, scales, offsets, count, n / 32, 5);                                                        \
    }
GR_INT4(32)
GR_INT4(64)
GR_INT4(128)

GR_READER(int8)
{
    (void)offsets;
    for (; count > 0; count -= 32, b += 36, codes += 32) {
        *scales++ = scale_at(b);
        STORE(bytes32, codes, LOAD(bytes32, b + 4) ^ 128);
    }
}

GR_READER(int8z)
{
    for (; count > 0; count -= 32, b += 37, codes += 32) {
        *scales++ = scale_at(b);
        *offsets++ = scale_at(b) * (float)(128 - b[4]);
        STORE(bytes32, codes, LOAD(bytes32, b + 5));
    }
}

/* ---- any ---------------------------------------------------------------------------------------------------- */

static const struct {
    const gr_dtype_info *dtype;
    void (*read)(const uint8_t *b, uint8_t *codes, float *scales, float *offsets, int64_t n);
} readers[] = {
#define GR_ENTRY(name) {&gr_dtype_##name, read_##name},
    GR_ENTRY(q4_0) GR_ENTRY(q4_1) GR_ENTRY(q5_0) GR_ENTRY(q5_1) GR_ENTRY(q8_0) GR_ENTRY(q4_k) GR_ENTRY(q5_k)
        GR_ENTRY(q6_k) GR_ENTRY(int4_32) GR_ENTRY(int4_64) GR_ENTRY(int4_128) GR_ENTRY(int4z_32) GR_ENTRY(int4z_64)
            GR_ENTRY(int4z_128) GR_ENTRY(int8) GR_ENTRY(int8z)};

void GR_ISA_FN(gr_blocks_codes)(const gr_dtype_info *dtype, const void *src, uint8_t *codes, float *scales,
                                float *offsets, int64_t n)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (readers[i].dtype == dtype) {
            readers[i].read(src, codes, scales, offsets, n);
            return;
        }
    dtype->codes.read(src, codes, scales, offsets, n);
}

static inline void widen(const uint8_t *restrict codes, const float *scales, const float *offsets, const int group,
                         int zero, float *restrict y, int64_t n)
{
    for (int64_t g = 0; g < n / group; g++)
        for (int i = 0; i < group; i++)
            y[g * group + i] = scales[g] * (float)((int)codes[g * group + i] - zero) + (offsets ? offsets[g] : 0);
}

/* 32 signed bytes times a scale. */
static inline void widen_bytes(const void *bytes, float scale, float *restrict y)
{
    for (int i = 0; i < 32; i += GR_LANES) {
        const char *p = (const char *)bytes + i;
#if defined(__AVX512F__)
        gr_vec_store(y + i, scale * (gr_vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p))));
#elif defined(__AVX2__)
        gr_vec_store(y + i, scale * (gr_vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p))));
#else
        for (int k = 0; k < GR_LANES; k++)
            y[i + k] = scale * (float)((const int8_t *)p)[k];
#endif
    }
}

/* The formats of caches, which are widened again for every token that is made: without codes in between. */
static void widen_q8_0(const uint8_t *b, float *y, int64_t n)
{
    for (; n > 0; n -= 32, b += 34, y += 32)
        widen_bytes(b + 2, half_at(b), y);
}

static void widen_q4_0(const uint8_t *b, float *y, int64_t n)
{
    for (; n > 0; n -= 32, b += 18, y += 32) {
        uint8_t codes[32];
        bytes16 v = LOAD(bytes16, b + 2);
        STORE(bytes16, codes, (v & 15) - 8);
        STORE(bytes16, codes + 16, (v >> 4) - 8);
        widen_bytes(codes, half_at(b), y);
    }
}

static void widen_codes(const gr_dtype_info *dtype, const void *src, float *dst, int64_t n)
{
    enum { CHUNK = GR_DTYPE_BLOCK_MOST };
    const gr_codes *c = &dtype->codes;
    uint8_t codes[CHUNK];
    float scales[CHUNK / 16], offsets[CHUNK / 16];
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t m = n - at < CHUNK ? n - at : CHUNK;
        const char *from = (const char *)src + at / dtype->block * dtype->block_bytes;
        GR_ISA_FN(gr_blocks_codes)(dtype, from, codes, scales, offsets, m);
        if (c->group == 32)
            widen(codes, scales, c->offsets ? offsets : NULL, 32, c->zero, dst + at, m);
        else
            widen(codes, scales, c->offsets ? offsets : NULL, 16, c->zero, dst + at, m);
    }
}

void GR_ISA_FN(gr_blocks_widen)(const gr_dtype_info *dtype, const void *src, float *dst, int64_t n)
{
    if (dtype == &gr_dtype_q8_0)
        widen_q8_0(src, dst, n);
    else if (dtype == &gr_dtype_q4_0)
        widen_q4_0(src, dst, n);
    else if (dtype->codes.group == 0)
        dtype->to_f32(src, dst, n);
    else
        widen_codes(dtype, src, dst, n);
}
