/* What every test program needs: a check that says where it failed and goes on, and the exit status. */
#ifndef GR_TESTS_CHECK_H
#define GR_TESTS_CHECK_H

#include <stdio.h>
#include <string.h>

#include "gradus.h"

static int check_count, check_failures;

/* CHECK(condition, "format", ...): a failure prints the place, the format's text and gr_error() (30 times at most). */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(condition)) {                                                                                            \
            if (++check_failures > 30)                                                                                 \
                break;                                                                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n    gr_error: %s\n", gr_error());                                                       \
        }                                                                                                              \
    } while (0)

/* The return value of main. */
static inline int check_result(void)
{
    printf("%d checks, %d failed\n", check_count, check_failures);
    return check_count == 0 || check_failures > 0;
}

#endif
