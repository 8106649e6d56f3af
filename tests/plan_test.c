/* The memory plan: buffers by their lives, in one arena. What programs do with it: program_test. */
#include "test.h"

#include "base/mem.h"
#include "program/plan.h"

#include <string.h>

static uint32_t random_below(uint32_t n)
{
    static uint32_t state = 7;
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

enum { MAX_BUFFERS = 120, MAX_STEPS = 60 };

static size_t aligned(size_t size)
{
    return (size + GR_ADDRESS_ALIGN - 1) / GR_ADDRESS_ALIGN * GR_ADDRESS_ALIGN;
}

static void random_buffers(gr_buffer *b, int n, int n_steps)
{
    for (int i = 0; i < n; i++) {
        uint32_t first = random_below((uint32_t)n_steps), room = (uint32_t)n_steps - first;
        b[i] = (gr_buffer){.size = random_below(8) ? random_below(5000) : 0, .first = (int)first};
        b[i].last = (int)(first + random_below(random_below(4) ? (room < 6 ? room : 6) : room));
        b[i].kind = (gr_kind)random_below(GR_KIND_COUNT);
    }
}

static void check_plan(const gr_buffer *b, int n, int n_steps, size_t largest, size_t arena, const size_t *peak)
{
    size_t sum = 0, fullest = 0;
    for (int i = 0; i < n; i++) {
        CHECK_EQ_INT(b[i].offset % GR_ADDRESS_ALIGN, 0);
        CHECK(b[i].offset + b[i].size <= arena);
        CHECK(b[i].size == 0 || b[i].offset / largest == (b[i].offset + b[i].size - 1) / largest);
        sum += aligned(b[i].size);
        for (int k = 0; k < i; k++) {
            bool together = b[i].first <= b[k].last && b[k].first <= b[i].last;
            bool apart = b[i].offset + b[i].size <= b[k].offset || b[k].offset + b[k].size <= b[i].offset;
            if (together && !apart)
                FAIL("buffers %d and %d overlap", i, k);
        }
    }
    for (int step = 0; step <= n_steps; step++) {
        size_t alive = 0;
        for (int i = 0; i < n; i++)
            alive += b[i].first <= step && step <= b[i].last ? aligned(b[i].size) : 0;
        fullest = alive > fullest ? alive : fullest;
    }
    CHECK(arena >= fullest);
    CHECK(largest < SIZE_MAX || arena <= sum);
    CHECK(arena <= (largest < SIZE_MAX ? 3 : 1) * (fullest + fullest / 2)); /* far above what is wasted on these */
    CHECK_EQ_INT(peak[0] + peak[1] + peak[2], arena);
}

TEST(plans)
{
    gr_buffer a[MAX_BUFFERS], b[MAX_BUFFERS];
    for (int round = 0; round < 300; round++) {
        NOTE("round %d", round);
        int n = 1 + (int)random_below(MAX_BUFFERS - 1), n_steps = 1 + (int)random_below(MAX_STEPS - 1);
        size_t arena, again, peak[GR_KIND_COUNT], peak_again[GR_KIND_COUNT];
        random_buffers(a, n, n_steps);
        memcpy(b, a, sizeof a);
        size_t largest = round % 2 ? SIZE_MAX : 5056; /* as large as the largest, or no limit */
        CHECK_OK(gr_plan_buffers(a, n, n_steps, largest, &arena, peak));
        check_plan(a, n, n_steps, largest, arena, peak);
        CHECK_OK(gr_plan_buffers(b, n, n_steps, largest, &again, peak_again));
        CHECK_EQ_INT(arena, again);
        for (int i = 0; i < n; i++)
            CHECK_EQ_INT(a[i].offset, b[i].offset);
    }
    size_t arena = 9, peak[GR_KIND_COUNT];
    CHECK_OK(gr_plan_buffers(NULL, 0, 0, SIZE_MAX, &arena, peak));
    CHECK_EQ_INT(arena, 0);
}
