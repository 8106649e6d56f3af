/* What is asked of a hub: with patience, along redirects, and believing of an answer no more than it shows. */
#include "hub/hub.h"

#include "base/log.h"
#include "base/machine.h"
#include "base/mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RETRIES = 5, MOST_HOPS = 10, MOST_TEXT = 64 << 20, MOST_TALK = 1 << 20, LONGEST_WAIT = 600 };
enum { FEW = 2, LONG_WAIT = 10 }; /* of tries and seconds, where the cache has what is asked for */
static const char agent[] = "User-Agent: gradus/" GR_VERSION;

/* An answer that is coming in. */
typedef struct answer {
    gr_hub *hub;
    gr_http_head head;
    gr_bytes *text; /* where it goes; NULL: to the part */
    gr_hub_part *part;
    const gr_hub_file *file;
    const char *commit;
    bool is_judged, is_believed, from_hub; /* from_hub: not from where a redirect led */
    bool not_listed;                       /* it is another file than the listing says */
    size_t talk;                           /* bytes of a body that nobody wants */
    gr_status status;                      /* why it was stopped, if by us */
} answer;

/* ---- telling ------------------------------------------------------------------------------------------------ */

bool gr_hub_tell(gr_hub *h, const gr_hub_event *event)
{
    gr_hub_event e = *event;
    e.size = sizeof e;
    e.is_dataset = h->o->dataset;
    if (!e.name)
        e.name = h->label;
    h->stopped = h->stopped || (h->o->event && !h->o->event(h->o->user, &e));
    return !h->stopped;
}

bool gr_hub_going(void *user)
{
    gr_hub *h = user;
    double now = gr_seconds();
    if (now - h->told_at < 0.1 && h->told_at > 0)
        return !h->stopped;
    h->told_at = now;
    const gr_hub_event e = {.kind = GR_HUB_PROGRESS, .file = h->file, .bytes = h->total, .done = h->done};
    return gr_hub_tell(h, &e);
}

static gr_status stopped(const gr_hub *h)
{
    return gr_fail(GR_ERR_INTERRUPTED, "%s: stopped\nThe same command goes on where this one was.", h->label);
}

/* ---- one try ------------------------------------------------------------------------------------------------ */

static void on_line(void *user, const char *line, size_t size)
{
    answer *a = user;
    gr_http_head_line(&a->head, line, size);
}

static bool doubt(answer *a, const char *fmt, ...) GR_PRINTF(2, 3);
static bool doubt(answer *a, const char *fmt, ...)
{
    char why[300];
    va_list list;
    va_start(list, fmt);
    vsnprintf(why, sizeof why, fmt, list);
    va_end(list);
    a->status = gr_fail(GR_ERR_FILE, "%s: %s: %s\nTry again later; nothing of that answer was kept.", a->hub->label,
                        a->file->path, why);
    return false;
}

/* What the hub itself says of a file must be what it listed. */
static bool is_listed(answer *a)
{
    const gr_http_head *h = &a->head;
    bool says_hash = *h->etag && (h->has_linked_etag || h->status < 300);
    if (!a->from_hub || !a->file)
        return true;
    a->not_listed = true;
    if (*h->commit && strcmp(h->commit, a->commit) != 0)
        return doubt(a, "the answer is of commit %.8s, and %.8s was asked for", h->commit, a->commit);
    if (says_hash && strcmp(h->etag, a->file->hash) != 0)
        return doubt(a, "the answer's hash is %.12s, and %.12s is listed", h->etag, a->file->hash);
    if (h->linked_size >= 0 && h->linked_size != a->file->size)
        return doubt(a, "the answer has %" PRId64 " bytes, and %" PRId64 " are listed", h->linked_size, a->file->size);
    a->not_listed = false;
    return true;
}

/* Is what follows the bytes that were asked for? */
static bool believe(answer *a)
{
    const gr_http_head *h = &a->head;
    gr_hub_part *p = a->part;
    int64_t counted = h->is_encoded ? -1 : h->length;
    if (!is_listed(a))
        return false;
    if (h->status == 206) {
        if (h->is_encoded)
            return doubt(a, "a range of encoded bytes");
        if (h->from != p->at || h->to != p->size - 1 || h->total != p->size)
            return doubt(a,
                         "bytes %" PRId64 "-%" PRId64 " of %" PRId64 " came, and %" PRId64 "-%" PRId64 " of %" PRId64
                         " were asked for",
                         h->from, h->to, h->total, p->at, p->size - 1, p->size);
        if (counted >= 0 && counted != p->size - p->at)
            return doubt(a, "a range of %" PRId64 " bytes came, and %" PRId64 " were asked for", counted,
                         p->size - p->at);
        return true;
    }
    if (counted >= 0 && counted != p->size)
        return doubt(a, "%" PRId64 " bytes came, and %" PRId64 " are listed", counted, p->size);
    if (p->at == 0)
        return true;
    gr_remark(GR_LOG_INFO, "%s: %s: the server knows no ranges, so it begins anew", a->hub->label, a->file->path);
    a->hub->done -= p->at;
    a->status = gr_hub_part_begin(p);
    return a->status == GR_OK;
}

/* A body of no length that is told beforehand may have no end; what came of it is as doubtful as the rest. */
static bool doubt_all(answer *a)
{
    a->hub->done -= a->part->at;
    a->status = gr_hub_part_begin(a->part);
    a->is_believed = false;
    return a->status == GR_OK && doubt(a, "more bytes came than are listed");
}

static bool on_file_body(answer *a, const void *data, size_t size)
{
    if (!a->is_judged) {
        a->is_judged = true;
        a->is_believed = believe(a);
    }
    if (!a->is_believed)
        return false;
    if ((int64_t)size > a->part->size - a->part->at)
        return doubt_all(a);
    a->status = gr_hub_part_add(a->part, data, size);
    a->hub->done += a->status == GR_OK ? (int64_t)size : 0;
    return a->status == GR_OK;
}

static bool on_body(void *user, const void *data, size_t size)
{
    answer *a = user;
    bool is_wanted = a->head.status == 200 || (a->head.status == 206 && a->part);
    if (!is_wanted)
        return (a->talk += size) < MOST_TALK;
    if (a->part)
        return on_file_body(a, data, size);
    if (size > MOST_TEXT - a->text->size)
        a->status = gr_fail(GR_ERR_FILE,
                            "%s: an answer of more than %d MB where a list was asked for\nCheck "
                            "HF_ENDPOINT.",
                            a->hub->label, MOST_TEXT >> 20);
    else
        a->status = gr_bytes_add(a->text, data, size);
    return a->status == GR_OK;
}

static bool on_going(void *user)
{
    answer *a = user;
    return gr_hub_going(a->hub);
}

static gr_http_result ask_once(gr_hub *h, const char *url, const char *range, answer *a)
{
    const char *headers[3] = {agent};
    int n = 1;
    a->from_hub = gr_url_same_place(url, h->endpoint);
    if (range)
        headers[n++] = range;
    if (h->authorization && a->from_hub)
        headers[n++] = h->authorization;
    const gr_http_request r = {
        .url = url,
        .headers = headers,
        .n_headers = n,
        .certificates = h->o->certificates,
        .answer_timeout = h->o->answer_timeout > 0 ? h->o->answer_timeout : 10,
        .stall_timeout = h->o->stall_timeout > 0 ? h->o->stall_timeout : 30,
        .may_compress = a->text != NULL,
        .line = on_line,
        .body = on_body,
        .going = on_going,
        .user = a,
    };
    gr_http_head_free(&a->head);
    gr_http_head_begin(&a->head);
    return gr_http_do(h->http, &r);
}

static gr_http_result refuse(const char *url, const char *why)
{
    char host[200];
    gr_fail(GR_ERR_NETWORK, "%s: %s\nCheck HF_ENDPOINT, and the proxy if there is one.",
            gr_url_host(url, host, sizeof host), why);
    return GR_HTTP_REFUSED;
}

/* *url: where the answer led, which is asked next. */
static gr_http_result next_hop(char **url, const answer *a)
{
    if (!a->head.location)
        return refuse(*url, "a redirect that leads nowhere");
    char *to = gr_url_resolve(*url, a->head.location, strlen(a->head.location));
    if (!to)
        return GR_HTTP_REFUSED;
    bool is_weaker = gr_url_is_https(*url) && !gr_url_is_https(to);
    if (is_weaker)
        refuse(*url, "leads from https to http, where anybody could change what comes");
    gr_free(*url);
    *url = to;
    return is_weaker ? GR_HTTP_REFUSED : GR_HTTP_WHOLE;
}

/* Along redirects to an answer. *url becomes the address that gave it. */
static gr_http_result ask(gr_hub *h, char **url, const char *range, answer *a)
{
    for (int hop = 0; hop <= MOST_HOPS; hop++) {
        gr_http_result r = ask_once(h, *url, range, a);
        if (a->head.no_memory) {
            gr_fail(GR_ERR_MEMORY, "%s: no memory for an answer\nFree memory and try again.", h->label);
            return GR_HTTP_REFUSED;
        }
        int status = a->head.status;
        bool leads_on = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
        if (r != GR_HTTP_WHOLE || !leads_on)
            return r;
        if (!is_listed(a))
            return GR_HTTP_STOPPED;
        if ((r = next_hop(url, a)) != GR_HTTP_WHOLE)
            return r;
    }
    return refuse(*url, "redirects lead in a circle");
}

/* ---- what an answer means ----------------------------------------------------------------------------------- */

typedef enum verdict { DONE, AGAIN, FAILED } verdict;

/* 401, 403 and 404 of the hub. */
static gr_status say_refused(const gr_hub *h, const answer *a)
{
    const gr_http_head *head = &a->head;
    const char *kind = h->o->dataset ? "dataset" : "model", *other = h->o->dataset ? "" : " Of data: --dataset.";
    char host[200];
    gr_url_host(h->endpoint, host, sizeof host);
    if (strcmp(head->error, "GatedRepo") == 0)
        return gr_fail(GR_ERR_NETWORK,
                       "%s: is gated: its owner wants to be asked first%s%s\nAsk on %s/%s%s, and give a "
                       "token of that account in HF_TOKEN.",
                       h->label, *head->message ? ": " : "", head->message, h->endpoint,
                       h->o->dataset ? "datasets/" : "", h->label);
    if (strcmp(head->error, "RevisionNotFound") == 0)
        return gr_fail(GR_ERR_FILE,
                       "%s: has no such branch, tag or commit\nLeave out what stands behind the @ for the "
                       "newest.",
                       h->label);
    if (strcmp(head->error, "EntryNotFound") == 0)
        return gr_fail(GR_ERR_FILE, "%s: %s: the hub lists this file and does not have it\nTry again later.", h->label,
                       a->file ? a->file->path : "the list of files");
    if (strcmp(head->error, "RepoNotFound") == 0 || head->status == 404)
        return gr_fail(GR_ERR_FILE,
                       "%s: %s has no such %s, or it is private\nCheck the name.%s A private one needs "
                       "HF_TOKEN.",
                       h->label, host, kind, other);
    if (head->status == 401)
        return gr_fail(GR_ERR_NETWORK, "%s: %s\nSet HF_TOKEN to one of %s, or unset it.", h->label,
                       h->authorization ? "the token is not accepted" : "only for who has a token", host);
    return gr_fail(GR_ERR_NETWORK, "%s: %s refuses (%d)%s%s\nCheck what the token in HF_TOKEN may do.", h->label, host,
                   head->status, *head->message ? ": " : "", head->message);
}

/* Of an answer that is no file and no text. *url gave it. */
static verdict judge_status(const gr_hub *h, answer *a, const char *url)
{
    char host[200];
    int status = a->head.status;
    gr_url_host(url, host, sizeof host);
    if (status == 416) { /* more is here than there is */
        a->status = gr_hub_part_begin(a->part);
        gr_fail(GR_ERR_NETWORK, "%s: %s: %s has no such range\nTry again later.", h->label, a->file->path, host);
        return a->status == GR_OK ? AGAIN : FAILED;
    }
    bool is_client = status >= 400 && status < 500 && status != 408 && status != 425 && status != 429;
    if (is_client && a->from_hub) {
        a->status = status == 401 || status == 403 || status == 404 || *a->head.error
                        ? say_refused(h, a)
                        : gr_fail(GR_ERR_NETWORK, "%s: %s answers %d%s%s\nCheck the name, and HF_ENDPOINT.", h->label,
                                  host, status, *a->head.message ? ": " : "", a->head.message);
        return FAILED;
    }
    gr_fail(GR_ERR_NETWORK, "%s: %s %s (%d)\nTry again later.", h->label, host,
            status == 429               ? "is asked too often"
            : is_client && !a->from_hub ? "no longer knows the address that it was given"
                                        : "cannot answer now",
            status);
    return AGAIN;
}

static verdict judge(const gr_hub *h, answer *a, gr_http_result r, const char *url)
{
    int status = a->head.status;
    if (h->stopped) {
        a->status = stopped(h);
        return FAILED;
    }
    if (r == GR_HTTP_REFUSED) {
        a->status = gr_error_status();
        return FAILED;
    }
    if (r == GR_HTTP_LOST)
        return AGAIN;
    if (r == GR_HTTP_STOPPED && a->status != GR_OK) /* what was doubted may be right next time; a full disk is not */
        return a->part && !a->not_listed && a->status == GR_ERR_FILE && a->is_judged && !a->is_believed ? AGAIN
                                                                                                        : FAILED;
    if (status != 200 && (status != 206 || !a->part))
        return judge_status(h, a, url);
    if (!a->part || a->part->at == a->part->size)
        return DONE;
    doubt(a, "the answer ended before its end");
    return AGAIN;
}

/* Asking follows redirects: *at is then another address than before, and what it was is freed. */
static verdict ask_and_judge(gr_hub *h, char **at, const char *range, answer *a)
{
    gr_http_result r = ask(h, at, range, a);
    return judge(h, a, r, *at);
}

/* ---- patience ----------------------------------------------------------------------------------------------- */

int gr_hub_retries(const gr_hub_options *o)
{
    return o->retries > 0 ? o->retries : o->retries < 0 ? 0 : RETRIES;
}

/* Philosophers agree on no number; any that differs from process to process keeps them apart. */
static double luck(gr_hub *h)
{
    h->luck = h->luck * 6364136223846793005u + 1442695040888963407u;
    return (double)(h->luck >> 40) / (double)(1 << 24);
}

static gr_status wait_for(gr_hub *h, double seconds)
{
    char why[GR_ERROR_SIZE];
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    snprintf(why, sizeof why, "%s", gr_error());
    why[strcspn(why, "\n")] = '\0';
    const gr_hub_event e = {.kind = GR_HUB_WAIT, .text = why, .seconds = seconds};
    bool going = gr_hub_tell(h, &e);
    for (double end = gr_seconds() + seconds; going && gr_seconds() < end; going = gr_hub_going(h))
        nanosleep(&pause, NULL);
    return going ? GR_OK : stopped(h);
}

/* Before another try; the error is what the last one failed with, and stays when there is none. */
static gr_status try_again(gr_hub *h, int *tries, double told)
{
    int most = gr_hub_retries(h->o);
    if (h->has_spare && most > FEW)
        most = FEW;
    h->gave_up = h->has_spare && (*tries == most || told > LONG_WAIT);
    if (h->gave_up || ++*tries > most)
        return gr_error_status();
    if (h->has_spare && *tries == 1)
        gr_remark(GR_LOG_INFO, "%s: is in the cache; HF_HUB_OFFLINE=1 takes it from there without asking", h->label);
    if (told > LONGEST_WAIT)
        return gr_fail(GR_ERR_NETWORK, "%s: the hub wants to be asked again in %.0f s\nGive the same command then.",
                       h->label, told);
    double seconds = told >= 0 ? told + 0.2 * luck(h) : fmin(60, 0.5 * pow(2, *tries - 1)) * (0.5 + luck(h));
    return wait_for(h, seconds);
}

/* ---- the two kinds of questions ----------------------------------------------------------------------------- */

static gr_status get_text(gr_hub *h, char **at, answer *a)
{
    int tries = 0;
    char *start = gr_strdup(*at);
    gr_status s = start ? GR_OK : GR_ERR_MEMORY;
    while (s == GR_OK) {
        a->text->size = 0;
        verdict v = ask_and_judge(h, at, NULL, a);
        if (v == DONE)
            break;
        s = v == FAILED ? a->status : try_again(h, &tries, a->head.wait);
        gr_free(*at);
        *at = gr_strdup(start);
        if (s == GR_OK && !*at)
            s = GR_ERR_MEMORY;
    }
    gr_free(start);
    return s;
}

/* A proxy, or a network that wants a login first, answers with a page of its own. What stands behind ? may be a secret. */
static gr_status check_no_page(const gr_hub *h, const gr_bytes *text, const char *url)
{
    size_t at = 0;
    char shown[300];
    while (at < text->size && isspace((unsigned char)text->data[at]))
        at++;
    if (at == text->size || text->data[at] != '<')
        return GR_OK;
    return gr_fail(
        GR_ERR_NETWORK,
        "%s: a web page came from %s, where the hub would answer with JSON\n"
        "A proxy, or a network that asks for a login first, may be in the way: check https_proxy and HF_ENDPOINT.",
        h->label, gr_printable(url, strcspn(url, "?#"), shown, sizeof shown));
}

gr_status gr_hub_get(gr_hub *h, const char *url, gr_bytes *text, char **next)
{
    answer a = {.hub = h, .text = text};
    char *at = gr_strdup(url);
    gr_http_head_begin(&a.head);
    gr_status s = at ? get_text(h, &at, &a) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = check_no_page(h, text, at);
    *next = NULL;
    if (s == GR_OK && a.head.next) {
        *next = gr_url_resolve(at, a.head.next, strlen(a.head.next));
        s = *next ? GR_OK : gr_error_status();
        if (s == GR_OK && !gr_url_same_place(*next, h->endpoint)) {
            refuse(*next, "the list of files goes on at another host");
            s = GR_ERR_NETWORK;
        }
    }
    if (s != GR_OK) {
        gr_free(*next);
        *next = NULL;
    }
    gr_http_head_free(&a.head);
    gr_free(at);
    return s;
}

gr_status gr_hub_get_file(gr_hub *h, const char *url, const gr_hub_file *file, const char *commit, gr_hub_part *part)
{
    enum { PROGRESS = 4096 }; /* bytes after which patience begins anew */
    gr_status s = GR_OK;
    h->file = file->path;
    for (int tries = 0; s == GR_OK && part->at < part->size;) {
        answer a = {.hub = h, .part = part, .file = file, .commit = commit};
        char range[64], *at = gr_strdup(url);
        int64_t before = part->at;
        snprintf(range, sizeof range, "Range: bytes=%" PRId64 "-", part->at);
        gr_http_head_begin(&a.head);
        verdict v = at ? ask_and_judge(h, &at, part->at > 0 ? range : NULL, &a) : FAILED;
        gr_kept_error why;
        gr_error_keep(&why);
        s = at ? gr_hub_part_keep(part) : GR_ERR_MEMORY;
        if (s == GR_OK)
            gr_error_put_back(&why);
        if (s == GR_OK && v == FAILED)
            s = a.status;
        tries = part->at - before > PROGRESS ? 0 : tries;
        if (s == GR_OK && v == AGAIN)
            s = try_again(h, &tries, a.head.wait);
        gr_http_head_free(&a.head);
        gr_free(at);
    }
    return s;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

gr_status gr_hub_open(gr_hub *h, const gr_hub_options *o, const char *label)
{
    *h = (gr_hub){
        .o = o, .endpoint = o->endpoint && *o->endpoint ? o->endpoint : "https://huggingface.co", .label = label};
    h->luck = (uint64_t)getpid() * 0x9E3779B97F4A7C15u + (uint64_t)(gr_seconds() * 1e9);
    if (!gr_url_same_place(h->endpoint, h->endpoint))
        return gr_fail(GR_ERR_ARGUMENT,
                       "%s: is no address of a hub\nHF_ENDPOINT is one such as https://huggingface.co.", h->endpoint);
    for (const char *p = o->token; p && *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7F)
            return gr_fail(GR_ERR_ARGUMENT, "the token has a character in it that no token has\nCheck HF_TOKEN, or the "
                                            "file that it is read from.");
    if (o->token && *o->token && !(h->authorization = gr_strfmt("Authorization: Bearer %s", o->token)))
        return GR_ERR_MEMORY;
    h->http = gr_http_new();
    return h->http ? GR_OK : gr_error_status();
}

void gr_hub_close(gr_hub *h)
{
    gr_http_free(h->http);
    gr_free(h->authorization);
    h->http = NULL;
    h->authorization = NULL;
}
