/* The nearest word by edit distance. */
#include <stdlib.h>
#include <string.h>
#include "cli/suggest.h"

/* Longer words are nobody's slip of the finger. */
enum { LONGEST = 40 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* How many letters must be inserted, left out, replaced or swapped with their neighbour (Damerau 1964, in the variant
 * that edits no place twice). */
static int edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    int d[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (int)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            int replaced = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(replaced, least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n][m];
}

void gr_suggest(gr_suggestion *s, const char *candidate, size_t length)
{
    size_t n = strlen(s->written);
    if (n == 0 || n > LONGEST || length > LONGEST)
        return;
    int distance = edit_distance(s->written, n, candidate, length);
    /* The start of a word ("warm" for "warmup"), or a word and more, is near however many letters differ. */
    size_t shorter = n < length ? n : length;
    if (distance > 1 && shorter >= 3 && strncmp(s->written, candidate, shorter) == 0)
        distance = 1;
    /* At least half of the letters must be right. */
    if ((size_t)distance * 2 > (n > length ? n : length))
        return;
    if (s->best == NULL || distance < s->distance) {
        s->best = candidate;
        s->best_length = length;
        s->distance = distance;
    }
}
