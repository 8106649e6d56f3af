/* Folders and paths. Removing allocates nothing of ours: it cleans up when memory has run out. */
#include "base/file.h"

#include "base/error.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool gr_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool gr_path_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

char *gr_path_join(const char *dir, const char *name)
{
    size_t length = strlen(dir);
    const char *between = length == 0 || dir[length - 1] == '/' ? "" : "/";
    return gr_strfmt("%s%s%s", dir, between, name);
}

gr_status gr_dir_make(const char *path)
{
    char *part = gr_strdup(path);
    if (!part)
        return GR_ERR_MEMORY;
    gr_status status = GR_OK;
    /* Cuts the path at each '/' in turn; a '/' in front or twice leaves nothing new to make. */
    for (char *p = part; status == GR_OK && *part; p++) {
        if ((*p != '/' && *p != '\0') || p == part)
            continue;
        char old = *p;
        *p = '\0';
        if (mkdir(part, 0777) != 0) {
            int error = errno; /* some systems say EROFS or EACCES of a folder that is there */
            if (!gr_path_is_dir(part)) {
                errno = error;
                status = gr_fail_errno("making the directory", part);
            }
        }
        *p = old;
        if (old == '\0')
            break;
    }
    gr_free(part);
    return status;
}

/* Removes `name` in the open folder `at`, with all that is in it; links are removed, not followed. 0, or -1 with errno.
 * Deeper than `depth` is refused: each level holds a file descriptor. */
static int remove_at(int at, const char *name, int depth)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM) /* of a folder Linux says the one, macOS the other */
        return -1;
    if (depth == 0) {
        errno = ELOOP;
        return -1;
    }
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        errno = error;
        return -1;
    }
    int failed = 0;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            remove_at(dirfd(dir), entry->d_name, depth - 1) != 0)
            failed = errno;
    }
    closedir(dir);
    if (failed == 0 && (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT))
        return 0;
    errno = failed ? failed : errno;
    return -1;
}

gr_status gr_dir_remove(const char *path)
{
    enum { DEPTH = 64 };
    return remove_at(AT_FDCWD, path, DEPTH) == 0 ? GR_OK : gr_fail_errno("removing", path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static gr_status read_names(DIR *dir, const char *path, char ***names, size_t *count)
{
    size_t cap = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry)
            return errno ? gr_fail_errno("listing", path) : GR_OK;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (gr_grow(names, &cap, *count + 1, sizeof **names) != GR_OK)
            return GR_ERR_MEMORY;
        char *name = gr_strdup(entry->d_name);
        if (!name)
            return GR_ERR_MEMORY;
        (*names)[(*count)++] = name;
    }
}

gr_status gr_dir_list(const char *path, char ***names, size_t *count)
{
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return gr_fail_errno("listing", path);
    gr_status status = read_names(dir, path, names, count);
    closedir(dir);
    if (status != GR_OK) {
        gr_names_free(*names, *count);
        *names = NULL;
        *count = 0;
    } else if (*count > 1) {
        qsort(*names, *count, sizeof **names, by_name);
    }
    return status;
}

void gr_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gr_free(names[i]);
    gr_free(names);
}
