/* Locks of the system (flock) on files that are there for it: each ends with the process that has it, however that ends, so
 * a name that is left behind locks nobody out. Linux makes it a lock of the server on NFS. The file says who has it, for
 * people. */
#ifndef GR_BASE_LOCK_H
#define GR_BASE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
