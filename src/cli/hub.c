/* The hub as the environment describes it; names become paths. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/hub.h"
#include "cli/human.h"
#include "cli/term.h"

/* ---- the environment ---------------------------------------------------------------------------------------- */

static const char *value_of(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool is_true(const char *name)
{
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *value = value_of(name);
    for (size_t i = 0; value && i < sizeof words / sizeof *words; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

/* Seconds, at least one; 0, which is the default, where none are set. */
static double seconds_of(const char *name)
{
    const char *value = value_of(name);
    char *end = NULL, shown[60];
    long n = value ? strtol(value, &end, 10) : 0;
    if (!value || (!*end && n > 0 && n < 86400))
        return (double)n;
    gr_warn("%s=%s: is no number of seconds from 1 to 86399, and left out of account", name,
            gr_printable(value, strlen(value), shown, sizeof shown));
    return 0;
}

/* What is set is kept for the whole process: it is asked for once. */
static struct {
    char home[2048], cache[4096], token[4096];
    bool is_read;
} kept;

/* NULL: neither the environment nor the system knows it. */
static const char *home_of_user(void)
{
    const char *home = value_of("HOME");
    const struct passwd *user = home ? NULL : getpwuid(getuid());
    return home ? home : user && user->pw_dir && *user->pw_dir ? user->pw_dir : NULL;
}

/* Leaves `to` empty where the path begins at a home that nobody knows. */
static void set_path(char *to, size_t cap, const char *path, const char *below)
{
    bool is_home = path[0] == '~' && (path[1] == '/' || path[1] == '\0');
    const char *home = is_home ? home_of_user() : "";
    if (home)
        snprintf(to, cap, "%s%s%s", home, is_home ? path + 1 : path, below);
}

static void read_places(void)
{
    const char *home = value_of("HF_HOME"), *xdg = value_of("XDG_CACHE_HOME"), *cache = value_of("HF_HUB_CACHE");
    if (home)
        set_path(kept.home, sizeof kept.home, home, "");
    else
        set_path(kept.home, sizeof kept.home, xdg ? xdg : "~/.cache", "/huggingface");
    if (!cache)
        cache = value_of("HUGGINGFACE_HUB_CACHE");
    if (cache)
        set_path(kept.cache, sizeof kept.cache, cache, "");
    else if (*kept.home)
        set_path(kept.cache, sizeof kept.cache, kept.home, "/hub");
}

/* Without the spaces and line ends that such files and variables end with. */
static void keep_token(const char *text)
{
    text += strspn(text, " \t\r\n");
    snprintf(kept.token, sizeof kept.token, "%.*s", (int)strcspn(text, " \t\r\n"), text);
}

static gr_status read_token(void)
{
    const char *token = value_of("HF_TOKEN"), *path = value_of("HF_TOKEN_PATH");
    char file[2200] = "";
    if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return GR_OK;
    if (!token)
        token = value_of("HUGGING_FACE_HUB_TOKEN");
    if (token) {
        keep_token(token);
        return GR_OK;
    }
    if (path)
        set_path(file, sizeof file, path, "");
    else if (*kept.home)
        set_path(file, sizeof file, kept.home, "/token");
    if (!gr_path_is_file(file))
        return GR_OK;
    char *text = gr_file_read(file, sizeof kept.token - 1, NULL);
    if (!text)
        return gr_error_status();
    keep_token(text);
    gr_free(text);
    return GR_OK;
}

void gr_hub_from_environment(gr_hub_options *o)
{
    if (!kept.is_read)
        read_places();
    kept.is_read = true;
    *o = GR_INIT(gr_hub_options);
    o->cache = *kept.cache ? kept.cache : NULL;
    o->endpoint = value_of("HF_ENDPOINT");
    o->certificates = value_of("SSL_CERT_FILE");
    o->offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
    o->no_links = is_true("HF_HUB_DISABLE_SYMLINKS");
}

gr_status gr_hub_check_cache(const gr_hub_options *o)
{
    if (o->cache)
        return GR_OK;
    return gr_fail(GR_ERR_FILE, "the cache of models: there is no home directory that it could be in\nSet HF_HOME to a "
                                "directory for it, or HOME.");
}

/* ---- what is shown while something is fetched --------------------------------------------------------------- */

typedef struct screen {
    const gr_args *args;
    double began;
    int64_t files, bytes, to_fetch, first;
    bool is_moving, told_of_waiting;
} screen;

static void on_chosen(screen *s, const gr_hub_event *e)
{
    char file[200];
    s->files++;
    s->bytes += e->bytes;
    gr_note("  %-9s %s%s", gr_human_bytes((double)e->bytes).s,
            gr_printable(e->file, strlen(e->file), file, sizeof file),
            e->done == e->bytes ? " (here)"
            : e->done > 0       ? " (here in part)"
                                : "");
}

static void on_begin(screen *s, const gr_hub_event *e)
{
    s->to_fetch = e->bytes;
    s->first = e->done;
    s->began = gr_seconds();
    gr_note("%s at %.12s: %lld file%s of %s, %s to fetch", e->name, e->text, (long long)s->files, gr_plural(s->files),
            gr_human_bytes((double)s->bytes).s, gr_human_bytes((double)e->bytes).s);
    if (e->bytes > 0) {
        s->is_moving = true;
        gr_progress_start("pull", (double)e->done, (double)s->bytes);
    }
}

static void on_progress(screen *s, const gr_hub_event *e)
{
    char file[60] = "";
    double seconds = gr_seconds() - s->began + 1e-9, fresh = (double)(e->done - s->first);
    if (e->file)
        gr_printable(e->file, strlen(e->file), file, sizeof file);
    gr_progress_update((double)e->done, "%s/s  %s", gr_human_bytes(fresh > 0 ? fresh / seconds : 0).s, file);
}

static bool on_event(void *user, const gr_hub_event *e)
{
    screen *s = user;
    if (e->kind == GR_HUB_CHOSEN)
        on_chosen(s, e);
    else if (e->kind == GR_HUB_BEGIN)
        on_begin(s, e);
    else if (e->kind == GR_HUB_PROGRESS && s->is_moving)
        on_progress(s, e);
    else if (e->kind == GR_HUB_WAIT && e->seconds > 0)
        gr_warn("%s; again in %s", e->text, gr_human_time(e->seconds).s);
    else if (e->kind == GR_HUB_WAIT && !s->told_of_waiting) {
        s->told_of_waiting = true;
        gr_note("%s: waiting for that", e->text);
    }
    return !gr_interrupted(NULL);
}

char *gr_hub_fetch(const gr_args *args, const char *name, gr_hub_options *o)
{
    screen s = {.args = args};
    if (read_token() != GR_OK) /* who fetches nothing needs none, whatever is wrong with its file */
        return NULL;
    o->token = *kept.token ? kept.token : NULL;
    o->answer_timeout = seconds_of("HF_HUB_ETAG_TIMEOUT");
    o->stall_timeout = seconds_of("HF_HUB_DOWNLOAD_TIMEOUT");
    o->event = on_event;
    o->user = &s;
    gr_interrupt_watch();
    char *path = gr_hub_pull(name, o);
    gr_progress_end();
    double seconds = gr_seconds() - s.began;
    if (path && s.to_fetch > 0)
        gr_note("%s fetched in %s, %s/s; every hash is right", gr_human_bytes((double)s.to_fetch).s,
                gr_human_time(seconds).s, gr_human_bytes((double)s.to_fetch / (seconds + 1e-9)).s);
    o->event = NULL;
    return path;
}

/* ---- names on the command line ------------------------------------------------------------------------------ */

/* Could it be org/name, and is no path? What is there counts first. */
static bool is_name(const char *text)
{
    struct stat info;
    size_t n = strcspn(text, "@:");
    const char *slash = strchr(text, '/'), *second = slash ? strchr(slash + 1, '/') : NULL;
    return slash && slash + 1 < text + n && !(second && second < text + n) && !strchr(".-/~", text[0]) &&
           !strstr(text, "--") && !strstr(text, "..") && lstat(text, &info) != 0;
}

static gr_status bring(gr_args *args, const char **text, gr_names k)
{
    gr_hub_options o;
    if (!*text || k == GR_NAMES_NOTHING || !is_name(*text))
        return GR_OK;
    gr_hub_from_environment(&o);
    o.dataset = k == GR_NAMES_DATA;
    if (gr_hub_check_cache(&o) != GR_OK)
        return gr_args_blame(args, gr_fail_in("%s", *text));
    char *path = gr_hub_find(*text, &o);
    if (!path && gr_error_status() == GR_ERR_FILE && args->common.pull)
        path = gr_hub_fetch(args, *text, &o);
    else if (!path && gr_error_status() == GR_ERR_FILE)
        gr_fail_in("no such path; as a name");
    if (!path)
        return gr_args_blame(args, gr_error_status());
    gr_status s = gr_args_keep(args, path);
    if (s == GR_OK)
        *text = path;
    return s;
}

gr_status gr_bring_names(gr_args *args)
{
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < args->count; i++)
        s = bring(args, &args->positional[i], gr_argument_names(args->verb, i));
    for (size_t i = 0; s == GR_OK && i < args->slot_count; i++) {
        gr_slot *slot = &args->slots[i];
        gr_names k = gr_flag_names(slot->flag);
        if (k == GR_NAMES_NOTHING)
            continue;
        if (slot->flag->kind == GR_KIND_TEXT) {
            s = bring(args, slot->field, k);
            continue;
        }
        gr_texts *list = slot->field;
        for (size_t n = 0; s == GR_OK && n < list->count; n++)
            s = bring(args, &list->items[n], k);
    }
    return s;
}
