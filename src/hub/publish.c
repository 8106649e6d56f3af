/* What has been fetched and verified gets its names: all at once where the snapshot is new. */
#include "hub/hub.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one file ----------------------------------------------------------------------------------------------- */

static gr_status copy(const char *from, const char *to)
{
    enum { BLOCK = 1 << 20 };
    gr_writer *w = gr_writer_open(to);
    int fd = w ? gr_read_open(from) : -1;
    char *buffer = fd >= 0 ? gr_alloc(BLOCK) : NULL;
    gr_status s = buffer ? GR_OK : gr_error_status();
    for (int64_t n = 1; s == GR_OK && n > 0;) {
        n = gr_read_full(fd, buffer, BLOCK);
        s = n < 0 ? gr_fail_errno("reading", from) : gr_writer_write(w, buffer, (size_t)n);
    }
    gr_free(buffer);
    if (fd >= 0)
        close(fd);
    if (s == GR_OK)
        return gr_writer_commit(w);
    gr_writer_cancel(w);
    return s;
}

/* One store of bytes, two names; where that cannot be, two stores. */
static gr_status link_or_copy(const char *from, const char *to)
{
    struct stat info;
    unlink(to);
    /* A blob may be a link itself; then its bytes belong to somebody else. */
    bool is_file = lstat(from, &info) == 0 && S_ISREG(info.st_mode);
    return is_file && link(from, to) == 0 ? GR_OK : copy(from, to);
}

/* "../../blobs/HASH", seen from where the file is. */
static char *target_of(const char *path, const char *hash)
{
    char up[3 * 64 + 1] = "";
    size_t n = 0;
    for (const char *p = path; *p && n + 3 < sizeof up; p++)
        if (*p == '/') {
            memcpy(up + n, "../", 4);
            n += 3;
        }
    return gr_strfmt("../../%sblobs/%s", up, hash);
}

static gr_status make_parent(const char *path)
{
    char *parent = gr_strfmt("%.*s", (int)(strrchr(path, '/') - path), path);
    gr_status s = parent ? gr_dir_make(parent) : GR_ERR_MEMORY;
    gr_free(parent);
    return s;
}

/* Is the file there, with as many bytes? */
static bool is_shown(const char *path, int64_t size)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == size;
}

/* dir: of the snapshot, or where it is made; durable: it can be seen. */
static gr_status show(const gr_hub_options *o, const gr_hub_file *f, const char *dir, const char *blobs, bool durable)
{
    char *path = gr_path_join(dir, f->path), *target = path ? target_of(f->path, f->hash) : NULL;
    char *blob = target ? gr_path_join(blobs, f->hash) : NULL;
    gr_status s = blob ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && !is_shown(path, f->size)) {
        if (!is_shown(blob, f->size))
            s = gr_fail(GR_ERR_FILE, "%s: has gone while others were fetched\nThe same command fetches it again.",
                        blob);
        if (s == GR_OK)
            s = make_parent(path);
        if (s == GR_OK && o->no_links)
            s = link_or_copy(blob, path);
        else if (s == GR_OK && durable)
            s = gr_link_write(path, target);
        else if (s == GR_OK && symlink(target, path) != 0)
            s = errno == EPERM || errno == ENOTSUP || errno == ENOSYS ? link_or_copy(blob, path)
                                                                      : gr_fail_errno("linking", path);
    }
    gr_free(blob);
    gr_free(target);
    gr_free(path);
    return s;
}

/* ---- a snapshot --------------------------------------------------------------------------------------------- */

/* What others are found by comes last. */
static int rank(const gr_hub_file *f)
{
    return strcmp(f->path, "config.json") == 0 ? 2 : gr_ends_with(f->path, ".index.json") ? 1 : 0;
}

static gr_status show_all(const gr_hub_options *o, const gr_hub_tree *t, const char *dir, const char *blobs,
                          bool durable)
{
    gr_status s = GR_OK;
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; s == GR_OK && i < t->n; i++)
            if (t->files[i].chosen && rank(&t->files[i]) == turn)
                s = show(o, &t->files[i], dir, blobs, durable);
    return s;
}

static gr_status make_snapshot(const gr_hub_options *o, const gr_hub_tree *t, const char *dir, const char *blobs)
{
    if (gr_path_is_dir(dir))
        return show_all(o, t, dir, blobs, true);
    gr_stage *stage = gr_stage_open(dir);
    gr_status s = stage ? show_all(o, t, gr_stage_path(stage), blobs, false) : gr_error_status();
    if (s == GR_OK)
        s = gr_stage_commit(stage);
    else
        gr_stage_cancel(stage);
    if (s == GR_ERR_FILE && gr_path_is_dir(dir)) /* another process was faster */
        s = show_all(o, t, dir, blobs, true);
    return s;
}

/* "refs/main" says the commit. */
static gr_status write_ref(const gr_hub_options *o, const gr_hub_name *name, const char *commit)
{
    char before[GR_COMMIT + 1], *folder = gr_hub_folder(o, name->repo);
    char *path = folder ? gr_strfmt("%s/refs/%s", folder, name->revision) : NULL;
    gr_status said = path ? gr_hub_commit(o, name, before) : GR_ERR_MEMORY, s = GR_OK;
    if (said == GR_ERR_MEMORY)
        s = said;
    else if (said != GR_OK || strcmp(before, commit) != 0) {
        s = make_parent(path);
        if (s == GR_OK)
            s = gr_file_write(path, commit, GR_COMMIT);
    }
    gr_free(path);
    gr_free(folder);
    return s;
}

gr_status gr_hub_publish(const gr_hub_options *o, const gr_hub_name *name, const char *commit, const gr_hub_tree *t)
{
    char *folder = gr_hub_folder(o, name->repo), *blobs = folder ? gr_path_join(folder, "blobs") : NULL;
    char *dir = blobs ? gr_hub_snapshot(o, name->repo, commit) : NULL;
    gr_status s = dir ? make_snapshot(o, t, dir, blobs) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = write_ref(o, name, commit);
    gr_free(dir);
    gr_free(blobs);
    gr_free(folder);
    return s;
}

/* ---- a directory of its own --------------------------------------------------------------------------------- */

gr_status gr_hub_place(const gr_hub_options *o, const gr_hub_tree *t, const char *blobs)
{
    gr_status s = GR_OK;
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; s == GR_OK && i < t->n; i++) {
            const gr_hub_file *f = &t->files[i];
            if (!f->chosen || rank(f) != turn)
                continue;
            char *path = gr_path_join(o->to, f->path), *blob = path ? gr_path_join(blobs, f->hash) : NULL;
            s = blob ? GR_OK : GR_ERR_MEMORY;
            if (s == GR_OK && !is_shown(path, f->size)) {
                s = make_parent(path);
                if (s == GR_OK)
                    s = link_or_copy(blob, path);
            }
            gr_free(blob);
            gr_free(path);
        }
    return s;
}
