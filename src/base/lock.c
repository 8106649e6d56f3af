/* Locks of the system on files. */
#include "base/lock.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

gr_lock_got gr_lock_try(int fd)
{
    int result;
    do
        result = flock(fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    return result == 0 ? GR_LOCK_HELD : errno == EWOULDBLOCK ? GR_LOCK_TAKEN : GR_LOCK_NONE;
}

bool gr_lock_is_named(int fd, const char *path)
{
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

void gr_lock_write_holder(int fd, const char *more)
{
    char text[400], host[128] = "";
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "process %ld on %s%s\n", (long)getpid(), host, more);
    if (n > 0 && (size_t)n < sizeof text && ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)n, 0);
}

void gr_lock_read_holder(int fd, char *out, size_t cap)
{
    char raw[400];
    ssize_t n = pread(fd, raw, sizeof raw - 1, 0);
    *out = '\0';
    if (n > 0) {
        raw[n] = '\0';
        gr_printable(raw, strcspn(raw, "\n"), out, cap);
    }
}

/* ---- the right to write a file ------------------------------------------------------------------------------ */

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
static gr_status try_to_write(gr_write_lock *l, bool *again)
{
    int fd = open(l->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    *again = false;
    if (fd < 0)
        return gr_fail_errno("making", l->path);
    gr_lock_got got = gr_lock_try(fd);
    gr_status s = got == GR_LOCK_TAKEN ? refuse(fd) : GR_OK;
    if (got == GR_LOCK_NONE)
        gr_remark(GR_LOG_WARN, "%s: this file system has no locks (%s): see to it that nothing else writes the file",
                  l->path, strerror(errno));
    *again = s == GR_OK && !gr_lock_is_named(fd, l->path);
    if (s != GR_OK || *again) {
        close(fd);
        return s;
    }
    gr_lock_write_holder(fd, "");
    l->fd = fd;
    return GR_OK;
}

gr_status gr_write_lock_take(gr_write_lock *l, char *path)
{
    enum { TRIES = 1000 };
    *l = (gr_write_lock){path, -1};
    if (!path)
        return GR_ERR_MEMORY;
    const char *slash = strrchr(path, '/');
    char *folder = slash && slash > path ? gr_strfmt("%.*s", (int)(slash - path), path) : gr_strdup(".");
    bool again = true;
    gr_status s = folder ? gr_dir_make(folder) : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && again && i < TRIES; i++)
        s = try_to_write(l, &again);
    if (s == GR_OK && again)
        s = gr_fail(GR_ERR_FILE, "%s: its name changes all the time\nfind out what else works there", path);
    gr_free(folder);
    return s;
}

void gr_write_lock_release(gr_write_lock *l)
{
    if (l->path && l->fd >= 0) {
        unlink(l->path); /* while it is held: nobody else has it */
        close(l->fd);
    }
    gr_free(l->path);
    *l = GR_NO_WRITE_LOCK;
}
