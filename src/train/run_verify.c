/* Verifying a run's checkpoints, and choosing one that is whole. */
#include "train/run_dir.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sized.h"
#include "format/verify.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void verify_run(gr_verifier *v, const char *run)
{
    int64_t *steps;
    size_t count;
    v->sums_needed = true;
    if (gr_checkpoint_list(run, &steps, &count) != GR_OK)
        v->fatal = gr_error_status();
    for (size_t i = 0; i < count && v->fatal == GR_OK; i++) {
        char *dir = gr_checkpoint_path(run, steps[i]);
        if (dir)
            gr_verify_dir(v, dir);
        else
            v->fatal = gr_error_status();
        gr_free(dir);
    }
    gr_free(steps);
}

/* 1 for a run, 0 for anything else, -1 without memory. */
static int is_run(const char *path)
{
    char *folder = gr_path_join(path, "checkpoints");
    int yes = folder ? gr_path_is_dir(folder) : -1;
    gr_free(folder);
    return yes;
}

static gr_status verify(gr_verifier *v, const char *path)
{
    if (!gr_path_is_dir(path) && !gr_path_is_file(path))
        return gr_fail(GR_ERR_FILE, "%s: %s\ngive a run, a checkpoint or a model directory", path,
                       access(path, F_OK) == 0 ? "neither a file nor a directory" : "no such file or directory");
    int run = is_run(path);
    if (run < 0)
        return gr_error_status();
    if (run)
        verify_run(v, path);
    else
        gr_verify_dir(v, path);
    return gr_verify_outcome(v);
}

gr_status gr_verify(const char *path, const gr_verify_options *options, gr_verified *out)
{
    gr_verify_options o;
    if (gr_lacks(path, "gr_verify: path"))
        return GR_ERR_ARGUMENT;
    gr_status s = gr_take_sized(&o, sizeof o, options, "gr_verify: options");
    if (s == GR_OK) /* before anything is read */
        s = gr_give_sized(out, &(gr_verified){0}, sizeof *out, "gr_verify: out");
    if (s != GR_OK)
        return s;
    gr_verifier v = {.item = o.item, .user = o.user};
    s = verify(&v, path);
    gr_give_sized(out, &v.sum, sizeof *out, "gr_verify: out");
    return s;
}

/* ---- choosing ----------------------------------------------------------------------------------------------- */

/* Verifies a run's own checkpoint and gives its path (caller frees). GR_ERR_FILE: it is damaged. */
static gr_status check_step(const char *run, int64_t step, char **path)
{
    gr_verifier v = {.sums_needed = true};
    char *dir = gr_checkpoint_path(run, step);
    *path = NULL;
    if (!dir)
        return gr_error_status();
    gr_verify_dir(&v, dir);
    gr_status s = gr_verify_outcome(&v);
    if (s == GR_OK)
        *path = dir;
    else
        gr_free(dir);
    return s;
}

static void warn_damaged(const char *what)
{
    gr_remark(GR_LOG_WARN, "%s is damaged and is passed over: %.*s", what, (int)strcspn(gr_error(), "\n"), gr_error());
}

gr_status gr_checkpoint_newest_good(const char *run, char **path, int64_t *step)
{
    int64_t *steps;
    size_t count;
    *path = NULL;
    gr_status s = gr_checkpoint_list(run, &steps, &count);
    for (size_t i = count; i-- > 0 && s == GR_OK && !*path;) {
        char name[40];
        gr_status good = check_step(run, *step = steps[i], path);
        if (good == GR_OK || good != GR_ERR_FILE) {
            s = good;
            continue;
        }
        snprintf(name, sizeof name, "step %lld", (long long)steps[i]);
        warn_damaged(name);
    }
    gr_free(steps);
    if (s == GR_OK && count && !*path)
        s = count > 1 ? gr_fail_in("%s: none of the %zu checkpoints is whole; the oldest", run, count)
                      : gr_fail_in("%s: its only checkpoint is not whole", run);
    return s;
}

char *gr_checkpoint_resolve(const char *path)
{
    int run = is_run(path);
    int64_t step;
    char *found;
    if (run <= 0)
        return run < 0 ? NULL : gr_strdup(path);
    if (gr_checkpoint_marked(path, "best", &step) != GR_OK)
        return NULL;
    if (step >= 0) {
        gr_status s = check_step(path, step, &found);
        if (s != GR_ERR_FILE)
            return found;
        warn_damaged("best");
    }
    if (gr_checkpoint_newest_good(path, &found, &step) == GR_OK && !found)
        gr_fail(GR_ERR_FILE, "%s: this run has no checkpoint yet\nlet it train up to its first save", path);
    return found;
}
