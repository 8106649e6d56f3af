/* Documents kept apart, as token ids: what the tokenizer puts before a text, its ids, what it puts behind, and the token
 * that ends a text, if that is not there yet. Of conversations, what a chat template makes of them. */
#include "train/data.h"

#include "base/log.h"
#include "base/mem.h"
#include "data/corpus.h"
#include "train/chats.h"
#include "train/encoder.h"
#include "text/tokenizer.h"

#include <string.h>

typedef struct builder {
    gr_data *data;
    gr_reader reader;
    gr_encoder encoder;
    gr_token eos;         /* -1: none */
    gr_ids ids;           /* of all documents so far */
    gr_ids front, back;   /* what stands around a text */
    gr_document document; /* the one at hand */
    bool in_parts;        /* it has begun */
    size_t documents_cap;
    gr_left_out untrained; /* documents with nothing to learn in them */
    int64_t joined;        /* prompts whose last token would have run into the completion */
    gr_chats chats;
    gr_chat_row row;     /* the conversation at hand */
    gr_left_out refused; /* conversations */
} builder;

/* ---- what stands around a text ------------------------------------------------------------------------------ */

static gr_status read_post(builder *b)
{
    const gr_tokenizer *t = b->encoder.tokenizer;
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

static bool begins_with(gr_id_span ids, gr_id_span front)
{
    return ids.n >= front.n && (!front.n || memcmp(ids.ids, front.ids, front.n * sizeof *ids.ids) == 0);
}

/* Whether ids[0, n) are prompt and completion when they are decoded. */
static gr_status decodes_to_whole(builder *b, const gr_document_text *d, const gr_ids *ids, bool *out)
{
    const char *text;
    size_t size;
    gr_status s = gr_tokenizer_decode(b->encoder.tokenizer, ids->data, ids->size, 0, &text, &size);
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
    gr_status s = gr_tokenizer_encode(b->encoder.tokenizer, line_break, 1, 0, &ids, &n);
    if (s == GR_OK)
        s = add(&front, ids, n);
    if (s == GR_OK)
        s = gr_bytes_add(&text, line_break, 1);
    if (s == GR_OK)
        s = gr_bytes_add(&text, d->text + d->prompt, d->size - d->prompt);
    if (s == GR_OK)
        s = gr_tokenizer_encode(b->encoder.tokenizer, text.data, text.size, 0, &ids, &n);
    if (s == GR_OK && begins_with((gr_id_span){ids, n}, (gr_id_span){front.data, front.size}))
        s = add(out, ids + front.size, n - front.size);
    gr_bytes_free(&text);
    gr_ids_free(&front);
    return s;
}

/* The prompt as a generator reads it, then the completion alone: no token lies on the border. */
static gr_status add_apart(builder *b, const gr_document_text *d, gr_id_span prompt)
{
    const int32_t *ids;
    size_t n;
    gr_ids whole = {0}, behind = {0};
    bool exact = false;
    gr_status s = gr_tokenizer_encode(b->encoder.tokenizer, d->text + d->prompt, d->size - d->prompt, 0, &ids, &n);
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

/* The ids of a document, or of its next part. */
static gr_status add_ids(builder *b, const gr_document_text *d, gr_id_span whole, gr_id_span prompt)
{
    gr_document *out = &b->document;
    gr_status s = GR_OK;
    if (!b->in_parts) {
        size_t given = prompt.n + b->front.size;
        *out = (gr_document){.file = (uint32_t)d->file & INT32_MAX, .line = d->line, .begin = (int64_t)b->ids.size};
        out->given = given > 1 ? (int32_t)given : 1;
        s = add(&b->ids, b->front.data, b->front.size);
    }
    if (s == GR_OK)
        s = begins_with(whole, prompt) ? add(&b->ids, whole.ids, whole.n) : add_apart(b, d, prompt);
    if (s == GR_OK && !d->more)
        s = add(&b->ids, b->back.data, b->back.size);
    out->end = (int64_t)b->ids.size;
    b->in_parts = d->more;
    if (s == GR_OK && out->end - out->begin > INT32_MAX)
        s = gr_fail(GR_ERR_FILE, "a document of %lld tokens, the most is %d\ncut it into several",
                    (long long)(out->end - out->begin), INT32_MAX);
    return s;
}

/* The document at hand is whole. */
static gr_status keep(builder *b, const gr_document_text *t)
{
    gr_data *d = b->data;
    if (b->document.end - b->document.begin <= b->document.given) { /* nothing in it is predicted from something */
        b->ids.size = (size_t)b->document.begin;
        gr_leave_out(&b->untrained, t->file, t->line);
        return GR_OK;
    }
    gr_status s = gr_grow(&d->documents, &b->documents_cap, (size_t)d->n_documents + 1, sizeof *d->documents);
    if (s == GR_OK)
        d->documents[d->n_documents++] = b->document;
    return s;
}

static gr_status put(void *user, const gr_document_text *t, gr_id_span whole, gr_id_span prompt)
{
    builder *b = user;
    char place[GR_PLACE_SIZE];
    gr_status s = add_ids(b, t, whole, prompt);
    if (s != GR_OK)
        return gr_fail_in("%s", gr_place(b->reader.files, t->file, t->line, place, sizeof place));
    return t->more ? GR_OK : keep(b, t);
}

/* ---- conversations ------------------------------------------------------------------------------------------ */

/* Sets the bits of what is learned; the first token never is. */
static gr_status mark_learned(builder *b, const gr_bytes *learned)
{
    gr_bytes *bits = &b->data->learned;
    size_t begin = (size_t)b->document.begin, bytes = (b->ids.size + 7) / 8;
    b->document.given = (int32_t)learned->size;
    gr_status s = bytes > bits->size ? gr_bytes_reserve(bits, bytes - bits->size) : GR_OK;
    if (s == GR_OK && bytes > bits->size) {
        memset(bits->data + bits->size, 0, bytes - bits->size);
        bits->size = bytes;
    }
    for (size_t i = learned->size; s == GR_OK && i-- > 1;)
        if (learned->data[i]) {
            bits->data[(begin + i) / 8] = (char)(bits->data[(begin + i) / 8] | 1 << (begin + i) % 8);
            b->document.given = (int32_t)i;
        }
    return s;
}

static gr_status refuse_row(builder *b, const gr_document_text *t)
{
    gr_data *d = b->data;
    gr_leave_out(&b->refused, t->file, t->line);
    gr_status s = gr_grow(&d->refused, &d->refused_cap, t->file + 1, sizeof *d->refused);
    while (s == GR_OK && d->n_refused <= t->file)
        d->refused[d->n_refused++] = (gr_refused){0};
    if (s != GR_OK || d->refused[t->file].count++ > 0)
        return s;
    d->refused[t->file].line = t->line;
    d->refused[t->file].why = gr_strdup(b->row.refused);
    return d->refused[t->file].why ? GR_OK : GR_ERR_MEMORY;
}

static gr_status add_row(builder *b, const gr_document_text *t)
{
    const gr_chat_row *row = &b->row;
    if (*row->refused)
        return refuse_row(b, t);
    if (row->ids.size > INT32_MAX)
        return gr_fail(GR_ERR_FILE, "a conversation of %zu tokens, the most is %d\ncut it into several", row->ids.size,
                       INT32_MAX);
    b->document = (gr_document){.is_chat = 1, .line = t->line, .begin = (int64_t)b->ids.size};
    b->document.file = (uint32_t)t->file & INT32_MAX;
    gr_status s = add(&b->ids, row->ids.data, row->ids.size);
    b->document.end = (int64_t)b->ids.size;
    if (s == GR_OK)
        s = mark_learned(b, &row->learned);
    return s == GR_OK ? keep(b, t) : s;
}

static gr_status add_chat(builder *b, const gr_document_text *t)
{
    char place[GR_PLACE_SIZE];
    gr_status s = gr_encoder_finish(&b->encoder); /* what is before it */
    if (s != GR_OK)
        return s;
    if (!b->chats.template)
        s = gr_fail(GR_ERR_FILE,
                    "is a conversation, and the model has no chat template\ngive one with --chat-template");
    else
        s = gr_chat_row_make(&b->chats, t->text, t->size, &b->row);
    b->data->conversations++;
    if (s == GR_OK)
        s = add_row(b, t);
    return s == GR_OK ? s : gr_fail_in("%s", gr_place(b->reader.files, t->file, t->line, place, sizeof place));
}

static gr_status take(void *user, gr_document_text *d)
{
    builder *b = user;
    return d->is_chat ? add_chat(b, d) : gr_encoder_take(&b->encoder, d);
}

/* What is trained with a template is to be used with it. */
static gr_status note_template(builder *b)
{
    const gr_template_info *t = b->data->conversations > 0 ? gr_template_describe(b->chats.template) : NULL;
    if (!t)
        return GR_OK;
    b->data->template = gr_strdup(t->name);
    b->data->template_digest = t->digest;
    return b->data->template ? GR_OK : GR_ERR_MEMORY;
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

static gr_status finish(builder *b)
{
    gr_data *d = b->data;
    char place[GR_PLACE_SIZE];
    const gr_left_out *none = &b->untrained, *refused = &b->refused;
    if (d->n_documents == 0 && refused->count > 0)
        return gr_fail(
            GR_ERR_FILE,
            "%s: %s\nall conversations are refused: change them, or give another template with --chat-template",
            gr_place(b->reader.files, refused->file, refused->line, place, sizeof place),
            d->refused[refused->file].why);
    if (refused->count > 0)
        gr_remark(GR_LOG_WARN, "%s: refused, as %lld of %lld documents; they are left out: %s",
                  gr_place(b->reader.files, refused->file, refused->line, place, sizeof place),
                  (long long)refused->count, (long long)b->reader.documents, d->refused[refused->file].why);
    if (d->n_documents == 0)
        return gr_fail(GR_ERR_FILE,
                       "%s: there is nothing to train on: a token is learned from those before it\n"
                       "texts of more than one token are needed, of conversations an answer whose \"weight\" is not 0",
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

gr_data *gr_data_read_documents(const gr_data_options *from)
{
    gr_token own = gr_tokenizer_eos(from->tokenizer);
    builder b = {.eos = own >= 0 ? own : from->eos ? *from->eos : -1, .data = gr_alloc_zero(1, sizeof *b.data)};
    b.encoder = (gr_encoder){
        .tokenizer = from->tokenizer, .threads = from->threads, .reader = &b.reader, .put = put, .user = &b};
    b.reader = (gr_reader){.take = take, .user = &b, .threads = from->threads, .chats = true};
    b.chats = (gr_chats){.template = from->chat,
                         .tokenizer = from->tokenizer,
                         .variables = from->variables,
                         .variables_size = from->variables_size,
                         .loss = from->loss,
                         .ambiguous_last = from->ambiguous_last};
    gr_status s = b.data ? read_post(&b) : GR_ERR_MEMORY;
    if (b.data)
        b.data->too_long = from->too_long;
    if (s == GR_OK)
        s = from->corpus ? gr_corpus_read(from->corpus, &b.reader)
                         : gr_read_documents(&b.reader, from->paths, from->n_paths);
    if (s == GR_OK)
        s = gr_encoder_finish(&b.encoder);
    if (s == GR_OK)
        s = finish(&b);
    if (s == GR_OK)
        s = note_template(&b);
    gr_encoder_free(&b.encoder);
    gr_chat_row_free(&b.row);
    gr_ids_free(&b.front);
    gr_ids_free(&b.back);
    return gr_data_close(b.data, &b.ids, &b.reader, s);
}
