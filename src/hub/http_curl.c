/* HTTP by libcurl, opened when the first request is made: a process that asks nobody does not pay for it, and neither building
 * nor starting needs it. It takes proxies from the variables that it knows (https_proxy, no_proxy). */
#include "hub/http.h"

#include "base/json.h"
#include "base/mem.h"
#include "hub/curl_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DECLARE(result, name, arguments) static result(*curl_##name) arguments;
GR_CURL_CALLS(DECLARE)
static bool is_there;

struct gr_http {
    void *easy; /* keeps its connections from request to request */
    const gr_http_request *request;
    bool stopped;
};

/* ---- the library -------------------------------------------------------------------------------------------- */

static void find(void)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib", "libcurl.dylib"};
    void *library = NULL, *call;
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    bool all = true;
    /* ISO C has no cast from an object's address to a function's; POSIX says that the bits are the same. */
#define LOOK_UP(result, name, arguments)                                                                               \
    call = dlsym(library, "curl_" #name);                                                                              \
    all = all && call;                                                                                                 \
    memcpy(&curl_##name, &call, sizeof call);
    GR_CURL_CALLS(LOOK_UP)
    is_there = all && curl_global_init(GR_CURL_GLOBAL_ALL) == GR_CURLE_OK;
}

gr_http *gr_http_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    if (!is_there) {
        gr_fail(GR_ERR_UNSUPPORTED, "the hub: libcurl is not on this system (libcurl.so.4)\nInstall it (Debian: apt "
                                    "install libcurl4), or bring the files here by other means.");
        return NULL;
    }
    gr_http *h = gr_alloc_zero(1, sizeof *h);
    if (h && !(h->easy = curl_easy_init())) {
        gr_fail(GR_ERR_MEMORY, "the hub: libcurl has no memory\nFree memory and try again.");
        gr_http_free(h);
        return NULL;
    }
    return h;
}

void gr_http_free(gr_http *h)
{
    if (h && h->easy)
        curl_easy_cleanup(h->easy);
    gr_free(h);
}

/* ---- a request ---------------------------------------------------------------------------------------------- */

static size_t on_line(char *line, size_t one, size_t size, void *user)
{
    gr_http *h = user;
    h->request->line(h->request->user, line, one * size);
    return one * size;
}

static size_t on_body(char *data, size_t one, size_t size, void *user)
{
    gr_http *h = user;
    h->stopped = h->stopped || !h->request->body(h->request->user, data, one * size);
    return h->stopped ? 0 : one * size;
}

static int on_progress(void *user, int64_t a, int64_t b, int64_t c, int64_t d)
{
    gr_http *h = user;
    (void)a, (void)b, (void)c, (void)d;
    h->stopped = h->stopped || !h->request->going(h->request->user);
    return h->stopped;
}

static bool set_all(gr_http *h, const gr_http_request *r, void *headers, char *why)
{
    enum { BUFFER = 512 * 1024, SLOW = 1000 };
    bool good = true;
    long stall = (long)(r->stall_timeout + 0.999);
#define SET(option, value) good = good && curl_easy_setopt(h->easy, GR_CURL_##option, value) == GR_CURLE_OK
    SET(ERRORBUFFER, why);
    SET(URL, r->url);
    SET(HTTPHEADER, headers);
    SET(PROTOCOLS, (long)(GR_CURL_HTTP | GR_CURL_HTTPS));
    SET(NOSIGNAL, 1L);
    SET(NOPROGRESS, 0L);
    SET(CONNECTTIMEOUT_MS, (long)(1e3 * r->answer_timeout));
    SET(LOW_SPEED_LIMIT, (long)SLOW);
    SET(LOW_SPEED_TIME, stall > 0 ? stall : 1L);
    /* What is encoded without being asked for is decoded all the same. */
    SET(ACCEPT_ENCODING, r->may_compress ? "gzip" : "identity");
    SET(HEADERFUNCTION, on_line);
    SET(HEADERDATA, (void *)h);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, (void *)h);
    SET(XFERINFOFUNCTION, on_progress);
    SET(XFERINFODATA, (void *)h);
    if (r->certificates)
        SET(CAINFO, r->certificates);
#undef SET
    /* A wish: 7.88 refuses it behind a request that has failed, and keeps what it has. */
    (void)curl_easy_setopt(h->easy, GR_CURL_BUFFERSIZE, (long)BUFFER);
    return good;
}

static gr_http_result explain(int result, const char *why, const char *url)
{
    char said[GR_CURL_ERROR_SIZE], shown[200];
    if (!*why)
        why = curl_easy_strerror(result);
    gr_printable(why, strlen(why), said, sizeof said);
    gr_printable(url, strcspn(url, "?#"), shown, sizeof shown);
    switch (result) {
    case GR_CURLE_OUT_OF_MEMORY:
        gr_fail(GR_ERR_MEMORY, "the hub: libcurl has no memory\nFree memory and try again.");
        return GR_HTTP_REFUSED;
    case GR_CURLE_UNSUPPORTED_PROTOCOL:
    case GR_CURLE_URL_MALFORMAT:
        gr_fail(GR_ERR_NETWORK, "%s: %s\nCheck HF_ENDPOINT.", shown, said);
        return GR_HTTP_REFUSED;
    case GR_CURLE_PEER_FAILED_VERIFICATION:
    case GR_CURLE_SSL_CACERT_BADFILE:
        gr_fail(GR_ERR_NETWORK, "%s: %s\nCheck the system's certificates; SSL_CERT_FILE names others.", shown, said);
        return GR_HTTP_REFUSED;
    default:
        gr_fail(GR_ERR_NETWORK, "%s: %s\nCheck the network, and the proxy if there is one (https_proxy).", shown, said);
        return GR_HTTP_LOST;
    }
}

gr_http_result gr_http_do(gr_http *h, const gr_http_request *r)
{
    char why[GR_CURL_ERROR_SIZE] = "";
    void *headers = NULL;
    bool good = true;
    h->request = r;
    h->stopped = false;
    curl_easy_reset(h->easy);
    for (int i = 0; good && i < r->n_headers; i++) {
        void *longer = curl_slist_append(headers, r->headers[i]);
        good = longer != NULL;
        headers = longer ? longer : headers;
    }
    int result = good && set_all(h, r, headers, why) ? curl_easy_perform(h->easy) : GR_CURLE_OUT_OF_MEMORY;
    curl_slist_free_all(headers);
    h->request = NULL;
    if (h->stopped)
        return GR_HTTP_STOPPED;
    return result == GR_CURLE_OK ? GR_HTTP_WHOLE : explain(result, why, r->url);
}
