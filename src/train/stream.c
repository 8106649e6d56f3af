/* One stream of token ids, all documents joined. */
#include "train/data.h"

#include "base/mem.h"
#include "data/corpus.h"
#include "train/encoder.h"
#include "text/tokenizer.h"

#include <string.h>

gr_data *gr_data_of_ids(const gr_token *ids, int64_t n)
{
    if (n < 2) {
        gr_fail(GR_ERR_ARGUMENT, "data: %lld tokens, at least 2 are needed\ngive more text", (long long)n);
        return NULL;
    }
    gr_data *d = gr_alloc_zero(1, sizeof *d);
    gr_token *copy = d ? gr_alloc((size_t)n * sizeof *copy) : NULL;
    if (!copy) {
        gr_free(d);
        return NULL;
    }
    memcpy(copy, ids, (size_t)n * sizeof *copy);
    d->ids = copy;
    d->n = n;
    gr_data_note(d);
    return d;
}

/* In one stream everything is trained on: a prompt would be, too. */
static gr_status refuse_prompt(const gr_reader *r, const gr_document_text *d)
{
    char place[GR_PLACE_SIZE];
    return gr_fail(GR_ERR_FILE,
                   "%s: %s, but here all documents become one text to train on\n"
                   "train and finetune keep them apart with --documents apart",
                   gr_place(r->files, d->file, d->line, place, sizeof place),
                   d->is_chat ? "is a conversation" : "has a prompt and a completion");
}

typedef struct joiner {
    gr_reader reader;
    gr_encoder encoder;
    gr_ids ids;
    bool in_parts; /* the document at hand has begun */
    bool any;      /* there was one before */
} joiner;

static gr_status take(void *user, gr_document_text *d)
{
    joiner *j = user;
    return d->prompt || d->is_chat ? refuse_prompt(&j->reader, d) : gr_encoder_take(&j->encoder, d);
}

/* Ids, with the end of text between documents. */
static gr_status put(void *user, const gr_document_text *d, gr_id_span whole, gr_id_span prompt)
{
    joiner *j = user;
    gr_token between = gr_tokenizer_eos(j->encoder.tokenizer);
    gr_status s = j->any && !j->in_parts && between >= 0 ? gr_ids_add(&j->ids, between) : GR_OK;
    (void)prompt;
    j->any = true;
    j->in_parts = d->more;
    if (s == GR_OK)
        s = gr_ids_reserve(&j->ids, whole.n);
    if (s == GR_OK && whole.n) {
        memcpy(j->ids.data + j->ids.size, whole.ids, whole.n * sizeof *whole.ids);
        j->ids.size += whole.n;
    }
    return s;
}

gr_data *gr_data_read_stream(const gr_data_options *from)
{
    joiner j = {0};
    j.encoder = (gr_encoder){
        .tokenizer = from->tokenizer, .threads = from->threads, .reader = &j.reader, .put = put, .user = &j};
    j.reader = (gr_reader){.take = take, .user = &j, .threads = from->threads, .chats = true};
    gr_data *d = gr_alloc_zero(1, sizeof *d);
    gr_status s = d ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = from->corpus ? gr_corpus_read(from->corpus, &j.reader)
                         : gr_read_documents(&j.reader, from->paths, from->n_paths);
    if (s == GR_OK)
        s = gr_encoder_finish(&j.encoder);
    if (s == GR_OK && j.ids.size < 2)
        s = gr_fail(GR_ERR_ARGUMENT, "data: only %zu tokens, at least 2 are needed\ngive more text", j.ids.size);
    gr_encoder_free(&j.encoder);
    return gr_data_close(d, &j.ids, &j.reader, s);
}
