/* Lines of standard input as they come. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include "base/file.h"
#include "cli/line.h"
#include "cli/term.h"

/* More of the input; 0: its end, or somebody asks for one. */
static int64_t read_more(gr_bytes *ahead)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (gr_bytes_reserve(ahead, 4096) != GR_OK)
        return -1;
    for (int ready = 0; ready == 0 || (ready < 0 && errno == EINTR);) {
        if (gr_interrupted(NULL))
            return 0;
        ready = poll(&input, 1, GR_LINE_WAIT);
    }
    ssize_t got = read(STDIN_FILENO, ahead->data + ahead->size, 4096);
    if (got < 0)
        gr_fail_errno("reading", "standard input");
    ahead->size += got > 0 ? (size_t)got : 0;
    return got;
}

gr_line_end gr_plain_read(gr_bytes *ahead, gr_bytes *out)
{
    const char *end = NULL;
    int64_t got = 1;
    for (size_t seen = 0; got > 0; got = read_more(ahead)) {
        if (ahead->size > seen && (end = memchr(ahead->data + seen, '\n', ahead->size - seen)))
            break;
        seen = ahead->size;
    }
    if (gr_interrupted(NULL))
        return GR_LINE_CANCELLED;
    if (got < 0)
        return GR_LINE_FAILED;
    if (!end && ahead->size == 0)
        return GR_LINE_OVER;
    size_t n = end ? (size_t)(end - ahead->data) : ahead->size, used = n + (end != NULL);
    if (gr_bytes_add(out, ahead->data, n) != GR_OK)
        return GR_LINE_FAILED;
    memmove(ahead->data, ahead->data + used, ahead->size - used);
    ahead->size -= used;
    return GR_LINE_WHOLE;
}
