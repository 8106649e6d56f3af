/* Documents into rows. A document longer than a row is cut into pieces; pieces are put together so that little of a row
 * stays empty. Shuffled: the longest piece first, each into the fullest row that has room for it (best-fit decreasing),
 * and epochs differ in the order of the rows. Else in the order of the data, a new row where the next piece does not fit. */
#include "train/data.h"

#include "base/mem.h"

#include <string.h>

/* ---- pieces ------------------------------------------------------------------------------------------------- */

static int64_t count_learned(const gr_data *d, const gr_document *document, int64_t end)
{
    int64_t n = 0;
    if (!document->is_chat)
        return end - document->begin - document->given;
    for (int64_t i = document->begin + document->given; i < end; i++)
        n += gr_is_learned(d, document, i);
    return n;
}

int64_t gr_rows_end(const gr_rows *r, const gr_document *document)
{
    int64_t most = document->begin + r->context + 1;
    if (document->end <= most)
        return document->end;
    if (r->data->too_long == GR_TOO_LONG_DROP)
        return document->begin;
    if (!document->is_chat)
        return document->end;
    return count_learned(r->data, document, most) ? most : document->begin;
}

/* Tokens of a document, all but the last, that take places in rows: first in the document and how many. What is learned
 * is cut into as few pieces as possible. When the rest of the first piece cannot hold the whole prompt, what is left out
 * is its beginning: the end is what the completion follows. */
static int64_t first_place(const gr_rows *r, const gr_document *d)
{
    int64_t context = r->context, places = d->end - d->begin - 1, learned = d->end - d->begin - d->given;
    int64_t pieces = (learned + context - 1) / context;
    return !d->is_chat && places > pieces * context ? places - pieces * context : 0;
}

static int64_t places_of(const gr_rows *r, const gr_document *d)
{
    int64_t end = gr_rows_end(r, d);
    return end > d->begin ? end - d->begin - 1 - first_place(r, d) : 0;
}

static int64_t count_pieces(gr_rows *r)
{
    const gr_data *d = r->data;
    int64_t total = 0;
    for (int64_t i = 0; i < d->n_documents; i++) {
        const gr_document *document = &d->documents[i];
        int64_t places = places_of(r, document), skipped = places ? first_place(r, document) : 0;
        int64_t n = (places + r->context - 1) / r->context, end = gr_rows_end(r, document);
        total += n;
        r->info.trained += places ? count_learned(d, document, end) : 0;
        r->info.filled += places;
        r->info.cut += n > 1;
        r->info.cut_prompts += skipped > 0;
        r->info.left_out += skipped;
        r->info.dropped += !places;
        r->info.cut_chats += places && end < document->end;
        r->info.cut_tokens += places ? document->end - end : 0;
    }
    r->info.documents = d->n_documents;
    r->info.pieces = total;
    return total;
}

static void cut(const gr_rows *r, gr_row_piece *out)
{
    const gr_data *d = r->data;
    for (int64_t i = 0; i < d->n_documents; i++) {
        const gr_document *document = &d->documents[i];
        int64_t places = places_of(r, document), at = document->begin + (places ? first_place(r, document) : 0);
        for (int64_t n; places > 0; at += n, places -= n) {
            n = places < r->context ? places : r->context;
            *out++ = (gr_row_piece){at, i, n};
        }
    }
}

/* The same by file. */
static gr_status count_files(gr_rows *r)
{
    const gr_data *d = r->data;
    r->files = d->files ? gr_alloc_zero(d->n_files + 1, sizeof *r->files) : NULL;
    if (!r->files)
        return d->files ? GR_ERR_MEMORY : GR_OK;
    for (size_t i = 0; i < d->n_files; i++) {
        const gr_refused *none = i < d->n_refused ? &d->refused[i] : &(gr_refused){0};
        r->files[i] = (gr_rows_file){.size = sizeof *r->files, .name = d->files[i], .refused = none->count};
        r->files[i].refused_line = none->line;
        r->files[i].why = none->why;
    }
    for (int64_t i = 0; i < d->n_documents; i++) {
        const gr_document *document = &d->documents[i];
        gr_rows_file *f = &r->files[document->file];
        int64_t end = gr_rows_end(r, document), length = document->end - document->begin;
        f->documents++;
        f->tokens += length;
        f->trained += end > document->begin ? count_learned(d, document, end) : 0;
        f->cut += end > document->begin && length > r->context + 1;
        f->dropped += end == document->begin;
    }
    r->info.files = r->files;
    r->info.n_files = (int64_t)d->n_files;
    return GR_OK;
}

/* --too-long error, or everything is too long. */
static gr_status check_lengths(const gr_rows *r, int64_t pieces)
{
    const gr_data *d = r->data;
    char place[GR_PLACE_SIZE];
    for (int64_t i = 0; d->too_long == GR_TOO_LONG_ERROR && i < d->n_documents; i++) {
        const gr_document *document = &d->documents[i];
        if (document->end - document->begin - 1 > r->context)
            return gr_fail(GR_ERR_FILE,
                           "%s: has %lld tokens, a row of %lld takes %lld\ngive a longer context, or let what is "
                           "too long be cut or dropped",
                           gr_place(d->files, document->file, document->line, place, sizeof place),
                           (long long)(document->end - document->begin), (long long)r->context,
                           (long long)r->context + 1);
    }
    if (pieces > 0)
        return GR_OK;
    return gr_fail(GR_ERR_ARGUMENT,
                   "rows: no document has anything to learn in its first %lld tokens\ngive a longer context",
                   (long long)r->context + 1);
}

/* ---- the fullest row with room ------------------------------------------------------------------------------ */

/* Rows by their free places: lists, and a bit for each that is not empty. Bits of `words` say which words have any. */
typedef struct shelf {
    int64_t *head; /* [context + 1] a row with that many free places; -1: none */
    int64_t *next; /* [pieces] the next such row */
    uint64_t *bits, *words;
} shelf;

enum { WORD = 64 };

/* The first bit set at or behind `from`; n when there is none. */
static int64_t next_bit(const uint64_t *bits, int64_t from, int64_t n)
{
    for (int64_t w = from / WORD; w * WORD < n; w++) {
        uint64_t word = bits[w];
        if (w == from / WORD)
            word &= ~(uint64_t)0 << from % WORD;
        for (int64_t i = w * WORD; word; i++, word >>= 1)
            if (word & 1)
                return i;
    }
    return n;
}

static int64_t least_free(const shelf *s, int64_t need, int64_t context)
{
    int64_t words = context / WORD + 1, word = need / WORD;
    int64_t found = next_bit(s->bits, need, (word + 1) * WORD < context + 1 ? (word + 1) * WORD : context + 1);
    if (found < (word + 1) * WORD && found <= context)
        return found;
    word = next_bit(s->words, word + 1, words);
    return word < words ? next_bit(s->bits, word * WORD, context + 1) : context + 1;
}

static void put(shelf *s, int64_t row, int64_t free)
{
    s->next[row] = s->head[free];
    s->head[free] = row;
    s->bits[free / WORD] |= (uint64_t)1 << free % WORD;
    s->words[free / WORD / WORD] |= (uint64_t)1 << free / WORD % WORD;
}

static int64_t take(shelf *s, int64_t free)
{
    int64_t row = s->head[free];
    s->head[free] = s->next[row];
    if (s->head[free] < 0)
        s->bits[free / WORD] &= ~((uint64_t)1 << free % WORD);
    if (!s->bits[free / WORD])
        s->words[free / WORD / WORD] &= ~((uint64_t)1 << free / WORD % WORD);
    return row;
}

static gr_status open_shelf(shelf *s, int64_t context, int64_t pieces)
{
    size_t bits = (size_t)context / WORD + 1, words = bits / WORD + 1;
    s->head = gr_alloc(((size_t)context + 1) * sizeof *s->head);
    s->next = gr_alloc((size_t)pieces * sizeof *s->next);
    s->bits = gr_alloc_zero(bits, sizeof *s->bits);
    s->words = gr_alloc_zero(words, sizeof *s->words);
    if (!s->head || !s->next || !s->bits || !s->words)
        return GR_ERR_MEMORY;
    for (int64_t i = 0; i <= context; i++)
        s->head[i] = -1;
    return GR_OK;
}

static void close_shelf(shelf *s)
{
    gr_free(s->head);
    gr_free(s->next);
    gr_free(s->bits);
    gr_free(s->words);
}

/* ---- packing ------------------------------------------------------------------------------------------------ */

/* Sorts n numbers, each in [0, keys): order[] lists their indices, equal ones in order. start: [keys + 1] to work in. */
static void sort_stable(const int64_t *key, int64_t n, int64_t keys, int64_t *start, int64_t *order)
{
    memset(start, 0, ((size_t)keys + 1) * sizeof *start);
    for (int64_t i = 0; i < n; i++)
        start[key[i] + 1]++;
    for (int64_t i = 0; i < keys; i++)
        start[i + 1] += start[i];
    for (int64_t i = 0; i < n; i++)
        order[start[key[i]]++] = i;
}

/* row[i]: where piece i goes; returns how many rows there are. order and start are to work in. */
static int64_t best_fit(const gr_rows *r, const gr_row_piece *pieces, int64_t n, shelf *s, int64_t *order,
                        int64_t *start, int64_t *row)
{
    int64_t rows = 0;
    for (int64_t i = 0; i < n; i++)
        row[i] = r->context - pieces[i].n;
    sort_stable(row, n, r->context, start, order);
    for (int64_t k = 0; k < n; k++) {
        int64_t i = order[k], free = least_free(s, pieces[i].n, r->context);
        bool fresh = free > r->context;
        row[i] = fresh ? rows++ : take(s, free);
        int64_t left = (fresh ? r->context : free) - pieces[i].n;
        if (left > 0)
            put(s, row[i], left);
    }
    return rows;
}

static int64_t in_order(const gr_rows *r, const gr_row_piece *pieces, int64_t n, int64_t *row)
{
    int64_t rows = 0, free = 0;
    for (int64_t i = 0; i < n; i++) {
        if (pieces[i].n > free) {
            rows++;
            free = r->context;
        }
        row[i] = rows - 1;
        free -= pieces[i].n;
    }
    return rows;
}

/* Puts the pieces in the order of their rows. */
static gr_status arrange(gr_rows *r, const gr_row_piece *pieces, int64_t n, const int64_t *row, int64_t *order)
{
    r->pieces = gr_alloc((size_t)n * sizeof *r->pieces);
    r->first = gr_alloc(((size_t)r->count + 1) * sizeof *r->first);
    if (!r->pieces || !r->first)
        return GR_ERR_MEMORY;
    sort_stable(row, n, r->count, r->first, order);
    for (int64_t i = 0; i < n; i++)
        r->pieces[i] = pieces[order[i]];
    memmove(r->first + 1, r->first, (size_t)r->count * sizeof *r->first); /* sorting moved each start to its end */
    r->first[0] = 0;
    return GR_OK;
}

gr_status gr_pack(gr_rows *r)
{
    int64_t n = count_pieces(r), keys = r->context > n ? r->context : n;
    gr_status status = check_lengths(r, n);
    if (status == GR_OK)
        status = count_files(r);
    if (status != GR_OK)
        return status;
    gr_row_piece *pieces = gr_alloc((size_t)n * sizeof *pieces);
    int64_t *row = gr_alloc((size_t)n * sizeof *row), *order = gr_alloc((size_t)n * sizeof *order);
    int64_t *start = gr_alloc(((size_t)keys + 1) * sizeof *start);
    shelf s = {0};
    status = pieces && row && order && start ? GR_OK : GR_ERR_MEMORY;
    if (status == GR_OK && r->shuffle)
        status = open_shelf(&s, r->context, n);
    if (status == GR_OK) {
        cut(r, pieces);
        r->count = r->shuffle ? best_fit(r, pieces, n, &s, order, start, row) : in_order(r, pieces, n, row);
        status = arrange(r, pieces, n, row, order);
    }
    close_shelf(&s);
    gr_free(start);
    gr_free(order);
    gr_free(row);
    gr_free(pieces);
    return status;
}
