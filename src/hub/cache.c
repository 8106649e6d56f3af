/* The cache's layout, which Hugging Face's tools have too: blobs by hash, snapshots of links to them by commit, refs from names
 * to commits. */
#include "hub/hub.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/sized.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *gr_hub_folder(const gr_hub_options *o, const char *repo)
{
    const char *slash = strchr(repo, '/');
    return gr_strfmt("%s/%s--%.*s--%s", o->cache, o->dataset ? "datasets" : "models", (int)(slash - repo), repo,
                     slash + 1);
}

char *gr_hub_snapshot(const gr_hub_options *o, const char *repo, const char *commit)
{
    char *folder = gr_hub_folder(o, repo), *path = folder ? gr_strfmt("%s/snapshots/%s", folder, commit) : NULL;
    gr_free(folder);
    return path;
}

/* ---- what is here ------------------------------------------------------------------------------------------- */

static gr_status not_here(const gr_hub_options *o, const gr_hub_name *name, const char *why)
{
    bool is_main = strcmp(name->revision, "main") == 0, is_data = o->dataset;
    return gr_fail(GR_ERR_FILE, "%s%s%s%s%s: %s (%s)\ngradus pull %s%s%s%s%s%s fetches it.", name->repo,
                   is_main ? "" : "@", is_main ? "" : name->revision, *name->quant ? ":" : "", name->quant, why,
                   o->cache, is_data ? "--dataset " : "", name->repo, is_main ? "" : "@", is_main ? "" : name->revision,
                   *name->quant ? ":" : "", name->quant);
}

gr_status gr_hub_commit(const gr_hub_options *o, const gr_hub_name *name, char commit[GR_COMMIT + 1])
{
    const char *revision = name->revision;
    if (gr_hub_is_hex(revision, strlen(revision), GR_COMMIT)) {
        memcpy(commit, revision, GR_COMMIT + 1);
        return GR_OK;
    }
    char *folder = gr_hub_folder(o, name->repo), *path = folder ? gr_strfmt("%s/refs/%s", folder, revision) : NULL;
    gr_status s = path ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && !gr_path_is_file(path))
        s = not_here(o, name, "is not in the cache");
    size_t size = 0;
    char *text = s == GR_OK ? gr_file_read(path, 4096, &size) : NULL;
    if (s == GR_OK && !text)
        s = gr_error_status();
    while (text && size > 0 && (text[size - 1] == '\n' || text[size - 1] == ' '))
        size--;
    if (s == GR_OK && !gr_hub_is_hex(text, size, GR_COMMIT))
        s = gr_fail(GR_ERR_FILE, "%s: is no commit of 40 digits\nRemove it, and gradus pull %s makes it anew.", path,
                    name->repo);
    if (s == GR_OK)
        snprintf(commit, GR_COMMIT + 1, "%.*s", GR_COMMIT, text);
    gr_free(text);
    gr_free(path);
    gr_free(folder);
    return s;
}

typedef struct paths {
    char **list;
    size_t n, cap;
} paths;

static gr_status list_files(const char *dir, const char *below, int depth, paths *out)
{
    char **names = NULL, *whole = *below ? gr_path_join(dir, below) : gr_strdup(dir);
    size_t n = 0;
    gr_status s = !whole ? GR_ERR_MEMORY : gr_dir_list(whole, &names, &n);
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        char *path = *below ? gr_path_join(below, names[i]) : gr_strdup(names[i]),
             *full = path ? gr_path_join(dir, path) : NULL;
        struct stat info;
        if (!full)
            s = GR_ERR_MEMORY;
        else if (lstat(full, &info) == 0 && S_ISDIR(info.st_mode) && depth > 0)
            s = list_files(dir, path, depth - 1, out);
        else if ((s = gr_grow(&out->list, &out->cap, out->n + 1, sizeof *out->list)) == GR_OK) {
            out->list[out->n++] = path;
            path = NULL;
        }
        gr_free(path);
        gr_free(full);
    }
    gr_names_free(names, n);
    gr_free(whole);
    return s;
}

gr_status gr_hub_list_files(const char *dir, char ***list, size_t *n)
{
    enum { DEPTH = 32 };
    paths found = {0};
    gr_status s = list_files(dir, "", DEPTH, &found);
    if (s != GR_OK) {
        gr_names_free(found.list, found.n);
        found = (paths){0};
    }
    *list = found.list;
    *n = found.n;
    return s;
}

/* ---- what is meant of it ------------------------------------------------------------------------------------ */

static bool is_there(const char *dir, const char *name)
{
    char path[4096];
    struct stat info;
    return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path && stat(path, &info) == 0;
}

/* What of weights at the root is missing: a file whose bytes are gone, or a number of a split. NULL: nothing. */
static const char *missing(const char *dir, char *const *list, size_t n)
{
    static const char *const ends[] = {".safetensors", ".bin", ".gguf"};
    static char text[300]; /* for the message that is made at once */
    for (size_t i = 0; i < n; i++)
        for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
            int number, count, have = 0, other, of;
            size_t tail = strlen("-00001-of-00002") + strlen(ends[e]), size = strlen(list[i]);
            if (!gr_hub_shard(list[i], ends[e], &number, &count))
                continue;
            if (!is_there(dir, list[i]))
                return list[i];
            for (size_t k = 0; count > 1 && k < n; k++)
                have += gr_hub_shard(list[k], ends[e], &other, &of) && of == count && strlen(list[k]) == size &&
                        strncmp(list[k], list[i], size - tail) == 0;
            if (count > 1 && have < count) {
                snprintf(text, sizeof text, "%d of %d files of weights", count - have, count);
                return text;
            }
        }
    return NULL;
}

static bool has_other_weights(char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(list[i], '/') && (gr_ends_with(list[i], ".safetensors") || gr_ends_with(list[i], ".bin")))
            return true;
    return false;
}

/* The GGUF file, or the first of one in parts; *several: there are more. */
static const char *find_gguf(const gr_hub_name *name, char *const *list, size_t n, bool *several)
{
    const char *found = NULL;
    *several = false;
    for (size_t i = 0; i < n; i++) {
        int number, count;
        bool fits = *name->quant ? gr_hub_is_quant(list[i], name->quant)
                                 : gr_ends_with(list[i], ".gguf") && strncmp(list[i], "mmproj", 6) != 0;
        if (!fits || !gr_hub_shard(list[i], ".gguf", &number, &count) || number > 1)
            continue;
        *several |= found != NULL;
        found = list[i];
    }
    return found;
}

static char *choose_meant(const gr_hub_name *name, const gr_hub_options *o, const char *snapshot, char *const *list,
                          size_t n)
{
    bool several = false;
    const char *lost = missing(snapshot, list, n);
    if (lost) {
        char why[400];
        snprintf(why, sizeof why, "is in the cache in part: %s not there", lost);
        not_here(o, name, why);
        return NULL;
    }
    if (o->file) {
        if (is_there(snapshot, o->file))
            return gr_path_join(snapshot, o->file);
        gr_fail(GR_ERR_FILE, "%s: %s is not in the cache\ngradus pull %s --file %s fetches it.", name->repo, o->file,
                name->repo, o->file);
        return NULL;
    }
    const char *gguf = *name->quant || !has_other_weights(list, n) ? find_gguf(name, list, n, &several) : NULL;
    if (several) {
        gr_fail(GR_ERR_ARGUMENT,
                "%s: several GGUF files of it are in the cache\nName one by its kind, %s:Q4_K_M, or by its "
                "path in %s.",
                name->repo, name->repo, snapshot);
        return NULL;
    }
    if (*name->quant && !gguf) {
        not_here(o, name, "no GGUF file of that kind is in the cache");
        return NULL;
    }
    return gguf ? gr_path_join(snapshot, gguf) : gr_strdup(snapshot);
}

/* Of a dataset the directory that its texts lie in. */
static char *choose_data(const gr_hub_name *name, const char *snapshot, char *const *list, size_t n)
{
    const char *first = NULL;
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        const char *slash = strrchr(list[i], '/');
        size_t of = slash ? (size_t)(slash - list[i]) : 0;
        if (!gr_hub_is_data(list[i]))
            continue;
        if (first && (of != size || memcmp(first, list[i], size) != 0)) {
            gr_fail(GR_ERR_ARGUMENT,
                    "%s: its .jsonl and .txt files lie in several directories\nName those that are meant, "
                    "in %s.",
                    name->repo, snapshot);
            return NULL;
        }
        first = list[i];
        size = of;
    }
    return gr_strfmt("%s%s%.*s", snapshot, size ? "/" : "", (int)size, first ? first : "");
}

char *gr_hub_meant(const gr_hub_name *name, const gr_hub_options *o, const char *snapshot)
{
    char **list, *path;
    size_t n;
    if (gr_hub_list_files(snapshot, &list, &n) != GR_OK)
        return NULL;
    path = o->dataset ? choose_data(name, snapshot, list, n) : choose_meant(name, o, snapshot, list, n);
    gr_names_free(list, n);
    return path;
}

char *gr_hub_find(const char *text, const gr_hub_options *options)
{
    gr_hub_options o;
    gr_hub_name name;
    char commit[GR_COMMIT + 1];
    if (gr_lacks(text, "gr_hub_find: name") || gr_lacks(options, "gr_hub_find: options") ||
        gr_take_sized(&o, sizeof o, options, "gr_hub_find: options") != GR_OK ||
        gr_lacks(o.cache, "gr_hub_find: options.cache") || gr_hub_name_parse(text, &name) != GR_OK ||
        gr_hub_commit(&o, &name, commit) != GR_OK)
        return NULL;
    char *snapshot = gr_hub_snapshot(&o, name.repo, commit), *path = NULL;
    if (snapshot && !gr_path_is_dir(snapshot))
        not_here(&o, &name, "is not in the cache");
    else if (snapshot)
        path = gr_hub_meant(&name, &o, snapshot);
    gr_free(snapshot);
    return path;
}

/* ---- hashes ------------------------------------------------------------------------------------------------- */

gr_status gr_hub_hash_file(const char *path, size_t digits, gr_http_going *going, void *user, char hash[GR_HASH_SIZE])
{
    enum { BLOCK = 1 << 20 };
    struct stat info;
    gr_sha h;
    int fd = gr_read_open(path);
    uint8_t *buffer = fd >= 0 ? gr_alloc(BLOCK) : NULL;
    gr_status s = fd < 0 ? gr_error_status() : buffer ? GR_OK : GR_ERR_MEMORY;
    gr_sha_begin(&h, digits == GR_SHA1_HEX);
    if (s == GR_OK && fstat(fd, &info) != 0)
        s = gr_fail_errno("reading", path);
    if (s == GR_OK && digits == GR_SHA1_HEX) {
        char head[40];
        gr_sha_add(&h, head, (size_t)snprintf(head, sizeof head, "blob %lld", (long long)info.st_size) + 1);
    }
    for (int64_t n = 1; s == GR_OK && n > 0;) {
        n = gr_read_full(fd, buffer, BLOCK);
        if (n < 0)
            s = gr_fail_errno("reading", path);
        else
            gr_sha_add(&h, buffer, (size_t)n);
        if (s == GR_OK && !going(user))
            s = gr_fail(GR_ERR_INTERRUPTED, "%s: stopped\nRun the same command again to start anew.", path);
    }
    gr_sha_end(&h, hash);
    gr_free(buffer);
    if (fd >= 0)
        close(fd);
    return s;
}
