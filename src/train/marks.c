/* RUN/latest and RUN/best: which step they name. They are written as links; a run that was copied without links has
 * folders or small texts instead, which are understood, and become links again when a run is written. Whatever else
 * stands there is somebody's, and is moved out of the way, not removed. */
#include "train/run_dir.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define FOLDER "checkpoints/"
enum { MOST = 512 }; /* bytes of a link's target */

typedef enum kind { NOTHING, LINK, TEXT, COPY, FOREIGN } kind;

/* ---- what is there ------------------------------------------------------------------------------------------ */

/* "checkpoints/step-N", whatever is before it. */
static bool parse_target(const char *target, int64_t *step)
{
    const char *at = NULL;
    for (const char *p = strstr(target, FOLDER); p; p = strstr(p + 1, FOLDER))
        at = p;
    return at && (at == target || at[-1] == '/') && gr_checkpoint_step_of(at + sizeof FOLDER - 1, step);
}

/* The text that git and zip write where links cannot be: the target. */
static bool read_text(const char *path, size_t size, int64_t *step)
{
    char *text = size < MOST ? gr_file_read(path, MOST, NULL) : NULL;
    bool is_ours = false;
    if (text) {
        text[strcspn(text, "\r\n")] = '\0';
        is_ours = parse_target(text, step);
    }
    gr_free(text);
    return is_ours;
}

/* The step of a folder that was a checkpoint; false: it was none. */
static bool read_copy(const char *path, int64_t *step)
{
    char *state = gr_path_join(path, "training.json");
    gr_json_doc *doc = state && gr_path_is_file(state) ? gr_json_read(state, GR_JSON_LIMIT) : NULL;
    bool is_one = false;
    if (doc) {
        *step = gr_json_as_int(gr_json_get(gr_json_root(doc), "step"), 0, INT64_MAX);
        is_one = gr_json_check(doc) == GR_OK;
    }
    gr_json_free(doc);
    gr_free(state);
    return is_one;
}

/* Without memory it may be wrong, and gr_error_status() says so. */
static kind look(const char *path, int64_t *step)
{
    struct stat info;
    char target[MOST];
    gr_error_clear();
    *step = -1;
    if (lstat(path, &info) != 0)
        return NOTHING;
    bool is_ours = false;
    kind k = FOREIGN;
    if (S_ISLNK(info.st_mode)) {
        k = LINK;
        is_ours = gr_link_read(path, target, sizeof target) == GR_OK && parse_target(target, step);
    } else if (S_ISDIR(info.st_mode) && (is_ours = read_copy(path, step))) {
        k = COPY;
    } else if (S_ISREG(info.st_mode) && (is_ours = read_text(path, (size_t)info.st_size, step))) {
        k = TEXT;
    }
    if (!is_ours)
        *step = -1;
    if (gr_error_status() != GR_ERR_MEMORY)
        gr_error_clear();
    return k;
}

gr_status gr_checkpoint_marked(const char *run, const char *name, int64_t *step)
{
    char *path = gr_path_join(run, name);
    kind k = path ? look(path, step) : NOTHING;
    bool failed = !path || gr_error_status() == GR_ERR_MEMORY;
    gr_free(path);
    if (failed)
        return GR_ERR_MEMORY;
    bool names_one = k != NOTHING && *step >= 0;
    char *checkpoint = names_one ? gr_checkpoint_path(run, *step) : NULL;
    failed = names_one && !checkpoint;
    if (!checkpoint || !gr_path_is_dir(checkpoint))
        *step = -1; /* it points at nothing */
    gr_free(checkpoint);
    return failed ? GR_ERR_MEMORY : GR_OK;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* Have both folders the same checksums.json, and `copy` nothing besides what that lists? */
static bool is_copy_of(const char *copy, const char *checkpoint)
{
    char *a = gr_path_join(copy, "checksums.json"), *b = gr_path_join(checkpoint, "checksums.json");
    size_t n = 0, m = 0, count = 0, count_b = 0;
    char *x = a && b ? gr_file_read(a, GR_JSON_LIMIT, &n) : NULL, *y = x ? gr_file_read(b, GR_JSON_LIMIT, &m) : NULL;
    char **names = NULL, **names_b = NULL;
    bool same = y && n == m && memcmp(x, y, n) == 0 && gr_dir_list(copy, &names, &count) == GR_OK &&
                gr_dir_list(checkpoint, &names_b, &count_b) == GR_OK;
    for (size_t i = 0, j = 0; same && i < count; i++) { /* both are sorted */
        while (j < count_b && strcmp(names_b[j], names[i]) < 0)
            j++;
        same = j < count_b && strcmp(names_b[j], names[i]) == 0;
    }
    gr_names_free(names, count);
    gr_names_free(names_b, count_b);
    gr_free(y);
    gr_free(x);
    gr_free(b);
    gr_free(a);
    return same;
}

/* Gives what stands in the way a name that is free. */
static gr_status move_aside(const char *path)
{
    enum { TRIES = 100 };
    struct stat info;
    for (int i = 1; i <= TRIES; i++) {
        char *aside = gr_strfmt("%s.old-%d", path, i);
        if (!aside)
            return GR_ERR_MEMORY;
        bool is_free = lstat(aside, &info) != 0;
        gr_status s = is_free ? gr_path_move(path, aside) : GR_OK;
        if (is_free && s == GR_OK)
            gr_remark(GR_LOG_WARN, "%s is not a link of this run: it is named %s now", path, aside);
        gr_free(aside);
        if (is_free)
            return s;
    }
    return gr_fail(GR_ERR_FILE, "%s: is not a link of this run\nmove it away", path);
}

/* Makes room for a link. A copied checkpoint that is in `checkpoints` as well goes; one that is not goes there. */
static gr_status make_room(const char *run, const char *path)
{
    int64_t step;
    kind k = look(path, &step);
    if (gr_error_status() == GR_ERR_MEMORY)
        return GR_ERR_MEMORY;
    if (k == NOTHING || k == LINK || k == TEXT) /* a rename replaces these */
        return GR_OK;
    char *checkpoint = k == COPY ? gr_checkpoint_path(run, step) : NULL;
    bool is_copy = checkpoint && gr_path_is_dir(checkpoint) && is_copy_of(path, checkpoint) &&
                   gr_verify(path, NULL, NULL) == GR_OK;
    gr_free(checkpoint);
    return is_copy ? gr_checkpoint_trash(run, path, step) : move_aside(path);
}

gr_status gr_checkpoint_mark(const char *run, const char *name, int64_t step)
{
    char *path = gr_path_join(run, name);
    char *target = gr_strfmt(FOLDER GR_STEP "%lld", (long long)step);
    gr_status s = path && target ? make_room(run, path) : gr_error_status();
    if (s == GR_OK)
        s = gr_link_write(path, target);
    gr_free(path);
    gr_free(target);
    return s;
}

/* ---- adopting ----------------------------------------------------------------------------------------------- */

static gr_status adopt(const char *run, const char *folder, const char *name)
{
    int64_t step;
    char *path = gr_path_join(run, name), *checkpoint = NULL;
    bool is_one = path && look(path, &step) == COPY;
    gr_status s = path && gr_error_status() != GR_ERR_MEMORY ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && is_one && !(checkpoint = gr_checkpoint_path(run, step)))
        s = GR_ERR_MEMORY;
    if (checkpoint && !gr_path_is_dir(checkpoint) && gr_verify(path, NULL, NULL) == GR_OK) {
        s = gr_dir_make(folder);
        if (s == GR_OK)
            s = gr_path_move(path, checkpoint);
        if (s == GR_OK)
            s = gr_checkpoint_mark(run, name, step);
    }
    gr_free(checkpoint);
    gr_free(path);
    return s;
}

gr_status gr_checkpoint_adopt(const char *run)
{
    char *folder = gr_path_join(run, "checkpoints");
    gr_status s = folder ? adopt(run, folder, "latest") : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = adopt(run, folder, "best");
    gr_free(folder);
    return s;
}
