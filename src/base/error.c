/* The thread's last failure lives in a fixed buffer, so recording it works when memory has run out. */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* Room to put a message together in, before what is too long of it is left out: a few paths, as long as paths can be. */
enum { WHOLE_SIZE = 4 * GR_ERROR_SIZE };

static _Thread_local gr_status last_status;
static _Thread_local char last_text[GR_ERROR_SIZE];

static bool is_inside_character(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Bytes of text[0, size) that end with a whole character: whoever prints it may be strict. */
static size_t whole_characters(const char *text, size_t size)
{
    while (size > 0 && is_inside_character(text[size]))
        size--;
    return size;
}

/* Takes the text over as the message. Of one too long the middle of its first line is left out: what failed and what to do
 * next stay. */
static void take(const char *text)
{
    static const char gap[] = " ... ";
    size_t size = strlen(text), line = strcspn(text, "\n"), hint = size - line;
    if (size < sizeof last_text) {
        memcpy(last_text, text, size + 1);
        return;
    }
    if (hint > sizeof last_text / 2)
        hint = whole_characters(text + line, sizeof last_text / 2);
    size_t room = sizeof last_text - 1 - hint - (sizeof gap - 1);
    if (line <= room) { /* the hint alone was too long */
        snprintf(last_text, sizeof last_text, "%.*s", (int)(line + hint), text);
        return;
    }
    size_t before = whole_characters(text, room / 2), after = line - (room - room / 2);
    while (after < line && is_inside_character(text[after]))
        after++;
    snprintf(last_text, sizeof last_text, "%.*s%s%.*s%.*s", (int)before, text, gap, (int)(line - after), text + after,
             (int)hint, text + line);
}

/* vsnprintf that ends a text too long at a whole character; returns its length. */
static size_t format(char *out, size_t size, const char *fmt, va_list args)
{
    int n = vsnprintf(out, size, fmt, args);
    out[n < 0 ? 0 : n < (int)size ? (size_t)n : whole_characters(out, size - 2)] = '\0';
    return strlen(out);
}

gr_status gr_fail_list(gr_status code, const char *fmt, va_list args)
{
    /* Formatted aside first: the arguments may point into gr_error() itself. */
    char text[WHOLE_SIZE];
    format(text, sizeof text, fmt, args);
    take(text);
    last_status = code;
    return code;
}

gr_status gr_fail(gr_status code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    gr_fail_list(code, fmt, args);
    va_end(args);
    return code;
}

gr_status gr_fail_in(const char *fmt, ...)
{
    char text[WHOLE_SIZE];
    va_list args;
    va_start(args, fmt);
    size_t size = format(text, sizeof text - GR_ERROR_SIZE, fmt, args); /* leaves room for the message itself */
    va_end(args);
    snprintf(text + size, sizeof text - size, ": %s", last_text);
    take(text);
    return last_status;
}

void gr_error_keep(gr_kept_error *e)
{
    e->status = last_status;
    memcpy(e->text, last_text, sizeof e->text);
}

void gr_error_put_back(const gr_kept_error *e)
{
    last_status = e->status;
    memcpy(last_text, e->text, sizeof last_text);
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
