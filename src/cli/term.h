/* The terminal: colours, width, one progress bar that log lines pass cleanly, Ctrl-C.
 *
 * Results go to stdout (gr_out), everything else to stderr. Where stderr is no terminal, or with --quiet, the bar
 * becomes a plain line now and then. */
#ifndef GR_CLI_TERM_H
#define GR_CLI_TERM_H

#include <stdio.h>
#include "base/error.h"
#include "base/json.h"

/* Call once, before anything is printed. quiet: no bar, no colours. */
void gr_term_start(bool quiet);

int gr_term_width(FILE *to); /* columns; 80 where it cannot be known */
bool gr_term_is_utf8(void);
/* Columns that a UTF-8 text takes. */
int gr_term_columns(const char *text);

typedef enum gr_style { GR_PLAIN, GR_BOLD, GR_DIM, GR_RED, GR_GREEN, GR_YELLOW, GR_CYAN } gr_style;
/* The escape sequence that starts a style on this stream; "" where there are no colours. */
const char *gr_style_on(FILE *to, gr_style style);

/* One line to stderr: an event, a warning. No newline at the end of fmt. Any thread. */
void gr_note(const char *fmt, ...) GR_PRINTF(1, 2);
void gr_warn(const char *fmt, ...) GR_PRINTF(1, 2);
/* Results to stdout, as printf; the bar makes room. */
void gr_out(const char *fmt, ...) GR_PRINTF(1, 2);
void gr_out_bytes(const void *data, size_t size);
/* Text of a stranger for a terminal: control characters but for tabs and line ends are shown, not obeyed. */
void gr_out_safely(const char *text, size_t size);
/* A document as one line, flushed: whoever reads need not wait for what is still to be closed. Frees it; NULL is a failure
 * told before. */
gr_status gr_out_json(gr_json_doc *doc);
/* Flushes stdout; an error if any of it could not be written. */
gr_status gr_out_finish(void);

/* Prints an error message of the library ("what\nhint") in the two lines of the contract. */
void gr_print_error(const char *message, const char *default_hint);

/* The progress bar; one at a time. `first` of `total` are already done (a resumed run); total 0: not known. */
void gr_progress_start(const char *label, double first, double total);
/* `fmt` is the text beside the bar: "12.3k tokens/s, loss 1.93". Drawn at most ten times a second. */
void gr_progress_update(double done, const char *fmt, ...) GR_PRINTF(2, 3);
/* Whether it is drawn, and not told by lines. */
bool gr_progress_is_bar(void);
/* Takes the bar away. */
void gr_progress_end(void);

/* For main: a broken pipe ends the process, whatever was inherited; a limit on file sizes is an error of write(). */
void gr_signals_start(void);
/* From here on the first Ctrl-C only makes gr_interrupted true; the second ends the process with 130. So do SIGTERM,
 * SIGHUP, SIGXCPU, SIGUSR1 and SIGUSR2, however often they come. */
void gr_interrupt_watch(void);
/* Before that, for work that has nothing to keep yet but something to take away again: they wait from hold on, and from
 * quit on the first one calls clean(user), on another thread, says so and ends the process with 130. keep ends that;
 * gr_interrupt_watch does, too. */
void gr_interrupt_hold(void);
void gr_interrupt_quit(void (*clean)(void *user), void *user);
void gr_interrupt_keep(void);
/* And a broken pipe of stdout or stderr, for work that is to be saved. */
void gr_broken_pipe_watch(void);
/* To give to engines as their `stop` callback. */
bool gr_interrupted(void *unused);
/* For work that Ctrl-C ends a part of: what was asked for is done, the next Ctrl-C is a first one, and nothing is said when it
 * comes. false: something else asks for the end of the process, which is not forgotten. */
bool gr_interrupt_forget(void);

#endif
