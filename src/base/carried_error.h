/* Errors are a thread's own: this carries the one of the first piece that failed from a worker to the caller. */
#ifndef GR_BASE_CARRIED_ERROR_H
#define GR_BASE_CARRIED_ERROR_H

#include <pthread.h>
#include "base/error.h"

typedef struct gr_carried_error {
    pthread_mutex_t lock;
    int64_t piece; /* the first that failed; INT64_MAX: none */
    gr_status status;
    char text[1024];
} gr_carried_error;

#define GR_CARRIED_NONE                                                                                                \
    {                                                                                                                  \
        .lock = PTHREAD_MUTEX_INITIALIZER, .piece = INT64_MAX                                                          \
    }

/* In a worker: its thread's error is that of this piece. */
void gr_carried_put(gr_carried_error *e, int64_t piece);
/* Whether an earlier piece has failed, so that this one need not run. */
bool gr_carried_is_lost(gr_carried_error *e, int64_t piece);
/* In the caller, when all pieces are done: the error as its own. */
gr_status gr_carried_take(gr_carried_error *e);

#endif
