/* The listing of a repository's files, a page at a time. */
#include "hub/hub.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gr_status add_file(gr_hub_tree *t, const char *name, gr_json entry)
{
    size_t n, hash_size;
    const char *path = gr_json_as_text(gr_json_get(entry, "path"), &n);
    gr_json lfs = gr_json_get(entry, "lfs");
    bool is_lfs = gr_json_is(lfs);
    const char *hash = gr_json_as_text(gr_json_get(is_lfs ? lfs : entry, "oid"), &hash_size);
    int64_t size = gr_json_as_int(gr_json_get(is_lfs ? lfs : entry, "size"), 0, INT64_MAX / 2);
    gr_status s = gr_json_check(entry.doc);
    if (s == GR_OK)
        s = gr_hub_check_path(name, path, n);
    if (s == GR_OK && !gr_hub_is_hex(hash, hash_size, is_lfs ? GR_SHA256_HEX : GR_SHA1_HEX))
        s = gr_json_fail(entry, "an \"oid\" that is no hash");
    if (s == GR_OK && t->n == GR_MOST_FILES)
        s = gr_fail(GR_ERR_FILE, "%s: lists more than %d files\nThere is no such repository: check HF_ENDPOINT.", name,
                    GR_MOST_FILES);
    if (s == GR_OK)
        s = gr_grow(&t->files, &t->cap, t->n + 1, sizeof *t->files);
    char *copy = s == GR_OK ? gr_strdup(path) : NULL;
    if (!copy)
        return gr_error_status();
    gr_hub_file *f = &t->files[t->n++];
    *f = (gr_hub_file){.path = copy, .size = size};
    snprintf(f->hash, sizeof f->hash, "%s", hash);
    return GR_OK;
}

gr_status gr_hub_tree_add(gr_hub_tree *t, const char *name, const char *text, size_t size)
{
    gr_json_doc *doc = gr_json_parse(name, text, size);
    if (!doc)
        return gr_error_status();
    gr_json list = gr_json_as_array(gr_json_root(doc));
    gr_status s = gr_json_check(doc);
    for (size_t i = 0; s == GR_OK && i < gr_json_size(list); i++) {
        gr_json entry = gr_json_as_object(gr_json_item(list, i));
        const char *type = gr_json_text(entry, "type", "file");
        s = gr_json_check(doc);
        if (s == GR_OK && strcmp(type, "file") == 0)
            s = add_file(t, name, entry);
    }
    gr_json_free(doc);
    return s;
}

gr_status gr_hub_read_commit(const char *name, const char *text, size_t size, char commit[GR_COMMIT + 1])
{
    gr_json_doc *doc = gr_json_parse(name, text, size);
    size_t n = 0;
    if (!doc)
        return gr_error_status();
    gr_json at = gr_json_get(gr_json_as_object(gr_json_root(doc)), "sha");
    const char *sha = gr_json_as_text(at, &n);
    gr_status s = gr_json_check(doc);
    if (s == GR_OK && !gr_hub_is_hex(sha, n, GR_COMMIT))
        s = gr_json_fail(at, "expected a commit, 40 hexadecimal digits");
    if (s == GR_OK)
        memcpy(commit, sha, GR_COMMIT + 1);
    gr_json_free(doc);
    return s;
}

void gr_hub_tree_free(gr_hub_tree *t)
{
    for (size_t i = 0; i < t->n; i++)
        gr_free(t->files[i].path);
    gr_free(t->files);
    *t = (gr_hub_tree){0};
}

/* ---- files that cannot lie side by side --------------------------------------------------------------------- */

/* As a system compares them that takes a and A for the same; a slash before everything, so that what is in a directory
 * follows its name. */
static int fold(char c)
{
    return c == '/' ? 1 : tolower((unsigned char)c);
}

static int by_folded(const void *a, const void *b)
{
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    while (*p && fold(*p) == fold(*q))
        p++, q++;
    return (*p ? fold(*p) : 0) - (*q ? fold(*q) : 0);
}

/* Is a the same name as b, or a directory in it? */
static bool collide(const char *a, const char *b)
{
    while (*a && fold(*a) == fold(*b))
        a++, b++;
    return !*a && (!*b || *b == '/');
}

gr_status gr_hub_tree_check(const gr_hub_tree *t, const char *name)
{
    const char **paths = gr_alloc((t->n + 1) * sizeof *paths);
    size_t n = 0;
    char first[200], second[200];
    gr_status s = paths ? GR_OK : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < t->n; i++)
        if (t->files[i].chosen)
            paths[n++] = t->files[i].path;
    if (n > 1)
        qsort(paths, n, sizeof *paths, by_folded);
    for (size_t i = 1; s == GR_OK && i < n; i++)
        if (collide(paths[i - 1], paths[i]))
            s = gr_fail(
                GR_ERR_FILE,
                "%s: two files cannot lie side by side on every system: \"%s\" and \"%s\"\n--exclude leaves one "
                "out.",
                name, gr_printable(paths[i - 1], strlen(paths[i - 1]), first, sizeof first),
                gr_printable(paths[i], strlen(paths[i]), second, sizeof second));
    gr_free(paths);
    return s;
}
