/* gr_hub_walk: what is in the cache, whether its bytes are right, and away with it. */
#include "hub/hub.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/sized.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct walk {
    gr_hub_options o;
    gr_hub_work work;
    gr_hub_name name;
    gr_hub hub; /* to tell by; it asks nobody */
    int64_t bad;
    char first[GR_ERROR_SIZE / 4];  /* of the bad ones */
    char remedy[GR_ERROR_SIZE / 2]; /* for that alone */
} walk;

/* ---- a repository ------------------------------------------------------------------------------------------- */

typedef struct repo {
    char *folder;
    char name[GR_NAME_SIZE];
    char **refs; /* [n_refs] "main", "refs/pr/1" */
    size_t n_refs;
} repo;

static void close_repo(repo *r)
{
    gr_names_free(r->refs, r->n_refs);
    gr_free(r->folder);
    *r = (repo){0};
}

/* Takes the folder over. */
static gr_status open_repo(repo *r, char *folder, const char *name)
{
    *r = (repo){.folder = folder};
    snprintf(r->name, sizeof r->name, "%s", name);
    char *refs = gr_path_join(folder, "refs");
    gr_status s = !refs ? GR_ERR_MEMORY : gr_path_is_dir(refs) ? gr_hub_list_files(refs, &r->refs, &r->n_refs) : GR_OK;
    gr_free(refs);
    return s;
}

/* The name that leads to a commit; *ref NULL: none does. */
static gr_status ref_of(const walk *w, const repo *r, const char *commit, const char **ref)
{
    *ref = NULL;
    for (size_t i = 0; !*ref && i < r->n_refs; i++) {
        gr_hub_name name;
        char found[GR_COMMIT + 1];
        snprintf(name.repo, sizeof name.repo, "%s", r->name);
        if (snprintf(name.revision, sizeof name.revision, "%s", r->refs[i]) >= (int)sizeof name.revision)
            continue;
        gr_status s = gr_hub_commit(&w->o, &name, found); /* what makes no sense leads nowhere */
        if (s == GR_ERR_MEMORY)
            return s;
        if (s == GR_OK && strcmp(found, commit) == 0)
            *ref = r->refs[i];
    }
    return GR_OK;
}

/* ---- telling ------------------------------------------------------------------------------------------------ */

static gr_status tell(walk *w, const gr_hub_event *event)
{
    return gr_hub_tell(&w->hub, event) ? GR_OK : gr_fail(GR_ERR_INTERRUPTED, "the cache: stopped");
}

static gr_status tell_of(walk *w, const repo *r, const char *commit, const char *dir, char *const *files, size_t n)
{
    int64_t bytes = 0;
    char label[2 * GR_NAME_SIZE];
    const char *ref;
    if (ref_of(w, r, commit, &ref) != GR_OK)
        return GR_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        struct stat info;
        char *path = gr_path_join(dir, files[i]);
        if (path && stat(path, &info) == 0)
            bytes += (int64_t)info.st_size;
        gr_free(path);
        if (!path)
            return GR_ERR_MEMORY;
    }
    snprintf(label, sizeof label, "%s@%s", r->name, ref ? ref : commit);
    const gr_hub_event e = {
        .kind = GR_HUB_REPO, .name = label, .text = commit, .file = dir, .bytes = bytes, .done = (int64_t)n};
    return tell(w, &e);
}

/* ---- verifying ---------------------------------------------------------------------------------------------- */

/* Of a file that is no link the listing may know the hash, where huggingface_hub kept one. */
static gr_status hash_of_listing(const repo *r, const char *commit, const char *file, char hash[GR_HASH_SIZE])
{
    char *path = gr_strfmt("%s/trees/%s.json", r->folder, commit);
    bool is_there = path && gr_path_is_file(path);
    gr_json_doc *doc = is_there ? gr_json_read(path, GR_JSON_LIMIT) : NULL;
    gr_json entry = doc ? gr_json_get(gr_json_get(gr_json_root(doc), "files"), file) : (gr_json){0};
    gr_json sum = doc ? gr_json_get(entry, "lfs_sha256") : (gr_json){0};
    if (doc && !gr_json_is(sum))
        sum = gr_json_get(entry, "blob_id");
    const char *text = doc && gr_json_type_of(sum) == GR_JSON_TEXT ? gr_json_as_text(sum, NULL) : "";
    if (strlen(text) < GR_HASH_SIZE)
        snprintf(hash, GR_HASH_SIZE, "%s", text);
    gr_status s = !path || (is_there && !doc) ? gr_error_status() : GR_OK;
    gr_json_free(doc);
    gr_free(path);
    return s;
}

/* A link leads to the hash: ../../blobs/HASH. "" where nothing says it. */
static gr_status hash_of(const repo *r, const char *commit, const char *file, const char *path, char hash[GR_HASH_SIZE])
{
    char target[4096];
    gr_status s = GR_OK;
    hash[0] = '\0';
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n > 0) {
        target[n] = '\0';
        const char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
        size_t size = strlen(name) + 1;
        if (size <= GR_HASH_SIZE)
            memcpy(hash, name, size);
    } else {
        s = hash_of_listing(r, commit, file, hash);
    }
    size_t digits = strlen(hash);
    if (!gr_hub_is_hex(hash, digits, GR_SHA1_HEX) && !gr_hub_is_hex(hash, digits, GR_SHA256_HEX))
        hash[0] = '\0';
    return s;
}

/* A blob that is gone is fetched by the next pull, which believes the size of one that is there. */
static gr_status keep_first(walk *w, const repo *r, const char *commit, const char *path, const char *why,
                            const char *wanted)
{
    const char *ref, *data = w->o.dataset ? "--dataset " : "";
    char *blob = gr_strfmt("%s/blobs/%s", r->folder, wanted);
    struct stat info, shown;
    gr_status s = blob ? ref_of(w, r, commit, &ref) : GR_ERR_MEMORY;
    snprintf(w->first, sizeof w->first, "%s: %s", path, why);
    bool is_link = s == GR_OK && lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    bool is_there = is_link && stat(path, &shown) == 0;
    if (is_there && stat(blob, &info) == 0 && info.st_ino == shown.st_ino && info.st_dev == shown.st_dev)
        snprintf(w->remedy, sizeof w->remedy, "Remove %s alone; gradus pull %s%s@%s fetches it again.", blob, data,
                 r->name, ref ? ref : commit);
    else if (is_link && !is_there)
        snprintf(w->remedy, sizeof w->remedy, "gradus pull %s%s@%s fetches it again.", data, r->name,
                 ref ? ref : commit);
    gr_free(blob);
    return s;
}

static gr_status verify_file(walk *w, const repo *r, const char *commit, const char *dir, const char *file)
{
    char wanted[GR_HASH_SIZE], found[GR_HASH_SIZE], why[200] = "";
    char *path = gr_path_join(dir, file);
    gr_hub_event e = {.kind = GR_HUB_UNKNOWN, .name = r->name, .file = path, .text = why};
    struct stat info;
    if (!path)
        return GR_ERR_MEMORY;
    gr_status s = hash_of(r, commit, file, path, wanted);
    if (s == GR_OK && stat(path, &info) != 0) {
        e.kind = GR_HUB_BAD;
        snprintf(why, sizeof why, "the bytes are gone (%s)", strerror(errno));
    } else if (s == GR_OK && *wanted) {
        e.bytes = (int64_t)info.st_size;
        s = gr_hub_hash_file(path, strlen(wanted), gr_hub_going, &w->hub, found);
        e.kind = s == GR_OK && strcmp(found, wanted) == 0 ? GR_HUB_GOOD : GR_HUB_BAD;
        if (e.kind == GR_HUB_BAD)
            snprintf(why, sizeof why, "the hash is %.12s, and should be %.12s", found, wanted);
    }
    if (s == GR_OK && e.kind == GR_HUB_BAD && w->bad++ == 0)
        s = keep_first(w, r, commit, path, why, wanted);
    if (s == GR_OK)
        s = tell(w, &e);
    gr_free(path);
    return s;
}

/* ---- removing ----------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What the links of all snapshots lead to, by name and sorted: in place of each path its hash. */
static gr_status list_used(const repo *r, char ***used, size_t *n)
{
    char *all = gr_path_join(r->folder, "snapshots"), target[4096];
    gr_status s = all ? gr_hub_list_files(all, used, n) : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < *n; i++) {
        char *path = gr_path_join(all, (*used)[i]);
        ssize_t size = path ? readlink(path, target, sizeof target - 1) : -1;
        target[size > 0 ? size : 0] = '\0';
        const char *slash = strrchr(target, '/');
        char *hash = path ? gr_strdup(slash ? slash + 1 : target) : NULL;
        s = hash ? GR_OK : GR_ERR_MEMORY;
        gr_free(path);
        if (hash) {
            gr_free((*used)[i]);
            (*used)[i] = hash;
        }
    }
    if (s == GR_OK && *n > 1)
        qsort(*used, *n, sizeof **used, by_name);
    gr_free(all);
    return s;
}

/* Those that nothing leads to any more. */
static gr_status remove_blobs(const repo *r)
{
    char *blobs = gr_path_join(r->folder, "blobs"), **names = NULL, **used = NULL;
    size_t n = 0, n_used = 0;
    gr_status s = blobs ? list_used(r, &used, &n_used) : GR_ERR_MEMORY;
    if (s == GR_OK && gr_path_is_dir(blobs))
        s = gr_dir_list(blobs, &names, &n);
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        bool is_part = strchr(names[i], '.') != NULL; /* somebody may be at it */
        if (is_part || (n_used > 0 && bsearch(&names[i], used, n_used, sizeof *used, by_name)))
            continue;
        char *path = gr_path_join(blobs, names[i]);
        s = !path ? GR_ERR_MEMORY : unlink(path) != 0 ? gr_fail_errno("removing", path) : GR_OK;
        gr_free(path);
    }
    gr_names_free(names, n);
    gr_names_free(used, n_used);
    gr_free(blobs);
    return s;
}

static gr_status remove_refs(const walk *w, const repo *r, const char *commit)
{
    const char *ref;
    gr_status s = ref_of(w, r, commit, &ref);
    for (; s == GR_OK && ref; s = s == GR_OK ? ref_of(w, r, commit, &ref) : s) {
        char *path = gr_strfmt("%s/refs/%s", r->folder, ref);
        s = path ? GR_OK : GR_ERR_MEMORY;
        if (path && unlink(path) != 0)
            s = gr_fail_errno("removing", path);
        gr_free(path);
    }
    return s;
}

static gr_status remove_snapshot(walk *w, const repo *r, const char *commit, const char *dir)
{
    char *all = gr_path_join(r->folder, "snapshots"), **names = NULL;
    char *locks = gr_strfmt("%s/.locks/%s", w->o.cache, strrchr(r->folder, '/') + 1);
    size_t n = 0;
    gr_status s = all && locks ? remove_refs(w, r, commit) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_dir_remove(dir);
    if (s == GR_OK)
        s = gr_dir_list(all, &names, &n);
    if (s == GR_OK && n > 0)
        s = remove_blobs(r);
    else if (s == GR_OK && (s = gr_dir_remove(r->folder)) == GR_OK)
        s = gr_dir_remove(locks);
    gr_names_free(names, n);
    gr_free(locks);
    gr_free(all);
    return s;
}

/* ---- walking ------------------------------------------------------------------------------------------------ */

static gr_status walk_snapshot(walk *w, const repo *r, const char *commit)
{
    char *dir = gr_strfmt("%s/snapshots/%s", r->folder, commit), **files = NULL;
    size_t n = 0;
    gr_status s = dir ? gr_hub_list_files(dir, &files, &n) : GR_ERR_MEMORY;
    if (s == GR_OK && w->work != GR_HUB_VERIFY)
        s = tell_of(w, r, commit, dir, files, n);
    for (size_t i = 0; s == GR_OK && w->work == GR_HUB_VERIFY && i < n; i++)
        s = verify_file(w, r, commit, dir, files[i]);
    if (s == GR_OK && w->work == GR_HUB_REMOVE)
        s = remove_snapshot(w, r, commit, dir);
    gr_names_free(files, n);
    gr_free(dir);
    return s;
}

static gr_status walk_repo(walk *w, const repo *r)
{
    char *all = gr_path_join(r->folder, "snapshots"), **commits = NULL;
    size_t n = 0;
    gr_status s = !all ? GR_ERR_MEMORY : gr_path_is_dir(all) ? gr_dir_list(all, &commits, &n) : GR_OK;
    for (size_t i = 0; s == GR_OK && i < n; i++)
        if (gr_hub_is_hex(commits[i], strlen(commits[i]), GR_COMMIT))
            s = walk_snapshot(w, r, commits[i]);
    gr_names_free(commits, n);
    gr_free(all);
    return s;
}

/* The revision that the name has, or, where none was written, all. */
static gr_status walk_name(walk *w, const char *text)
{
    char commit[GR_COMMIT + 1];
    repo r = {0};
    gr_status s = gr_hub_name_parse(text, &w->name);
    char *folder = s == GR_OK ? gr_hub_folder(&w->o, w->name.repo) : NULL;
    bool has_revision = strchr(text, '@') != NULL;
    if (s != GR_OK || !folder)
        return gr_error_status();
    if (has_revision)
        s = gr_hub_commit(&w->o, &w->name, commit);
    if (s == GR_OK && !gr_path_is_dir(folder))
        s = gr_fail(GR_ERR_FILE, "%s: is not in the cache (%s)\ngradus pull --list says what is.", w->name.repo,
                    w->o.cache);
    gr_status opened = open_repo(&r, folder, w->name.repo);
    if (s == GR_OK)
        s = opened;
    if (s == GR_OK)
        s = has_revision ? walk_snapshot(w, &r, commit) : walk_repo(w, &r);
    close_repo(&r);
    return s;
}

/* "models--org--name" in its parts. */
static bool read_folder(const char *text, bool *dataset, char *name, size_t cap)
{
    static const char models[] = "models--", datasets[] = "datasets--";
    *dataset = strncmp(text, datasets, sizeof datasets - 1) == 0;
    if (!*dataset && strncmp(text, models, sizeof models - 1) != 0)
        return false;
    const char *rest = text + (*dataset ? sizeof datasets : sizeof models) - 1, *between = strstr(rest, "--");
    return between && snprintf(name, cap, "%.*s/%s", (int)(between - rest), rest, between + 2) < (int)cap &&
           gr_hub_is_name(name);
}

static gr_status walk_all(walk *w)
{
    char **names = NULL, name[GR_NAME_SIZE];
    size_t n = 0;
    bool only_data = w->o.dataset;
    gr_status s = gr_path_is_dir(w->o.cache) ? gr_dir_list(w->o.cache, &names, &n) : GR_OK;
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        repo r = {0};
        if (!read_folder(names[i], &w->o.dataset, name, sizeof name) || (only_data && !w->o.dataset))
            continue;
        char *folder = gr_path_join(w->o.cache, names[i]);
        s = folder ? open_repo(&r, folder, name) : GR_ERR_MEMORY;
        if (s == GR_OK)
            s = walk_repo(w, &r);
        close_repo(&r);
    }
    gr_names_free(names, n);
    return s;
}

gr_status gr_hub_walk(const char *name, gr_hub_work work, const gr_hub_options *options)
{
    walk w = {.work = work};
    if (gr_lacks(options, "gr_hub_walk: options") || (work == GR_HUB_REMOVE && gr_lacks(name, "gr_hub_walk: name")))
        return GR_ERR_ARGUMENT;
    gr_status s = gr_take_sized(&w.o, sizeof w.o, options, "gr_hub_walk: options");
    if (s == GR_OK && gr_lacks(w.o.cache, "gr_hub_walk: options.cache"))
        s = GR_ERR_ARGUMENT;
    if (s != GR_OK)
        return s;
    w.hub = (gr_hub){.o = &w.o, .label = name ? name : "the cache"};
    s = name ? walk_name(&w, name) : walk_all(&w);
    if (s == GR_OK && w.bad > 0)
        s = gr_fail(GR_ERR_FILE, "%s%s\n%s", w.first, w.bad > 1 ? ", and others" : "",
                    w.bad == 1 && *w.remedy ? w.remedy : "Remove it with gradus pull --remove, and fetch it again.");
    return s;
}
