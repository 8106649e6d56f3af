/* Names in files: of compiled and wrapped modules, of models that were part of another one, with the body's prefix or
 * without. */
#include "model/files/gguf.h"
#include "model/files/packed.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const gr_named_tensor *x = a, *y = b;
    int by_name = strcmp(x->tensor.name, y->tensor.name);
    if (by_name != 0)
        return by_name;
    return x->own && y->own ? strcmp(x->in_file, y->in_file) : !!x->own - !!y->own; /* the file's own name is first */
}

static void sort(gr_names *n)
{
    qsort(n->items, (size_t)n->count, sizeof *n->items, compare);
}

/* The first of this name, whose length is given; -1: none. */
static int find_length(const gr_names *n, const char *name, size_t length)
{
    int low = 0, high = n->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        const char *at = n->items[middle].tensor.name;
        int order = strncmp(at, name, length);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool same = low < n->count && strncmp(n->items[low].tensor.name, name, length) == 0;
    return same && n->items[low].tensor.name[length] == '\0' ? low : -1;
}

static int find(const gr_names *n, const char *name)
{
    return find_length(n, name, strlen(name));
}

const gr_named_tensor *gr_names_item(const gr_names *n, const char *name)
{
    int i = find(n, name);
    return i < 0 ? NULL : &n->items[i];
}

const gr_weight *gr_names_find(const gr_names *n, const char *name)
{
    const gr_named_tensor *item = gr_names_item(n, name);
    return item ? &item->tensor : NULL;
}

bool gr_names_is_first(const gr_names *n, int i)
{
    return i == 0 || strcmp(n->items[i - 1].tensor.name, n->items[i].tensor.name) != 0;
}

static gr_status rename_to(gr_named_tensor *item, char *name)
{
    if (!name)
        return GR_ERR_MEMORY;
    gr_free(item->own);
    item->tensor.name = item->own = name;
    return GR_OK;
}

gr_status gr_names_change(gr_names *n, const char *from, const char *to)
{
    int i = find(n, from);
    gr_status s = i < 0 ? GR_OK : rename_to(&n->items[i], gr_strdup(to));
    sort(n);
    return s;
}

/* ---- wrappers ----------------------------------------------------------------------------------------------- */

/* How many bytes at `name` are a wrapper's: of torch.compile, of FSDP, of checkpointed activations. */
static size_t wrapper_at(const char *name)
{
    static const char *const wrappers[] = {"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."};
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
        if (strncmp(name, wrappers[i], strlen(wrappers[i])) == 0)
            return strlen(wrappers[i]);
    return 0;
}

static gr_status unwrap(gr_named_tensor *item)
{
    const char *from = item->in_file;
    bool wrapped = false, starts = true; /* a part of the name */
    for (const char *c = from; *c && !wrapped; starts = *c++ == '.')
        wrapped = starts && wrapper_at(c);
    char *name = wrapped ? gr_strdup(from) : NULL;
    if (!name)
        return wrapped ? GR_ERR_MEMORY : GR_OK;
    char *to = name;
    starts = true;
    while (*from) {
        size_t skip = starts ? wrapper_at(from) : 0;
        from += skip;
        if (skip)
            continue;
        starts = *from == '.';
        *to++ = *from++;
    }
    *to = '\0';
    return rename_to(item, name);
}

/* ---- the body ----------------------------------------------------------------------------------------------- */

/* What stands before the body's names. */
typedef struct body {
    const char *prefix;
    size_t length;
    int score; /* how many of embedding and last norm it has; 0: there is no body */
} body;

enum { MOST_PREFIX = 256 };

static bool has(const gr_names *n, const body *b, const char *name)
{
    char full[MOST_PREFIX + 64];
    snprintf(full, sizeof full, "%.*s%s", (int)b->length, b->prefix, name);
    return find(n, full) >= 0;
}

static body body_behind(const gr_names *n, const gr_arch *arch, const char *prefix, size_t length)
{
    body b = {prefix, length, 0};
    if (length < MOST_PREFIX)
        b.score = has(n, &b, arch->embedding) + has(n, &b, arch->last_norm);
    return b;
}

/* The length of what stands before `end` in a name; SIZE_MAX when that is not how it ends. */
static size_t before(const char *name, const char *end)
{
    size_t length = strlen(name), m = strlen(end);
    bool ends = length > m && name[length - m - 1] == '.' && strcmp(name + length - m, end) == 0;
    return ends ? length - m : SIZE_MAX;
}

static bool starts_with(const body *b, const body *with)
{
    return b->length >= with->length && memcmp(b->prefix, with->prefix, with->length) == 0;
}

/* Of all that stands before an embedding or a last norm, what has most of the two. What lies in another, as an
 * embedding of its own in a layer, is a part of it. */
static gr_status find_foreign(const gr_names *n, const gr_arch *arch, body *best)
{
    const char *const ends[] = {arch->embedding, arch->last_norm};
    body other = {0};
    *best = (body){0};
    for (int k = 0; k < 2 * n->count; k++) {
        const char *name = n->items[k / 2].tensor.name;
        size_t length = before(name, ends[k % 2]);
        body b = length == SIZE_MAX ? (body){0} : body_behind(n, arch, name, length);
        if (b.score > best->score || (b.score && b.score == best->score && starts_with(best, &b))) {
            other.score = b.score > best->score ? 0 : other.score;
            *best = b;
        } else if (b.score && b.score == best->score && !starts_with(&b, best)) {
            other = b;
        }
    }
    if (other.score && other.score == best->score)
        return gr_fail(GR_ERR_FILE,
                       "the weights of two models are here, behind \"%.*s\" and behind \"%.*s\"\nkeep one of them in "
                       "the file",
                       (int)best->length, best->prefix, (int)other.length, other.prefix);
    return GR_OK;
}

/* The head stands beside the body, or beside something that the body is in. */
static int find_head(const gr_names *n, const body *b, const char *name)
{
    char full[MOST_PREFIX + 64];
    for (size_t length = b->length; length > 0; length--) {
        if (b->prefix[length - 1] != '.')
            continue;
        snprintf(full, sizeof full, "%.*s%s", (int)length, b->prefix, name);
        int at = find(n, full);
        if (at >= 0)
            return at;
    }
    return -1;
}

static gr_status strip(gr_names *n, const gr_arch *arch, const body *from)
{
    char prefix[MOST_PREFIX];
    snprintf(prefix, sizeof prefix, "%.*s", (int)from->length, from->prefix); /* names are about to change */
    const body b = {prefix, from->length, from->score};
    int head = find_head(n, &b, "lm_head.weight");
    gr_status s = head < 0 ? GR_OK : rename_to(&n->items[head], gr_strdup("lm_head.weight"));
    for (int i = 0; s == GR_OK && i < n->count; i++)
        if (i != head && strncmp(n->items[i].tensor.name, prefix, b.length) == 0)
            s = rename_to(&n->items[i], gr_strfmt("%s%s", arch->prefix, n->items[i].tensor.name + b.length));
    sort(n);
    return s;
}

static gr_status find_body(gr_names *n, const gr_arch *arch)
{
    body whole = body_behind(n, arch, arch->prefix, strlen(arch->prefix)), bare = body_behind(n, arch, "", 0), foreign;
    n->bare = bare.score > whole.score;
    if (whole.score || bare.score)
        return GR_OK;
    gr_status s = find_foreign(n, arch, &foreign);
    return s == GR_OK && foreign.score ? strip(n, arch, &foreign) : s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* By the example of the embedding, or what else has another name. */
static void tell_renamed(const gr_names *n, const char *where, const gr_arch *arch)
{
    char name[160], in_file[200];
    const gr_named_tensor *example = NULL;
    for (int i = 0; i < n->count; i++)
        if (n->items[i].own && !n->items[i].packed &&
            (!example || before(n->items[i].own, arch->embedding) != SIZE_MAX))
            example = &n->items[i];
    if (example)
        gr_remark(GR_LOG_WARN, "%s: tensors have other names than the architecture's: \"%s\" is read as \"%s\"", where,
                  gr_printable(example->in_file, strlen(example->in_file), in_file, sizeof in_file),
                  gr_printable(example->own, strlen(example->own), name, sizeof name));
}

gr_status gr_names_open(gr_names *n, const char *where, const gr_weights *w, const gr_arch *arch,
                        const gr_packed_config *quantized)
{
    int count = gr_weights_count(w);
    *n = (gr_names){.items = gr_alloc_zero((size_t)count + 1, sizeof *n->items)};
    bool gguf = gr_weights_files(w) && strcmp(gr_weights_file(w, 0)->format, "gguf") == 0;
    gr_status s = n->items ? GR_OK : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < count; i++) {
        gr_named_tensor *item = &n->items[n->count++];
        item->tensor = *gr_weights_entry(w, i);
        item->in_file = item->tensor.name;
        s = gguf ? GR_OK : unwrap(item);
    }
    if (s == GR_OK && gguf)
        s = gr_gguf_name_tensors(n, arch);
    if (s != GR_OK)
        return s;
    sort(n);
    if (gguf)
        return GR_OK;
    s = gr_packed_join_names(n, quantized);
    sort(n);
    if (s == GR_OK)
        s = find_body(n, arch);
    if (s == GR_OK)
        tell_renamed(n, where, arch);
    return s;
}

void gr_names_close(gr_names *n)
{
    for (int i = 0; i < n->count; i++) {
        gr_packed_free(n->items[i].packed);
        gr_free(n->items[i].own);
    }
    gr_free(n->items);
    *n = (gr_names){0};
}
