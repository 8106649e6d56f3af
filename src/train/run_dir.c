/* The directory of a run: its checkpoints by their steps, writing and removing them. Which is best and latest is in marks.c,
 * choosing a good one in run_verify.c. */
#include "train/run_dir.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define TRASH ".trash-" /* is being removed */

/* ---- names -------------------------------------------------------------------------------------------------- */

char *gr_checkpoint_path(const char *run, int64_t step)
{
    return gr_strfmt("%s/checkpoints/" GR_STEP "%lld", run, (long long)step);
}

bool gr_checkpoint_step_of(const char *name, int64_t *step)
{
    const size_t prefix = sizeof GR_STEP - 1;
    int64_t n = 0;
    if (strncmp(name, GR_STEP, prefix) != 0 || !name[prefix] || (name[prefix] == '0' && name[prefix + 1]))
        return false;
    for (const char *c = name + prefix; *c; c++) {
        if (*c < '0' || *c > '9' || n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (*c - '0');
    }
    *step = n;
    return true;
}

static int compare_steps(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The names in RUN/checkpoints; none when there is no such directory. */
static gr_status list_folder(const char *run, char **folder, char ***names, size_t *count)
{
    *names = NULL;
    *count = 0;
    *folder = gr_path_join(run, "checkpoints");
    if (!*folder)
        return gr_error_status();
    return gr_path_is_dir(*folder) ? gr_dir_list(*folder, names, count) : GR_OK;
}

gr_status gr_checkpoint_list(const char *run, int64_t **steps, size_t *count)
{
    char *folder, **names;
    size_t n;
    *count = 0;
    *steps = NULL;
    gr_status s = list_folder(run, &folder, &names, &n);
    if (s == GR_OK)
        *steps = gr_alloc_zero(n + 1, sizeof **steps);
    if (s == GR_OK && !*steps)
        s = gr_error_status();
    for (size_t i = 0; i < n && s == GR_OK; i++)
        *count += gr_checkpoint_step_of(names[i], *steps + *count);
    if (s == GR_OK)
        qsort(*steps, *count, sizeof **steps, compare_steps);
    gr_names_free(names, n);
    gr_free(folder);
    return s;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

gr_status gr_checkpoint_write(const char *run, int64_t step, const gr_checkpoint_spec *spec)
{
    char *folder = gr_path_join(run, "checkpoints"), *dir = gr_checkpoint_path(run, step);
    gr_status s = folder && dir ? gr_dir_make(folder) : gr_error_status();
    if (s == GR_OK)
        s = gr_checkpoint_write_dir(dir, spec);
    if (s == GR_OK)
        s = gr_checkpoint_mark(run, "latest", step);
    gr_free(folder);
    gr_free(dir);
    return s;
}

/* ---- removing ----------------------------------------------------------------------------------------------- */

/* The name goes first, so that nobody sees half a checkpoint. */
gr_status gr_checkpoint_trash(const char *run, const char *path, int64_t step)
{
    char *home = gr_checkpoint_path(run, step), *trash = home ? gr_checkpoint_beside(home, TRASH) : NULL;
    gr_status s = trash ? gr_dir_remove(trash) : gr_error_status();
    if (s == GR_OK)
        s = gr_path_move(path, trash);
    if (s == GR_OK)
        s = gr_dir_remove(trash);
    gr_free(trash);
    gr_free(home);
    return s;
}

static gr_status remove_step(const char *run, int64_t step)
{
    char *path = gr_checkpoint_path(run, step);
    gr_status s = path ? gr_checkpoint_trash(run, path, step) : gr_error_status();
    gr_free(path);
    return s;
}

gr_status gr_checkpoint_prune(const char *run, int keep)
{
    int64_t *steps, best, latest;
    size_t count;
    gr_status s = gr_checkpoint_list(run, &steps, &count);
    if (s == GR_OK)
        s = gr_checkpoint_marked(run, "best", &best);
    if (s == GR_OK)
        s = gr_checkpoint_marked(run, "latest", &latest);
    int newer = 0;
    for (size_t i = count; i-- > 0 && s == GR_OK;) {
        if (latest >= 0 && steps[i] > latest)
            continue;
        if (newer++ >= (keep > 1 ? keep : 1) && steps[i] != best)
            s = remove_step(run, steps[i]);
    }
    gr_free(steps);
    return s;
}

/* One hidden entry of RUN/checkpoints. A name that is free is taken by the new one before the old one. */
static gr_status clean_entry(const char *folder, const char *name)
{
    const size_t prefix = sizeof GR_CHECKPOINT_NEW - 1;
    int64_t step;
    bool replaced = (strncmp(name, GR_CHECKPOINT_NEW, prefix) == 0 || strncmp(name, GR_CHECKPOINT_OLD, prefix) == 0) &&
                    gr_checkpoint_step_of(name + prefix, &step);
    bool trash = strncmp(name, TRASH, sizeof TRASH - 1) == 0 && gr_checkpoint_step_of(name + sizeof TRASH - 1, &step);
    if (!replaced && !trash)
        return GR_OK;
    char *path = gr_path_join(folder, name), *home = replaced ? gr_path_join(folder, name + prefix) : NULL;
    gr_status s = path && (home || trash) ? GR_OK : gr_error_status();
    if (s == GR_OK)
        s = home && !gr_path_is_dir(home) ? gr_path_move(path, home) : gr_dir_remove(path);
    gr_free(path);
    gr_free(home);
    return s;
}

gr_status gr_checkpoint_clean(const char *run)
{
    char *folder, **names;
    size_t count;
    gr_status s = list_folder(run, &folder, &names, &count);
    if (s == GR_OK)
        s = gr_checkpoint_adopt(run);
    for (size_t i = 0; i < count && s == GR_OK; i++) /* sorted: .new- comes before .old- */
        s = clean_entry(folder, names[i]);
    /* What writers left that died before they were done. */
    if (s == GR_OK && gr_path_is_dir(folder))
        s = gr_dir_sweep(folder);
    if (s == GR_OK && gr_path_is_dir(run))
        s = gr_dir_sweep(run);
    gr_names_free(names, count);
    gr_free(folder);
    return s;
}
