/* The library's remarks. It never prints: without a callback they go nowhere. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

/* Set once before threads start (gradus.h says so), so they are plain variables. */
static void (*log_function)(void *user, gr_log_level level, const char *message);
static void *log_user;
static _Thread_local int paused;

void gr_set_log(void (*log)(void *user, gr_log_level level, const char *message), void *user)
{
    log_function = log;
    log_user = user;
}

void gr_remark(gr_log_level level, const char *fmt, ...)
{
    if (!log_function || paused)
        return;
    char text[2 * GR_ERROR_SIZE]; /* messages name paths */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    log_function(log_user, level, text);
}

void gr_remarks_pause(void)
{
    paused++;
}

void gr_remarks_resume(void)
{
    paused--;
}
