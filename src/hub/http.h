/* One request over HTTP. What it means, whether it is tried again and where it leads is said elsewhere; here bytes are
 * carried. */
#ifndef GR_HUB_HTTP_H
#define GR_HUB_HTTP_H

#include "base/error.h"

typedef struct gr_http gr_http;

/* Asked several times a second; false: enough. */
typedef bool gr_http_going(void *user);

typedef struct gr_http_request {
    const char *url;
    const char *const *headers; /* [n] "Name: value" */
    int n_headers;
    const char *certificates;             /* a file; NULL: the system's */
    double answer_timeout, stall_timeout; /* seconds */
    bool may_compress;
    void (*line)(void *user, const char *line, size_t size); /* of the answer's head */
    bool (*body)(void *user, const void *data, size_t size); /* false: enough */
    gr_http_going *going;
    void *user;
} gr_http_request;

typedef enum gr_http_result {
    GR_HTTP_WHOLE,   /* an answer came, all of it */
    GR_HTTP_LOST,    /* no answer, or not all of it: another try may help. gr_error() says why */
    GR_HTTP_STOPPED, /* body or going said so */
    GR_HTTP_REFUSED, /* another try would not help: a certificate, an address. gr_error() says why */
} gr_http_result;

/* NULL: gr_error(). GR_ERR_UNSUPPORTED where there is no libcurl. */
gr_http *gr_http_new(void);
void gr_http_free(gr_http *h); /* NULL is fine */
gr_http_result gr_http_do(gr_http *h, const gr_http_request *r);

#endif
