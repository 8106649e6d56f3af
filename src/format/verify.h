/* Verifying: what lies in a directory is compared with its checksums, or looked at where it has none. */
#ifndef GR_FORMAT_VERIFY_H
#define GR_FORMAT_VERIFY_H

#include "format/checkpoint.h"

/* What has been seen so far. Give it item, user and sums_needed, zero the rest. */
typedef struct gr_verifier {
    bool (*item)(void *user, const gr_verify_item *item); /* as in gr_verify_options */
    void *user;
    gr_verified sum;
    const char *dir;           /* the directory being read */
    bool dir_bad;              /* something in it is */
    char first[GR_ERROR_SIZE]; /* the first problem of all */
    bool sums_needed;          /* the directories are a run's own, so checksums were written */
    gr_status fatal;           /* a failure that says nothing about the files, such as no memory */
} gr_verifier;

/* One more directory, or a file of weights. */
void gr_verify_dir(gr_verifier *v, const char *dir);
/* All that was seen, as a status: GR_ERR_FILE and the first problem when something is bad. */
gr_status gr_verify_outcome(const gr_verifier *v);

#endif
