/* The name that a GGUF file gets last: hidden names, a lock, and what killed processes left. */
#include "model/files/gguf_save.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

#define HIDDEN ".new"
#define END ".gguf"

static gr_status check_free(const char *path)
{
    if (gr_path_is_file(path) || gr_path_is_dir(path))
        return gr_fail(GR_ERR_ARGUMENT, "it is there already\nchoose another name, or remove it");
    return GR_OK;
}

/* The folder of a path, its name there, and what else is in it; caller frees. */
static gr_status list_folder(const char *path, char **folder, const char **name, char ***names, size_t *n)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    *folder = slash ? gr_strfmt("%.*s", (int)(slash + 1 - path), path) : gr_strdup(".");
    return *folder ? gr_dir_list(*folder, names, n) : GR_ERR_MEMORY;
}

/* Whoever has the lock may remove "m.gguf.new.gguf" and "m.gguf.new-00001-of-00003.gguf". */
static gr_status remove_left(const gr_gguf_place *p)
{
    const char *name;
    char *folder, **names = NULL;
    size_t n = 0;
    gr_status s = list_folder(p->hidden, &folder, &name, &names, &n);
    size_t stem = strlen(name) - strlen(END);
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        bool is_left = strncmp(names[i], name, stem) == 0 && (names[i][stem] == '.' || names[i][stem] == '-') &&
                       gr_gguf_is_name(names[i]);
        char *path = is_left ? gr_path_join(folder, names[i]) : NULL;
        if (is_left)
            s = path ? gr_dir_remove(path) : GR_ERR_MEMORY;
        gr_free(path);
    }
    gr_names_free(names, n);
    gr_free(folder);
    return s;
}

gr_status gr_gguf_no_arch(const gr_model *m)
{
    return gr_fail(GR_ERR_UNSUPPORTED, "GGUF files of %s models are not known here", m->arch->model_type);
}

gr_status gr_gguf_place_open(gr_gguf_place *p, const char *path)
{
    *p = (gr_gguf_place){.path = path, .parts = 1, .lock = GR_NO_WRITE_LOCK};
    if (!gr_gguf_is_name(path))
        return gr_fail(GR_ERR_ARGUMENT, "the name of a GGUF file must end in .gguf");
    gr_status s = check_free(path);
    if (s != GR_OK)
        return s;
    p->hidden = gr_strfmt("%s" HIDDEN END, path);
    s = p->hidden ? gr_write_lock_take(&p->lock, gr_strfmt("%s.lock", p->hidden)) : GR_ERR_MEMORY;
    if (s == GR_OK) /* who had the lock until now has written it */
        s = check_free(path);
    return s == GR_OK ? remove_left(p) : s;
}

gr_status gr_gguf_place_parts(gr_gguf_place *p, int parts)
{
    char **names = NULL, *folder = NULL;
    const char *name;
    size_t n = 0;
    p->parts = parts;
    gr_status s = parts > 1 ? list_folder(p->path, &folder, &name, &names, &n) : GR_OK;
    for (size_t i = 0; s == GR_OK && i < n; i++)
        if (gr_gguf_is_part(names[i], name)) /* of however many: two sets of one name are told apart by nobody */
            s = gr_fail(GR_ERR_ARGUMENT, "%s is there already\nchoose another name, or remove it", names[i]);
    gr_names_free(names, n);
    gr_free(folder);
    return s;
}

/* Part i gets its name, or loses one of them. */
static gr_status move_part(const gr_gguf_place *p, int i)
{
    char *from = gr_gguf_part_path(p->hidden, i, p->parts), *to = gr_gguf_part_path(p->path, i, p->parts);
    gr_status s = from && to ? gr_path_move(from, to) : GR_ERR_MEMORY;
    gr_free(from);
    gr_free(to);
    return s;
}

static void remove_part(const char *path, int i, int parts)
{
    char *name = gr_gguf_part_path(path, i, parts);
    if (name)
        gr_dir_remove(name);
    gr_free(name);
}

gr_status gr_gguf_place_close(gr_gguf_place *p, gr_status s)
{
    int left = p->parts; /* the first one, by whose name all are opened, comes last */
    while (s == GR_OK && left > 0)
        s = move_part(p, --left);
    gr_kept_error kept;
    gr_error_keep(&kept);
    for (int i = 0; s != GR_OK && p->lock.fd >= 0 && i < p->parts; i++) {
        remove_part(p->hidden, i, p->parts);
        if (i >= left) /* one that could not be moved may have both names */
            remove_part(p->path, i, p->parts);
    }
    gr_error_put_back(&kept);
    gr_write_lock_release(&p->lock);
    gr_free(p->hidden);
    *p = (gr_gguf_place){.lock = GR_NO_WRITE_LOCK};
    return s;
}
