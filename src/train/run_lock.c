/* One writer a run: a lock (base/lock.h) on RUN/run.lock. */
#include "train/run.h"

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NAME "run.lock"

struct gr_run_lock {
    int fd;
    char *dir, *path;
    size_t was_there; /* of dir: this much of the path was there before */
    char *record;     /* dir/run.json; NULL: it was there before */
};

/* The length of the part of the path that is there. */
static size_t length_there(char *path)
{
    size_t there = 0;
    for (size_t i = 1; i <= strlen(path); i++) {
        char old = path[i];
        if (old != '/' && old != '\0')
            continue;
        path[i] = '\0';
        there = gr_path_is_dir(path) ? i : there;
        path[i] = old;
    }
    return there;
}

/* Takes the folders away again that were made here, as far as they are empty. */
static void remove_made(gr_run_lock *l)
{
    for (size_t n = strlen(l->dir); n > l->was_there; n--) {
        if (l->dir[n] != '\0' && l->dir[n] != '/')
            continue;
        l->dir[n] = '\0';
        if (rmdir(l->dir) != 0 && errno != ENOENT)
            break;
    }
}

/* A run that never made a step leaves nothing that would stand in the way of the next try. */
static void forget_start(const gr_run_lock *l)
{
    gr_kept_error error;
    gr_run_state state;
    int64_t step;
    gr_error_keep(&error);
    if (l->record && gr_path_is_file(l->record) && gr_run_look(l->dir, &state, &step) == GR_OK && state == GR_RUN_NONE)
        unlink(l->record);
    gr_error_put_back(&error);
}

/* ---- who has it --------------------------------------------------------------------------------------------- */

static void write_holder(const gr_run_lock *l)
{
    char since[60] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(since, sizeof since, " since %Y-%m-%d %H:%M:%S UTC", &utc);
    gr_lock_write_holder(l->fd, since);
}

static gr_status refuse(const gr_run_lock *l)
{
    char text[400];
    gr_lock_read_holder(l->fd, text, sizeof text);
    return gr_fail(GR_ERR_ARGUMENT,
                   "%s: another process writes this run: %s\nwait for its end or end it, or train elsewhere: nothing "
                   "was touched",
                   l->dir, *text ? text : "one that has just begun");
}

/* ---- taking it ---------------------------------------------------------------------------------------------- */

/* One try. *again: somebody ended at the same moment. */
static gr_status try_lock(gr_run_lock *l, bool *again)
{
    gr_status s = gr_dir_make(l->dir);
    if (s != GR_OK)
        return s;
    l->fd = open(l->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    *again = l->fd < 0 && (errno == ENOENT || errno == EINTR);
    if (l->fd < 0)
        return *again ? GR_OK : gr_fail_errno("making", l->path);
    gr_lock_got got = gr_lock_try(l->fd);
    if (got == GR_LOCK_TAKEN)
        return refuse(l);
    if (got == GR_LOCK_NONE)
        gr_remark(GR_LOG_WARN, "%s: this file system has no locks (%s): see to it that nothing else writes the run",
                  l->dir, strerror(errno));
    *again = !gr_lock_is_named(l->fd, l->path); /* who ends a run removes it */
    return GR_OK;
}

gr_run_lock *gr_run_lock_open(const char *dir)
{
    enum { TRIES = 1000 };
    if (gr_lacks(dir, "gr_run_lock_open: dir"))
        return NULL;
    gr_run_lock *l = gr_alloc_zero(1, sizeof *l);
    if (!l)
        return NULL;
    l->fd = -1;
    l->dir = gr_strdup(dir);
    l->path = l->dir ? gr_path_join(dir, NAME) : NULL;
    l->record = l->path ? gr_path_join(dir, "run.json") : NULL;
    gr_status s = l->record ? GR_OK : GR_ERR_MEMORY;
    bool again = s == GR_OK;
    l->was_there = again ? length_there(l->dir) : 0;
    for (int i = 0; s == GR_OK && again && i < TRIES; i++) {
        if (l->fd >= 0)
            close(l->fd);
        s = try_lock(l, &again);
    }
    if (s == GR_OK && again)
        s = gr_fail(GR_ERR_FILE, "%s: its name changes all the time\nfind out what else works there", l->path);
    if (s == GR_OK) {
        write_holder(l);
        if (gr_path_is_file(l->record)) {
            gr_free(l->record);
            l->record = NULL;
        }
        return l;
    }
    if (l->fd >= 0)
        close(l->fd);
    else if (l->path)
        remove_made(l);
    gr_free(l->record);
    gr_free(l->path);
    gr_free(l->dir);
    gr_free(l);
    return NULL;
}

void gr_run_lock_close(gr_run_lock *l)
{
    if (!l)
        return;
    forget_start(l);
    unlink(l->path); /* while it is held: nobody else has it */
    close(l->fd);
    remove_made(l);
    gr_free(l->record);
    gr_free(l->path);
    gr_free(l->dir);
    gr_free(l);
}
