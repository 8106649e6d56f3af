/* Reading on, and forgetting what is done. */
#include "data/window.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <unistd.h>

gr_status gr_window_open(gr_window *w, const char *path)
{
    *w = (gr_window){.name = path, .fd = gr_read_open(path)};
    return w->fd < 0 ? gr_error_status() : GR_OK;
}

void gr_window_close(gr_window *w)
{
    if (w->fd > STDIN_FILENO)
        close(w->fd);
    w->fd = -1;
    gr_bytes_free(&w->text);
}

static gr_status fail_to_read(const gr_window *w)
{
    if (w->fd == STDIN_FILENO)
        return gr_fail(GR_ERR_FILE, "standard input: cannot be read: %s\ngive a file", strerror(errno));
    return gr_fail_errno("reading", w->name);
}

gr_status gr_window_fill(gr_window *w, size_t size)
{
    if (w->end || w->text.size >= size)
        return GR_OK;
    if (gr_bytes_reserve(&w->text, size - w->text.size) != GR_OK)
        return GR_ERR_MEMORY;
    char *to = w->text.data + w->text.size;
    size_t want = size - w->text.size;
    int64_t got = gr_read_full(w->fd, to, want);
    if (got < 0)
        return fail_to_read(w);
    w->end = (size_t)got < want;
    w->text.size += (size_t)got;
    gr_checksum_add(&w->sum, to, (size_t)got);
    if (w->copy && fwrite(to, 1, (size_t)got, w->copy) != (size_t)got)
        return gr_fail(GR_ERR_FILE, "%s: cannot be kept to be read again: %s\nwrite it to a file first, and give that",
                       w->name, strerror(errno));
    return GR_OK;
}

void gr_window_drop(gr_window *w, size_t n)
{
    if (n == 0)
        return;
    w->text.size -= n;
    w->before += (int64_t)n;
    memmove(w->text.data, w->text.data + n, w->text.size);
}
