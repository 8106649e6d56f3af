/* Reading: whole files, mappings, and how a failure with a file is told. */
#include "base/file.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *hint(int error)
{
    switch (error) {
    case ENOENT:
        return "check the path";
    case ENOTDIR:
        return "check the path: what stands before a / in it is a file";
    case EACCES:
    case EPERM:
        return "check the permissions, or use another directory";
    case EROFS:
        return "that file system is read-only: use another directory";
    case ENOSPC:
    case EDQUOT:
        return "free space on that disk, or use another";
    case EFBIG:
        return "raise the limit on file sizes (ulimit -f), or write to another disk";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files (ulimit -n)";
    case ENAMETOOLONG:
        return "use a shorter name";
    case EISDIR:
        return "name a file, not a directory";
    case EEXIST:
    case ENOTEMPTY:
        return "choose another name, or remove what is there";
    case EPIPE:
        return "whoever reads it has gone: start it again, or write to a file";
    case ELOOP:
        return "a link leads to itself: name the file";
    case ENOMEM:
        return "free memory and try again";
    default:
        return "check the disk, and the path";
    }
}

gr_status gr_fail_errno(const char *doing, const char *path)
{
    int error = errno;
    return gr_fail(error == ENOMEM ? GR_ERR_MEMORY : GR_ERR_FILE, "%s %s: %s\n%s", doing, path, strerror(error),
                   hint(error));
}

/* Opens for reading and says what it is; -1 with the error set. Folders can be opened but not read. */
static int open_to_read(const char *path, struct stat *info)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        gr_fail_errno("opening", path);
        return -1;
    }
    if (fstat(fd, info) == 0 && !S_ISDIR(info->st_mode))
        return fd;
    if (S_ISDIR(info->st_mode))
        errno = EISDIR;
    gr_fail_errno("opening", path);
    close(fd);
    return -1;
}

/* Asked before opening as well: opening a pipe would wait for somebody to write it. */
static bool can_be_mapped(const struct stat *info)
{
    return S_ISREG(info->st_mode) || S_ISDIR(info->st_mode); /* of a folder, opening tells */
}

static gr_status fail_to_map(const char *path)
{
    return gr_fail(GR_ERR_FILE, "mapping %s: not a regular file\ncopy it to a file first", path);
}

/* Whether all of a file is a pointer of Git LFS, which git leaves in place of a large file where git-lfs is missing. */
static bool is_pointer(const char *text, size_t size)
{
    static const char *const versions[] = {"version https://git-lfs.github.com/spec/",
                                           "version https://hawser.github.com/"};
    for (size_t i = 0; size < 1024 && i < sizeof versions / sizeof *versions; i++)
        if (size > strlen(versions[i]) && memcmp(text, versions[i], strlen(versions[i])) == 0)
            return true;
    return false;
}

gr_status gr_refuse_pointer(const char *path, const void *data, size_t size)
{
    static const char key[] = "\nsize ", hint[] = "fetch the file itself: git lfs pull in its directory";
    char text[1024];
    if (!is_pointer(data, size))
        return GR_OK;
    memcpy(text, data, size);
    text[size] = '\0';
    const char *line = strstr(text, key), *digits = line ? line + sizeof key - 1 : "";
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 20)
        return gr_fail(GR_ERR_FILE, "%s: a Git LFS pointer in place of the file\n%s", path, hint);
    return gr_fail(GR_ERR_FILE, "%s: a Git LFS pointer in place of the file, which has %.*s bytes\n%s", path, (int)n,
                   digits, hint);
}

gr_status gr_map_open(const char *path, gr_map *out)
{
    static const uint8_t nothing[1]; /* mmap refuses 0 bytes, and data is never NULL */
    struct stat info = {0};
    *out = (gr_map){nothing, 0};
    if (stat(path, &info) == 0 && !can_be_mapped(&info))
        return fail_to_map(path);
    int fd = open_to_read(path, &info);
    if (fd < 0)
        return gr_error_status();
    if (!can_be_mapped(&info)) {
        close(fd);
        return fail_to_map(path);
    }
    if ((uintmax_t)info.st_size > SIZE_MAX) {
        close(fd);
        return gr_fail(GR_ERR_FILE, "mapping %s: too large for this machine\nuse a 64-bit build", path);
    }
    gr_status status = GR_OK;
    if (info.st_size > 0) {
        void *p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            status = gr_fail_errno("mapping", path);
        else
            *out = (gr_map){p, (size_t)info.st_size};
    }
    close(fd); /* the mapping keeps the file */
    if (status == GR_OK && (status = gr_refuse_pointer(path, out->data, out->size)) != GR_OK)
        gr_map_close(out);
    return status;
}

void gr_map_close(gr_map *m)
{
    if (m->size > 0)
        munmap((void *)(uintptr_t)m->data, m->size);
    *m = (gr_map){0};
}

void gr_map_release(const void *data, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)data + page - 1) / page * page,
              to = ((uintptr_t)data + size) / page * page;
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED); /* only whole pages, and only a wish */
}

static gr_status too_large(const char *path, size_t limit)
{
    return gr_fail(GR_ERR_FILE, "reading %s: larger than %zu bytes\ncheck that this is the right file", path, limit);
}

/* Reads to the end, which need not be where fstat said: pipes have no size and files grow. */
static gr_status read_to_end(int fd, const char *path, size_t limit, char **text, size_t *cap, size_t *used)
{
    for (;;) {
        if (*used > limit)
            return too_large(path, limit);
        if (gr_grow(text, cap, *used + 2, 1) != GR_OK) /* 1 to read, 1 for the NUL */
            return GR_ERR_MEMORY;
        ssize_t n = read(fd, *text + *used, *cap - *used - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gr_fail_errno("reading", path);
        if (n == 0)
            break;
        *used += (size_t)n;
    }
    (*text)[*used] = '\0';
    return GR_OK;
}

char *gr_file_read(const char *path, size_t limit, size_t *size)
{
    struct stat info = {0};
    int fd = open_to_read(path, &info);
    if (fd < 0)
        return NULL;
    char *text = NULL;
    size_t cap = 0, used = 0, expected = S_ISREG(info.st_mode) ? (size_t)info.st_size : 0;
    gr_status status = expected > limit ? too_large(path, limit) : gr_grow(&text, &cap, expected + 2, 1);
    if (status == GR_OK)
        status = read_to_end(fd, path, limit, &text, &cap, &used);
    close(fd);
    if (status == GR_OK)
        status = gr_refuse_pointer(path, text, used);
    if (status != GR_OK) {
        gr_free(text);
        return NULL;
    }
    if (size)
        *size = used;
    return text;
}

int gr_read_open(const char *path)
{
    struct stat info;
    return open_to_read(path, &info);
}

int64_t gr_read_full(int fd, void *to, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t n = read(fd, (char *)to + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (int64_t)used;
}
