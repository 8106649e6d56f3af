/* Locks of the system on files. */
#include "base/lock.h"

#include "base/json.h"

#include <errno.h>
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
