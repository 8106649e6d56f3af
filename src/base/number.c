/* Reading numbers in the C locale, and mending what was printed in another. */
#include "base/number.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

static locale_t c_locale; /* (locale_t)0: there was no memory for it */

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static locale_t plain(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    return c_locale;
}

double gr_read_f64(const char *text, char **end)
{
    locale_t c = plain();
    return c ? strtod_l(text, end, c) : strtod(text, end);
}

float gr_read_f32(const char *text, char **end)
{
    locale_t c = plain();
    return c ? strtof_l(text, end, c) : strtof(text, end);
}

void gr_point(char *number)
{
    const char *point = localeconv()->decimal_point;
    size_t size = strlen(point);
    char *at = size && strcmp(point, ".") != 0 ? strstr(number, point) : NULL;
    if (!at)
        return;
    *at = '.';
    memmove(at + 1, at + size, strlen(at + size) + 1);
}
