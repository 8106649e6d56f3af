/* gr_hub_pull: what a name stands for comes into the cache, or into a directory. */
#include "hub/hub.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sized.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A pull at work. */
typedef struct pull {
    gr_hub_options o;
    gr_hub_name name;
    gr_hub hub;
    gr_hub_tree tree;
    char label[2 * GR_NAME_SIZE];
    char commit[GR_COMMIT + 1];
    char *address; /* endpoint, without a slash at its end */
    char *cached;  /* blobs of the cache */
    char *blobs;   /* where verified bytes go; options.to: a directory in that, else as `cached` */
    char *locks;
    char *snapshot; /* or options.to */
    char *spare;    /* what the cache has of the name, where no hub can be reached; NULL: nothing */
    int64_t before; /* bytes of the files that are done */
} pull;

/* ---- asking ------------------------------------------------------------------------------------------------- */

static char *api_address(const pull *p, const char *what, const char *revision, const char *query)
{
    gr_bytes url = {0};
    gr_status s = gr_bytes_add_string(&url, p->address);
    const char *const parts[] = {"/api/", p->o.dataset ? "datasets/" : "models/", p->name.repo, "/", what, "/"};
    for (size_t i = 0; s == GR_OK && i < sizeof parts / sizeof *parts; i++)
        s = gr_bytes_add_string(&url, parts[i]);
    if (s == GR_OK)
        s = gr_url_escape(&url, revision, false);
    if (s == GR_OK)
        s = gr_bytes_add(&url, query, strlen(query) + 1);
    if (s == GR_OK)
        return url.data;
    gr_bytes_free(&url);
    return NULL;
}

static char *file_address(const pull *p, const gr_hub_file *f)
{
    gr_bytes url = {0};
    gr_status s = gr_bytes_add_string(&url, p->address);
    const char *const parts[] = {p->o.dataset ? "/datasets/" : "/", p->name.repo, "/resolve/", p->commit, "/"};
    for (size_t i = 0; s == GR_OK && i < sizeof parts / sizeof *parts; i++)
        s = gr_bytes_add_string(&url, parts[i]);
    if (s == GR_OK)
        s = gr_url_escape(&url, f->path, true);
    if (s == GR_OK)
        s = gr_bytes_add(&url, "", 1);
    if (s == GR_OK)
        return url.data;
    gr_bytes_free(&url);
    return NULL;
}

static gr_status ask_commit(pull *p)
{
    gr_bytes text = {0};
    char *next = NULL, *url = api_address(p, "revision", p->name.revision, "");
    gr_status s = url ? gr_hub_get(&p->hub, url, &text, &next) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_hub_read_commit(p->label, text.data, text.size, p->commit);
    gr_free(next);
    gr_free(url);
    gr_bytes_free(&text);
    return s;
}

/* The listing is of the commit, whatever happens to the branch meanwhile. */
static gr_status ask_tree(pull *p)
{
    enum { MOST_PAGES = 10000 };
    gr_bytes text = {0};
    char *url = api_address(p, "tree", p->commit, "?recursive=1");
    gr_status s = url ? GR_OK : GR_ERR_MEMORY;
    for (int page = 0; s == GR_OK && url; page++) {
        char *next = NULL;
        text.size = 0;
        s = gr_hub_get(&p->hub, url, &text, &next);
        if (s == GR_OK)
            s = gr_hub_tree_add(&p->tree, p->label, text.data, text.size);
        if (s == GR_OK && next && (page == MOST_PAGES || strcmp(next, url) == 0))
            s = gr_fail(GR_ERR_NETWORK, "%s: the list of files has no end\nCheck HF_ENDPOINT.", p->label);
        gr_free(url);
        url = next;
    }
    gr_free(url);
    gr_bytes_free(&text);
    return s;
}

/* Files that are asked for one by one may be others than the cache has. */
static gr_status look_for_spare(pull *p, const char *text)
{
    p->spare = p->o.to || p->o.n_include > 0 ? NULL : gr_hub_find(text, &p->o);
    p->hub.has_spare = p->spare != NULL;
    gr_status s = p->spare || gr_error_status() != GR_ERR_MEMORY ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK)
        gr_error_clear();
    return s;
}

static gr_status ask(pull *p, const char *text)
{
    gr_status s = look_for_spare(p, text);
    if (s == GR_OK)
        s = ask_commit(p);
    if (s == GR_OK)
        s = ask_tree(p);
    p->hub.has_spare = false; /* what is listed is to be fetched */
    return s;
}

/* ---- what is here ------------------------------------------------------------------------------------------- */

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

/* In options.to only what has the right bytes may stay. */
static gr_status look_in_place(pull *p, gr_hub_file *f, const char *path)
{
    char hash[GR_HASH_SIZE] = "";
    struct stat info;
    if (lstat(path, &info) != 0)
        return GR_OK;
    gr_status s = GR_OK;
    if (size_of(path) == f->size)
        s = gr_hub_hash_file(path, strlen(f->hash), gr_hub_going, &p->hub, hash);
    if (s == GR_OK && strcmp(hash, f->hash) != 0)
        s = gr_fail(GR_ERR_ARGUMENT,
                    "%s: is there, and is not what would be fetched\nName another directory, or remove it.", path);
    f->here = f->size;
    f->is_there = true;
    return s;
}

/* How many bytes of a file need not be fetched. A part is looked at closely when its turn comes. */
static gr_status look(pull *p, gr_hub_file *f)
{
    char *blob = gr_path_join(p->blobs, f->hash), *part = blob ? gr_strfmt("%s.part", blob) : NULL;
    char *shown = part ? gr_path_join(p->snapshot, f->path) : NULL,
         *kept = shown ? gr_path_join(p->cached, f->hash) : NULL;
    gr_status s = kept ? GR_OK : GR_ERR_MEMORY;
    f->here = 0;
    f->is_there = false;
    if (s == GR_OK && p->o.to)
        s = look_in_place(p, f, shown);
    if (s == GR_OK && f->here == 0) {
        int64_t begun = size_of(part);
        f->is_there = size_of(blob) == f->size || size_of(shown) == f->size;
        bool whole = f->is_there || size_of(kept) == f->size;
        f->here = whole ? f->size : begun > 0 && begun < f->size ? begun : 0;
    }
    gr_free(kept);
    gr_free(shown);
    gr_free(part);
    gr_free(blob);
    return s;
}

static gr_status stopped(const pull *p)
{
    return gr_fail(GR_ERR_INTERRUPTED, "%s: stopped\nThe same command goes on where this one was.", p->label);
}

/* Looks at every wanted file, and tells of it. */
static gr_status look_at_all(pull *p)
{
    gr_status s = GR_OK;
    int64_t missing = 0;
    for (size_t i = 0; s == GR_OK && i < p->tree.n; i++) {
        gr_hub_file *f = &p->tree.files[i];
        if (!f->chosen)
            continue;
        s = look(p, f);
        p->hub.total += f->size;
        p->hub.done += f->here;
        missing += f->size - f->here;
        const gr_hub_event e = {.kind = GR_HUB_CHOSEN, .file = f->path, .bytes = f->size, .done = f->here};
        if (s == GR_OK && !gr_hub_tell(&p->hub, &e))
            s = stopped(p);
    }
    const gr_hub_event e = {.kind = GR_HUB_BEGIN, .text = p->commit, .bytes = missing, .done = p->hub.done};
    if (s == GR_OK && !gr_hub_tell(&p->hub, &e))
        s = stopped(p);
    return s;
}

/* Before the first byte, not after nine gigabytes. */
static gr_status check_room(const pull *p)
{
    struct statvfs disk;
    double need = 0;
    for (size_t i = 0; i < p->tree.n; i++)
        if (p->tree.files[i].chosen)
            need += (double)(p->tree.files[i].size - p->tree.files[i].here);
    if (need <= 0 || statvfs(p->blobs, &disk) != 0)
        return GR_OK;
    double have = (double)disk.f_bavail * (double)disk.f_frsize;
    if (need <= have)
        return GR_OK;
    return gr_fail(GR_ERR_FILE,
                   "%s: needs %.1f MB, and the disk of %s has %.1f MB free\nFree space, or set HF_HUB_CACHE, or "
                   "give --to, for another disk.",
                   p->label, need / 1e6, p->blobs, have / 1e6);
}

/* ---- fetching ----------------------------------------------------------------------------------------------- */

static bool on_waiting(void *user, const char *who)
{
    pull *p = user;
    char why[300];
    snprintf(why, sizeof why, "%s is being fetched by %s", p->hub.file, who);
    const gr_hub_event e = {.kind = GR_HUB_WAIT, .file = p->hub.file, .text = why};
    return gr_hub_tell(&p->hub, &e);
}

/* The bytes from the cache, verified on the way, instead of from the hub. */
static gr_status feed(pull *p, const char *from, gr_hub_part *part)
{
    enum { BLOCK = 1 << 20 };
    int fd = gr_read_open(from);
    char *buffer = fd >= 0 ? gr_alloc(BLOCK) : NULL;
    gr_status s = buffer ? gr_hub_part_begin(part) : gr_error_status();
    for (int64_t n = 1; s == GR_OK && n > 0 && part->at < part->size;) {
        n = gr_read_full(fd, buffer, BLOCK);
        s = n < 0 ? gr_fail_errno("reading", from) : gr_hub_part_add(part, buffer, (size_t)n);
        if (s == GR_OK && !gr_hub_going(&p->hub))
            s = stopped(p);
    }
    gr_free(buffer);
    if (fd >= 0)
        close(fd);
    return s;
}

/* All bytes into the part; twice, if those of the first time are wrong. */
static gr_status fill(pull *p, const gr_hub_file *f, gr_hub_part *part, const char *kept)
{
    char *url = file_address(p, f);
    bool right = false, from_cache = p->o.to && size_of(kept) == f->size;
    gr_status s = url ? GR_OK : GR_ERR_MEMORY;
    for (int turn = 0; s == GR_OK && !right && turn < 2 + from_cache; turn++) {
        p->hub.done = p->before + part->at;
        s = from_cache && turn == 0 ? feed(p, kept, part) : gr_hub_get_file(&p->hub, url, f, p->commit, part);
        if (s == GR_OK)
            s = gr_hub_part_check(part, f->hash, &right);
        if (s == GR_OK && !right) {
            gr_remark(GR_LOG_WARN, "%s: %s: its bytes are not those of its hash, and are fetched once more", p->label,
                      f->path);
            s = gr_hub_part_begin(part);
        }
    }
    gr_free(url);
    if (s == GR_OK && !right)
        s = gr_fail(GR_ERR_FILE,
                    "%s: %s: twice, its bytes had not the hash that the hub lists (%.12s)\nWhat came was removed. "
                    "Try again later, or by another network.",
                    p->label, f->path, f->hash);
    if (s == GR_ERR_FILE && !right && part->at == 0)
        gr_hub_part_remove(part);
    return s;
}

static gr_status get_locked(pull *p, const gr_hub_file *f, const char *blob, bool is_held)
{
    gr_hub_part part = {.fd = -1, .ranges_fd = -1};
    char *kept = gr_path_join(p->cached, f->hash);
    /* Where locks do not hold, two processes must not write one file. */
    char *path = !kept ? NULL : is_held ? gr_strfmt("%s.part", blob) : gr_strfmt("%s.%ld.part", blob, (long)getpid());
    gr_status s = path ? gr_hub_part_open(&part, path, f->size, f->hash, gr_hub_going, &p->hub) : GR_ERR_MEMORY;
    if (s == GR_ERR_INTERRUPTED)
        s = stopped(p);
    if (s == GR_OK)
        s = fill(p, f, &part, kept);
    if (s == GR_OK)
        s = gr_hub_part_name(&part, blob);
    else if (path && !is_held && part.path)
        gr_hub_part_remove(&part);
    gr_hub_part_close(&part);
    gr_free(path);
    gr_free(kept);
    return s;
}

static gr_status get(pull *p, const gr_hub_file *f)
{
    gr_hub_lock lock = {.fd = -1};
    char *blob = gr_path_join(p->blobs, f->hash), *name = blob ? gr_strfmt("%s/%s.lock", p->locks, f->hash) : NULL;
    p->hub.file = f->path;
    gr_status s = name ? gr_hub_lock_open(&lock, name, on_waiting, p) : GR_ERR_MEMORY;
    if (s == GR_ERR_INTERRUPTED)
        s = stopped(p);
    if (s == GR_OK && size_of(blob) != f->size) /* or somebody else has just fetched it */
        s = get_locked(p, f, blob, lock.is_held);
    gr_hub_lock_close(&lock);
    gr_free(name);
    gr_free(blob);
    return s;
}

/* Small files first: a name that is wrong is noticed early. */
static gr_status get_all(pull *p)
{
    gr_status s = GR_OK;
    p->hub.done = 0;
    for (int weights = 0; weights < 2; weights++)
        for (size_t i = 0; s == GR_OK && i < p->tree.n; i++) {
            const gr_hub_file *f = &p->tree.files[i];
            if (!f->chosen || f->is_weights != weights)
                continue;
            p->hub.done = p->before;
            if (!f->is_there)
                s = get(p, f);
            p->before += f->size;
        }
    p->hub.done = p->before;
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static gr_status set_places(pull *p)
{
    char *folder = gr_hub_folder(&p->o, p->name.repo);
    p->cached = folder ? gr_path_join(folder, "blobs") : NULL;
    if (p->o.to) {
        p->blobs = gr_path_join(p->o.to, ".cache/gradus");
        p->locks = p->blobs ? gr_strdup(p->blobs) : NULL;
        p->snapshot = gr_strdup(p->o.to);
    } else if (folder) {
        p->blobs = gr_strdup(p->cached ? p->cached : "");
        p->locks = gr_strfmt("%s/.locks/%s", p->o.cache, strrchr(folder, '/') + 1);
        p->snapshot = gr_hub_snapshot(&p->o, p->name.repo, p->commit);
    }
    gr_free(folder);
    return p->cached && p->blobs && p->locks && p->snapshot ? GR_OK : GR_ERR_MEMORY;
}

static gr_status make_places(const pull *p)
{
    static const char tag[] =
        "Signature: 8a477f597d28d172789f06886806bc55\n# A cache: see https://bford.info/cachedir/\n";
    gr_status s = gr_dir_make(p->blobs);
    if (s == GR_OK)
        s = gr_dir_make(p->locks);
    if (s != GR_OK || p->o.to)
        return s;
    char *path = gr_path_join(p->o.cache, "CACHEDIR.TAG");
    if (!path)
        s = GR_ERR_MEMORY;
    else if (access(path, F_OK) != 0)
        s = gr_file_write(path, tag, sizeof tag - 1);
    gr_free(path);
    return s;
}

static gr_status take_in(pull *p)
{
    bool all_there = true;
    for (size_t i = 0; i < p->tree.n; i++)
        all_there = all_there && (!p->tree.files[i].chosen || p->tree.files[i].is_there);
    gr_status s = all_there ? GR_OK : make_places(p); /* a cache that is only read stays as it is */
    if (s == GR_OK)
        s = check_room(p);
    if (s == GR_OK)
        s = get_all(p);
    if (s == GR_OK)
        s = p->o.to ? gr_hub_place(&p->o, &p->tree, p->blobs) : gr_hub_publish(&p->o, &p->name, p->commit, &p->tree);
    if (s == GR_OK && p->o.to && (s = gr_dir_remove(p->blobs)) == GR_OK) {
        *strrchr(p->blobs, '/') = '\0';
        rmdir(p->blobs); /* .cache, unless somebody else keeps something there */
    }
    return s;
}

static gr_status run(pull *p, const char *text)
{
    gr_status s = gr_hub_open(&p->hub, &p->o, p->label);
    size_t n = strlen(p->hub.endpoint);
    while (n > 0 && p->hub.endpoint[n - 1] == '/')
        n--;
    if (s == GR_OK && !(p->address = gr_strfmt("%.*s", (int)n, p->hub.endpoint)))
        s = GR_ERR_MEMORY;
    if (s == GR_OK)
        s = ask(p, text);
    if (s == GR_OK)
        s = gr_hub_choose(&p->tree, &p->name, &p->o);
    if (s == GR_OK)
        s = gr_hub_tree_check(&p->tree, p->label);
    if (s == GR_OK)
        s = set_places(p);
    if (s == GR_OK)
        s = look_at_all(p);
    return s == GR_OK ? take_in(p) : s;
}

/* As huggingface_hub has it: who cannot ask whether there is something newer takes what is here. */
static char *take_spare(pull *p)
{
    char *path = p->spare;
    gr_remark(GR_LOG_WARN, "%.*s: what the cache has is taken, as it was when it was pulled",
              (int)strcspn(gr_error(), "\n"), gr_error());
    gr_error_clear();
    p->spare = NULL;
    return path;
}

/* Without a network there is what there is. */
static char *stay_offline(const pull *p, const char *text, const gr_hub_options *options)
{
    char *path = p->o.to ? NULL : gr_hub_find(text, options);
    gr_kept_error why;
    if (path)
        return path;
    gr_error_keep(&why);
    gr_fail(GR_ERR_NETWORK, "%s: %s, and HF_HUB_OFFLINE forbids to ask for it\nUnset HF_HUB_OFFLINE.", p->label,
            p->o.to ? "is to be fetched" : "is not in the cache");
    return NULL;
}

char *gr_hub_pull(const char *text, const gr_hub_options *options)
{
    pull p = {.before = 0};
    char *path = NULL;
    if (gr_lacks(text, "gr_hub_pull: name") || gr_lacks(options, "gr_hub_pull: options") ||
        gr_take_sized(&p.o, sizeof p.o, options, "gr_hub_pull: options") != GR_OK ||
        gr_lacks(p.o.cache, "gr_hub_pull: options.cache") || gr_hub_name_parse(text, &p.name) != GR_OK)
        return NULL;
    bool is_main = strcmp(p.name.revision, "main") == 0;
    snprintf(p.label, sizeof p.label, "%s%s%s", p.name.repo, is_main ? "" : "@", is_main ? "" : p.name.revision);
    if (p.o.offline)
        return stay_offline(&p, text, options);
    if (run(&p, text) == GR_OK)
        path = gr_hub_meant(&p.name, &p.o, p.snapshot);
    else if (p.hub.gave_up)
        path = take_spare(&p);
    gr_hub_close(&p.hub);
    gr_hub_tree_free(&p.tree);
    gr_free(p.address);
    gr_free(p.cached);
    gr_free(p.blobs);
    gr_free(p.locks);
    gr_free(p.snapshot);
    gr_free(p.spare);
    return path;
}
