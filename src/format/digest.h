/* What a model is, known by its bytes and not by its path. */
#ifndef GR_FORMAT_DIGEST_H
#define GR_FORMAT_DIGEST_H

#include "base/error.h"

typedef struct gr_digest {
    int64_t bytes;
    uint64_t checksum;
} gr_digest;

/* Of a directory with a model or an adapter: config and weights. */
gr_status gr_digest_model(const char *dir, int threads, gr_digest *d);
/* Adds a small file. */
gr_status gr_digest_file(const char *path, gr_digest *d);

#endif
