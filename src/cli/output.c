/* What stands where a verb wants to write, and whether it may. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "cli/output.h"

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The folder that `path` is in; caller frees. */
static char *folder_of(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    return length ? gr_strfmt("%.*s", (int)length, path) : gr_strdup(".");
}

/* ---- a file ------------------------------------------------------------------------------------------------- */

/* Is it `path`, or an entry of that directory? */
static gr_status is_read(const char *path, const struct stat *it, bool *out)
{
    struct stat input;
    char **names;
    size_t n;
    *out = false;
    if ((strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &input) : stat(path, &input)) != 0)
        return GR_OK; /* whoever reads it tells */
    if (!S_ISDIR(input.st_mode)) {
        *out = is_same(&input, it);
        return GR_OK;
    }
    gr_status s = gr_dir_list(path, &names, &n);
    if (s != GR_OK)
        return s;
    for (size_t i = 0; s == GR_OK && !*out && i < n; i++) {
        char *entry = gr_path_join(path, names[i]);
        s = entry ? GR_OK : GR_ERR_MEMORY;
        *out = entry && stat(entry, &input) == 0 && is_same(&input, it);
        gr_free(entry);
    }
    gr_names_free(names, n);
    return s;
}

/* Is it one of the files of a checkpoint, whose checksums would no longer be right? */
static gr_status is_in_checkpoint(const char *path, bool *out)
{
    char *folder = folder_of(path), *sums = folder ? gr_path_join(folder, "checksums.json") : NULL;
    *out = sums && gr_path_is_file(sums);
    gr_free(folder);
    gr_free(sums);
    return sums ? GR_OK : GR_ERR_MEMORY;
}

static gr_status check_foreign(gr_args *args, const char *flag, const char *path, gr_is_own is_own)
{
    char head[GR_HEAD];
    bool sealed;
    gr_status s = is_in_checkpoint(path, &sealed);
    if (s != GR_OK)
        return s;
    if (sealed)
        return gr_args_fail(args, "--%s: %s belongs to a model whose checksums are beside it\nName another file.", flag,
                            path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, head, sizeof head) : -1;
    if (got < 0)
        s = gr_fail_errno("opening", path);
    if (fd >= 0)
        close(fd);
    if (s == GR_OK && got > 0 && !is_own(head, (size_t)got))
        s = gr_args_fail(args, "--%s: %s is there, and gradus %s has not made it\nName another file, or remove it.",
                         flag, path, args->verb->name);
    return s;
}

/* What would fail after hours of work fails now. */
static gr_status check_folder(const char *flag, const char *path)
{
    char *folder = folder_of(path);
    gr_status s = folder ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && !gr_path_is_dir(folder) && access(folder, F_OK) == 0)
        s = gr_fail(GR_ERR_FILE, "--%s: %s cannot be made: %s is no folder\nName a file in a folder that is there.",
                    flag, path, folder);
    else if (s == GR_OK && !gr_path_is_dir(folder))
        s = gr_fail(GR_ERR_FILE, "--%s: %s cannot be made: there is no folder %s\nMake it first, or name another.",
                    flag, path, folder);
    else if (s == GR_OK && access(folder, W_OK) != 0)
        s = gr_fail_errno("making", path);
    gr_free(folder);
    return s;
}

gr_status gr_check_output_file(gr_args *args, const char *flag, const char *path, const char *const *inputs, size_t n,
                               gr_is_own is_own)
{
    struct stat it;
    if (!*path)
        return gr_args_fail(args, "--%s: the name is empty\nName a file.", flag);
    if (stat(path, &it) != 0)
        return check_folder(flag, path);
    if (S_ISDIR(it.st_mode))
        return gr_args_fail(args, "--%s: %s is a directory\nGive the name of a file in it.", flag, path);
    if (S_ISBLK(it.st_mode))
        return gr_args_fail(args, "--%s: %s is a block device\nName a file.", flag, path);
    if (!S_ISREG(it.st_mode))
        return GR_OK;
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        gr_status s = inputs[i] ? is_read(inputs[i], &it, &found) : GR_OK;
        if (s != GR_OK)
            return s;
        if (found)
            return gr_args_fail(args, "--%s: %s is what is read (%s)\nName another file.", flag, path, inputs[i]);
    }
    gr_status s = check_foreign(args, flag, path, is_own);
    return s == GR_OK ? check_folder(flag, path) : s;
}

/* ---- a folder ----------------------------------------------------------------------------------------------- */

gr_status gr_check_output_folder(gr_args *args, const char *flag, const char *path)
{
    struct stat it;
    char **names;
    size_t n;
    if (!*path)
        return gr_args_fail(args, "--%s: the name is empty\nName a directory.", flag);
    if (lstat(path, &it) != 0)
        return GR_OK; /* whoever makes it tells what is wrong with the folders above */
    if (S_ISLNK(it.st_mode) || !gr_path_is_dir(path))
        return gr_args_fail(args, "--%s: %s is there, and is no directory\nName another, or remove it.", flag, path);
    gr_status s = gr_dir_list(path, &names, &n);
    gr_names_free(names, s == GR_OK ? n : 0);
    if (s == GR_OK && n > 0)
        s = gr_args_fail(args, "--%s: %s holds something already\nName another directory, or remove it.", flag, path);
    return s;
}

/* ---- a run -------------------------------------------------------------------------------------------------- */

/* Is there something of this name, a link to nothing too, that is not empty? */
static gr_status is_taken(const char *path, bool *out)
{
    struct stat it;
    char **names;
    size_t n;
    *out = false;
    if (stat(path, &it) != 0) {
        *out = lstat(path, &it) == 0;
        return GR_OK;
    }
    *out = !S_ISREG(it.st_mode) || it.st_size > 0;
    if (!S_ISDIR(it.st_mode))
        return GR_OK;
    gr_status s = gr_dir_list(path, &names, &n);
    *out = s == GR_OK && n > 0;
    gr_names_free(names, s == GR_OK ? n : 0);
    return s;
}

/* An input that is this folder, or a file that lies in it. */
static gr_status check_holds(gr_args *args, const char *flag, const char *path, const struct stat *it,
                             const char *input)
{
    struct stat is, folder;
    if (strcmp(input, "-") == 0 || stat(input, &is) != 0) /* a run writes no file that stdin could be */
        return GR_OK;
    bool holds = is_same(&is, it);
    char whole[PATH_MAX];
    const char *const spelled[] = {input, realpath(input, whole)}; /* a link lies in two folders */
    for (int i = 0; !holds && !S_ISDIR(is.st_mode) && i < 2 && spelled[i]; i++) {
        char *around = folder_of(spelled[i]);
        if (!around)
            return GR_ERR_MEMORY;
        holds = stat(around, &folder) == 0 && is_same(&folder, it);
        gr_free(around);
    }
    if (!holds)
        return GR_OK;
    return gr_args_fail(args, "--%s: %s holds what is read (%s)\nName a directory of its own for the run.", flag, path,
                        input);
}

/* Was a run begun here? What is in the way of another one then is told by what is left of it. */
static gr_status is_run(const char *path, bool *out)
{
    static const char key[] = "\"verb\"";
    char *file = gr_path_join(path, "run.json"), *text = NULL;
    size_t size = 0;
    *out = false;
    if (!file)
        return GR_ERR_MEMORY;
    if (gr_path_is_file(file))
        text = gr_file_read(file, 1 << 20, &size);
    gr_free(file);
    *out = text && text[0] == '{' && strstr(text, key);
    gr_free(text);
    return GR_OK;
}

/* What the name of a run stands for is the run, so that a model or an adapter of the same folder could not be named. */
static gr_status check_hides(gr_args *args, const char *flag, const char *path)
{
    static const char *const names[] = {"config.json", "adapter_config.json"};
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < sizeof names / sizeof *names; i++) {
        char *file = gr_path_join(path, names[i]);
        if (!file)
            return GR_ERR_MEMORY;
        if (gr_path_is_file(file))
            s = gr_args_fail(
                args, "--%s: %s holds a model (%s), which a run would hide\nName a folder of its own for the run.",
                flag, path, names[i]);
        gr_free(file);
    }
    return s;
}

gr_status gr_check_output_run(gr_args *args, const char *flag, const char *path, const char *const *inputs, size_t n)
{
    static const char *const names[] = {"run.json", "metrics.jsonl", "loss.svg", "checkpoints", "latest", "best"};
    struct stat it;
    gr_status s = GR_OK;
    if (!*path)
        return gr_args_fail(args, "--%s: the name is empty\nName a directory.", flag);
    if (stat(path, &it) != 0)
        return GR_OK;
    if (!S_ISDIR(it.st_mode))
        return gr_args_fail(args, "--%s: %s is there, and is no directory\nName another.", flag, path);
    for (size_t i = 0; s == GR_OK && i < n; i++)
        s = inputs[i] ? check_holds(args, flag, path, &it, inputs[i]) : GR_OK;
    bool known = false;
    if (s == GR_OK)
        s = is_run(path, &known);
    if (s == GR_OK && !known)
        s = check_hides(args, flag, path);
    for (size_t i = 0; s == GR_OK && !known && i < sizeof names / sizeof *names; i++) {
        bool taken = false;
        char *file = gr_path_join(path, names[i]);
        s = file ? is_taken(file, &taken) : GR_ERR_MEMORY;
        if (s == GR_OK && taken)
            s = gr_args_fail(args,
                             "--%s: %s is there, and a run would write over it\nName another directory, or remove it.",
                             flag, file);
        gr_free(file);
    }
    return s;
}
