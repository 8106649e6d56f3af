/* Writing. What has its final name is complete and on the disk: bytes go to a temporary name in the same folder, are
 * made durable, and get the name in one step. The temporary is locked (flock) while its maker lives, so leftovers of a
 * killed process can be told from work in progress. A node that is no file, as a pipe, is never replaced. */
#include "base/file.h"

#include "base/error.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024 };
static const char temporary[] = ".tmp-"; /* ".NAME.tmp-PID-N" */
enum { NAME_PART = 200 };                /* bytes of NAME at most: a file's whole name may have 255 */

static atomic_llong fail_at;

int64_t gr_file_fail_at(int64_t n)
{
    long long left = atomic_exchange(&fail_at, (long long)n);
    return left > 0 ? left : 0;
}

/* True when a test wants just this write, fsync or rename to fail. */
static bool refused(void)
{
    if (atomic_load(&fail_at) <= 0 || atomic_fetch_sub(&fail_at, 1) != 1)
        return false;
    errno = ENOSPC;
    return true;
}

/* ---- the three system calls --------------------------------------------------------------------------------- */

gr_status gr_fd_write(int fd, const char *path, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size > 0) {
        /* Linux moves at most 2 GiB a call; macOS refuses more. */
        ssize_t n = refused() ? -1 : write(fd, p, size < (1u << 30) ? size : (1u << 30));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gr_fail_errno("writing", path);
        p += n;
        size -= (size_t)n;
    }
    return GR_OK;
}

static int sync_once(int fd)
{
#ifdef F_FULLFSYNC
    if (fcntl(fd, F_FULLFSYNC) == 0) /* macOS's fsync stops at the drive's cache */
        return 0;
#endif
    return fsync(fd);
}

gr_status gr_fd_sync(int fd, const char *path)
{
    int result;
    do
        result = refused() ? -1 : sync_once(fd);
    while (result != 0 && errno == EINTR);
    /* Some file systems have nothing to sync for a folder, and say so. */
    return result == 0 || errno == EINVAL || errno == ENOTSUP ? GR_OK : gr_fail_errno("writing to disk", path);
}

static gr_status sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return gr_fail_errno("writing to disk", path);
    gr_status status = gr_fd_sync(fd, path);
    close(fd);
    return status;
}

/* The folder that `path` is in, as a new string. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return gr_strdup(".");
    return slash == path ? gr_strdup("/") : gr_strfmt("%.*s", (int)(slash - path), path);
}

/* ---- temporaries: what a writer and a stage have in common -------------------------------------------------- */

typedef struct temp {
    int fd; /* open and locked while the temporary exists */
    char *final, *parent, *path;
} temp;

static void temp_free(temp *t)
{
    gr_free(t->final);
    gr_free(t->parent);
    gr_free(t->path);
}

/* The lock was free and the name still means what was made: no gr_dir_sweep came in between. */
static bool temp_lock(const temp *t)
{
    struct stat open_one, named_one;
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return false; /* other failures: a file system without locks, where nobody sweeps */
    return fstat(t->fd, &open_one) == 0 && lstat(t->path, &named_one) == 0 && open_one.st_ino == named_one.st_ino &&
           open_one.st_dev == named_one.st_dev;
}

/* Makes the file or folder t->path and opens it; -1 with errno. */
static int temp_make(const char *path, bool folder)
{
    if (!folder)
        return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (mkdir(path, 0777) != 0)
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        rmdir(path);
        errno = error;
    }
    return fd;
}

static gr_status temp_open(temp *t, const char *final, bool folder)
{
    static atomic_uint counter;
    enum { TRIES = 1000 };
    *t = (temp){.fd = -1, .final = gr_strdup(final)};
    t->parent = t->final ? parent_of(final) : NULL;
    if (!t->parent)
        return GR_ERR_MEMORY;
    const char *slash = strrchr(final, '/'), *name = slash ? slash + 1 : final;
    for (int i = 0; i < TRIES; i++) {
        gr_free(t->path);
        t->path = gr_strfmt("%s/.%.*s%s%ld-%u", t->parent, NAME_PART, name, temporary, (long)getpid(),
                            atomic_fetch_add(&counter, 1));
        if (!t->path)
            return GR_ERR_MEMORY;
        t->fd = temp_make(t->path, folder);
        if (t->fd < 0 && errno != EEXIST && errno != EINTR)
            return gr_fail_errno("making", final);
        if (t->fd >= 0 && temp_lock(t))
            return GR_OK;
        if (t->fd >= 0)
            close(t->fd);
        t->fd = -1;
    }
    return gr_fail(GR_ERR_FILE, "making %s: no temporary name is free\nremove the files with \"%s\" in their names",
                   final, temporary);
}

static void temp_discard(temp *t)
{
    if (t->fd >= 0) {
        if (t->path)
            unlinkat(AT_FDCWD, t->path, 0);
        close(t->fd);
    }
    temp_free(t);
}

static gr_status temp_rename(const temp *t)
{
    return !refused() && rename(t->path, t->final) == 0 ? GR_OK : gr_fail_errno("naming", t->final);
}

/* ---- writer ------------------------------------------------------------------------------------------------- */

struct gr_writer {
    temp temp;
    gr_status status; /* of the first write that failed; the rest is not written */
    size_t used;
    uint8_t buffer[BUFFER]; /* gathers small writes */
};

/* A file that is replaced keeps its permissions. */
static void keep_mode(const temp *t)
{
    struct stat old;
    if (stat(t->final, &old) == 0 && S_ISREG(old.st_mode))
        (void)!fchmod(t->fd, old.st_mode & 07777);
}

/* What the link `path` leads to in the end, there or not; caller frees. NULL: no memory, or a circle. */
static char *end_of_links(const char *path)
{
    enum { MOST_LINKS = 40, LONGEST = 4096 };
    char *at = gr_strdup(path), target[LONGEST];
    for (int i = 0; at && i < MOST_LINKS; i++) {
        ssize_t n = readlink(at, target, sizeof target);
        if (n < 0 || n == LONGEST)
            return at; /* no link, or what follows tells */
        char *parent = target[0] == '/' ? gr_strdup("") : parent_of(at);
        char *next = parent ? gr_strfmt("%s%s%.*s", parent, *parent ? "/" : "", (int)n, target) : NULL;
        gr_free(parent);
        gr_free(at);
        at = next;
    }
    if (at) {
        errno = ELOOP;
        gr_fail_errno("writing", path);
    }
    gr_free(at);
    return NULL;
}

/* Opens a node that is there and no file, to write to it as it is. */
static gr_status open_node(temp *t, const char *path, mode_t mode)
{
    *t = (temp){.fd = -1, .final = gr_strdup(path)};
    if (!t->final)
        return GR_ERR_MEMORY;
    if (S_ISBLK(mode))
        return gr_fail(GR_ERR_FILE, "writing %s: it is a block device\nname a file", path);
    t->fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    return t->fd >= 0 ? GR_OK : gr_fail_errno("opening", path);
}

/* The temporary of a file, or the node itself. */
static gr_status open_target(temp *t, const char *path)
{
    struct stat is, led_to;
    bool there = stat(path, &is) == 0;
    *t = (temp){.fd = -1};
    if (there && !S_ISREG(is.st_mode) && !S_ISDIR(is.st_mode))
        return open_node(t, path, is.st_mode);
    bool is_link = lstat(path, &led_to) == 0 && S_ISLNK(led_to.st_mode);
    char *end = is_link ? end_of_links(path) : NULL;
    if (is_link && !end)
        return gr_error_status();
    /* /dev/stdout may lead to a file whose name is gone. */
    bool lost =
        is_link && there && (stat(end, &led_to) != 0 || led_to.st_ino != is.st_ino || led_to.st_dev != is.st_dev);
    gr_status status = lost ? open_node(t, path, is.st_mode) : temp_open(t, end ? end : path, false);
    gr_free(end);
    if (status == GR_OK && t->path)
        keep_mode(t);
    return status;
}

gr_writer *gr_writer_open(const char *path)
{
    gr_writer *w = gr_alloc(sizeof *w);
    if (!w)
        return NULL;
    w->used = 0;
    w->status = GR_OK;
    if (open_target(&w->temp, path) != GR_OK) {
        temp_free(&w->temp);
        gr_free(w);
        return NULL;
    }
    return w;
}

static gr_status flush(gr_writer *w)
{
    if (w->status == GR_OK && w->used > 0)
        w->status = gr_fd_write(w->temp.fd, w->temp.final, w->buffer, w->used);
    w->used = 0;
    return w->status;
}

gr_status gr_writer_write(gr_writer *w, const void *data, size_t size)
{
    if (size > BUFFER - w->used && flush(w) != GR_OK)
        return w->status;
    if (size > BUFFER) {
        if (w->status == GR_OK)
            w->status = gr_fd_write(w->temp.fd, w->temp.final, data, size);
        return w->status;
    }
    if (size > 0)
        memcpy(w->buffer + w->used, data, size);
    w->used += size;
    return w->status;
}

gr_status gr_writer_commit(gr_writer *w)
{
    temp *t = &w->temp;
    gr_status status = flush(w);
    if (status == GR_OK)
        status = gr_fd_sync(t->fd, t->final);
    if (status == GR_OK && t->path)
        status = temp_rename(t);
    if (status != GR_OK) {
        gr_writer_cancel(w);
        return status;
    }
    close(t->fd);
    if (t->path)
        status = sync_path(t->parent);
    temp_free(t);
    gr_free(w);
    return status;
}

void gr_writer_cancel(gr_writer *w)
{
    if (!w)
        return;
    temp_discard(&w->temp);
    gr_free(w);
}

gr_status gr_file_write(const char *path, const void *data, size_t size)
{
    gr_writer *w = gr_writer_open(path);
    if (!w)
        return gr_error_status();
    gr_writer_write(w, data, size); /* commit tells of its failure */
    return gr_writer_commit(w);
}

gr_status gr_file_append(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return gr_fail_errno("opening", path);
    struct stat info;
    bool whole = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    gr_status status = gr_fd_write(fd, path, data, size);
    if (status != GR_OK && whole)
        (void)!ftruncate(fd, info.st_size);                  /* half a line would spoil what is read back */
    if (close(fd) != 0 && status == GR_OK && errno != EINTR) /* network file systems may tell only now */
        status = gr_fail_errno("writing", path);
    return status;
}

/* ---- leftovers ---------------------------------------------------------------------------------------------- */

/* ".NAME.tmp-PID-N", with digits for PID and N. */
static bool is_temporary_name(const char *name)
{
    const char *mark = NULL;
    for (const char *p = strstr(name, temporary); p; p = strstr(p + 1, temporary))
        mark = p;
    if (name[0] != '.' || !mark)
        return false;
    const char *pid = mark + sizeof temporary - 1, *end = pid + strspn(pid, "0123456789");
    if (end == pid || *end != '-')
        return false;
    size_t digits = strspn(end + 1, "0123456789");
    return digits > 0 && end[1 + digits] == '\0';
}

/* Those whose names begin with `prefix`. */
static gr_status sweep(const char *path, const char *prefix)
{
    char **names;
    size_t count;
    gr_status status = gr_dir_list(path, &names, &count);
    for (size_t i = 0; i < count && status == GR_OK; i++) {
        if (!is_temporary_name(names[i]) || strncmp(names[i], prefix, strlen(prefix)) != 0)
            continue;
        char *full = gr_path_join(path, names[i]);
        int fd = full ? open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (!full)
            status = GR_ERR_MEMORY;
        else if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) /* nobody holds it: its maker is gone */
            status = gr_dir_remove(full);
        if (fd >= 0)
            close(fd);
        gr_free(full);
    }
    gr_names_free(names, count);
    return status;
}

gr_status gr_dir_sweep(const char *path)
{
    return sweep(path, "");
}

/* ---- stage -------------------------------------------------------------------------------------------------- */

struct gr_stage {
    temp temp;
};

char *gr_path_trimmed(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && (path[n - 1] == '/' || (n > 2 && path[n - 1] == '.' && path[n - 2] == '/')))
        n--;
    return gr_strfmt("%.*s", (int)n, path);
}

static gr_status check_absent(const char *path)
{
    struct stat info;
    if (lstat(path, &info) == 0)
        return gr_fail(GR_ERR_FILE, "making %s: there is something of that name\nchoose another name, or remove it",
                       path);
    return GR_OK;
}

/* What killed processes left of the same folder. That it cannot be removed is no reason not to make a new one. */
static gr_status sweep_stages(const char *parent, const char *final)
{
    const char *slash = strrchr(final, '/');
    char *prefix = gr_strfmt(".%.*s%s", NAME_PART, slash ? slash + 1 : final, temporary);
    gr_status status = prefix ? sweep(parent, prefix) : GR_ERR_MEMORY;
    gr_free(prefix);
    return status == GR_ERR_MEMORY ? status : GR_OK;
}

gr_stage *gr_stage_open(const char *final_path)
{
    gr_stage *s = gr_alloc_zero(1, sizeof *s);
    char *final = s ? gr_path_trimmed(final_path) : NULL;
    char *parent = final ? parent_of(final) : NULL;
    gr_status status = parent ? check_absent(final) : GR_ERR_MEMORY;
    if (status == GR_OK)
        status = gr_dir_make(parent);
    if (status == GR_OK)
        status = sweep_stages(parent, final);
    if (status == GR_OK && (status = temp_open(&s->temp, final, true)) != GR_OK)
        temp_free(&s->temp);
    gr_free(parent);
    gr_free(final);
    if (status == GR_OK)
        return s;
    gr_free(s);
    return NULL;
}

const char *gr_stage_path(const gr_stage *s)
{
    return s->temp.path;
}

/* Syncs all files and folders below `path`, and itself: not everything in it need have come from a writer. */
static gr_status sync_tree(const char *path)
{
    char **names;
    size_t count;
    gr_status status = gr_dir_list(path, &names, &count);
    if (status != GR_OK)
        return status;
    for (size_t i = 0; i < count && status == GR_OK; i++) {
        char *inner = gr_path_join(path, names[i]);
        struct stat info;
        if (!inner)
            status = GR_ERR_MEMORY;
        else if (lstat(inner, &info) == 0 && S_ISDIR(info.st_mode))
            status = sync_tree(inner);
        else if (S_ISREG(info.st_mode)) /* a link lives in its folder */
            status = sync_path(inner);
        gr_free(inner);
    }
    gr_names_free(names, count);
    return status == GR_OK ? sync_path(path) : status;
}

gr_status gr_stage_commit(gr_stage *s)
{
    temp *t = &s->temp;
    gr_status status = sync_tree(t->path);
    if (status == GR_OK)
        status = check_absent(t->final); /* rename would replace an empty folder */
    if (status == GR_OK)
        status = temp_rename(t);
    if (status != GR_OK) {
        gr_stage_cancel(s);
        return status;
    }
    status = sync_path(t->parent);
    if (status != GR_OK)
        (void)!rename(t->final, t->path); /* not durable is not committed */
    if (status != GR_OK) {
        gr_stage_cancel(s);
        return status;
    }
    close(t->fd);
    temp_free(t);
    gr_free(s);
    return GR_OK;
}

/* gr_dir_remove, but the thread keeps the error it has: that is why this is cleaned up. */
static void remove_quietly(const char *path)
{
    gr_kept_error error;
    gr_error_keep(&error);
    if (gr_dir_remove(path) != GR_OK && error.status != GR_OK)
        gr_error_put_back(&error);
}

void gr_stage_cancel(gr_stage *s)
{
    if (!s)
        return;
    remove_quietly(s->temp.path);
    close(s->temp.fd);
    temp_free(&s->temp);
    gr_free(s);
}

/* ---- names -------------------------------------------------------------------------------------------------- */

gr_status gr_path_move(const char *from, const char *to)
{
    char *old = parent_of(from), *new = parent_of(to);
    gr_status status = old && new ? GR_OK : GR_ERR_MEMORY;
    if (status == GR_OK && (refused() || rename(from, to) != 0))
        status = gr_fail_errno("renaming", from);
    if (status == GR_OK)
        status = sync_path(new);
    if (status == GR_OK && strcmp(old, new) != 0)
        status = sync_path(old);
    gr_free(old);
    gr_free(new);
    return status;
}

gr_status gr_link_write(const char *path, const char *target)
{
    /* A link cannot be locked, so it is made in a temporary folder, which can, and for whose leftovers there is a
     * gr_dir_sweep. */
    temp t;
    gr_status status = temp_open(&t, path, true);
    char *made = status == GR_OK ? gr_path_join(t.path, "link") : NULL;
    if (status == GR_OK && !made)
        status = GR_ERR_MEMORY;
    if (status == GR_OK && (refused() || symlink(target, made) != 0))
        status = gr_fail_errno("linking", path);
    if (status == GR_OK && (refused() || rename(made, path) != 0)) {
        status = gr_fail_errno("naming", path);
        unlink(made);
    }
    if (t.fd >= 0) {
        rmdir(t.path);
        close(t.fd);
    }
    if (status == GR_OK)
        status = sync_path(t.parent);
    gr_free(made);
    temp_free(&t);
    return status;
}

gr_status gr_link_read(const char *path, char *target, size_t cap)
{
    ssize_t n = readlink(path, target, cap);
    if (n < 0)
        return gr_fail_errno("reading", path);
    if ((size_t)n >= cap)
        return gr_fail(GR_ERR_FILE, "reading %s: the link's target is longer than %zu bytes\nuse a shorter name", path,
                       cap - 1);
    target[n] = '\0';
    return GR_OK;
}
