/* What the benchmarks share: the clock is gr_seconds of base/machine.h. */
#ifndef BENCH_H
#define BENCH_H

#include "gradus.h"

#include <stdio.h>
#include <stdlib.h>

static inline int bench_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of n values, which are sorted. */
static inline double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, bench_by_value);
    return values[n / 2];
}

/* Ends with the library's error unless `fine`. */
static inline void bench_check(bool fine)
{
    if (fine)
        return;
    fprintf(stderr, "%s\n", gr_error());
    exit(1);
}

#endif
