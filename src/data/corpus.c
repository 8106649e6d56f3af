/* A corpus keeps no text: its files are read again by each who needs them. */
#include "data/corpus.h"

#include "base/error.h"
#include "base/mem.h"

void gr_corpus_free(gr_corpus *c)
{
    if (!c)
        return;
    gr_files_free(c->paths, c->paths ? (size_t)c->n : 0);
    gr_kept_pipes_free(&c->kept);
    gr_inputs_free(&c->inputs);
    gr_free(c);
}

const gr_corpus_info *gr_corpus_describe(const gr_corpus *c)
{
    return gr_lacks(c, "gr_corpus_describe: corpus") ? NULL : &c->info;
}

static gr_status pass(void *user, gr_document_text *d)
{
    (void)user;
    d->used = d->size;
    return GR_OK;
}

static gr_status pass_record(void *user, int worker, const gr_document_text *d)
{
    (void)user, (void)worker, (void)d;
    return GR_OK;
}

static gr_status keep_paths(gr_corpus *c, const char *const *paths, int n)
{
    c->paths = gr_alloc_zero((size_t)n + 1, sizeof *c->paths);
    if (!c->paths)
        return GR_ERR_MEMORY;
    for (c->n = 0; c->n < n; c->n++) {
        if (gr_lacks(paths[c->n], "data: a path"))
            return GR_ERR_ARGUMENT;
        if (!(c->paths[c->n] = gr_strdup(paths[c->n])))
            return GR_ERR_MEMORY;
    }
    return GR_OK;
}

gr_corpus *gr_corpus_load(const char *const *paths, int n)
{
    if (gr_lacks(paths, "gr_corpus_load: paths"))
        return NULL;
    gr_corpus *c = gr_alloc_zero(1, sizeof *c);
    if (!c)
        return NULL;
    gr_reader r = {.take = pass, .count = pass_record, .keep = &c->kept, .chats = true};
    gr_status s = keep_paths(c, paths, n);
    if (s == GR_OK)
        s = gr_read_documents(&r, paths, n);
    gr_files_free(r.files, r.n_files);
    c->inputs = r.inputs;
    c->info = (gr_corpus_info){.size = sizeof c->info, .documents = r.documents, .bytes = r.bytes, .apart = r.apart};
    if (s == GR_OK)
        return c;
    gr_corpus_free(c);
    return NULL;
}

gr_status gr_corpus_read(const gr_corpus *c, gr_reader *r)
{
    gr_kept_pipes kept = c->kept;
    int64_t bytes, before;
    r->quiet = true;
    r->kept = &kept;
    gr_status s = gr_read_documents(r, (const char *const *)c->paths, c->n);
    bool same = gr_inputs_digest(&r->inputs, &bytes) == gr_inputs_digest(&c->inputs, &before);
    if (s == GR_OK && !same)
        s = gr_fail(GR_ERR_FILE, "%s: has changed while it was read\nlet nobody write to it meanwhile", c->paths[0]);
    return s;
}

gr_status gr_corpus_is_one_text(const char *const *paths, int n, bool *is)
{
    if (gr_lacks(paths, "gr_corpus_is_one_text: paths") || gr_lacks(is, "gr_corpus_is_one_text: is"))
        return GR_ERR_ARGUMENT;
    *is = false;
    return n == 1 ? gr_is_text_file(paths[0], is) : GR_OK;
}

/* ---- for callers of the library ----------------------------------------------------------------------------- */

typedef struct visitor {
    bool (*take)(void *user, const char *text, size_t size);
    void *user;
} visitor;

static gr_status visit(void *user, gr_document_text *d)
{
    const visitor *v = user;
    if (d->more) /* whole ones only */
        return GR_OK;
    gr_error_clear();
    if (v->take(v->user, d->text, d->size))
        return GR_OK;
    return gr_error_status() != GR_OK ? gr_error_status() : gr_fail(GR_ERR_INTERRUPTED, "reading texts: stopped");
}

gr_status gr_read_texts(const char *const *paths, int n, bool (*take)(void *user, const char *text, size_t size),
                        void *user)
{
    if (gr_lacks(paths, "gr_read_texts: paths") || gr_lacks((const void *)(uintptr_t)take, "gr_read_texts: take"))
        return GR_ERR_ARGUMENT;
    visitor v = {take, user};
    gr_reader r = {.take = visit, .user = &v};
    gr_status s = gr_read_documents(&r, paths, n);
    gr_files_free(r.files, r.n_files);
    gr_inputs_free(&r.inputs);
    return s;
}
