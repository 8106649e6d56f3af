/* One model in several GGUF files: NAME-00001-of-00003.gguf, as llama.cpp's gguf-split writes them. */
#include "format/gguf.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

#define END ".gguf"
enum { NUMBER = 5, TAIL = sizeof "-00001-of-00003.gguf" - 1 };

bool gr_gguf_is_name(const char *path)
{
    size_t n = strlen(path), m = strlen(END);
    return n > m && strcmp(path + n - m, END) == 0;
}

bool gr_gguf_is_place(const char *path)
{
    return gr_gguf_is_name(path) && !gr_path_is_dir(path);
}

static bool read_number(const char *p, int *out)
{
    *out = 0;
    for (int i = 0; i < NUMBER; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *out = 10 * *out + (p[i] - '0');
    }
    return true;
}

/* "-00001-of-00003.gguf" at the end: which of how many. */
static bool read_tail(const char *path, int *number, int *count)
{
    size_t n = strlen(path);
    const char *tail = n > TAIL ? path + n - TAIL : "";
    return *tail == '-' && read_number(tail + 1, number) && strncmp(tail + 6, "-of-", 4) == 0 &&
           read_number(tail + 10, count) && *number >= 1 && *number <= *count;
}

char *gr_gguf_part_path(const char *path, int i, int n)
{
    if (n == 1)
        return gr_strdup(path);
    return gr_strfmt("%.*s-%05d-of-%05d" END, (int)(strlen(path) - strlen(END)), path, i + 1, n);
}

bool gr_gguf_is_part(const char *name, const char *whole)
{
    int number, count;
    size_t stem = strlen(whole) - strlen(END);
    return strlen(name) == stem + TAIL && strncmp(name, whole, stem) == 0 && read_tail(name, &number, &count);
}

gr_status gr_gguf_shards(const char *path, char ***paths, size_t *count)
{
    int number, n = 1;
    bool split = read_tail(path, &number, &n);
    n = split ? n : 1;
    *count = 0;
    *paths = gr_alloc_zero((size_t)n, sizeof **paths);
    for (int i = 0; *paths && i < n; i++) {
        (*paths)[i] =
            split ? gr_strfmt("%.*s-%05d-of-%05d" END, (int)(strlen(path) - TAIL), path, i + 1, n) : gr_strdup(path);
        if (!(*paths)[i]) {
            gr_names_free(*paths, *count);
            *paths = NULL;
            return GR_ERR_MEMORY;
        }
        ++*count;
    }
    return *paths ? GR_OK : GR_ERR_MEMORY;
}

/* What a file's keys say; `absent` where it has none. */
static int64_t number_of(const gr_gguf *g, const char *name, int64_t absent)
{
    const gr_gguf_key *k = gr_gguf_find(g, name);
    int64_t n = -1;
    return !k ? absent : gr_gguf_int(k, 0, &n) ? n : -1;
}

gr_status gr_gguf_check_split(const gr_source *files, size_t count)
{
    int64_t tensors = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t of = number_of(files[i].self, "split.count", 0), number = number_of(files[i].self, "split.no", 0);
        tensors += files[i].count;
        if (of == 0 && count == 1)
            return GR_OK;
        if (of != (int64_t)count || number != (int64_t)i)
            return gr_fail(GR_ERR_FILE,
                           "%s: by its name part %zu of %zu, by its keys part %lld of %lld\ngive the files the names "
                           "they were made with, -00001-of-%05lld" END " and so on, in one directory",
                           files[i].path, i + 1, count, (long long)number + 1, (long long)of, (long long)of);
    }
    int64_t wanted = number_of(files[0].self, "split.tensors.count", tensors);
    if (wanted != tensors)
        return gr_fail(GR_ERR_FILE,
                       "%s: its parts have %lld tensors, and its keys say %lld\nthe parts are of different "
                       "versions; fetch all of them again",
                       files[0].path, (long long)tensors, (long long)wanted);
    return GR_OK;
}

gr_gguf *gr_gguf_open_first(const char *path)
{
    char **paths = NULL;
    size_t n = 0;
    gr_gguf *g = gr_gguf_shards(path, &paths, &n) == GR_OK ? gr_gguf_open(paths[0]) : NULL;
    gr_names_free(paths, n);
    return g;
}
