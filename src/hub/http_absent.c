/* Built without libcurl (GRADUS_CURL=OFF): what is in the cache is used, nothing is fetched. */
#include "hub/http.h"

gr_http *gr_http_new(void)
{
    gr_fail(GR_ERR_UNSUPPORTED,
            "the hub: this build cannot fetch, it was made without libcurl (GRADUS_CURL)\nUse another "
            "build, or bring the files here by other means.");
    return NULL;
}

void gr_http_free(gr_http *h)
{
    (void)h;
}

gr_http_result gr_http_do(gr_http *h, const gr_http_request *r)
{
    (void)h, (void)r;
    return GR_HTTP_REFUSED;
}
