/* Lines that a person types: edited and remembered where there is libedit, plain where not. */
#ifndef GR_CLI_LINE_H
#define GR_CLI_LINE_H

#include "base/buffer.h"

typedef enum gr_line_end {
    GR_LINE_WHOLE,
    GR_LINE_CANCELLED, /* Ctrl-C: what was typed is gone */
    GR_LINE_OVER,      /* Ctrl-D, the end of the input, or the process is asked to end */
    GR_LINE_FAILED,    /* gr_error() */
} gr_line_end;

/* Milliseconds between two looks for a signal, which may come just before input is waited for. */
enum { GR_LINE_WAIT = 100 };

typedef struct gr_lines gr_lines;
/* From standard input, which is a terminal. history: a file of lines typed in other sessions; NULL: none. */
gr_lines *gr_lines_open(const char *history);
/* Appends a line to out, without its end. */
gr_line_end gr_lines_read(gr_lines *l, const char *prompt, gr_bytes *out);
/* The arrow keys find this text from now on. */
void gr_lines_remember(gr_lines *l, const char *text);
void gr_lines_close(gr_lines *l); /* NULL is fine */

/* What edits them, of this build. */
const char *gr_lines_editor(void);

/* The same of input that is no terminal. ahead: what was read and not yet given; zeroed at first. GR_LINE_CANCELLED: somebody
 * asks for the end. */
gr_line_end gr_plain_read(gr_bytes *ahead, gr_bytes *out);

#endif
