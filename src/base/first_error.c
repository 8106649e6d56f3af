/* Handing an error from a worker to the caller. */
#include "base/first_error.h"

void gr_first_error_put(gr_first_error *e, int64_t piece)
{
    pthread_mutex_lock(&e->lock);
    if (piece < e->piece) {
        e->piece = piece;
        gr_error_keep(&e->error);
    }
    pthread_mutex_unlock(&e->lock);
}

bool gr_first_error_skips(gr_first_error *e, int64_t piece)
{
    pthread_mutex_lock(&e->lock);
    bool lost = e->piece < piece;
    pthread_mutex_unlock(&e->lock);
    return lost;
}

gr_status gr_first_error_take(gr_first_error *e)
{
    if (e->piece == INT64_MAX)
        return GR_OK;
    gr_error_put_back(&e->error);
    return e->error.status;
}
