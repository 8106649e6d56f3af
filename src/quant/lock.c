/* One writer a file. The right to write FILE is a lock (base/lock.h) on FILE.quantizing.lock. It lies beside the folder, which is removed and made anew while it is held. */
#include "quant/quant.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static gr_status refuse(int fd)
{
    char text[400];
    gr_lock_read_holder(fd, text, sizeof text);
    return gr_fail(GR_ERR_ARGUMENT,
                   "another process writes it: %s\nwait for its end or end it, or choose another name: nothing was "
                   "touched",
                   *text ? text : "one that has just begun");
}

/* One try. *again: somebody ended at the same moment. */
static gr_status try_lock(gr_quant *w, bool *again)
{
    int fd = open(w->lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    *again = false;
    if (fd < 0)
        return gr_fail_errno("making", w->lock);
    gr_lock_got got = gr_lock_try(fd);
    gr_status s = got == GR_LOCK_TAKEN ? refuse(fd) : GR_OK;
    if (got == GR_LOCK_NONE)
        gr_remark(GR_LOG_WARN, "%s: this file system has no locks (%s): see to it that nothing else writes the file",
                  w->lock, strerror(errno));
    *again = s == GR_OK && !gr_lock_is_named(fd, w->lock);
    if (s != GR_OK || *again) {
        close(fd);
        return s;
    }
    gr_lock_write_holder(fd, "");
    w->lock_fd = fd;
    return GR_OK;
}

gr_status gr_quant_lock(gr_quant *w)
{
    enum { TRIES = 1000 };
    const char *slash = strrchr(w->dir, '/');
    char *folder = slash && slash > w->dir ? gr_strfmt("%.*s", (int)(slash - w->dir), w->dir) : gr_strdup(".");
    bool again = true;
    w->lock = gr_strfmt("%s.lock", w->dir);
    gr_status s = folder && w->lock ? gr_dir_make(folder) : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && again && i < TRIES; i++)
        s = try_lock(w, &again);
    if (s == GR_OK && again)
        s = gr_fail(GR_ERR_FILE, "%s: its name changes all the time\nfind out what else works there", w->lock);
    gr_free(folder);
    return s;
}

void gr_quant_unlock(gr_quant *w)
{
    if (w->lock_fd >= 0) {
        unlink(w->lock); /* while it is held: nobody else has it */
        close(w->lock_fd);
    }
    w->lock_fd = -1;
    gr_free(w->lock);
    w->lock = NULL;
}
