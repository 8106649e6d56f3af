/* Errors are a thread's own: this carries the one of the first piece that failed from a worker to the caller. */
#ifndef GR_BASE_FIRST_ERROR_H
#define GR_BASE_FIRST_ERROR_H

#include <pthread.h>
#include "base/error.h"

typedef struct gr_first_error {
    pthread_mutex_t lock;
    int64_t piece; /* the first that failed; INT64_MAX: none */
    gr_kept_error error;
} gr_first_error;

#define GR_FIRST_ERROR_NONE                                                                                            \
    {                                                                                                                  \
        .lock = PTHREAD_MUTEX_INITIALIZER, .piece = INT64_MAX                                                          \
    }

/* In a worker: its thread's error is that of this piece. */
void gr_first_error_put(gr_first_error *e, int64_t piece);
/* Whether an earlier piece has failed, so that this one need not run. */
bool gr_first_error_skips(gr_first_error *e, int64_t piece);
/* In the caller, when all pieces are done: the error as its own. */
gr_status gr_first_error_take(gr_first_error *e);

#endif
