/* Which files of a repository are wanted: of a model what it needs to run, and weights of one kind. */
#include "hub/hub.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_at_root(const char *path)
{
    return !strchr(path, '/');
}

static bool begins_with(const char *text, const char *start)
{
    return strncasecmp(text, start, strlen(start)) == 0;
}

static bool fits_any(const char *const *patterns, int n, const char *path)
{
    for (int i = 0; i < n; i++)
        if (gr_hub_fits(patterns[i], path))
            return true;
    return false;
}

/* What goes along with weights of every kind. */
static bool is_beside(const char *path)
{
    static const char *const ends[] = {".jinja", ".model", ".tiktoken", ".spm", ".txt", ".json"};
    static const char *const starts[] = {"LICENSE", "LICENCE", "COPYING", "NOTICE", "USE_POLICY", "README"};
    static const char templates[] = "additional_chat_templates/";
    if (begins_with(path, templates))
        return gr_ends_with(path, ".jinja") && is_at_root(path + sizeof templates - 1);
    if (!is_at_root(path) || gr_ends_with(path, ".index.json"))
        return false;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (begins_with(path, starts[i]))
            return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (gr_ends_with(path, ends[i]))
            return true;
    return false;
}

/* ---- weights ------------------------------------------------------------------------------------------------ */

static void choose(gr_hub_file *f, bool is_weights)
{
    f->chosen = true;
    f->is_weights = is_weights;
}

/* Those at the root that begin and end so, and the index of such; how many. */
static int choose_kind(gr_hub_tree *t, const char *start, const char *end)
{
    int n = 0;
    char index[64];
    snprintf(index, sizeof index, "%s.index.json", end);
    for (size_t i = 0; i < t->n; i++) {
        gr_hub_file *f = &t->files[i];
        bool fits = is_at_root(f->path) && begins_with(f->path, start);
        if (fits && gr_ends_with(f->path, end)) {
            choose(f, true);
            n++;
        } else if (fits && gr_ends_with(f->path, index)) {
            choose(f, false);
        }
    }
    return n;
}

/* Some repositories hold the same weights twice: named as transformers does, and as who made them does. */
static bool choose_safetensors(gr_hub_tree *t)
{
    int n = choose_kind(t, "model", ".safetensors") + choose_kind(t, "adapter_model", ".safetensors");
    return n > 0 || choose_kind(t, "", ".safetensors") > 0;
}

static bool choose_torch(gr_hub_tree *t)
{
    int n = choose_kind(t, "pytorch_model", ".bin") + choose_kind(t, "adapter_model", ".bin");
    return n > 0;
}

/* ---- GGUF --------------------------------------------------------------------------------------------------- */

/* The parts of one model go together: they differ in their number. */
static bool is_same_split(const char *a, const char *b)
{
    int x, y, of_a, of_b;
    size_t n = strlen(a), tail = sizeof "-00001-of-00002.gguf" - 1;
    if (strcmp(a, b) == 0)
        return true;
    return gr_hub_shard(a, ".gguf", &x, &of_a) && gr_hub_shard(b, ".gguf", &y, &of_b) && of_a == of_b && of_a > 1 &&
           n == strlen(b) && strncmp(a, b, n - tail) == 0;
}

/* "model-Q4_K_M.gguf 1.2 GB, …": what there is to choose from. */
static gr_status say_choice(const gr_hub_tree *t, const gr_hub_name *name, gr_status status, const char *what)
{
    char list[1200] = "", shown[200];
    size_t at = 0, more = 0;
    for (size_t i = 0; i < t->n; i++) {
        int number, count;
        if (!gr_hub_shard(t->files[i].path, ".gguf", &number, &count) || number > 1)
            continue;
        if (at > sizeof list - 300) {
            more++;
            continue;
        }
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s (%.1f MB%s)", at ? ", " : "",
                               gr_printable(t->files[i].path, strlen(t->files[i].path), shown, sizeof shown),
                               (double)t->files[i].size / 1e6, count > 1 ? " in the first part" : "");
    }
    if (more)
        snprintf(list + at, sizeof list - at, " and %zu more", more);
    return gr_fail(status, "%s: %s: %s\nName one by --file, or by what its name says of its kind, as in %s:%s.",
                   name->repo, what, list, name->repo, strcasecmp(name->quant, "Q4_K_M") == 0 ? "Q8_0" : "Q4_K_M");
}

/* A kind is asked for where no file is GGUF: the weights that there are instead. */
static gr_status say_other(gr_hub_tree *t, const gr_hub_name *name)
{
    char list[600] = "", shown[200];
    size_t at = 0, n = 0;
    if (!choose_safetensors(t))
        choose_torch(t);
    for (size_t i = 0; i < t->n; i++) {
        if (!t->files[i].is_weights || n++ >= 2)
            continue;
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "",
                               gr_printable(t->files[i].path, strlen(t->files[i].path), shown, sizeof shown));
    }
    if (n > 2)
        snprintf(list + at, sizeof list - at, " and %zu more", n - 2);
    return gr_fail(GR_ERR_FILE, "%s: has no GGUF files, so none of kind %s; its weights: %s\n%s", name->repo,
                   name->quant, n ? list : "none that are known",
                   n ? "Leave the kind out: gradus quantize makes such a file of them." : "Name another repository.");
}

static bool has_gguf(const gr_hub_tree *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (gr_ends_with(t->files[i].path, ".gguf"))
            return true;
    return false;
}

static bool is_wanted(const gr_hub_name *name, const gr_hub_options *o, const char *path)
{
    int number, count;
    if (o->file)
        return strcmp(path, o->file) == 0;
    if (*name->quant)
        return gr_hub_is_quant(path, name->quant);
    /* A projector of pictures is no model. */
    return gr_hub_shard(path, ".gguf", &number, &count) && !begins_with(path, "mmproj");
}

static gr_status choose_gguf(gr_hub_tree *t, const gr_hub_name *name, const gr_hub_options *o, bool *found)
{
    const gr_hub_file *first = NULL;
    for (size_t i = 0; i < t->n; i++) {
        gr_hub_file *f = &t->files[i];
        if (!is_wanted(name, o, f->path))
            continue;
        if (first && !is_same_split(first->path, f->path))
            return say_choice(t, name, GR_ERR_ARGUMENT,
                              *name->quant ? "several files are of that kind" : "holds several GGUF files");
        first = first ? first : f;
    }
    for (size_t i = 0; first && i < t->n; i++)
        if (is_same_split(first->path, t->files[i].path))
            choose(&t->files[i], true);
    *found = first != NULL;
    return GR_OK;
}

/* ---- all ---------------------------------------------------------------------------------------------------- */

static gr_status choose_model(gr_hub_tree *t, const gr_hub_name *name, const gr_hub_options *o)
{
    bool named = o->file || *name->quant, found = !named && choose_safetensors(t);
    gr_status s = GR_OK;
    char shown[200];
    if (!found)
        s = choose_gguf(t, name, o, &found);
    if (s != GR_OK)
        return s;
    if (!found && o->file)
        return gr_fail(GR_ERR_FILE, "%s: has no file %s\nThe names of all are on the repository's page.", name->repo,
                       gr_printable(o->file, strlen(o->file), shown, sizeof shown));
    if (!found && *name->quant)
        return has_gguf(t) ? say_choice(t, name, GR_ERR_FILE, "has no GGUF file of that kind, but")
                           : say_other(t, name);
    if (!found && !named)
        choose_torch(t);
    for (size_t i = 0; i < t->n; i++)
        if (is_beside(t->files[i].path))
            t->files[i].chosen = true;
    return GR_OK;
}

static void choose_data(gr_hub_tree *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (gr_hub_is_data(t->files[i].path))
            choose(&t->files[i], true);
}

gr_status gr_hub_choose(gr_hub_tree *t, const gr_hub_name *name, const gr_hub_options *o)
{
    size_t n = 0;
    gr_status s = GR_OK;
    if (o->n_include == 0 && o->dataset)
        choose_data(t);
    else if (o->n_include == 0)
        s = choose_model(t, name, o);
    for (size_t i = 0; i < t->n; i++) {
        gr_hub_file *f = &t->files[i];
        f->chosen =
            (f->chosen || fits_any(o->include, o->n_include, f->path)) && !fits_any(o->exclude, o->n_exclude, f->path);
        n += f->chosen;
    }
    if (s == GR_OK && n == 0)
        s = gr_fail(GR_ERR_FILE, "%s: holds %zu files, and none that is wanted\n%s", name->repo, t->n,
                    o->dataset ? "Of a dataset .jsonl and .txt files are taken; --include '*' takes all."
                               : "--include takes others, '*' all of them; --dataset is for data.");
    return s;
}
