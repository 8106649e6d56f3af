/* What is left of a run, from what lies in its directory. */
#include "train/run.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/number.h"
#include "train/run_dir.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The step of the last whole line; -1: there is none. */
static gr_status last_step(const char *dir, int64_t *step)
{
    gr_map map;
    gr_error_clear();
    char *path = gr_path_join(dir, "metrics.jsonl");
    gr_status s = path ? GR_OK : GR_ERR_MEMORY;
    *step = -1;
    if (s == GR_OK && gr_path_is_file(path) && (s = gr_map_open(path, &map)) == GR_OK) {
        const char *text = (const char *)map.data;
        size_t end = map.size;
        while (*step < 0 && end > 0) {
            size_t size = end, at = end - 1;
            while (at > 0 && text[at - 1] != '\n')
                at--;
            gr_json_doc *doc = gr_json_parse("metrics.jsonl", text + at, size - at);
            if (doc)
                *step = gr_json_int(gr_json_root(doc), "step", -1, 0, INT64_MAX);
            gr_json_free(doc);
            end = at;
        }
        gr_map_close(&map);
        if (gr_error_status() == GR_ERR_MEMORY)
            s = GR_ERR_MEMORY;
        else
            gr_error_clear(); /* a line cut short by a kill is no error */
    }
    gr_free(path);
    return s;
}

/* Is there anything of that name, a link to nothing included? */
static gr_status is_named(const char *dir, const char *name, bool *yes)
{
    struct stat info;
    char *path = gr_path_join(dir, name);
    *yes = path && lstat(path, &info) == 0;
    gr_status s = path ? GR_OK : GR_ERR_MEMORY;
    gr_free(path);
    return s;
}

gr_status gr_run_look(const char *dir, gr_run_state *state, int64_t *step)
{
    int64_t *steps = NULL;
    size_t count = 0;
    if (gr_lacks(dir, "gr_run_look: dir") || gr_lacks(state, "gr_run_look: state") ||
        gr_lacks(step, "gr_run_look: step"))
        return GR_ERR_ARGUMENT;
    *state = GR_RUN_NONE;
    *step = -1;
    if (!gr_path_is_dir(dir))
        return GR_OK;
    gr_status s = gr_checkpoint_list(dir, &steps, &count);
    if (s == GR_OK)
        s = last_step(dir, step);
    bool latest = false, best = false, folder = false;
    if (s == GR_OK)
        s = is_named(dir, "latest", &latest);
    if (s == GR_OK)
        s = is_named(dir, "best", &best);
    if (s == GR_OK)
        s = is_named(dir, "checkpoints", &folder);
    if (count)
        *state = GR_RUN_SAVED;
    else if (latest || best || (*step > 0 && !folder)) /* a run makes that folder before its first step */
        *state = GR_RUN_LOST;
    else if (*step > 0)
        *state = GR_RUN_BEGUN;
    gr_free(steps);
    return s;
}

gr_status gr_run_fail_lost(const char *dir, int64_t step)
{
    char steps[60] = "";
    if (step > 0)
        snprintf(steps, sizeof steps, " of its %lld step%s", (long long)step, gr_plural(step));
    return gr_fail(GR_ERR_FILE,
                   "%s: the checkpoints%s are gone: %s/checkpoints holds none\nput them back there; a new run needs "
                   "another directory",
                   dir, steps, dir);
}

void gr_run_tidy(const char *dir)
{
    struct stat info;
    char *metrics = gr_path_join(dir, "metrics.jsonl"), *folder = gr_path_join(dir, "checkpoints");
    bool is_there = metrics && lstat(metrics, &info) == 0;
    if (is_there && S_ISREG(info.st_mode) && info.st_size == 0)
        is_there = unlink(metrics) != 0;
    if (folder && !is_there) /* beside steps it says that none was saved */
        rmdir(folder);       /* one that is not empty stays */
    gr_free(metrics);
    gr_free(folder);
}
