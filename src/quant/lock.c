/* One writer a file. The right to write FILE is a lock of the system (flock) on FILE.quantizing.lock: it ends with the process
 * that has it, however that ends. It lies beside the folder, which is removed and made anew while it is held. */
#include "quant/quant.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_holder(int fd)
{
    char text[200], host[128] = "";
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)n, 0); /* the lock is what counts, not what is said of it */
}

static gr_status refuse(int fd)
{
    char raw[200], text[400] = "";
    ssize_t n = pread(fd, raw, sizeof raw - 1, 0);
    if (n > 0) {
        raw[n] = '\0';
        gr_printable(raw, strcspn(raw, "\n"), text, sizeof text);
    }
    return gr_fail(GR_ERR_ARGUMENT,
                   "another process writes it: %s\nwait for its end or end it, or choose another name: nothing was "
                   "touched",
                   *text ? text : "one that has just begun");
}

/* Is the name still that of the file that was opened? Who ends removes it. */
static bool is_named(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* One try. *again: somebody ended at the same moment. */
static gr_status try_lock(gr_quant *w, bool *again)
{
    int fd = open(w->lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666), result;
    *again = false;
    if (fd < 0)
        return gr_fail_errno("making", w->lock);
    do
        result = flock(fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    gr_status s = result != 0 && errno == EWOULDBLOCK ? refuse(fd) : GR_OK;
    if (s == GR_OK && result != 0)
        gr_remark(GR_LOG_WARN, "%s: this file system has no locks (%s): see to it that nothing else writes the file",
                  w->lock, strerror(errno));
    *again = s == GR_OK && !is_named(fd, w->lock);
    if (s != GR_OK || *again) {
        close(fd);
        return s;
    }
    write_holder(fd);
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
