/* gradus verify: every checksum of a checkpoint. */
#include <string.h>
#include "base/json.h"
#include "cli/human.h"
#include "cli/term.h"
#include "cli/verbs.h"

typedef struct options {
    bool all;
} options;

static const gr_flag flags[] = {
    {"all", GR_SWITCH(options, all), .help = "a line for what is good, too"},
    {0},
};

typedef struct listing {
    bool all, json;
    int64_t seen;
    gr_status status; /* of making JSON */
} listing;

static const char *const states[] = {
    [GR_VERIFY_GOOD] = "good", [GR_VERIFY_BAD] = "bad", [GR_VERIFY_UNCHECKED] = "unchecked"};

/* One item as a line of JSON; what does not apply is left out. */
static gr_status print_json(const gr_verify_item *item)
{
    gr_json_doc *doc = gr_json_new("the report");
    if (doc == NULL)
        return GR_ERR_MEMORY;
    gr_json root = gr_json_root(doc);
    gr_json_put_text(root, "state", states[item->state]);
    gr_json_put_path(root, "dir", item->dir);
    if (item->file != NULL)
        gr_json_put_path(root, "file", item->file);
    if (item->tensor != NULL)
        gr_json_put_text(root, "tensor", item->tensor);
    if (item->problem != NULL)
        gr_json_put_path(root, "problem", item->problem);
    return gr_out_json(doc);
}

static bool on_item(void *user, const gr_verify_item *item)
{
    listing *l = user;
    l->seen++;
    gr_progress_update((double)l->seen, "%s checked", gr_human_integer(l->seen).s);
    if (item->state == GR_VERIFY_GOOD && !l->all)
        return true;
    if (l->json) {
        if (l->status == GR_OK)
            l->status = print_json(item);
        return true;
    }
    static const gr_style styles[] = {
        [GR_VERIFY_GOOD] = GR_GREEN, [GR_VERIFY_BAD] = GR_RED, [GR_VERIFY_UNCHECKED] = GR_YELLOW};
    /* Names come from files: nothing in them may reach the terminal as a command. */
    char tensor[200] = "", problem[300] = "";
    if (item->tensor != NULL)
        gr_printable(item->tensor, strlen(item->tensor), tensor, sizeof tensor);
    if (item->problem != NULL)
        gr_printable(item->problem, strlen(item->problem), problem, sizeof problem);
    gr_out("%s%-9s%s %s%s%s%s%s%s%s\n", gr_style_on(stdout, styles[item->state]), states[item->state],
           gr_style_on(stdout, GR_PLAIN), item->dir, item->file ? "/" : "", item->file ? item->file : "",
           *tensor ? " " : "", tensor, *problem ? ": " : "", problem);
    return true;
}

static void print_totals(const gr_verified *t, bool json)
{
    if (json)
        gr_out("{\"directories\": %d, \"good\": %lld, \"bad\": %lld, \"unchecked\": %lld, \"bytes\": %llu}\n", t->dirs,
               (long long)t->good, (long long)t->bad, (long long)t->unchecked, (unsigned long long)t->bytes);
    else
        gr_out("%d director%s, %s items good, %s bad, %s unchecked; %s compared with checksums\n", t->dirs,
               t->dirs == 1 ? "y" : "ies", gr_human_integer(t->good).s, gr_human_integer(t->bad).s,
               gr_human_integer(t->unchecked).s, gr_human_bytes((double)t->bytes).s);
}

static gr_status run(gr_args *args)
{
    const options *o = args->options;
    listing l = {.all = o->all, .json = args->common.json};
    gr_verified totals = GR_INIT(gr_verified);
    gr_verify_options how = GR_INIT(gr_verify_options);
    how.item = on_item;
    how.user = &l;
    gr_progress_start("verify", 0, 0);
    gr_status status = gr_verify(args->positional[0], &how, &totals);
    gr_progress_end();
    /* A path that is no checkpoint has nothing to sum up. */
    if (totals.dirs > 0)
        print_totals(&totals, l.json);
    return status != GR_OK ? status : l.status;
}

const gr_verb gr_verb_verify = {
    .name = "verify",
    .summary = "checks every checksum of a checkpoint",
    .positional = "PATH",
    .about =
        "PATH is a checkpoint, a run (all of its checkpoints are checked) or any model directory, of which, without "
        "checksums, the structure is checked. Bad and unchecked files and tensors are listed; exit code 3 if any is "
        "bad.",
    .flags = flags,
    .common = GR_WITH_JSON,
    .examples = {{"all checkpoints of a run", "gradus verify runs/shakespeare"},
                 {"one checkpoint, tensor by tensor", "gradus verify runs/shakespeare/checkpoints/step-2000 --all"}},
    .options_size = sizeof(options),
    .run = run,
};
