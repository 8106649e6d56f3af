/* The calling thread's error: one message, set where something fails and read by whoever reports it. */
#ifndef GR_BASE_ERROR_H
#define GR_BASE_ERROR_H

#include "gradus.h"

#include <stdarg.h>

#if defined(__GNUC__)
#define GR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define GR_PRINTF(fmt, args)
#endif

/* Records "what failed: why (where)\nwhat to do next" as the thread's error and returns `code`.
 * The part after the first newline is the hint; it may be left out. Never allocates. */
gr_status gr_fail(gr_status code, const char *fmt, ...) GR_PRINTF(2, 3);
gr_status gr_fail_list(gr_status code, const char *fmt, va_list args) GR_PRINTF(2, 0);

/* Puts "prefix: " in front of the thread's message, keeping code and hint; for callers that know the file or tensor. */
gr_status gr_fail_in(const char *fmt, ...) GR_PRINTF(1, 2);

/* The thread's error, put aside while something else is done that may fail too. */
enum { GR_ERROR_SIZE = 4096 };
typedef struct gr_kept_error {
    gr_status status;
    char text[GR_ERROR_SIZE];
} gr_kept_error;
void gr_error_keep(gr_kept_error *e);
void gr_error_put_back(const gr_kept_error *e);

/* A public function was given NULL where it needs something: fails with GR_ERR_ARGUMENT, naming `what` ("gr_run: program").
 * False, and no error, when p is there. */
bool gr_lacks(const void *p, const char *what);
/* The same of what another call should have made: an error that is there already tells more, and stays. */
bool gr_lacks_made(const void *p, const char *what);

#endif
