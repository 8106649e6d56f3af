/* One process a file: a lock (base/lock.h) on `.locks/.../HASH.lock`, which Hugging Face's tools take too. */
#include "hub/hub.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

gr_status gr_hub_lock_open(gr_hub_lock *l, const char *path, bool (*wait)(void *user, const char *who), void *user)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    char owner[200];
    for (;;) {
        *l = (gr_hub_lock){.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)};
        if (l->fd < 0)
            return gr_fail_errno("making", path);
        gr_lock_got got;
        while ((got = gr_lock_try(l->fd)) == GR_LOCK_TAKEN && gr_lock_is_named(l->fd, path)) {
            gr_lock_read_holder(l->fd, owner, sizeof owner);
            if (!wait(user, *owner ? owner : "another process")) {
                gr_hub_lock_close(l);
                return GR_ERR_INTERRUPTED;
            }
            nanosleep(&pause, NULL);
        }
        if (got == GR_LOCK_NONE)
            gr_remark(GR_LOG_INFO, "%s: this file system has no locks (%s)", path, strerror(errno));
        l->is_held = got == GR_LOCK_HELD;
        if (got == GR_LOCK_NONE || (l->is_held && gr_lock_is_named(l->fd, path)))
            break;
        gr_hub_lock_close(l);
    }
    if (l->is_held)
        gr_lock_write_holder(l->fd, "");
    return GR_OK;
}

/* The name stays: who removed it would let two others in. */
void gr_hub_lock_close(gr_hub_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
