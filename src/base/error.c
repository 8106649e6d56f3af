/* The thread's last failure lives in a fixed buffer, so recording it works when memory has run out. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 2048 };

static _Thread_local gr_status last_status;
static _Thread_local char last_text[TEXT_SIZE];

/* A cut text must not end in the middle of a UTF-8 character: whoever prints it may be strict. */
static void drop_half_character(char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0 || (unsigned char)text[start - 1] < 0xC0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t whole = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (size - (start - 1) < whole)
        text[start - 1] = '\0';
}

/* vsnprintf that ends a text too long at a whole character; returns what is in `out`. */
static size_t format(char *out, size_t size, const char *fmt, va_list args)
{
    int n = vsnprintf(out, size, fmt, args);
    if (n < 0)
        out[0] = '\0';
    if (n >= (int)size)
        drop_half_character(out, size - 1);
    return strlen(out);
}

gr_status gr_fail(gr_status code, const char *fmt, ...)
{
    /* Formatted aside first: the arguments may point into gr_error() itself. */
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, fmt);
    size_t size = format(text, sizeof text, fmt, args);
    va_end(args);
    memcpy(last_text, text, size + 1);
    last_status = code;
    return code;
}

gr_status gr_fail_in(const char *fmt, ...)
{
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, fmt);
    size_t size = format(text, sizeof text / 2, fmt, args); /* leaves room for the message itself */
    va_end(args);
    int n = snprintf(text + size, sizeof text - size, ": %s", last_text);
    if (n >= (int)(sizeof text - size))
        drop_half_character(text, sizeof text - 1);
    memcpy(last_text, text, strlen(text) + 1);
    return last_status;
}

bool gr_lacks(const void *p, const char *what)
{
    if (!p)
        gr_fail(GR_ERR_ARGUMENT, "%s is NULL\ngive one; include/gradus.h says where NULL stands for something", what);
    return !p;
}

bool gr_lacks_made(const void *p, const char *what)
{
    return !p && (last_status != GR_OK || gr_lacks(p, what));
}

const char *gr_error(void)
{
    return last_text;
}

gr_status gr_error_status(void)
{
    return last_status;
}

void gr_error_clear(void)
{
    last_status = GR_OK;
    last_text[0] = '\0';
}
