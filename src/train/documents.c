/* Documents kept apart, as token ids: what the tokenizer puts before a text, its ids, what it puts behind, and the token
 * that ends a text, if that is not there yet. */
#include "train/data.h"

#include "base/log.h"
#include "base/mem.h"
#include "text/tokenizer.h"

#include <string.h>

enum { BATCH = 16 << 20 }; /* bytes of text that are encoded at a time, on all cores */

typedef struct builder {
    gr_data *data;
    int threads;
    gr_bytes text;             /* of the documents that wait to be encoded */
    gr_document_text *waiting; /* [n_waiting] their text is NULL: it follows that of the one before */
    size_t n_waiting, waiting_cap;
    gr_reader reader;
    gr_tokenizer *tokenizer;
    int32_t eos;        /* -1: none */
    gr_ids ids;         /* of all documents so far */
    gr_ids front, back; /* what stands around a text */
    size_t documents_cap;
    gr_left_out untrained; /* documents with nothing to learn in them */
    int64_t joined;        /* prompts whose last token would have run into the completion */
} builder;

/* ---- what stands around a text ------------------------------------------------------------------------------ */

static gr_status read_post(builder *b)
{
    const gr_tokenizer *t = b->tokenizer;
    bool behind = false;
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < t->post.n; i++) {
        behind = behind || t->post.item[i].is_text;
        if (!t->post.item[i].is_text)
            s = gr_ids_add(behind ? &b->back : &b->front, t->post.item[i].id);
    }
    if (s == GR_OK && b->eos >= 0 && !(b->back.size && b->back.data[b->back.size - 1] == b->eos))
        s = gr_ids_add(&b->back, b->eos);
    return s;
}

static gr_status add(gr_ids *to, const int32_t *ids, size_t n)
{
    gr_status s = gr_ids_reserve(to, n);
    if (s == GR_OK && n)
        memcpy(to->data + to->size, ids, n * sizeof *ids);
    to->size += s == GR_OK ? n : 0;
    return s;
}

/* ---- a prompt and its completion ---------------------------------------------------------------------------- */

/* ids[0, n), somebody else's. */
typedef struct id_span {
    const int32_t *ids;
    size_t n;
} id_span;

static bool begins_with(id_span ids, id_span front)
{
    return ids.n >= front.n && (!front.n || memcmp(ids.ids, front.ids, front.n * sizeof *ids.ids) == 0);
}

/* Whether ids[0, n) are prompt and completion when they are decoded. */
static gr_status decodes_to_whole(builder *b, const gr_document_text *d, const gr_ids *ids, bool *out)
{
    const char *text;
    size_t size;
    gr_status s = gr_tokenizer_decode(b->tokenizer, ids->data, ids->size, 0, &text, &size);
    *out = s == GR_OK && size == d->size && memcmp(text, d->text, size) == 0;
    return s;
}

/* A tokenizer may put a space before every text; the completion goes on with one, so it is encoded behind a line break,
 * whose ids are taken off again. Gives nothing where they cannot be told from the rest. */
static gr_status encode_behind(builder *b, const gr_document_text *d, gr_ids *out)
{
    static const char line_break[] = "\n";
    const int32_t *ids;
    size_t n;
    gr_ids front = {0};
    gr_bytes text = {0};
    gr_status s = gr_tokenizer_encode(b->tokenizer, line_break, 1, 0, &ids, &n);
    if (s == GR_OK)
        s = add(&front, ids, n);
    if (s == GR_OK)
        s = gr_bytes_add(&text, line_break, 1);
    if (s == GR_OK)
        s = gr_bytes_add(&text, d->text + d->prompt, d->size - d->prompt);
    if (s == GR_OK)
        s = gr_tokenizer_encode(b->tokenizer, text.data, text.size, 0, &ids, &n);
    if (s == GR_OK && begins_with((id_span){ids, n}, (id_span){front.data, front.size}))
        s = add(out, ids + front.size, n - front.size);
    gr_bytes_free(&text);
    gr_ids_free(&front);
    return s;
}

/* The prompt as a generator reads it, then the completion alone: no token lies on the border. */
static gr_status add_apart(builder *b, const gr_document_text *d, id_span prompt)
{
    const int32_t *ids;
    size_t n;
    gr_ids whole = {0}, behind = {0};
    bool exact = false;
    gr_status s = gr_tokenizer_encode(b->tokenizer, d->text + d->prompt, d->size - d->prompt, 0, &ids, &n);
    if (s == GR_OK)
        s = add(&whole, prompt.ids, prompt.n);
    if (s == GR_OK)
        s = add(&whole, ids, n);
    if (s == GR_OK)
        s = decodes_to_whole(b, d, &whole, &exact);
    if (s == GR_OK && !exact)
        s = encode_behind(b, d, &behind);
    if (s == GR_OK && behind.size) {
        whole.size = prompt.n;
        s = add(&whole, behind.data, behind.size);
    }
    if (s == GR_OK)
        s = add(&b->ids, whole.data, whole.size);
    gr_ids_free(&behind);
    gr_ids_free(&whole);
    b->joined++;
    return s;
}

/* ---- documents ---------------------------------------------------------------------------------------------- */

static gr_status add_document(builder *b, const gr_document_text *d, id_span whole, id_span prompt, gr_document *out)
{
    size_t given = prompt.n + b->front.size;
    out->begin = (int64_t)b->ids.size;
    gr_status s = gr_ids_reserve(&b->ids, b->front.size + whole.n + b->back.size);
    if (s == GR_OK)
        s = add(&b->ids, b->front.data, b->front.size);
    if (s == GR_OK)
        s = begins_with(whole, prompt) ? add(&b->ids, whole.ids, whole.n) : add_apart(b, d, prompt);
    if (s == GR_OK)
        s = add(&b->ids, b->back.data, b->back.size);
    out->end = (int64_t)b->ids.size;
    if (s == GR_OK && out->end - out->begin > INT32_MAX)
        s = gr_fail(GR_ERR_FILE, "a document of %lld tokens, the most is %d\ncut it into several",
                    (long long)(out->end - out->begin), INT32_MAX);
    out->given = given > 1 ? (int32_t)given : 1;
    return s;
}

static gr_status keep(builder *b, const gr_document_text *t, id_span whole, id_span prompt)
{
    gr_data *d = b->data;
    gr_document document = {.file = (int32_t)t->file, .line = t->line};
    char place[GR_PLACE_SIZE];
    gr_status s = add_document(b, t, whole, prompt, &document);
    if (s != GR_OK)
        return gr_fail_in("%s", gr_place(b->reader.files, t->file, t->line, place, sizeof place));
    if (document.end - document.begin <= document.given) { /* nothing in it is predicted from something */
        b->ids.size = (size_t)document.begin;
        if (b->untrained.count++ == 0) {
            b->untrained.file = t->file;
            b->untrained.line = t->line;
        }
        return GR_OK;
    }
    s = gr_grow(&d->documents, &b->documents_cap, (size_t)d->n_documents + 1, sizeof *d->documents);
    if (s == GR_OK)
        d->documents[d->n_documents++] = document;
    return s;
}

/* ---- many at a time ----------------------------------------------------------------------------------------- */

/* One of the texts cannot be encoded: says which. */
static gr_status blame(builder *b, const gr_document_text *documents, size_t n, const char *text)
{
    char place[GR_PLACE_SIZE];
    const int32_t *ids;
    size_t count;
    for (size_t i = 0; i < n; text += documents[i++].size)
        if (gr_tokenizer_encode(b->tokenizer, text, documents[i].size, 0, &ids, &count) != GR_OK)
            return gr_fail_in("%s",
                              gr_place(b->reader.files, documents[i].file, documents[i].line, place, sizeof place));
    return gr_error_status();
}

/* Documents whose texts lie one behind the other: all texts are encoded at once, and all prompts. */
static gr_status encode(builder *b, const gr_document_text *documents, size_t n, const char *text)
{
    gr_span *spans = gr_alloc(2 * n * sizeof *spans);
    if (!spans)
        return GR_ERR_MEMORY;
    gr_encoded e = {0};
    const char *at = text;
    for (size_t i = 0; i < n; at += documents[i++].size) {
        spans[2 * i] = (gr_span){at, documents[i].size};
        spans[2 * i + 1] = (gr_span){at, documents[i].prompt};
    }
    gr_status s = gr_tokenizer_encode_all(b->tokenizer, spans, 2 * n, 0, b->threads, &e);
    if (s == GR_ERR_ARGUMENT)
        s = blame(b, documents, n, text);
    for (size_t i = 0, from = 0; s == GR_OK && i < n; from = e.ends[2 * i++ + 1]) {
        gr_document_text d = documents[i];
        d.text = spans[2 * i].text;
        s = keep(b, &d, (id_span){e.ids + from, e.ends[2 * i] - from},
                 (id_span){e.ids + e.ends[2 * i], e.ends[2 * i + 1] - e.ends[2 * i]});
    }
    gr_encoded_free(&e);
    gr_free(spans);
    return s;
}

static gr_status encode_waiting(builder *b)
{
    gr_status s = b->n_waiting ? encode(b, b->waiting, b->n_waiting, b->text.data) : GR_OK;
    b->n_waiting = b->text.size = 0;
    return s;
}

/* A long text is not copied to wait. */
static gr_status take(void *user, const gr_document_text *t)
{
    builder *b = user;
    gr_status s = b->text.size + t->size > BATCH ? encode_waiting(b) : GR_OK;
    if (s == GR_OK && t->size > BATCH)
        return encode(b, t, 1, t->text);
    if (s == GR_OK)
        s = gr_bytes_add(&b->text, t->text, t->size);
    if (s == GR_OK)
        s = gr_grow(&b->waiting, &b->waiting_cap, b->n_waiting + 1, sizeof *b->waiting);
    if (s == GR_OK)
        b->waiting[b->n_waiting++] = *t;
    return s;
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

static gr_status finish(builder *b)
{
    gr_data *d = b->data;
    char place[GR_PLACE_SIZE];
    const gr_left_out *none = &b->untrained;
    if (d->n_documents == 0)
        return gr_fail(GR_ERR_FILE,
                       "%s: there is nothing to train on: a token is learned from those before it\n"
                       "texts of more than one token are needed",
                       gr_place(b->reader.files, none->file, none->line, place, sizeof place));
    if (none->count > 0)
        gr_remark(GR_LOG_WARN, "%s: has nothing to train on, as %lld of %lld documents; they are left out",
                  gr_place(b->reader.files, none->file, none->line, place, sizeof place), (long long)none->count,
                  (long long)b->reader.documents);
    if (b->joined > 0)
        gr_remark(GR_LOG_INFO,
                  "of %lld documents the prompt ends inside a token; prompt and completion were encoded one by one",
                  (long long)b->joined);
    return GR_OK;
}

static builder open_builder(gr_tokenizer *tokenizer, int64_t eos, int threads)
{
    builder b = {.tokenizer = tokenizer, .threads = threads, .data = gr_alloc_zero(1, sizeof *b.data)};
    int64_t own = gr_tokenizer_eos(tokenizer);
    b.eos = (int32_t)(own >= 0 ? own : eos);
    return b;
}

/* Hands the data over, or frees it. */
static gr_data *close_builder(builder *b, gr_status s)
{
    gr_data *d = b->data;
    if (s == GR_OK)
        s = encode_waiting(b);
    if (s == GR_OK)
        s = finish(b);
    if (d) {
        d->ids = b->ids.data;
        d->n = (int64_t)b->ids.size;
        d->bytes = b->reader.bytes;
        d->files = b->reader.files;
        d->n_files = b->reader.n_files;
        d->inputs = b->reader.inputs;
    }
    gr_bytes_free(&b->text);
    gr_free(b->waiting);
    gr_ids_free(&b->front);
    gr_ids_free(&b->back);
    if (s == GR_OK)
        return d;
    gr_data_free(d);
    return NULL;
}

gr_data *gr_data_load_documents(const char *const *paths, int n, gr_tokenizer *tokenizer, int64_t eos, int threads)
{
    if (gr_lacks(paths, "gr_data_load_documents: paths") || gr_lacks(tokenizer, "gr_data_load_documents: tokenizer"))
        return NULL;
    builder b = open_builder(tokenizer, eos, threads);
    gr_status s = b.data ? read_post(&b) : GR_ERR_MEMORY;
    b.reader.take = take;
    b.reader.user = &b;
    if (s == GR_OK)
        s = gr_read_documents(&b.reader, paths, n);
    return close_builder(&b, s);
}

gr_data *gr_data_documents_of(const gr_corpus *c, gr_tokenizer *tokenizer, int64_t eos, int threads)
{
    if (gr_lacks(c, "gr_data_documents_of: corpus") || gr_lacks(tokenizer, "gr_data_documents_of: tokenizer"))
        return NULL;
    builder b = open_builder(tokenizer, eos, threads);
    gr_status s = b.data ? read_post(&b) : GR_ERR_MEMORY;
    size_t at = 0;
    b.reader.take = take;
    b.reader.user = &b;
    if (s == GR_OK)
        s = gr_inputs_copy(&b.reader.inputs, &c->inputs);
    for (size_t i = 0; s == GR_OK && i < c->n_files; i++)
        s = gr_reader_begin(&b.reader, c->files[i]);
    for (size_t i = 0; s == GR_OK && i < c->n; at += c->documents[i++].size) {
        gr_document_text d = c->documents[i];
        d.text = c->text + at;
        s = gr_reader_take(&b.reader, &d);
    }
    return close_builder(&b, s);
}
