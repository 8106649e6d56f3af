/* A decade of numbers for each of seven exponents, each with twice as many as the one below it; 0 and 1. */
#include "base/dynamic8.h"

#include <math.h>
#include <stdlib.h>

enum { DECADES = 7 };

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Number i of n from 0.1 to 1, rounded as torch.linspace rounds. */
static float on_line(int i, int n)
{
    float step = (1.0f - 0.1f) / (float)(n - 1);
    return i < n / 2 ? 0.1f + step * (float)i : 1.0f - step * (float)(n - 1 - i);
}

void gr_dynamic8_map(bool is_signed, float values[GR_DYNAMIC8_CODES], float middles[GR_DYNAMIC8_CODES])
{
    int n = 0;
    values[n++] = 0;
    values[n++] = 1;
    for (int decade = 0; decade < DECADES; decade++) {
        int means = 1 << (decade + !is_signed);
        float unit = (float)pow(10, decade - DECADES + 1);
        for (int i = 0; i < means; i++) {
            float mean = (on_line(i, means + 1) + on_line(i + 1, means + 1)) / 2;
            values[n++] = unit * mean;
            if (is_signed)
                values[n++] = -unit * mean;
        }
    }
    qsort(values, GR_DYNAMIC8_CODES, sizeof *values, by_size);
    for (int i = 0; i + 1 < GR_DYNAMIC8_CODES; i++)
        middles[i] = (values[i] + values[i + 1]) / 2;
    middles[GR_DYNAMIC8_CODES - 1] = INFINITY;
}
