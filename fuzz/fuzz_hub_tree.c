/* A listing of hostile bytes: refused with a reason, or files whose paths stay in their directory, of which a choice is made that
 * can lie side by side. */
#include <string.h>

#include "hub/hub.h"

/* What a path leads out of a directory by. */
static bool leads_out(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/' && p != path;
        if (*p == '/' || !*p || strcmp(p, "..") == 0 || strncmp(p, "../", 3) == 0)
            return true;
    }
    return false;
}

static void choose(gr_hub_tree *t, const gr_hub_options *o, const char *name)
{
    gr_hub_name n;
    if (gr_hub_name_parse(name, &n) != GR_OK)
        __builtin_trap();
    for (size_t i = 0; i < t->n; i++)
        t->files[i].chosen = t->files[i].is_weights = false;
    if (gr_hub_choose(t, &n, o) == GR_OK && gr_hub_tree_check(t, name) == GR_OK)
        for (size_t i = 0; i < t->n; i++)
            for (size_t k = 0; k < i && t->files[i].chosen; k++)
                if (t->files[k].chosen && strcmp(t->files[i].path, t->files[k].path) == 0)
                    __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const all[] = {"*"};
    char commit[GR_COMMIT + 1];
    gr_hub_tree t = {0};
    gr_hub_options o = GR_INIT(gr_hub_options);
    if (gr_hub_read_commit("x", (const char *)data, size, commit) == GR_OK &&
        !gr_hub_is_hex(commit, strlen(commit), GR_COMMIT))
        __builtin_trap();
    gr_status s = gr_hub_tree_add(&t, "org/name", (const char *)data, size);
    if (s != GR_OK && (!gr_error()[0] || gr_error_status() != s))
        __builtin_trap();
    for (size_t i = 0; i < t.n; i++)
        if (leads_out(t.files[i].path) || t.files[i].size < 0)
            __builtin_trap();
    if (t.n < 1000) {
        choose(&t, &o, "org/name");
        choose(&t, &o, "org/name:Q4_K_M");
        o.include = all;
        o.n_include = 1;
        choose(&t, &o, "org/name");
        o.n_include = 0;
        o.dataset = true;
        choose(&t, &o, "org/name");
    }
    gr_hub_tree_free(&t);
    return 0;
}
