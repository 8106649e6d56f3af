/* Bytes as they come, of a file or a pipe, a part of them in memory at a time. */
#ifndef GR_DATA_WINDOW_H
#define GR_DATA_WINDOW_H

#include "base/buffer.h"
#include "base/checksum.h"

#include <stdio.h>

typedef struct gr_window {
    const char *name; /* for messages */
    int fd;
    FILE *copy;            /* NULL, or where everything that is read goes, too */
    gr_bytes text;         /* read, and not done yet */
    bool end;              /* nothing comes behind it */
    int64_t before;        /* bytes of the source before it */
    gr_checksum_parts sum; /* of all that was read */
} gr_window;

/* A file or a pipe; standard input is opened as fd 0. Close in any case. */
gr_status gr_window_open(gr_window *w, const char *path);
void gr_window_close(gr_window *w);
/* Reads until there are so many bytes in it, or the end. */
gr_status gr_window_fill(gr_window *w, size_t size);
/* The first n bytes are done. */
void gr_window_drop(gr_window *w, size_t n);

#endif
