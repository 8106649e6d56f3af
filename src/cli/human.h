/* Numbers as people read them. Returned by value, for use inside one call: printf("%s", gr_human_bytes(n).s). */
#ifndef GR_CLI_HUMAN_H
#define GR_CLI_HUMAN_H

#include <stdint.h>

typedef struct gr_short_text {
    char s[32];
} gr_short_text;

gr_short_text gr_human_bytes(double bytes);     /* "812 B", "1.46 GB" (1000s, as --flags count) */
gr_short_text gr_human_count(double n);         /* "640", "12.3k", "124M", "1.10G" */
gr_short_text gr_human_time(double seconds);    /* "12 ms", "4.2 s", "45 s", "3 min 05 s", "2 h 10 min", "3 d 4 h" */
gr_short_text gr_human_integer(int64_t number); /* "1,115,394" */

#endif
