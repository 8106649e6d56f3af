/* What http_curl.c needs of libcurl, whose headers need not be there: it is opened at run time. The numbers are those of its
 * stable ABI; tests/hub_test.c compares them with the header where there is one. */
#ifndef GR_HUB_CURL_API_H
#define GR_HUB_CURL_API_H

#define GR_CURL_OPTIONS(X)                                                                                             \
    X(WRITEDATA, 10001)                                                                                                \
    X(URL, 10002)                                                                                                      \
    X(ERRORBUFFER, 10010)                                                                                              \
    X(WRITEFUNCTION, 20011)                                                                                            \
    X(LOW_SPEED_LIMIT, 19)                                                                                             \
    X(LOW_SPEED_TIME, 20)                                                                                              \
    X(HTTPHEADER, 10023)                                                                                               \
    X(HEADERDATA, 10029)                                                                                               \
    X(NOPROGRESS, 43)                                                                                                  \
    X(XFERINFODATA, 10057)                                                                                             \
    X(CAINFO, 10065)                                                                                                   \
    X(HEADERFUNCTION, 20079)                                                                                           \
    X(BUFFERSIZE, 98)                                                                                                  \
    X(NOSIGNAL, 99)                                                                                                    \
    X(ACCEPT_ENCODING, 10102)                                                                                          \
    X(CONNECTTIMEOUT_MS, 156)                                                                                          \
    X(PROTOCOLS, 181)                                                                                                  \
    X(XFERINFOFUNCTION, 20219)

#define GR_CURL_RESULTS(X)                                                                                             \
    X(OK, 0)                                                                                                           \
    X(UNSUPPORTED_PROTOCOL, 1)                                                                                         \
    X(URL_MALFORMAT, 3)                                                                                                \
    X(COULDNT_RESOLVE_PROXY, 5)                                                                                        \
    X(WRITE_ERROR, 23)                                                                                                 \
    X(OUT_OF_MEMORY, 27)                                                                                               \
    X(OPERATION_TIMEDOUT, 28)                                                                                          \
    X(ABORTED_BY_CALLBACK, 42)                                                                                         \
    X(PEER_FAILED_VERIFICATION, 60)                                                                                    \
    X(SSL_CACERT_BADFILE, 77)

#define GR_CURL_NUMBER(name, number) GR_CURL_##name = number,
enum { GR_CURL_OPTIONS(GR_CURL_NUMBER) };
#define GR_CURL_RESULT_NUMBER(name, number) GR_CURLE_##name = number,
enum { GR_CURL_RESULTS(GR_CURL_RESULT_NUMBER) };

enum { GR_CURL_HTTP = 1, GR_CURL_HTTPS = 2, GR_CURL_GLOBAL_ALL = 3, GR_CURL_ERROR_SIZE = 256 };

/* Lists of headers, and transfers, are pointers to something. */
#define GR_CURL_CALLS(X)                                                                                               \
    X(int, global_init, (long))                                                                                        \
    X(void *, easy_init, (void))                                                                                       \
    X(void, easy_cleanup, (void *))                                                                                    \
    X(void, easy_reset, (void *))                                                                                      \
    X(int, easy_setopt, (void *, int, ...))                                                                            \
    X(int, easy_perform, (void *))                                                                                     \
    X(const char *, easy_strerror, (int))                                                                              \
    X(void *, slist_append, (void *, const char *))                                                                    \
    X(void, slist_free_all, (void *))

#endif
