/* Records: a document a line of a .jsonl file, or an item of an array, {"text": ...} or {"prompt": ..., "completion": ...};
 * or a conversation, {"messages": ...} and its like, which is given on as it is. A part of the file is parsed by all threads; what they find is given on in its order. */
#include "data/reader.h"

#include "base/first_error.h"
#include "base/json.h"
#include "base/mem.h"
#include "data/records.h"
#include "data/window.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 1, PROMPT = 2, COMPLETION = 4, CHAT = 8, MESSAGES = 16 };
enum { PART = 1 << 18 }; /* bytes that a thread takes at a time */

/* Some of the records of a block, and what came of them. */
typedef struct part {
    size_t first, end; /* of the block's records */
    gr_bytes text;     /* of the documents, one behind the other; when they are counted, only of the one at hand */
    gr_document_text *documents;
    size_t n, cap;
    int64_t count, bytes, apart; /* of documents that are not empty; apart: as gr_reader counts them */
    gr_left_out empty_text, empty_completion;
    gr_unread_keys keys;
} part;

typedef struct block {
    gr_reader *reader;
    const gr_record *records;
    part *parts;
    size_t n_parts, cap;
    gr_first_error error;
} block;

/* ---- one record --------------------------------------------------------------------------------------------- */

/* A key that says nothing here is remembered for a remark. */
static void note_key(gr_unread_keys keys, const char *name)
{
    for (int i = 0; i < GR_MOST_KEYS; i++) {
        if (*keys[i] == '\0')
            snprintf(keys[i], sizeof keys[i], "%s", name);
        if (strcmp(keys[i], name) == 0)
            return;
    }
}

static const struct known_key {
    const char *name;
    unsigned bit;
} known_keys[] = {{"text", TEXT},
                  {"prompt", PROMPT},
                  {"completion", COMPLETION},
                  {"messages", CHAT | MESSAGES},
                  {"conversations", CHAT | MESSAGES},
                  {"tools", 0},
                  {"documents", 0}};
enum { KNOWN_KEYS = sizeof known_keys / sizeof *known_keys };

/* Which of the keys that mean something are there; null is as good as absent. A list is one of messages. */
static unsigned kind_of(part *p, gr_json object)
{
    unsigned there = 0;
    bool is_chat = false;
    char other[sizeof p->keys[0]];
    for (gr_json_iter it = gr_json_first(object); it.key; gr_json_next(&it)) {
        int i = 0;
        while (i < KNOWN_KEYS && !gr_json_named(&it, known_keys[i].name))
            i++;
        if (!gr_json_is(it.value))
            continue;
        if (i == KNOWN_KEYS)
            note_key(p->keys, gr_printable(it.key, strlen(it.key), other, sizeof other));
        else
            there |= known_keys[i].bit;
        is_chat |= i < KNOWN_KEYS && known_keys[i].bit && gr_json_type_of(it.value) == GR_JSON_ARRAY;
    }
    return is_chat ? there | CHAT : there;
}

/* The whole record: what is in it is the template's business. */
static gr_status add_chat(const gr_reader *r, part *p, gr_json object, const gr_record *record, unsigned there,
                          gr_document_text *d)
{
    if (there & TEXT || (there & MESSAGES && there & (PROMPT | COMPLETION)))
        return gr_json_fail(object, "has messages, and a \"%s\" beside them\na line is one or the other",
                            there & TEXT     ? "text"
                            : there & PROMPT ? "prompt"
                                             : "completion");
    if (!r->chats)
        return gr_json_fail(object, "is a conversation, and %s",
                            r->learns_tokenizer
                                ? "a tokenizer is learned from texts alone\nmake one of texts; train takes one that is "
                                  "there, too: --tokenizer byte or FILE"
                                : "here only texts are of use\ntrain and finetune take it, and data show shows it");
    d->is_chat = true;
    d->size = record->size;
    return gr_bytes_add(&p->text, record->text, record->size);
}

static void refuse_kind(gr_json object, unsigned there)
{
    if (there & TEXT && there & (PROMPT | COMPLETION))
        gr_json_fail(object, "has \"text\" and \"%s\"\na line is one or the other",
                     there & PROMPT ? "prompt" : "completion");
    else if (there)
        gr_json_fail(object, "has a \"%s\" without a \"%s\"\na line is a text, or has both of these",
                     there & PROMPT ? "prompt" : "completion", there & PROMPT ? "completion" : "prompt");
    else
        gr_json_fail(object,
                     "has neither \"text\" nor \"prompt\" and \"completion\", nor \"messages\"\nrename its keys to "
                     "these");
}

/* The text, or prompt and completion one behind the other, at the end of p->text. */
static gr_status add_texts(part *p, gr_json object, unsigned there, gr_document_text *d)
{
    bool is_pair = there != TEXT;
    size_t n = 0, m = 0;
    const char *first = gr_json_as_text(gr_json_get(object, is_pair ? "prompt" : "text"), &n);
    const char *second = is_pair ? gr_json_as_text(gr_json_get(object, "completion"), &m) : "";
    gr_status s = gr_json_check(object.doc);
    if (s == GR_OK)
        s = gr_bytes_add(&p->text, first, n);
    if (s == GR_OK)
        s = gr_bytes_add(&p->text, second, m);
    d->size = n + m;
    d->prompt = is_pair ? n : 0;
    return s;
}

static gr_status give(const gr_reader *r, part *p, int worker, gr_document_text *d)
{
    if (d->size == d->prompt) {
        p->text.size -= d->size;
        gr_leave_out(d->prompt ? &p->empty_completion : &p->empty_text, d->file, d->line);
        return GR_OK;
    }
    p->count++;
    p->bytes += (int64_t)d->size;
    p->apart += d->prompt || d->is_chat;
    if (r->count) {
        d->text = p->text.data;
        gr_status s = r->count(r->user, worker, d);
        p->text.size = 0;
        return s;
    }
    gr_status s = gr_grow(&p->documents, &p->cap, p->n + 1, sizeof *p->documents);
    if (s == GR_OK)
        p->documents[p->n++] = *d;
    return s;
}

static gr_status read_record(const gr_reader *r, part *p, int worker, const gr_record *record)
{
    gr_document_text d = {.file = r->n_files - 1, .line = record->line};
    char name[GR_PLACE_SIZE];
    gr_json_doc *doc = gr_json_parse(gr_place(r->files, d.file, d.line, name, sizeof name), record->text, record->size);
    if (!doc)
        return gr_error_status();
    gr_json object = gr_json_as_object(gr_json_root(doc));
    unsigned there = kind_of(p, object);
    gr_status s = gr_json_check(doc);
    if (s == GR_OK && there & CHAT)
        s = add_chat(r, p, object, record, there, &d);
    else if (s == GR_OK && (there == (PROMPT | COMPLETION) || there == TEXT))
        s = add_texts(p, object, there, &d);
    else if (s == GR_OK)
        refuse_kind(object, there);
    if (s == GR_OK)
        s = gr_json_check(doc);
    gr_json_free(doc);
    return s == GR_OK ? give(r, p, worker, &d) : s;
}

/* ---- many --------------------------------------------------------------------------------------------------- */

static void read_part(void *ctx, int64_t index, int worker)
{
    block *b = ctx;
    part *p = &b->parts[index];
    gr_status s = GR_OK;
    for (size_t i = p->first; i < p->end && s == GR_OK && !gr_first_error_skips(&b->error, index); i++)
        s = read_record(b->reader, p, worker, &b->records[i]);
    if (s != GR_OK)
        gr_first_error_put(&b->error, index);
}

static gr_status cut_parts(block *b, const gr_record *records, size_t n)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < n && s == GR_OK;) {
        part p = {.first = i};
        for (size_t size = 0; i < n && size < PART; i++)
            size += records[i].size + 16;
        p.end = i;
        s = gr_grow(&b->parts, &b->cap, b->n_parts + 1, sizeof *b->parts);
        if (s == GR_OK)
            b->parts[b->n_parts++] = p;
    }
    return s;
}

static void join_left_out(gr_left_out *to, const gr_left_out *from)
{
    if (from->count > 0 && to->count == 0)
        to->file = from->file, to->line = from->line;
    to->count += from->count;
}

static gr_status take_part(gr_reader *r, const part *p)
{
    gr_status s = GR_OK;
    const char *text = p->text.data;
    for (size_t i = 0; i < p->n && s == GR_OK; text += p->documents[i++].size) {
        gr_document_text d = p->documents[i];
        d.text = text;
        s = r->take(r->user, &d);
    }
    for (int i = 0; i < GR_MOST_KEYS && *p->keys[i]; i++)
        note_key(r->keys, p->keys[i]);
    join_left_out(&r->empty_text, &p->empty_text);
    join_left_out(&r->empty_completion, &p->empty_completion);
    r->documents += p->count;
    r->bytes += p->bytes;
    r->apart += p->apart;
    return s;
}

/* Documents before the first that is wrong are given on, so that an error with one of them comes first. */
static gr_status read_block(gr_reader *r, const gr_record *records, size_t n)
{
    block b = {.reader = r, .records = records, .error = GR_FIRST_ERROR_NONE};
    gr_status s = cut_parts(&b, records, n);
    if (s == GR_OK && !r->pool)
        s = (r->pool = gr_pool_new(r->threads)) ? GR_OK : gr_error_status();
    if (s == GR_OK)
        gr_parallel(r->pool, (int64_t)b.n_parts, read_part, &b);
    for (size_t i = 0; i < b.n_parts && s == GR_OK && (int64_t)i <= b.error.piece; i++)
        s = take_part(r, &b.parts[i]);
    if (s == GR_OK)
        s = gr_first_error_take(&b.error);
    for (size_t i = 0; i < b.n_parts; i++) {
        gr_bytes_free(&b.parts[i].text);
        gr_free(b.parts[i].documents);
    }
    gr_free(b.parts);
    return s;
}

gr_status gr_read_records(gr_reader *r, gr_window *w, bool is_array, size_t bytes)
{
    gr_record_reader in = {.name = w->name, .is_array = is_array};
    gr_status s = GR_OK;
    for (size_t want = bytes; s == GR_OK;) {
        s = gr_window_fill(w, want);
        bool end = w->end; /* asked before: cutting the last part is the last turn */
        size_t used = 0;
        gr_status cut = s == GR_OK ? gr_records_cut(&in, w->text.data, w->text.size, end, &used) : s;
        gr_first_error kept = GR_FIRST_ERROR_NONE; /* the records before one that cannot be cut out come first */
        if (s == GR_OK && cut != GR_OK)
            gr_first_error_put(&kept, 0);
        if (s == GR_OK && in.n > 0)
            s = read_block(r, in.list, in.n);
        if (s == GR_OK)
            s = gr_first_error_take(&kept);
        want = used == 0 ? 2 * w->text.size + bytes : bytes;
        gr_window_drop(w, used);
        if (s == GR_OK && r->passed)
            s = r->passed(r->user, (int64_t)used);
        if (end)
            break;
    }
    gr_free(in.list);
    return s;
}
