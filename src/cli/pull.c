/* gradus pull: models and datasets from a hub. */
#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/hub.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/term.h"
#include "cli/verbs.h"

typedef struct options {
    const char *to, *file;
    gr_texts include, exclude;
    bool dataset, list, verify, remove;
    int64_t retries;
} options;

static const gr_flag flags[] = {
    {"file", GR_TEXT(options, file), .value = "NAME", .help = "of several GGUF files this one"},
    {"include", GR_LIST(options, include), .value = "PATTERN", .shown = "what a model needs",
     .help = "files to fetch instead, as '*.jsonl'; may be given several times"},
    {"exclude", GR_LIST(options, exclude), .value = "PATTERN", .help = "files to leave out"},
    {"dataset", GR_SWITCH(options, dataset),
     .help = "REPO is a dataset; of it .jsonl and .txt files are taken; with --list: datasets alone"},
    {"to", GR_TEXT(options, to), .value = "DIR", .shown = "the cache", .help = "where the files go"},
    {"retries", GR_INT(options, retries), .value = "N", .initial = "5", .max = 1000,
     .help = "of a request that brings nothing, each after a longer wait; or after the wait that the hub asks for"},
    {GR_HEADING("The cache")},
    {"list", GR_SWITCH(options, list), .group = 'c', .help = "say what is in the cache, and fetch nothing"},
    {"verify", GR_SWITCH(options, verify), .group = 'c',
     .help = "compare every file in the cache with its hash, and fetch nothing"},
    {"remove", GR_SWITCH(options, remove), .group = 'c',
     .help = "remove REPO from the cache; with @REVISION that revision, and what no other one uses"},
    {0},
};

/* ---- the cache ---------------------------------------------------------------------------------------------- */

typedef struct listing {
    const gr_args *args;
    gr_table *table;
    int64_t seen, bytes;
    gr_status status; /* of making JSON */
} listing;

static gr_status put_json(const gr_hub_event *e, const char *state)
{
    gr_json_doc *doc = gr_json_new("the report");
    if (!doc)
        return gr_error_status();
    gr_json root = gr_json_root(doc);
    gr_json_put_text(root, "repo", e->name);
    if (e->is_dataset)
        gr_json_put_bool(root, "dataset", true);
    if (state)
        gr_json_put_text(root, "state", state);
    if (!state)
        gr_json_put_text(root, "commit", e->text);
    gr_json_put_path(root, "path", e->file);
    gr_json_put_int(root, "bytes", e->bytes);
    if (!state)
        gr_json_put_int(root, "files", e->done);
    if (state && e->kind == GR_HUB_BAD)
        gr_json_put_text(root, "problem", e->text);
    return gr_out_json(doc);
}

/* A revision that is listed, or has just been removed. */
static void put_repo(listing *l, const gr_hub_event *e)
{
    l->seen++;
    l->bytes += e->bytes;
    if (l->args->common.json) {
        l->status = put_json(e, NULL);
        return;
    }
    gr_table_cell(l->table, "%s%s", e->name, e->is_dataset ? " (dataset)" : "");
    gr_table_cell(l->table, "%.12s", e->text);
    gr_table_cell(l->table, "%lld", (long long)e->done);
    gr_table_cell(l->table, "%s", gr_human_bytes((double)e->bytes).s);
}

static void put_file(listing *l, const gr_hub_event *e)
{
    static const char *const states[] = {[GR_HUB_GOOD] = "good", [GR_HUB_BAD] = "bad", [GR_HUB_UNKNOWN] = "unchecked"};
    char path[400];
    l->seen++;
    l->bytes += e->bytes;
    gr_progress_update((double)l->seen, "%s compared", gr_human_bytes((double)l->bytes).s);
    if (l->args->common.json)
        l->status = put_json(e, states[e->kind]);
    else if (e->kind != GR_HUB_GOOD)
        gr_out("%-9s %s%s%s\n", states[e->kind], gr_printable(e->file, strlen(e->file), path, sizeof path),
               *e->text ? ": " : ": nothing says what its hash should be", e->text);
}

static bool on_event(void *user, const gr_hub_event *e)
{
    listing *l = user;
    if (e->kind == GR_HUB_REPO)
        put_repo(l, e);
    else if (e->kind == GR_HUB_GOOD || e->kind == GR_HUB_BAD || e->kind == GR_HUB_UNKNOWN)
        put_file(l, e);
    return l->status == GR_OK && !gr_interrupted(NULL);
}

static gr_status walk(gr_args *args, gr_hub_work work, gr_hub_options *o)
{
    const char *name = args->count > 0 ? args->positional[0] : NULL;
    listing l = {.args = args};
    if (work != GR_HUB_VERIFY && !args->common.json && !(l.table = gr_table_new("repository|commit|>files|>bytes")))
        return gr_error_status();
    o->event = on_event;
    o->user = &l;
    gr_interrupt_watch();
    if (work == GR_HUB_VERIFY)
        gr_progress_start("verify", 0, 0);
    gr_status s = gr_hub_walk(name, work, o);
    gr_progress_end();
    if (l.status != GR_OK)
        s = l.status;
    if (l.table && s == GR_OK && l.seen > 0)
        s = gr_table_print(l.table);
    else
        gr_table_free(l.table);
    if (s == GR_OK && work == GR_HUB_VERIFY)
        gr_note("%s file%s, %s: every hash is right", gr_human_integer(l.seen).s, gr_plural(l.seen),
                gr_human_bytes((double)l.bytes).s);
    else if (s == GR_OK && work == GR_HUB_REMOVE)
        gr_note("%s removed", gr_human_bytes((double)l.bytes).s);
    else if (s == GR_OK && l.seen == 0)
        gr_note("nothing is in the cache (%s)", o->cache);
    return s;
}

/* ---- fetching ----------------------------------------------------------------------------------------------- */

static gr_status fetch(gr_args *args, gr_hub_options *o)
{
    const options *f = args->options;
    o->file = f->file;
    o->to = f->to;
    o->include = f->include.items;
    o->n_include = (int)f->include.count;
    o->exclude = f->exclude.items;
    o->n_exclude = (int)f->exclude.count;
    o->retries = f->retries ? (int)f->retries : -1;
    char *path = gr_hub_fetch(args, args->positional[0], o);
    if (!path)
        return gr_error_status();
    gr_json_doc *doc = args->common.json ? gr_json_new("the result") : NULL;
    if (doc) {
        gr_json_put_text(gr_json_root(doc), "repo", args->positional[0]);
        gr_json_put_path(gr_json_root(doc), "path", path);
    }
    gr_status s = args->common.json ? gr_out_json(doc) : GR_OK;
    if (!args->common.json)
        gr_out("%s\n", path);
    gr_free(path);
    return s;
}

static gr_status run(gr_args *args)
{
    const options *f = args->options;
    bool walks = f->list || f->verify || f->remove;
    gr_hub_options o;
    if (args->count == 0 && (!walks || f->remove))
        return gr_args_fail(args, "pull: needs REPO\nThe form is: gradus pull org/name; gradus help pull tells more.");
    if (walks && (f->to || f->file || f->include.count || f->exclude.count))
        return gr_args_fail(args, "--%s: is of what is fetched, and nothing is\nLeave it out.",
                            f->to              ? "to"
                            : f->file          ? "file"
                            : f->include.count ? "include"
                                               : "exclude");
    gr_hub_from_environment(&o);
    o.dataset = f->dataset;
    if (gr_hub_check_cache(&o) != GR_OK)
        return gr_args_blame(args, gr_error_status());
    gr_hub_work work = f->list ? GR_HUB_LIST : f->verify ? GR_HUB_VERIFY : GR_HUB_REMOVE;
    return gr_args_blame(args, walks ? walk(args, work, &o) : fetch(args, &o));
}

const gr_verb gr_verb_pull = {
    .name = "pull",
    .summary = "fetches a model or a dataset from the hub",
    .positional = "[REPO]",
    .about =
        "REPO is org/name, org/name@REVISION (a branch, a tag or a commit), or org/name:Q4_K_M for the GGUF file of "
        "that kind. Files go to the cache that Hugging Face's tools have, too, where org/name can be given as MODEL; "
        "stdout is the path. Of a model are fetched: config, tokenizer, chat template, licence, and weights of one "
        "kind, safetensors before GGUF before PyTorch's. The hash of every file that is fetched is compared with the "
        "hub's; a "
        "file that the cache has already is believed by its size, and --verify compares it. A snapshot shows its files "
        "when all are there. What was interrupted goes on where it was.\n\n"
        "The environment is that of Hugging Face's tools: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, "
        "HF_HUB_OFFLINE, HF_HUB_DISABLE_SYMLINKS, HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT; https_proxy and "
        "SSL_CERT_FILE.",
    .flags = flags,
    .common = GR_WITH_JSON,
    .examples = {{"a model, and a conversation with it",
                  "gradus pull HuggingFaceTB/SmolLM2-135M-Instruct && gradus chat HuggingFaceTB/SmolLM2-135M-Instruct"},
                 {"what fills the disk?", "gradus pull --list"}},
    .options_size = sizeof(options),
    .run = run,
};
