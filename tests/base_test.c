/* Errors, log, memory, dtypes, Philox, checksum. */
#include "test.h"

#include "base/checksum.h"
#include "base/dtype.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/philox.h"
#include "base/sized.h"

#include <float.h>
#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

/* ---- errors and log ----------------------------------------------------------------------------------------- */

TEST(error_is_kept_and_prefixed)
{
    gr_error_clear();
    CHECK_EQ_STR(gr_error(), "");
    CHECK_EQ_INT(gr_error_status(), GR_OK);
    CHECK_STATUS(gr_fail(GR_ERR_FILE, "reading %s: too short\nget it again", "a"), GR_ERR_FILE);
    CHECK_STATUS(gr_fail_in("loading %s", "model"), GR_ERR_FILE);
    CHECK_EQ_STR(gr_error(), "loading model: reading a: too short\nget it again");
    gr_fail(GR_ERR_NUMBER, "again: %s", gr_error()); /* the buffer is its own argument */
    CHECK_EQ_STR(gr_error(), "again: loading model: reading a: too short\nget it again");
    CHECK_EQ_INT(gr_error_status(), GR_ERR_NUMBER);
}

TEST(version)
{
    char text[40];
    snprintf(text, sizeof text, "%d.%d.%d", GR_VERSION_NUMBER / 1000000, GR_VERSION_NUMBER / 1000 % 1000,
             GR_VERSION_NUMBER % 1000);
    CHECK_EQ_STR(gr_library_info()->version, GR_VERSION);
    CHECK_EQ_STR(gr_library_info()->version, text);
    CHECK_EQ_INT(gr_version_number(), GR_VERSION_NUMBER);
    const gr_library *build = gr_library_info();
    CHECK(build->size == sizeof *build && *build->compiler && *build->libraries);
    CHECK(strncmp(build->isa, "generic", 7) == 0);
    for (int i = 0; gr_device_list(i); i++)
        CHECK(strstr(build->devices, gr_device_list(i)));
}

TEST(error_too_long_is_cut_at_a_whole_character)
{
    static const char *const characters[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (int c = 0; c < 4; c++) {
        size_t width = strlen(characters[c]);
        for (size_t shift = 0; shift < 4; shift++) {
            char text[2 * GR_ERROR_SIZE] = "abcd";
            text[shift] = '\0';
            while (strlen(text) + width < sizeof text)
                strcat(text, characters[c]);
            gr_fail(GR_ERR_ARGUMENT, "%s", text);
            size_t length = strlen(gr_error());
            CHECK(length > GR_ERROR_SIZE - 12 && length < GR_ERROR_SIZE);
            CHECK_EQ_INT((length - shift - 5) % width, 0); /* " ... " stands for the middle */
            gr_fail_in("%s", text);
            CHECK(strncmp(gr_error(), text, 1000) == 0 && strlen(gr_error()) > GR_ERROR_SIZE - 12);
        }
    }
    CHECK_EQ_INT(gr_error_status(), GR_ERR_ARGUMENT);
}

/* Of a message with paths as long as paths can be, the end of what failed and what to do next stay. */
TEST(error_too_long_keeps_its_hint)
{
    char path[4000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    gr_fail(GR_ERR_FILE, "%s: not %s, as it was\ngive another one", path, path);
    CHECK(strstr(gr_error(), "p, as it was\ngive another one") && strlen(gr_error()) < GR_ERROR_SIZE);
    gr_fail(GR_ERR_FILE, "opening %s: no\ncheck the path", path);
    gr_fail_in("%s", path);
    CHECK(strstr(gr_error(), "p: no\ncheck the path") && strlen(gr_error()) < GR_ERROR_SIZE);
    gr_fail(GR_ERR_FILE, "a\n%s%s", path, path); /* of a hint too long its beginning */
    CHECK(strncmp(gr_error(), "a\nppp", 5) == 0 && strlen(gr_error()) > GR_ERROR_SIZE / 3);
}

static void *fail_elsewhere(void *arg)
{
    gr_fail(GR_ERR_MEMORY, "elsewhere");
    return arg;
}

/* ---- structs that grow -------------------------------------------------------------------------------------- */

typedef struct old_options {
    size_t size;
    int64_t a;
} old_options;
typedef struct new_options {
    size_t size;
    int64_t a, b, c;
} new_options;

TEST(options_of_another_version)
{
    old_options mine;
    new_options yours = {sizeof yours, 1, 0, 0}, ours;
    CHECK_OK(gr_take_sized(&ours, sizeof ours, &(old_options){sizeof mine, 7}, "f"));
    CHECK(ours.a == 7 && !ours.b && !ours.c);
    CHECK_OK(gr_take_sized(&mine, sizeof mine, &yours, "f"));
    CHECK_EQ_INT(mine.a, 1);
    yours.c = 1; /* what we would not heed */
    CHECK_STATUS(gr_take_sized(&mine, sizeof mine, &yours, "f: options"), GR_ERR_UNSUPPORTED);
    CHECK(strstr(gr_error(), "f: options"));
    CHECK_STATUS(gr_take_sized(&mine, sizeof mine, &(new_options){0}, "f"), GR_ERR_ARGUMENT);
    CHECK_OK(gr_take_sized(&mine, sizeof mine, NULL, "f"));
    CHECK_EQ_INT(mine.a, 0);
}

TEST(records_of_another_version)
{
    struct {
        old_options is;
        int64_t behind;
    } old = {{sizeof old.is, 0}, 5};
    new_options all = {sizeof all, 1, 2, 3}, longer = {sizeof longer, 9, 9, 9};
    CHECK_OK(gr_give_sized(&old.is, &all, sizeof all, "f"));
    CHECK(old.is.size == sizeof old.is && old.is.a == 1 && old.behind == 5);
    CHECK_OK(gr_give_sized(&longer, &(old_options){sizeof(old_options), 4}, sizeof(old_options), "f"));
    CHECK(longer.size == sizeof longer && longer.a == 4 && !longer.b && !longer.c);
    CHECK_STATUS(gr_give_sized(&(old_options){0}, &all, sizeof all, "f"), GR_ERR_ARGUMENT);
    CHECK_OK(gr_give_sized(NULL, &all, sizeof all, "f"));
}

TEST(error_belongs_to_its_thread)
{
    pthread_t id;
    gr_fail(GR_ERR_FILE, "here");
    CHECK(pthread_create(&id, NULL, fail_elsewhere, NULL) == 0);
    pthread_join(id, NULL);
    CHECK_ERROR(GR_ERR_FILE, "here");
}

static void keep_remark(void *user, gr_log_level level, const char *message)
{
    snprintf(user, 64, "%d %s", (int)level, message);
}

TEST(remarks_go_to_the_callback)
{
    char kept[64] = "";
    gr_set_log(keep_remark, kept);
    gr_remark(GR_LOG_WARN, "%d things", 3);
    gr_set_log(NULL, NULL);
    gr_remark(GR_LOG_WARN, "nobody hears this");
    CHECK_EQ_STR(kept, "2 3 things");
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

TEST(memory_is_aligned_and_counted)
{
    gr_mem_stats before = gr_mem_read_stats();
    size_t total = 0;
    void *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = gr_alloc(i);
        CHECK_MADE(blocks[i]);
        CHECK_EQ_INT((uintptr_t)blocks[i] % 64, 0);
        memset(blocks[i], 0xAB, i);
        total += i;
    }
    gr_mem_stats during = gr_mem_read_stats();
    CHECK_EQ_INT(during.live_bytes - before.live_bytes, total);
    CHECK_EQ_INT(during.live_blocks - before.live_blocks, 200);
    CHECK_EQ_INT(during.calls - before.calls, 200);
    for (size_t i = 0; i < 200; i++)
        gr_free(blocks[i]);
    gr_free(NULL);
    gr_mem_stats after = gr_mem_read_stats();
    CHECK_EQ_INT(after.live_bytes, before.live_bytes);
    CHECK(after.peak_bytes >= during.live_bytes);
}

TEST(memory_zeroed_and_strings)
{
    unsigned char *zeros = gr_alloc_zero(1000, 3);
    for (int i = 0; i < 3000; i++)
        CHECK_EQ_INT(zeros[i], 0);
    char *copy = gr_strdup("abc"), *text = gr_strfmt("%s-%d", copy, 42);
    CHECK_EQ_STR(text, "abc-42");
    gr_free(zeros);
    gr_free(copy);
    gr_free(text);
}

TEST(memory_grow_doubles_and_keeps)
{
    int *p = NULL;
    size_t cap = 0;
    int64_t calls = gr_mem_read_stats().calls;
    for (size_t i = 0; i < 10000; i++) {
        CHECK_OK(gr_grow(&p, &cap, i + 1, sizeof *p));
        p[i] = (int)i;
    }
    CHECK(gr_mem_read_stats().calls - calls <= 12);
    for (int i = 0; i < 10000; i++)
        CHECK_EQ_INT(p[i], i);
    int *old = p;
    size_t old_cap = cap;
    gr_mem_fail_at(1);
    CHECK_STATUS(gr_grow(&p, &cap, cap + 1, sizeof *p), GR_ERR_MEMORY);
    CHECK_STATUS(gr_grow(&p, &cap, SIZE_MAX / 2, sizeof *p), GR_ERR_MEMORY);
    CHECK_STATUS(gr_grow(&p, &cap, SIZE_MAX / sizeof *p, sizeof *p), GR_ERR_MEMORY);
    CHECK(p == old && cap == old_cap);
    gr_free(p);
}

TEST(memory_sizes_do_not_overflow)
{
    size_t n = 0;
    CHECK(gr_mul_size(SIZE_MAX / 2, 2, &n) && n == SIZE_MAX - 1);
    CHECK(!gr_mul_size(SIZE_MAX / 2 + 1, 2, &n));
    CHECK(gr_add_size(SIZE_MAX - 1, 1, &n) && n == SIZE_MAX);
    CHECK(!gr_add_size(SIZE_MAX, 1, &n));
    CHECK(!gr_alloc_zero(SIZE_MAX / 2, 3));
    CHECK_ERROR(GR_ERR_MEMORY, "more than can be addressed");
    for (size_t cut = 0; cut < 200; cut++) {
        CHECK(!gr_alloc(SIZE_MAX - cut) && !gr_alloc_pages(SIZE_MAX - cut));
        CHECK(!gr_alloc(PTRDIFF_MAX - cut) && !gr_alloc_pages(PTRDIFF_MAX - cut));
        CHECK_EQ_INT(gr_error_status(), GR_ERR_MEMORY);
    }
}

/* What the system would promise and then kill for. */
TEST(memory_that_cannot_fit_is_refused)
{
#if defined(__linux__)
    size_t have = gr_memory_available();
    CHECK(have > 0 && have < SIZE_MAX);
    CHECK(!gr_alloc_pages(have + ((size_t)4 << 30)));
    CHECK_ERROR(GR_ERR_MEMORY, "need");
    CHECK_ERROR(GR_ERR_MEMORY, "have");
    CHECK(!gr_alloc(have + ((size_t)4 << 30)));
    CHECK_ERROR(GR_ERR_MEMORY, "have");
    /* Pages mapped but not touched count too: three times 3/5 cannot all be had. */
    size_t part = have / 5 * 3;
    void *first = gr_alloc_pages(part), *second = gr_alloc_pages(part);
    gr_free_pages(first, part);
    gr_free_pages(second, part);
    CHECK(first && !second);
    CHECK_ERROR(GR_ERR_MEMORY, "have");
#else
    SKIP("this system does not say how much is free");
#endif
}

static void check_pages(size_t size)
{
    gr_mem_stats before = gr_mem_read_stats();
    unsigned char *p = gr_alloc_pages(size);
    CHECK_MADE(p);
    CHECK_EQ_INT((uintptr_t)p % (size_t)sysconf(_SC_PAGESIZE), 0);
    CHECK_EQ_INT(gr_mem_read_stats().live_bytes - before.live_bytes, size);
    for (size_t i = 0; i < size; i += 509)
        CHECK_EQ_INT(p[i], 0);
    memset(p, 1, size);
    gr_free_pages(p, size);
    CHECK_EQ_INT(gr_mem_read_stats().live_bytes, before.live_bytes);
}

TEST(pages_are_zeroed_and_large_ones_aligned)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 2 << 20, (2 << 20) + 1, 5000000, 20 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        NOTE("%zu bytes", sizes[i]);
        check_pages(sizes[i]);
    }
    void *p = gr_alloc_pages(3 << 20);
    CHECK_EQ_INT((uintptr_t)p % (2 << 20), 0);
    gr_free_pages(p, 3 << 20);
    gr_free_pages(NULL, 5);
}

TEST(the_nth_allocation_fails_once)
{
    gr_mem_fail_at(2);
    void *a = gr_alloc(1), *b = gr_alloc(1), *c = gr_alloc(1);
    CHECK(a && !b && c);
    CHECK_ERROR(GR_ERR_MEMORY, "1 bytes");
    gr_free(a);
    gr_free(c);
    gr_mem_fail_at(1);
    CHECK(!gr_alloc_pages(10));
    CHECK_EQ_INT(gr_mem_fail_at(7), 0);
    CHECK_EQ_INT(gr_mem_fail_at(0), 7);
}

/* A user's allocator: gives blocks on odd addresses, remembers what it gave. */
typedef struct counting {
    size_t bytes;
    int blocks;
    bool refuse;
} counting;

static void *count_blocks(void *user, void *p, size_t old_size, size_t new_size)
{
    counting *c = user;
    if (new_size > 0) {
        if (c->refuse)
            return NULL;
        c->bytes += new_size;
        c->blocks++;
        char *base = malloc(new_size + 1);
        return base ? base + 1 : NULL;
    }
    c->bytes -= old_size;
    c->blocks--;
    free((char *)p - 1);
    return NULL;
}

TEST(memory_comes_from_the_users_allocator)
{
    counting c = {0};
    gr_set_allocator(count_blocks, &c);
    void *a = gr_alloc(100), *b = gr_alloc_pages(10000);
    bool aligned = (uintptr_t)a % 64 == 0 && (uintptr_t)b % (size_t)sysconf(_SC_PAGESIZE) == 0;
    bool zero = b && *(char *)b == 0 && ((char *)b)[9999] == 0;
    memset(a, 1, 100);
    memset(b, 1, 10000);
    bool counted = c.blocks == 2 && c.bytes >= 10100;
    gr_free(a);
    gr_free_pages(b, 10000);
    c.refuse = true;
    void *none = gr_alloc(1), *no_pages = gr_alloc_pages(1);
    gr_set_allocator(NULL, NULL);
    CHECK(aligned && zero && counted);
    CHECK(!none && !no_pages);
    CHECK_ERROR(GR_ERR_MEMORY, "out of memory");
    CHECK(c.blocks == 0 && c.bytes == 0);
}

TEST(cores_follow_the_affinity_mask)
{
    CHECK(gr_cpu_count() >= 1);
#if defined(__linux__)
    cpu_set_t old, one;
    CHECK(sched_getaffinity(0, sizeof old, &old) == 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &old))
            CPU_SET(i, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    int count = gr_cpu_count();
    sched_setaffinity(0, sizeof old, &old);
    CHECK_EQ_INT(count, 1);
#endif
}

/* ---- dtypes ------------------------------------------------------------------------------------------------- */

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float f32_of(gr_dtype d, uint16_t stored)
{
    float x;
    gr_dtype_get(d)->to_f32(&stored, &x, 1);
    return x;
}

static uint16_t stored_of(gr_dtype d, float x)
{
    uint16_t stored;
    gr_dtype_get(d)->from_f32(&x, &stored, 1);
    return stored;
}

static uint16_t stored_of_double(gr_dtype d, double x)
{
    uint16_t stored;
    gr_dtype_get(d)->store(&stored, 0, x);
    return stored;
}

/* What the bits mean, by the definition of the format. */
static double meaning(uint16_t bits, int exponent_bits)
{
    int mantissa_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1), mantissa = bits & ((1 << mantissa_bits) - 1);
    double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

/* Every value there and back; between each and the next: the middle goes to the even one, what is beside it does not. */
static void check_small_float(gr_dtype d, int exponent_bits)
{
    const gr_dtype_info *info = gr_dtype_get(d);
    uint16_t infinity = (uint16_t)(0x7FFF << (15 - exponent_bits) & 0x7FFF);
    for (uint32_t b = 0; b <= 0xFFFF; b++) {
        uint16_t bits = (uint16_t)b;
        double value = meaning(bits, exponent_bits);
        NOTE("%s %04x", info->name, bits);
        if (isnan(value)) {
            CHECK(isnan(f32_of(d, bits)) && isnan(info->load(&bits, 0)));
            CHECK(isnan(f32_of(d, stored_of(d, f32_of(d, bits)))));
            CHECK(isnan(f32_of(d, stored_of_double(d, info->load(&bits, 0)))));
            continue;
        }
        CHECK_EQ_INT(bits_of(f32_of(d, bits)), bits_of((float)value)); /* bits: -0 is not 0 */
        CHECK(info->load(&bits, 0) == value);
        CHECK_EQ_INT(stored_of(d, (float)value), bits);
        CHECK_EQ_INT(stored_of_double(d, value), bits);
        if ((bits & 0x7FFF) >= infinity)
            continue;
        /* Past the largest finite value, rounding acts as if infinity were the next one. */
        uint16_t next = (uint16_t)(bits + 1), even = bits & 1 ? next : bits;
        double above = (next & 0x7FFF) == infinity ? 2 * value - meaning((uint16_t)(bits - 1), exponent_bits)
                                                   : meaning(next, exponent_bits);
        double middle = (value + above) / 2, away = value < 0 || (bits & 0x8000) ? -INFINITY : INFINITY;
        CHECK_EQ_INT(stored_of(d, (float)middle), even);
        CHECK_EQ_INT(stored_of(d, nextafterf((float)middle, (float)away)), next);
        CHECK_EQ_INT(stored_of(d, nextafterf((float)middle, (float)value)), bits);
        CHECK_EQ_INT(stored_of_double(d, middle), even);
        CHECK_EQ_INT(stored_of_double(d, nextafter(middle, away)), next); /* rounding twice would go to even */
        CHECK_EQ_INT(stored_of_double(d, nextafter(middle, value)), bits);
    }
}

TEST(f16_every_value_and_every_rounding)
{
    check_small_float(GR_F16, 5);
    CHECK_EQ_INT(stored_of(GR_F16, FLT_MAX), 0x7C00);
    CHECK_EQ_INT(stored_of_double(GR_F16, -DBL_MAX), 0xFC00);
    CHECK_EQ_INT(stored_of_double(GR_F16, DBL_TRUE_MIN), 0);
}

TEST(bf16_every_value_and_every_rounding)
{
    check_small_float(GR_BF16, 8);
    CHECK_EQ_INT(stored_of(GR_BF16, FLT_MAX), 0x7F80);
    CHECK_EQ_INT(stored_of_double(GR_BF16, -DBL_MAX), 0xFF80);
    CHECK_EQ_INT(stored_of(GR_BF16, -FLT_TRUE_MIN), 0x8000);
}

/* value in, stored value out, through from_f32 and through store. */
static void check_to_integer(gr_dtype d, double value, int64_t wanted)
{
    const gr_dtype_info *info = gr_dtype_get(d);
    float narrow = (float)value;
    int64_t stored = 0; /* little- or big-endian: read back through load where it is small enough */
    NOTE("%g to %s", value, info->name);
    info->store(&stored, 0, value);
    CHECK_EQ_INT(d == GR_I64 ? (double)stored : info->load(&stored, 0), (double)wanted);
    if (!isnan(value) && (double)narrow != value)
        return;
    stored = 0;
    info->from_f32(&narrow, &stored, 1);
    if (d == GR_I64)
        CHECK_EQ_INT(stored, wanted);
    else
        CHECK_EQ_INT(info->load(&stored, 0), wanted);
}

TEST(integers_truncate_and_saturate)
{
    static const struct {
        gr_dtype d;
        double value;
        int64_t wanted;
    } cases[] = {
        {GR_I32, 2.75, 2},
        {GR_I32, -2.75, -2},
        {GR_I32, NAN, 0},
        {GR_I32, INFINITY, INT32_MAX},
        {GR_I32, -INFINITY, INT32_MIN},
        {GR_I32, 0x1p31, INT32_MAX},
        {GR_I32, -0x1p31, INT32_MIN},
        {GR_I32, 2147483520.0, 2147483520},
        {GR_I32, 2147483646.0, 2147483646},
        {GR_I64, NAN, 0},
        {GR_I64, 0x1p62, (int64_t)1 << 62},
        {GR_I64, -0x1p63, INT64_MIN},
        {GR_I64, -1e300, INT64_MIN},
        {GR_I64, -1.5, -1},
        {GR_U8, 255.5, 255},
        {GR_U8, 256, 255},
        {GR_U8, -0.5, 0},
        {GR_U8, -3, 0},
        {GR_U8, NAN, 0},
        {GR_BOOL, 0.25, 1},
        {GR_BOOL, -0.0, 0},
        {GR_BOOL, NAN, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_to_integer(cases[i].d, cases[i].value, cases[i].wanted);
    int64_t most;
    gr_dtype_get(GR_I64)->store(&most, 0, 0x1p63);
    CHECK_EQ_INT(most, INT64_MAX);
    uint8_t odd_truth = 7;
    CHECK(gr_dtype_get(GR_BOOL)->load(&odd_truth, 0) == 1);
}

TEST(rows_equal_single_values)
{
    enum { N = 67 };
    for (int d = 0; gr_dtype_name((gr_dtype)d); d++) {
        const gr_dtype_info *info = gr_dtype_get((gr_dtype)d);
        if (info->block > 1)
            continue; /* dtype_test.c */
        float in[N], out[N];
        double row[N], one[N]; /* large enough for every dtype */
        for (int i = 0; i < N; i++)
            in[i] = (float)(i * i) * 0.37f - 300;
        memset(row, 0, sizeof row);
        memset(one, 0, sizeof one);
        info->from_f32(in, row, N);
        for (int i = 0; i < N; i++)
            info->store(one, i, (double)in[i]);
        NOTE("%s", info->name);
        CHECK(memcmp(row, one, sizeof row) == 0);
        info->to_f32(row, out, N);
        for (int i = 0; i < N; i++)
            CHECK(out[i] == (float)info->load(row, i));
    }
}

TEST(dtype_names_and_sizes)
{
    /* Numbers are for ever: programs were compiled with them. */
    static const char *const names[][2] = {{"f64", "F64"}, {"f32", "F32"}, {"f16", "F16"}, {"bf16", "BF16"},
                                           {"i64", "I64"}, {"i32", "I32"}, {"u8", "U8"},   {"bool", "BOOL"}};
    static const int bytes[] = {8, 4, 2, 2, 8, 4, 1, 1};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        gr_dtype a = GR_DTYPE_NONE, b = GR_DTYPE_NONE;
        CHECK(gr_dtype_from_name(names[i][0], &a) && gr_dtype_from_safetensors(names[i][1], &b));
        CHECK((int)a == i && (int)b == i);
        CHECK_EQ_STR(gr_dtype_name(a), names[i][0]);
        CHECK_EQ_INT(gr_dtype_size(a, 10), 10 * bytes[i]);
    }
    gr_dtype d;
    CHECK(!gr_dtype_from_name("F32", &d) && !gr_dtype_from_safetensors("F8_E4M3", &d));
    CHECK(gr_dtype_name(GR_DTYPE_NONE) == NULL && gr_dtype_name((gr_dtype)-1) == NULL);
    CHECK(gr_dtype_size(GR_F64, INT64_MAX / 2) == SIZE_MAX && gr_dtype_size(GR_U8, -1) == SIZE_MAX);
}

/* ---- Philox ------------------------------------------------------------------------------------------------- */

static void check_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    gr_philox_block block = gr_philox(seed, stream, index);
    CHECK_EQ_INT(block.v[0], a);
    CHECK_EQ_INT(block.v[1], b);
    CHECK_EQ_INT(block.v[2], c);
    CHECK_EQ_INT(block.v[3], d);
}

/* The known answers of the authors' Random123 distribution: counter words are index, then stream. */
TEST(philox_known_answers)
{
    check_block(0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    check_block(UINT64_MAX, UINT64_MAX, UINT64_MAX, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    check_block(0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
                0x24126ea1);
}

TEST(philox_distributions)
{
    enum { N = 200000 };
    double uniform = 0, uniform2 = 0, normal = 0, normal2 = 0, normal4 = 0, product = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = gr_philox_uniform(7, 3, i), z = gr_philox_normal(7, 4, i);
        CHECK(u >= 0 && u < 1);
        CHECK(isfinite(z));
        uniform += u / N;
        uniform2 += u * u / N;
        normal += z / N;
        normal2 += z * z / N;
        normal4 += z * z * z * z / N;
        product += z * gr_philox_normal(7, 4, i ^ 1) / N; /* the two of a pair do not depend on each other */
    }
    /* Five standard errors each. */
    CHECK_NEAR(uniform, 0.5, 0.0033);
    CHECK_NEAR(uniform2, 1.0 / 3, 0.0034);
    CHECK_NEAR(normal, 0, 0.0112);
    CHECK_NEAR(normal2, 1, 0.0159);
    CHECK_NEAR(normal4, 3, 0.11);
    CHECK_NEAR(product, 0, 0.0159);
    CHECK(gr_u32_to_unit(UINT32_MAX) < 1.0f && gr_u32_to_unit(0) == 0.0f);
}

TEST(philox_elements_are_words_of_blocks)
{
    for (uint64_t i = 0; i < 8; i++)
        CHECK(gr_philox_uniform(1, 2, i) == gr_u32_to_unit(gr_philox(1, 2, i / 4).v[i % 4]));
    gr_philox_block b = gr_philox(1, 2, 1);
    double radius = sqrt(-2 * log((b.v[2] + 1.0) / 4294967296.0)), angle = 2 * acos(-1) * (b.v[3] / 4294967296.0);
    CHECK_NEAR(gr_philox_normal(1, 2, 6), radius * cos(angle), 1e-14);
    CHECK_NEAR(gr_philox_normal(1, 2, 7), radius * sin(angle), 1e-14);
}

TEST(philox_many_are_the_same_as_one_by_one)
{
    enum { MOST = 41 };
    float uniform[MOST], normal[MOST];
    for (uint64_t first = 0; first < 5; first++)
        for (int64_t n = 0; n <= MOST; n++) {
            gr_philox_uniforms(uniform, 9, 5, first, n);
            gr_philox_normals(normal, 9, 5, first, n);
            for (int64_t i = 0; i < n; i++) {
                CHECK(uniform[i] == gr_philox_uniform(9, 5, first + (uint64_t)i));
                CHECK(normal[i] == (float)gr_philox_normal(9, 5, first + (uint64_t)i));
            }
        }
}

/* ---- checksum ----------------------------------------------------------------------------------------------- */

/* Answers of the reference implementation, for prefixes of bytes 131 i + 7. */
TEST(checksum_known_answers)
{
    static const struct {
        size_t size;
        uint64_t answer;
    } cases[] = {
        {0, 0xef46db3751d8e999u},   {1, 0xa96c7f0ce858bbb7u},   {3, 0xbed43740ee6332bbu},   {4, 0xfa212ae44b3bb23du},
        {7, 0x2744460dd675d2c0u},   {8, 0x994b676b71ce94ddu},   {11, 0x97f078da7a1a590cu},  {12, 0xb92f588ce720786eu},
        {15, 0x09e6451ed2ff8b1du},  {16, 0x94ad0095e72b24d5u},  {20, 0x67822fa80e0c8933u},  {31, 0x6711d55e306b5d8fu},
        {32, 0x07f7b8e3bc5d6e25u},  {33, 0x09f85eeb4e1cbe9fu},  {39, 0xb13c137a0fb701c3u},  {44, 0xd02b2028c27a5329u},
        {47, 0x79bd9d6dd8c15570u},  {63, 0xb7c9968c066cb6a5u},  {64, 0x50d4159a0411632eu},  {65, 0xd277176bff863efcu},
        {100, 0x9ddada11d3dc2d8fu}, {127, 0x54cf771b5423f6a7u}, {128, 0x0430e433b792e757u}, {200, 0x3b8cc7eaa63f107eu}};
    uint8_t data[201];
    for (int shift = 0; shift < 2; shift++) { /* aligned and not */
        for (int i = 0; i < 200; i++)
            data[i + shift] = (uint8_t)(i * 131 + 7);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            NOTE("%zu bytes", cases[i].size);
            CHECK(gr_checksum(data + shift, cases[i].size) == cases[i].answer);
        }
    }
    CHECK(gr_checksum("", 0) == 0xef46db3751d8e999u); /* printed in many places */
    CHECK(gr_checksum("abc", 3) == 0x44bc2cf5ad770999u);
}
