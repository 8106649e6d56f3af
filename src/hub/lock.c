/* One process a file: a lock of the system on `.locks/.../HASH.lock`, which Hugging Face's tools take too. It ends with the
 * process, however that ends. */
#include "hub/hub.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* For people who wonder who has it. */
static void write_owner(int fd)
{
    char text[200], host[128] = "";
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)n, 0);
}

static void read_owner(int fd, char *out, size_t cap)
{
    char raw[200];
    ssize_t n = pread(fd, raw, sizeof raw, 0);
    snprintf(out, cap, "another process");
    if (n > 0)
        gr_printable(raw, strcspn(raw, "\n") < (size_t)n ? strcspn(raw, "\n") : (size_t)n, out, cap);
}

/* Is the name still that of the file that was opened? Some tools remove locks. */
static bool is_named(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* One try: 1 it is held, 0 somebody has it, -1 there are no locks here. */
static int try_lock(int fd)
{
    int result;
    do
        result = flock(fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 1 : errno == EWOULDBLOCK ? 0 : -1;
}

gr_status gr_hub_lock_open(gr_hub_lock *l, const char *path, bool (*wait)(void *user, const char *who), void *user)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    char owner[200];
    for (;;) {
        *l = (gr_hub_lock){.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)};
        if (l->fd < 0)
            return gr_fail_errno("making", path);
        int got;
        while ((got = try_lock(l->fd)) == 0 && is_named(l->fd, path)) {
            read_owner(l->fd, owner, sizeof owner);
            if (!wait(user, owner)) {
                gr_hub_lock_close(l);
                return GR_ERR_INTERRUPTED;
            }
            nanosleep(&pause, NULL);
        }
        if (got < 0)
            gr_remark(GR_LOG_INFO, "%s: this file system has no locks (%s)", path, strerror(errno));
        l->is_held = got > 0;
        if (got < 0 || (got > 0 && is_named(l->fd, path)))
            break;
        gr_hub_lock_close(l);
    }
    if (l->is_held)
        write_owner(l->fd);
    return GR_OK;
}

/* The name stays: who removed it would let two others in. */
void gr_hub_lock_close(gr_hub_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
