/* Locks of the system (flock) on files that are there for it: each ends with the process that has it, however that ends, so
 * a name that is left behind locks nobody out. Linux makes it a lock of the server on NFS. The file says who has it, for
 * people. */
#ifndef GR_BASE_LOCK_H
#define GR_BASE_LOCK_H

#include "gradus.h"

typedef enum gr_lock_got {
    GR_LOCK_HELD,
    GR_LOCK_TAKEN, /* somebody has it */
    GR_LOCK_NONE,  /* this file system has no locks; errno says why */
} gr_lock_got;

/* One try, which does not wait. */
gr_lock_got gr_lock_try(int fd);
/* Is the name still that of the file that was opened? Who removes a lock's file may do it at the same moment. */
bool gr_lock_is_named(int fd, const char *path);
/* "process 123 on host", and `more` behind it. The lock is what counts, not what is said of it: that it cannot be written is
 * no error. */
void gr_lock_write_holder(int fd, const char *more);
/* What was written, as it may be shown; "": nothing yet. */
void gr_lock_read_holder(int fd, char *out, size_t cap);

/* The right to write a file, one process's at a time. Its lock lies in a file of its own, which is removed in the end. */
typedef struct gr_write_lock {
    char *path;
    int fd;
} gr_write_lock;
#define GR_NO_WRITE_LOCK ((gr_write_lock){.fd = -1})
/* Makes and locks `path`, which is taken over (NULL: no memory), and folders above it. GR_ERR_ARGUMENT: another process has
 * it, and is named. A file system without locks is remarked on. Release in any case. */
gr_status gr_write_lock_take(gr_write_lock *l, char *path);
void gr_write_lock_release(gr_write_lock *l);

#endif
