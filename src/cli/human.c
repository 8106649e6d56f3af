/* Numbers, bytes and times in few characters. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "cli/human.h"

/* Three digits and a prefix: 999 -> "999", 1234 -> "1.23k". */
static gr_short_text scaled(double n, const char *space, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    gr_short_text text;
    int p = 0;
    /* 999.5 would print as 1000: it belongs to the next prefix. */
    while (fabs(n) >= 999.5 && p < 5) {
        n /= 1000;
        p++;
    }
    int decimals = p == 0 ? 0 : fabs(n) < 9.995 ? 2 : fabs(n) < 99.95 ? 1 : 0;
    if (p == 0 && n != floor(n))
        decimals = fabs(n) < 9.995 ? 2 : 1;
    snprintf(text.s, sizeof text.s, "%.*f%s%s%s", decimals, n, space, prefixes[p], unit);
    return text;
}

gr_short_text gr_human_bytes(double bytes)
{
    return scaled(bytes, " ", "B");
}

gr_short_text gr_human_count(double n)
{
    return scaled(n, "", "");
}

gr_short_text gr_human_time(double seconds)
{
    gr_short_text text;
    long long s = seconds < 1e15 ? (long long)(seconds + 0.5) : 0;
    if (!(seconds < 1e15)) /* NaN and infinity too */
        snprintf(text.s, sizeof text.s, "very long");
    else if (seconds < 0.9995)
        snprintf(text.s, sizeof text.s, "%.0f ms", seconds * 1e3);
    else if (seconds < 9.95)
        snprintf(text.s, sizeof text.s, "%.1f s", seconds);
    else if (s < 60)
        snprintf(text.s, sizeof text.s, "%lld s", s);
    else if (s < 3600)
        snprintf(text.s, sizeof text.s, "%lld min %02lld s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(text.s, sizeof text.s, "%lld h %02lld min", s / 3600, s / 60 % 60);
    else
        snprintf(text.s, sizeof text.s, "%lld d %lld h", s / 86400, s / 3600 % 24);
    return text;
}

gr_short_text gr_human_integer(int64_t number)
{
    char plain[24];
    gr_short_text text;
    int n = snprintf(plain, sizeof plain, "%lld", (long long)number), used = 0;
    for (int i = 0; i < n; i++) {
        text.s[used++] = plain[i];
        int left = n - 1 - i;
        if (left > 0 && left % 3 == 0 && plain[i] != '-')
            text.s[used++] = ',';
    }
    text.s[used] = 0;
    return text;
}
