/* Encoding many documents at a time. */
#include "train/encoder.h"

#include "base/mem.h"

enum { BATCH = 16 << 20 }; /* bytes of text that are encoded at a time, on all cores */

/* One of the texts cannot be encoded: says which. */
static gr_status blame(gr_encoder *e, const gr_document_text *documents, size_t n, const char *text)
{
    char place[GR_PLACE_SIZE];
    const int32_t *ids;
    size_t count;
    for (size_t i = 0; i < n; text += documents[i++].size)
        if (gr_tokenizer_encode(e->tokenizer, text, documents[i].size, 0, &ids, &count) != GR_OK)
            return gr_fail_in("%s",
                              gr_place(e->reader->files, documents[i].file, documents[i].line, place, sizeof place));
    return gr_error_status();
}

/* Documents whose texts lie one behind the other: all texts are encoded at once, and all prompts. */
static gr_status encode(gr_encoder *e, const gr_document_text *documents, size_t n, const char *text)
{
    gr_span *spans = gr_alloc(2 * n * sizeof *spans);
    if (!spans)
        return GR_ERR_MEMORY;
    const gr_encoded *all = NULL;
    const char *at = text;
    for (size_t i = 0; i < n; at += documents[i++].size) {
        spans[2 * i] = (gr_span){at, documents[i].size};
        spans[2 * i + 1] = (gr_span){at, documents[i].prompt};
    }
    gr_status s = gr_tokenizer_encode_all(e->tokenizer, spans, 2 * n, 0, e->threads, &all);
    if (s == GR_ERR_ARGUMENT)
        s = blame(e, documents, n, text);
    for (size_t i = 0, from = 0; s == GR_OK && i < n; from = all->ends[2 * i++ + 1]) {
        gr_document_text d = documents[i];
        size_t end = all->ends[2 * i];
        d.text = spans[2 * i].text;
        s = e->put(e->user, &d, (gr_id_span){all->ids + from, end - from},
                   (gr_id_span){all->ids + end, all->ends[2 * i + 1] - end});
    }
    gr_free(all);
    gr_free(spans);
    return s;
}

gr_status gr_encoder_finish(gr_encoder *e)
{
    gr_status s = e->n ? encode(e, e->waiting, e->n, e->text.data) : GR_OK;
    e->n = e->text.size = 0;
    return s;
}

/* A part ends where the ids of all that is before it are those of the whole; where there is no such place, the whole text
 * has to come. */
static gr_status take_part(gr_encoder *e, gr_document_text *d)
{
    gr_document_text part = *d;
    d->used = part.size = d->more ? gr_tokenizer_cut(e->tokenizer, d->text, d->size) : d->size;
    if (d->more && d->used == 0)
        return GR_OK;
    e->in_parts = d->more;
    return encode(e, &part, 1, d->text);
}

gr_status gr_encoder_take(void *encoder, gr_document_text *d)
{
    gr_encoder *e = encoder;
    bool is_part = d->more || e->in_parts;
    gr_status s = is_part || e->text.size + d->size > BATCH ? gr_encoder_finish(e) : GR_OK;
    if (s != GR_OK)
        return s;
    if (is_part)
        return take_part(e, d);
    if (d->size > BATCH) /* a long text is not copied to wait */
        return encode(e, d, 1, d->text);
    s = gr_bytes_add(&e->text, d->text, d->size);
    if (s == GR_OK)
        s = gr_grow(&e->waiting, &e->cap, e->n + 1, sizeof *e->waiting);
    if (s == GR_OK)
        e->waiting[e->n++] = *d;
    return s;
}

void gr_encoder_free(gr_encoder *e)
{
    gr_bytes_free(&e->text);
    gr_free(e->waiting);
    e->waiting = NULL;
    e->n = e->cap = 0;
}
